//! Builds a workspace and holds the plan against what the build does.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rsic::cache::{Cache, Patience, Policy, Presence, Reason};
use rsic::digest::Digest;
use rsic::pipeline::plan::{Plan, Planned, Planner, State};
use rsic::pipeline::run::{self, Ending, Options, Reporter, Summary};
use rsic::pipeline::{NodeId, Workspace, target};
use rsic::progress::{Progress, Silent};
use serde_json::Value;

use super::edit::{Edit, fail_point};
use super::world::{TARGETS, World};
use crate::sandbox::{Ran, Sandbox};

/// A workspace on its way.
pub(super) struct Course {
    world: World,
    sandbox: Sandbox,
    targets: Vec<String>,
    jobs: usize,
    keep_going: bool,
    moves: Cell<usize>,
    /// Of every node, what the last plan said and what came of it, such as `Stale -> Built`.
    pub(super) last: RefCell<BTreeMap<String, String>>,
}

/// Remembers why stages began; stops after some of them.
struct Listener {
    begun: Mutex<BTreeMap<String, Vec<Reason>>>,
    left: AtomicUsize,
}

impl Listener {
    fn new(left: usize) -> Self {
        Self { begun: Mutex::default(), left: AtomicUsize::new(left) }
    }
}

impl Reporter for Listener {
    fn transfer(&self, _: &str) -> Box<dyn Progress> {
        Box::new(Silent)
    }
    fn begin(&self, instance: &str, reasons: &[Reason]) -> Box<dyn Progress> {
        self.begun.lock().unwrap().entry(instance.to_owned()).or_insert_with(|| reasons.to_vec());
        self.left.fetch_sub(1, Ordering::SeqCst);
        Box::new(Silent)
    }
    fn waiting(&self, _: &str, _: &str) {}
    fn remark(&self, _: &str, _: &str) {}
    fn stopped(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
    fn end(&self, _: &str, _: &Ending, _: Duration) {}
}

/// What is in the store before a build.
struct Before {
    /// The keys whose results are there, as far as can be told without reading them.
    whole: BTreeSet<Digest>,
    /// Those of them whose bytes are wrong: only who reads them sees that.
    rotten: BTreeSet<Digest>,
}

impl Before {
    fn look(root: &Path) -> Self {
        let cache = Cache::peek(&root.join("cache")).unwrap();
        let (mut whole, mut rotten) = (BTreeSet::new(), BTreeSet::new());
        for record in cache.records().unwrap().into_iter().filter_map(|key| cache.record(key).unwrap()) {
            let objects: Vec<_> = record.outputs.iter().map(rsic::cache::Output::stored).collect();
            if objects.iter().all(|object| cache.has(object)) {
                whole.insert(record.key);
                if objects.iter().any(|object| cache.verify(object).unwrap() != Presence::Present) {
                    rotten.insert(record.key);
                }
            }
        }
        Self { whole, rotten }
    }
}

/// What a build did with each node.
struct Did {
    endings: BTreeMap<String, Ending>,
    begun: Option<BTreeMap<String, Vec<Reason>>>,
    failures: Vec<String>,
}

impl Course {
    pub(super) fn new(world: World, targets: &[&str], jobs: usize, keep_going: bool) -> Self {
        let sandbox = Sandbox::empty();
        world.write(&sandbox.root);
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        Self { world, sandbox, targets, jobs, keep_going, moves: Cell::new(0), last: RefCell::default() }
    }

    fn root(&self) -> &Path {
        &self.sandbox.root
    }

    fn open(&self) -> Workspace {
        Workspace::open(self.root(), &[]).unwrap()
    }

    /// The plan as `status` and `build --dry-run` make it.
    fn plan(&self) -> (Workspace, Plan) {
        let workspace = Workspace::peek(self.root(), &[]).unwrap();
        let plan = Planner::new(&workspace).plan(&nodes(&workspace, &self.targets), &[]).unwrap();
        (workspace, plan)
    }

