//! Many processes with one store: builds of the same and of overlapping targets, collections and kills beside them.

use super::crash::{assert_tidy, assert_whole, start};
use super::world::{World, collect_all, files_of, needed, patience, results, scratch};
use super::*;

/// How many processes build at once.
const BUILDERS: usize = 8;
/// How many builds are killed, one after another.
const KILLS: usize = 40;
/// How often each of them builds something else.
const ROUNDS: usize = 12;

/// While this file is there, collections go on; it goes with the folder if the test fails.
const GO: &str = "go";

/// The two workspaces of the test.
fn workspace(dir: &Path, seed: usize) -> PathBuf {
    dir.join(["first", "second"][seed % 2])
}

/// Builds one thing after another; each is whole at the end of its build, whatever others remove.
pub(super) fn build_many(dir: &Path, seed: usize) {
    let mut random = seed as u64;
    let mut next = |below: u64| {
        // Knuth's MMIX generator; the low bits are poor.
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    let mut world = World::diamond();
    for _ in 0..ROUNDS {
        let cache = Cache::open(&dir.join("cache")).unwrap().in_workspace(&workspace(dir, seed)).unwrap();
        world.settings.iter_mut().for_each(|setting| *setting = next(2) as u32);
        let (_, keys) = world.build_all(&cache, next(5) as usize);
        files_of(&cache, &keys);
    }
}

/// Collects all that is not needed, again and again, and looks for damage in between.
pub(super) fn collect_until_told(dir: &Path) {
    while dir.join(GO).exists() {
        let cache = Cache::open(&dir.join("cache")).unwrap();
        let policy = Policy { keep_last: 1, keep_within: Duration::ZERO, ..Policy::default() };
        let plan = cache.plan_collection(&policy).unwrap();
        cache.collect(&plan, &patience(), &mut |_| ()).unwrap();
        let report = cache.inspect(Depth::Full, &Silent).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        fs::write(dir.join("collected"), "").unwrap();
    }
}

fn two_workspaces() -> tempfile::TempDir {
    let dir = scratch();
    (0..2).for_each(|n| fs::create_dir(workspace(dir.path(), n)).unwrap());
    dir
}

#[test]
fn builds_collections_and_kills_beside_each_other_harm_nothing() {
    let dir = two_workspaces();
    let holder = start("many 100", dir.path(), "lock.take");
    assert!(!holder.wait_with_output().unwrap().status.success(), "it dies while it holds a lock");
    assert_eq!(
        fs::read_dir(dir.path().join("cache/lock")).unwrap().count(),
        2,
        "that lock, and the one of collections"
    );
    fs::write(dir.path().join(GO), "").unwrap();
    let collector = start("collector", dir.path(), "");
    let mut builders: Vec<_> = (0..BUILDERS).map(|n| start(&format!("many {n}"), dir.path(), "")).collect();
    let mut victim = start("many 101", dir.path(), "");
    while !dir.path().join("collected").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    for builder in builders.drain(..) {
        let output = builder.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    fs::remove_file(dir.path().join(GO)).unwrap();
    let output = collector.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    for n in 0..2 {
        let cache = cache.clone().in_workspace(&workspace(dir.path(), n)).unwrap();
        assert!(!files_of(&cache, &needed(&cache, 1)).is_empty());
    }
    assert!(cache.inspect(Depth::Full, &Silent).unwrap().is_sound());
}

#[test]
fn the_same_build_in_many_processes_runs_every_node_once() {
    let dir = two_workspaces();
    let builders: Vec<_> = (0..BUILDERS).map(|n| start("same", &workspace(dir.path(), n), "")).collect();
    for builder in builders {
        let output = builder.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    assert_eq!(cache.history().unwrap().count(), 5, "five nodes, eight processes, two workspaces");
    assert_eq!(results(&cache).len(), 11, "five records, five objects of their own and one in common");
}

/// Builds the same as all others, in the workspace `root`, with the store beside it.
pub(super) fn build_the_same(root: &Path) {
    let cache = Cache::open(&root.parent().unwrap().join("cache")).unwrap().in_workspace(root).unwrap();
    World::diamond().build(&cache, 4);
}

#[test]
fn kills_at_any_time_leave_whole_results_and_nothing_that_a_collection_does_not_remove() {
    let dir = two_workspaces();
    for kill in 0..KILLS {
        let mut child = start(&format!("many {kill}"), dir.path(), "");
        thread::sleep(Duration::from_millis(kill as u64 * 7 % 50));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_whole(dir.path(), &format!("kill {kill}"));
    }
    build_many(dir.path(), KILLS);
    collect_all(&dir.path().join("cache"));
    assert_tidy(dir.path(), "after all");
}

#[test]
fn a_cache_that_others_made_meanwhile_is_no_stranger() {
    let dir = scratch();
    let late = Cache::at(dir.path(), true);
    assert!(!late.has_known_format().unwrap());
    Cache::open(dir.path()).unwrap().stat_cache().save().unwrap();
    late.refuse_strangers().unwrap();
    Cache::open(dir.path()).unwrap();
}
