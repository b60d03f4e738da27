//! The build: plans, runs what is not fresh, publishes, and tells a [`Reporter`] about it.
//!
//! Each node is decided at the moment when everything that it reads is known, by the same [`Planner`] that `status`
//! asks; so a rerun that gives equal data leaves everything after it fresh.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::execute::Execution;
use super::graph::NodeId;
use super::inputs::LostObject;
use super::plan::Planner;
use super::source::Blocked;
use super::upstream::Upstream;
use super::{Workspace, lockfile};
use crate::cache::{Reason, Record, RunLog};
use crate::progress::{Interrupted, Progress};

/// What a build is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many stages may run at once.
    pub jobs: usize,
    /// Nodes to run whatever the cache holds.
    pub forced: Vec<NodeId>,
    /// Go on with what does not depend on a failed stage.
    pub keep_going: bool,
    /// How long to wait for another build that holds a stage.
    pub lock_timeout: Option<Duration>,
    /// Do not ask the remote store.
    pub offline: bool,
}

/// How a node came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was in place.
    Fresh,
    /// Outputs were put back from the cache.
    Restored,
    /// The result came from the remote store.
    Pulled {
        /// How many bytes came.
        bytes: u64,
    },
    /// The stage ran.
    Built {
        /// Wall time.
        seconds: u64,
    },
    /// The stage failed.
    Failed,
    /// The user stopped the stage.
    Interrupted,
    /// Something that it reads failed.
    Skipped,
}

/// Hears what a build does.
pub trait Reporter: Sync {
    /// A stage begins to run, for these reasons; its progress goes to what is returned.
    fn begin(&self, instance: &str, reasons: &[Reason]) -> Box<dyn Progress>;
    /// A result begins to come from the remote store.
    fn transfer(&self, instance: &str) -> Box<dyn Progress>;
    /// A stage waits for another build.
    fn waiting(&self, instance: &str, holder: &str);
    /// Something worth knowing happened to a stage.
    fn remark(&self, instance: &str, text: &str);
    /// Whether the user asked to stop: nothing new is begun then.
    fn stopped(&self) -> bool;
    /// A node came to its end; `spent` is the time of its run.
    fn end(&self, instance: &str, ending: &Ending, spent: Duration);
}

/// How a build went.
#[derive(Debug, Default)]
pub struct Summary {
    /// How every node ended, in build order.
    pub endings: Vec<(NodeId, Ending)>,
    /// The errors, with the names of their stages.
    pub failures: Vec<(String, anyhow::Error)>,
    /// The records of all nodes that are built.
    pub records: BTreeMap<NodeId, Record>,
}

/// How often the same output may turn out to be damaged before the build gives up.
const REPAIRS: usize = 3;

/// Builds `targets` and everything that they need.
///
/// An object that turns out to be damaged when it is read is in quarantine by then; the build starts again and makes it anew.
pub fn build(workspace: &Workspace, targets: &[NodeId], options: &Options, reporter: &dyn Reporter) -> Result<Summary> {
    lockfile::check(workspace)?;
    let mut options = options.clone();
    let remote = Upstream::new(workspace, options.offline);
    let mut repairs: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut built: BTreeMap<NodeId, Ending> = BTreeMap::new();
    loop {
        let mut summary = pass(workspace, targets, &options, &remote, reporter)?;
        for (node, ending) in &mut summary.endings {
            match ending {
                Ending::Built { .. } | Ending::Pulled { .. } => _ = built.insert(*node, ending.clone()),
                // What one pass built the next finds.
                Ending::Fresh | Ending::Restored => {
                    if let Some(before) = built.get(node) {
                        *ending = before.clone();
                    }
                }
                _ => {}
            }
        }
        let lost = summary.failures.iter().find_map(|(_, error)| error.downcast_ref::<LostObject>());
        let Some(lost) = lost else {
            if let Err(error) = lockfile::update(workspace, &summary.records) {
                reporter.remark("build", &format!("cannot write down the results: {error:#}"));
            }
            return Ok(summary);
        };
        let times = repairs.entry((lost.instance.clone(), lost.output.clone())).or_default();
        *times += 1;
        if *times > REPAIRS {
            return Err(anyhow!("{lost} as often as it is built: is the disk failing?"));
        }
        reporter.remark(&lost.instance, &format!("output `{}` was damaged; it is built again", lost.output));
        // What was forced and has been built need not run twice.
        options.forced.retain(|node| !built.contains_key(node));
    }
}

struct Work {
    /// Nodes still to decide, with the number of upstream nodes that are not done.
    open: BTreeMap<NodeId, usize>,
    /// Those of them that wait for nothing.
    ready: BTreeSet<NodeId>,
    records: BTreeMap<NodeId, Record>,
    endings: BTreeMap<NodeId, Ending>,
    failures: Vec<(String, anyhow::Error)>,
    running: usize,
    stop: bool,
}

struct Pass<'a> {
    workspace: &'a Workspace,
    planner: Planner<'a>,
    options: &'a Options,
    remote: &'a Upstream<'a>,
    reporter: &'a dyn Reporter,
    log: RunLog,
    downstream: BTreeMap<NodeId, Vec<NodeId>>,
    work: Mutex<Work>,
    changed: Condvar,
}