    fn run(&self, targets: &[String], forced: bool, stop_after: usize) -> (Summary, Workspace, Listener) {
        let workspace = self.open();
        let targets = nodes(&workspace, targets);
        let forced = if forced { targets.clone() } else { Vec::new() };
        let options =
            Options { jobs: self.jobs, forced, keep_going: self.keep_going, lock_timeout: None, offline: true };
        let listener = Listener::new(stop_after);
        let summary = run::build(&workspace, &targets, &options, &listener).unwrap();
        (summary, workspace, listener)
    }

    pub(super) fn edit(&mut self, edit: &Edit) {
        edit.apply(&mut self.world, &self.sandbox.root);
        match edit {
            Edit::Collect => {
                let cache = self.open().cache;
                let policy = Policy { keep_last: 1, keep_within: Duration::ZERO, ..Policy::default() };
                let patience = Patience { command: "test", instance: "gc", timeout: None, cancelled: &|| false };
                // A harmed root is refused, as it should be.
                if let Ok(plan) = cache.plan_collection(&policy) {
                    cache.collect(&plan, &patience, &mut |_| {}).unwrap();
                }
            }
            Edit::Build(others) => {
                let others: Vec<String> = others.iter().map(|&target| TARGETS[target].to_owned()).collect();
                self.run(&others, false, usize::MAX);
            }
            Edit::Forced(target) => _ = self.run(&[TARGETS[*target].to_owned()], true, usize::MAX),
            Edit::Stopped(after) => _ = self.run(&self.targets, false, after + 1),
            Edit::Killed(nth) => {
                let args = [&["build", "--quiet"].map(str::to_owned), self.targets.as_slice()].concat();
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                self.sandbox.command(&args).env("RSIC_FAIL_AT", fail_point(*nth)).output().unwrap();
            }
            Edit::Moved => {
                let name = format!("workspace{}", self.moves.replace(self.moves.get() + 1));
                let moved = self.sandbox.root.with_file_name(name);
                std::fs::rename(&self.sandbox.root, &moved).unwrap();
                self.sandbox.root = moved;
            }
            _ => {}
        }
    }

    /// Plans, builds, compares; then all has to be fresh.
    pub(super) fn build(&self) -> Result<(), String> {
        self.follow(&|| {
            let (summary, workspace, listener) = self.run(&self.targets, false, usize::MAX);
            let name = |(node, ending): &(NodeId, Ending)| (workspace.graph.name(*node), ending.clone());
            Did {
                endings: summary.endings.iter().map(name).collect(),
                begun: Some(listener.begun.into_inner().unwrap()),
                failures: summary.failures.iter().map(|(name, error)| format!("{name}: {error:#}")).collect(),
            }
        })
    }

    /// The same with what users type.
    pub(super) fn build_by_the_program(&self) -> Result<(), String> {
        let rsic = |args: &[&str]| -> Ran {
            let targets = self.targets.iter().map(String::as_str);
            self.sandbox.rsic(&args.iter().copied().chain(targets).collect::<Vec<_>>())
        };
        let (status, dry_run) = (rsic(&["status", "--json"]), rsic(&["build", "--dry-run", "--json"]));
        if status.out != dry_run.out {
            return Err(format!("status says\n{}\nand build --dry-run\n{}", status.out, dry_run.out));
        }
        let (workspace, plan) = self.plan();
        let said: Value = serde_json::from_str(&status.out).map_err(|error| format!("{error}: {}", status.err))?;
        for (row, planned) in said.as_array().unwrap().iter().zip(&plan.nodes) {
            let state = serde_json::to_value(&planned.state).unwrap();
            let named = row["target"] == workspace.graph.name(planned.node);
            if !named || state.as_object().unwrap().iter().any(|(name, value)| row[name] != *value) {
                return Err(format!("the program says {row}, the library {state}"));
            }
        }
        let jobs = self.jobs.to_string();
        let mut args = vec!["build", "--jobs", &jobs];
        args.extend(self.keep_going.then_some("--keep-going"));
        self.follow(&|| Did::read(&rsic(&args).err, &self.plan().0, &plan))
    }

