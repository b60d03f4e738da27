//! Collections of random stores: what is live stays, what the plan says goes.

use std::fs::FileTimes;

use proptest::prelude::*;

use super::world::{World, all_files, files_of, instance, needed, patience, results, scratch};
use super::*;

pub(super) const NOTHING: Policy =
    Policy { keep_last: 1, keep_within: Duration::ZERO, budget: None, forget_gone: false };

/// The two workspaces of a store: the one that holds it, and one beside it.
pub(super) fn open(dir: &Path, workspace: usize) -> Cache {
    let root = if workspace == 0 { dir.to_owned() } else { dir.join("other") };
    fs::create_dir_all(&root).unwrap();
    Cache::open(&dir.join("cache")).unwrap().in_workspace(&root).unwrap()
}

pub(super) fn make_old(path: &Path) {
    let times = FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    fs::File::open(path).unwrap().set_times(times).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Build {
        workspace: usize,
        target: usize,
    },
    Edit {
        node: usize,
        setting: u32,
    },
    Pin {
        workspace: usize,
        target: usize,
    },
    Unpin {
        target: usize,
    },
    RemoveRoot {
        workspace: usize,
        target: usize,
    },
    /// A record that seems to be written long ago.
    Age {
        nth: usize,
    },
    /// A collection; between the plan and its end somebody may build, edit and go.
    Collect {
        policy: Policy,
        meanwhile: Option<(usize, usize, u32)>,
    },
}

fn policies() -> impl Strategy<Value = Policy> {
    (0..4_usize, prop::bool::ANY, prop::option::of(0..6000_u64)).prop_map(|(keep_last, recent, budget)| Policy {
        keep_last,
        keep_within: if recent { Duration::from_hours(24) } else { Duration::ZERO },
        budget,
        forget_gone: false,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (workspace, target, setting) = (0..2_usize, 0..6_usize, 0..6_u32);
    let meanwhile = prop::option::of((workspace.clone(), target.clone(), setting.clone()));
    let step = prop_oneof![
        4 => (workspace.clone(), target.clone()).prop_map(|(workspace, target)| Step::Build { workspace, target }),
        4 => (target.clone(), setting).prop_map(|(node, setting)| Step::Edit { node, setting }),
        1 => (workspace.clone(), target.clone()).prop_map(|(workspace, target)| Step::Pin { workspace, target }),
        1 => target.clone().prop_map(|target| Step::Unpin { target }),
        1 => (workspace, target).prop_map(|(workspace, target)| Step::RemoveRoot { workspace, target }),
        1 => (0..20_usize).prop_map(|nth| Step::Age { nth }),
        3 => (policies(), meanwhile).prop_map(|(policy, meanwhile)| Step::Collect { policy, meanwhile }),
    ];
    prop::collection::vec(step, 1..14)
}

/// Six nodes, each of which reads some of those before it.
fn worlds() -> impl Strategy<Value = World> {
    prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.4), 6), 6).prop_map(|matrix| {
        let reads = matrix.iter().enumerate().map(|(node, row)| (0..node).filter(|&up| row[up]).collect());
        World { reads: reads.collect(), settings: vec![0; 6] }
    })
}

fn collect_and_check(dir: &Path, world: &mut World, policy: &Policy, meanwhile: Option<(usize, usize, u32)>) {
    let cache = open(dir, 0);
    let other = open(dir, 1);
    let plan = cache.plan_collection(policy).unwrap();
    if let Some((workspace, target, setting)) = meanwhile {
        world.build(&open(dir, workspace), target);
        world.settings[target] = setting;
        world.build(&open(dir, workspace), target);
    }
    // What the last builds and the pins need, found without the code under test, was all there and is.
    let need = [needed(&cache, 1), needed(&other, 1)].concat();
    let live = files_of(&cache, &need);
    // Older builds that are still whole stay too, unless the budget is short.
    let rule: Vec<Digest> = [needed(&cache, policy.keep_last), needed(&other, policy.keep_last)].concat();
    let whole = |key: &Digest| {
        let record = cache.find_record(*key).unwrap();
        matches!(record, record::FoundRecord::Whole(r) if r.outputs.iter().all(|o| cache.has(&o.stored())))
    };
    let ruled: Vec<Digest> = rule.into_iter().filter(whole).collect();
    let gate = cache.gate();
    let files = || all_files(cache.dir()).into_iter().filter(|path| *path != gate).collect::<BTreeSet<_>>();
    let before = files();
    let applied = cache.collect(&plan, &patience(), &mut |_| ()).unwrap();
    let after = files();
    assert_eq!(files_of(&cache, &need), live, "what is needed stays");
    if policy.budget.is_none() {
        files_of(&cache, &ruled);
    }
    let gone: BTreeSet<PathBuf> = before.difference(&after).cloned().collect();
    let said: BTreeSet<PathBuf> = applied.removed.iter().map(|item| cache.dir().join(&item.path)).collect();
    assert_eq!(gone, said, "what it says is what it does");
    assert_eq!(applied.removed.len() + applied.spared.len(), plan.remove.len());
    assert!(applied.spared.is_empty() || meanwhile.is_some(), "{:?}", applied.spared);
    assert!(after.is_subset(&before), "nothing is created");
    if meanwhile.is_none() {
        let stay: u64 = results(&cache).iter().map(|path| path.metadata().unwrap().len()).sum();
        assert_eq!((stay, results(&cache).len()), (plan.kept_bytes, plan.kept), "the plan knows what stays");
        let fits = policy.budget.is_none_or(|budget| stay <= budget);
        assert!(fits || results(&cache) == live, "over the budget only with what is needed");
        assert_eq!(plan.over_budget() == 0, fits);
        if *policy == NOTHING {
            assert_eq!(results(&cache), live, "nothing else stays");
        }
    }
    let report = cache.inspect(Depth::Full, &Silent).unwrap();
    assert_eq!(report.findings, [], "no record without its objects");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_live_stays_and_what_the_plan_says_goes(mut world in worlds(), steps in steps()) {
        let dir = scratch();
        for step in steps {
            match step {
                Step::Build { workspace, target } => _ = world.build(&open(dir.path(), workspace), target),
                Step::Edit { node, setting } => world.settings[node] = setting,
                Step::Pin { workspace, target } => {
                    let cache = open(dir.path(), workspace);
                    let built = cache.root(&instance(target)).unwrap().is_some();
                    assert_eq!(cache.pin(&target.to_string(), &instance(target)).is_ok(), built);
                }
                Step::Unpin { target } => _ = open(dir.path(), 0).unpin(&target.to_string()).unwrap(),
                Step::RemoveRoot { workspace, target } => {
                    open(dir.path(), workspace).remove_root(&instance(target)).unwrap();
                }
                Step::Age { nth } => {
                    let cache = open(dir.path(), 0);
                    cache.records().unwrap().get(nth).iter().for_each(|key| make_old(&cache.record_path(**key)));
                }
                Step::Collect { policy, meanwhile } => collect_and_check(dir.path(), &mut world, &policy, meanwhile),
            }
        }
        // A last collection, then a build of what each workspace built last: nothing has to run again.
        for workspace in 0..2 {
            for target in 0..6 {
                if open(dir.path(), workspace).root(&instance(target)).unwrap().is_some() {
                    world.build(&open(dir.path(), workspace), target);
                    collect_and_check(dir.path(), &mut world, &NOTHING, None);
                    assert_eq!(world.build(&open(dir.path(), workspace), target), 0, "all is still there");
                }
            }
        }
    }
}