fn pass(
    workspace: &Workspace,
    targets: &[NodeId],
    options: &Options,
    remote: &Upstream,
    reporter: &dyn Reporter,
) -> Result<Summary> {
    let nodes = workspace.graph.closure(targets);
    let mut downstream: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    let mut open = BTreeMap::new();
    for &node in &nodes {
        let upstream = workspace.graph.nodes[node].upstream();
        open.insert(node, upstream.len());
        for up in upstream {
            downstream.entry(up).or_default().push(node);
        }
    }
    let work = Work {
        ready: open.iter().filter(|(_, left)| **left == 0).map(|(node, _)| *node).collect(),
        open,
        records: BTreeMap::new(),
        endings: BTreeMap::new(),
        failures: Vec::new(),
        running: 0,
        stop: false,
    };
    let pass = Pass {
        workspace,
        planner: Planner::new(workspace),
        options,
        remote,
        reporter,
        log: workspace.cache.start_run()?,
        downstream,
        work: Mutex::new(work),
        changed: Condvar::new(),
    };
    if !options.keep_going {
        pass.refuse_what_cannot_end(&nodes);
    }
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| pass.worker());
        }
    });
    // Without it the next build only has to hash again.
    if let Err(error) = workspace.facts.save() {
        let error = anyhow!(error);
        reporter.remark("build", &format!("cannot remember the hashes of unchanged files: {error:#}"));
    }
    let work = pass.work.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Summary { endings: work.endings.into_iter().collect(), failures: work.failures, records: work.records })
}

/// A panic of one stage as an ordinary error, so that it neither hangs nor hides the others.
fn panicked(cause: &(dyn Any + Send)) -> anyhow::Error {
    let text = cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
    anyhow!("the stage broke down: {} (this is a defect of rsic)", text.unwrap_or("no message"))
}

impl Pass<'_> {
    /// Fails before hours of work if a source or a model that is needed at the end is not there.
    fn refuse_what_cannot_end(&self, nodes: &[NodeId]) {
        self.planner.look_at_sources(nodes);
        let mut work = self.lock();
        for &node in nodes {
            if let Err(blocked) = self.planner.own_sources(&self.workspace.graph.nodes[node]) {
                work.failures.push((self.workspace.graph.name(node), anyhow!(blocked)));
                work.endings.insert(node, Ending::Failed);
                work.stop = true;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worker(&self) {
        loop {
            let Some(node) = self.next() else { return };
            let name = self.workspace.graph.name(node);
            let started = Instant::now();
            let result =
                catch_unwind(AssertUnwindSafe(|| self.node(node))).unwrap_or_else(|cause| Err(panicked(&*cause)));
            let spent = started.elapsed();
            let mut guard = self.lock();
            let work = &mut *guard;
            work.running -= 1;
            let ending = match result {
                Ok((record, ending)) => {
                    work.records.insert(node, record);
                    for &after in self.downstream.get(&node).into_iter().flatten() {
                        if let Some(left) = work.open.get_mut(&after) {
                            *left -= 1;
                            if *left == 0 {
                                work.ready.insert(after);
                            }
                        }
                    }
                    ending
                }
                Err(error) => {
                    let fatal = error.is::<Interrupted>() || error.is::<LostObject>();
                    work.stop |= fatal || !self.options.keep_going;
                    let ending = if error.is::<Interrupted>() { Ending::Interrupted } else { Ending::Failed };
                    work.failures.push((name.clone(), error));
                    self.skip_after(node, work);
                    ending
                }
            };
            work.endings.insert(node, ending.clone());
            drop(guard);
            self.reporter.end(&name, &ending, spent);
            self.changed.notify_all();
        }
    }

    /// The next node whose inputs are all known; waits for one; `None` when there will be none.
    fn next(&self) -> Option<NodeId> {
        let mut work = self.lock();
        loop {
            if self.reporter.stopped() && !work.stop {
                work.stop = true;
                work.failures.push(("build".to_owned(), Interrupted.into()));
            }
            if work.stop {
                return None;
            }
            if let Some(node) = work.ready.pop_first() {
                work.open.remove(&node);
                work.running += 1;
                return Some(node);
            }
            if work.running == 0 {
                return None;
            }
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn skip_after(&self, node: NodeId, work: &mut Work) {
        let mut stack = self.downstream.get(&node).cloned().unwrap_or_default();
        while let Some(after) = stack.pop() {
            if work.open.remove(&after).is_some() {
                work.endings.insert(after, Ending::Skipped);
                stack.extend(self.downstream.get(&after).into_iter().flatten());
            }
        }
    }

    /// Decides one node and runs it if need be.
    fn node(&self, node: NodeId) -> Result<(Record, Ending)> {
        let spec = &self.workspace.graph.nodes[node];
        let upstream: BTreeMap<NodeId, Record> = {
            let work = self.lock();
            spec.upstream().iter().filter_map(|id| work.records.get(id).map(|record| (*id, record.clone()))).collect()
        };
        let ingredients =
            self.planner.ingredients(spec, &|id| upstream.get(&id)).map_err(|blocked: Blocked| anyhow!(blocked))?;
        let sources = Arc::new(self.planner.source_files(spec));
        let needs = {
            let work = self.lock();
            let closure = self.workspace.graph.closure(&[node]).into_iter().filter(|id| *id != node);
            closure.filter_map(|id| work.records.get(&id).map(|record| record.key)).collect()
        };
        let execution = Execution {
            workspace: self.workspace,
            planner: &self.planner,
            reporter: self.reporter,
            log: &self.log,
            remote: self.remote,
            node,
            upstream: &upstream,
            ingredients,
            sources,
            needs,
            forced: self.options.forced.contains(&node),
            lock_timeout: self.options.lock_timeout,
        };
        execution.go()
    }
}