    fn follow(&self, build: &dyn Fn() -> Did) -> Result<(), String> {
        self.last.take();
        let before = Before::look(self.root());
        let (workspace, plan) = self.plan();
        let did = build();
        let (_, after) = self.plan();
        let keys: BTreeMap<NodeId, Digest> =
            after.nodes.iter().filter_map(|planned| Some((planned.node, planned.key?))).collect();
        let names = |planned: &Planned| workspace.graph.name(planned.node);
        let first = plan.nodes.iter().find_map(|planned| match &planned.state {
            State::Blocked { why, .. } => Some((names(planned), why)),
            _ => None,
        });
        if let Some((name, why)) = first.filter(|_| !self.keep_going) {
            let refused = did.failures.first().is_some_and(|said| *said == format!("{name}: {why}"));
            let idle = did.endings.values().all(|ending| *ending == Ending::Failed);
            return if refused && idle {
                Ok(())
            } else {
                Err(format!("{name} is blocked ({why}): {:?}", did.failures))
            };
        }
        let built: BTreeSet<Digest> = plan
            .nodes
            .iter()
            .filter_map(|planned| {
                let built = matches!(did.endings.get(&names(planned)), Some(Ending::Built { .. }));
                keys.get(&planned.node).copied().filter(|_| built)
            })
            .collect();
        for planned in &plan.nodes {
            let name = names(planned);
            let facts = Facts {
                ending: did.endings.get(&name),
                key: keys.get(&planned.node).copied(),
                before: &before,
                built: &built,
                failed: !did.failures.is_empty(),
                keep_going: self.keep_going,
            };
            let state = &planned.state;
            self.last.borrow_mut().insert(name.clone(), shown(state, facts.ending));
            facts.check(planned).map_err(|why| format!("{name} was {state:?} and ended {:?}: {why}", facts.ending))?;
            let begun = did.begun.as_ref().and_then(|begun| begun.get(&name));
            if let (State::Stale { reasons }, Some(_), Some(begun)) = (state, planned.key, begun)
                && reasons != begun
            {
                return Err(format!("{name} was to run because of {reasons:?} and ran because of {begun:?}"));
            }
        }
        if did.failures.is_empty() && !after.is_fresh() {
            let states: Vec<_> = after.nodes.iter().map(|planned| (names(planned), &planned.state)).collect();
            return Err(format!("not fresh after a build: {states:?}"));
        }
        let (_, _, again) = self.run(&self.targets, false, usize::MAX);
        let done = |name: &String| !matches!(did.endings.get(name), None | Some(Ending::Failed | Ending::Skipped));
        let twice = again.begun.into_inner().unwrap();
        match twice.iter().find(|(name, _)| done(name)) {
            Some((name, reasons)) => Err(format!("a second build runs {name}: {reasons:?}")),
            None => Ok(()),
        }
    }

    /// Every result is that of a build in an empty folder.
    pub(super) fn compare_with_scratch(&self) -> Result<(), String> {
        let targets: Vec<&str> = self.targets.iter().map(String::as_str).collect();
        let fresh = Self::new(self.world.clone(), &targets, 1, true);
        let outputs = |course: &Self| -> BTreeMap<String, Vec<(String, Digest)>> {
            let (summary, workspace, _) = course.run(&self.targets, false, usize::MAX);
            let outputs = |record: rsic::cache::Record| {
                record.outputs.into_iter().map(|output| (output.name, output.object)).collect()
            };
            summary.records.into_iter().map(|(node, record)| (workspace.graph.name(node), outputs(record))).collect()
        };
        let (here, there) = (outputs(self), outputs(&fresh));
        for (name, made) in &here {
            if there.get(name) != Some(made) {
                return Err(format!("{name} is {made:?}, from scratch {:?}", there.get(name)));
            }
        }
        if self.keep_going && here.len() != there.len() {
            return Err(format!("built are {:?}, from scratch {:?}", here.keys(), there.keys()));
        }
        Ok(())
    }
}

fn shown(state: &State, ending: Option<&Ending>) -> String {
    let word = |shown: String| shown.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
    let ending = ending.map_or_else(|| "NotReached".to_owned(), |ending| word(format!("{ending:?}")));
    format!("{} -> {ending}", word(format!("{state:?}")))
}

fn nodes(workspace: &Workspace, targets: &[String]) -> Vec<NodeId> {
    target::resolve(&workspace.graph, targets).unwrap()
}

impl Did {
    /// Reads what the program says; of what it does not name nothing was done.
    fn read(said: &str, workspace: &Workspace, plan: &Plan) -> Self {
        let mut endings: BTreeMap<String, Ending> =
            plan.nodes.iter().map(|planned| (workspace.graph.name(planned.node), Ending::Fresh)).collect();
        let mut failures = Vec::new();
        for line in said.lines().map(str::trim) {
            let mut words = line.split(' ');
            let (what, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if what == "error:" {
                failures.push(line["error: ".len()..].to_owned());
            }
            let ending = match what {
                "built" => Ending::Built { seconds: 0 },
                "restored" => Ending::Restored,
                "failed" => Ending::Failed,
                _ => continue,
            };
            endings.insert(name.to_owned(), ending);
        }
        // What comes after a failure is not named either.
        if !failures.is_empty() {
            endings.retain(|_, ending| *ending != Ending::Fresh);
        }
        Self { endings, begun: None, failures }
    }
}

/// What is known of one node after a build.
struct Facts<'a> {
    ending: Option<&'a Ending>,
    key: Option<Digest>,
    before: &'a Before,
    /// The keys of everything that ran.
    built: &'a BTreeSet<Digest>,
    failed: bool,
    keep_going: bool,
}

impl Facts<'_> {
    fn check(&self, planned: &Planned) -> Result<(), String> {
        let Some(ending) = self.ending else {
            return if self.failed { Ok(()) } else { Err("it was forgotten".to_owned()) };
        };
        let state = &planned.state;
        let allowed = match (state, ending) {
            (State::Blocked { .. }, Ending::Failed | Ending::Skipped) => self.keep_going,
            (State::Stale { .. } | State::Maybe { .. }, Ending::Failed | Ending::Skipped) => self.failed,
            // A result with the right size and wrong bytes is only found out when it is read.
            (State::Fresh | State::Restorable | State::Modified { .. }, Ending::Built { .. }) => {
                planned.key.is_some_and(|key| self.before.rotten.contains(&key))
            }
            (State::Fresh, Ending::Fresh)
            | (State::Restorable | State::Modified { .. }, Ending::Restored)
            | (State::Stale { .. } | State::Maybe { .. }, Ending::Built { .. })
            | (State::Maybe { .. }, Ending::Fresh | Ending::Restored) => true,
            // Two sources of different bytes came out equal, or of two that do the same the later one was quicker.
            (State::Stale { .. }, Ending::Fresh | Ending::Restored) => {
                self.key.is_some_and(|key| self.built.contains(&key))
            }
            _ => false,
        };
        if !allowed {
            return Err("that was not to be".to_owned());
        }
        let Some(key) = self.key else { return Ok(()) };
        if planned.key.is_some_and(|planned| planned != key) {
            return Err("its key changed".to_owned());
        }
        let (whole, rotten) = (self.before.whole.contains(&key), self.before.rotten.contains(&key));
        match ending {
            Ending::Built { .. } if whole && !rotten => Err("its result was there".to_owned()),
            Ending::Fresh | Ending::Restored if !whole && !self.built.contains(&key) => {
                Err("there was no result".to_owned())
            }
            _ => Ok(()),
        }
    }
}
