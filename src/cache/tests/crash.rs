//! Kills: the test program starts itself again, dies at a fail point, and looks at what is left.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use super::world::{World, all_files, collect_all, files_of, needed, patience, results, scratch};
use super::*;

/// Where a child works.
const STORE: &str = "RSIC_TEST_STORE";
/// What it does there.
const SCRIPT: &str = "RSIC_TEST_SCRIPT";
/// How often a point is tried before its later strikes are left to chance.
const STRIKES: usize = 3;
/// `SIGABRT` on every Linux.
const ABORTED: i32 = 6;

/// Starts this test program again, to run `script` in `dir` and to die at `point`.
pub(super) fn start(script: &str, dir: &Path, point: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cache::tests::crash::child", "--nocapture"])
        .envs([(SCRIPT, script), ("RSIC_FAIL_AT", point)])
        .env(STORE, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Whether the child died at its fail point; any other failure fails the test.
fn died(child: Child, what: &str) -> bool {
    let output = child.wait_with_output().unwrap();
    let killed = output.status.signal() == Some(ABORTED);
    assert!(killed || output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    killed
}

/// The other side of the tests here and in `concurrent`, which start it in a process of its own with a script.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(STORE) else {
        // Nobody died: what the script leaves is sound.
        let dir = scratch();
        build(dir.path());
        let cache = Cache::peek(&dir.path().join("cache")).unwrap();
        assert_eq!(cache.inspect(Depth::Full, &Silent).unwrap().findings, []);
        return;
    };
    let dir = PathBuf::from(dir);
    let script = std::env::var(SCRIPT).unwrap();
    match script.split_once(' ').unwrap_or((&script, "")) {
        ("build", _) => build(&dir),
        ("collect", _) => collect(&dir),
        ("same", _) => concurrent::build_the_same(&dir),
        ("many", seed) => concurrent::build_many(&dir, seed.parse().unwrap()),
        ("collector", _) => concurrent::collect_until_told(&dir),
        _ => panic!("no script {script}"),
    }
}

/// Does everything that writes.
fn build(dir: &Path) {
    let mut world = World::diamond();
    let cache = Cache::open(&dir.join("cache")).unwrap().in_workspace(dir).unwrap();
    for setting in [0, 1] {
        world.settings[0] = setting;
        world.build(&cache, 4);
        cache.pin("paper", "sim/4").unwrap();
    }
    // A fact is remembered only of a file that was left alone for a while, such as one that this program is made from.
    let facts = cache.stat_cache();
    facts.digest_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    facts.save().unwrap();
}

/// Removes what is not needed, of every kind.
fn collect(dir: &Path) {
    let cache = Cache::open(&dir.join("cache")).unwrap();
    for n in 0..STRIKES {
        // What was there before was swept away when the cache was opened.
        let name = format!(".rsic-{}-{n}.tmp", dead_process());
        fs::write(cache.dir().join("tmp").join(name), "").unwrap();
    }
    let policy = Policy { keep_last: 1, keep_within: Duration::ZERO, budget: None, forget_gone: true };
    let plan = cache.plan_collection(&policy).unwrap();
    cache.collect(&plan, &patience(), &mut |_| ()).unwrap();
}

/// Nothing is half-published or half-removed; there may be leftovers.
pub(super) fn assert_whole(dir: &Path, what: &str) {
    let report = Cache::peek(&dir.join("cache")).unwrap().inspect(Depth::Full, &Silent).unwrap();
    let faults: Vec<_> = report.findings.iter().filter(|finding| finding.fault != Fault::Leftover).collect();
    assert!(faults.is_empty(), "{what}: {faults:?}");
}

/// After a kill nothing is half-published, the next build completes with the same results, and a collection tidies up.
fn check(dir: &Path, expected: &BTreeSet<PathBuf>, what: &str) {
    assert_whole(dir, what);
    build(dir);
    collect_all(&dir.join("cache"));
    let cache = Cache::open(&dir.join("cache")).unwrap();
    let relative = |path: PathBuf| path.strip_prefix(dir).unwrap().to_owned();
    let made: BTreeSet<PathBuf> = results(&cache).into_iter().map(relative).collect();
    assert_eq!(made, *expected, "{what}: the same results as without a kill");
    assert!(!files_of(&cache, &needed(&cache, 1)).is_empty(), "{what}");
    assert_eq!(cache.inspect(Depth::Full, &Silent).unwrap().findings, [], "{what}");
    assert_tidy(dir, what);
}

/// Nothing is left of killed programs, neither in the store nor beside the outputs.
pub(super) fn assert_tidy(dir: &Path, what: &str) {
    let cache = Cache::peek(&dir.join("cache")).unwrap();
    for file in all_files(dir) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.starts_with(".rsic-"), "{what}: {} is left", file.display());
    }
    for folder in ["tmp", "sessions", "lock", "partial"] {
        assert!(names(&cache, folder).iter().all(|name| name == "gc"), "{what}: {folder} is not empty");
    }
}

/// What a build leaves after a collection, as paths relative to the workspace.
fn reference() -> BTreeSet<PathBuf> {
    let dir = scratch();
    build(dir.path());
    collect_all(&dir.path().join("cache"));
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    results(&cache).iter().map(|path| path.strip_prefix(dir.path()).unwrap().to_owned()).collect()
}

#[test]
fn a_build_that_dies_at_any_point_is_made_good_by_the_next() {
    let expected = reference();
    let mut kills = 0;
    // Stages, remote stores and pipeline.lock are of those who use the store.
    let others = ["gc.", "lockfile.", "rest.", "stage."];
    let of_builds = |point: &&String| !others.iter().any(|start| point.starts_with(start));
    for point in fail_points().iter().filter(of_builds) {
        for strike in 1..=STRIKES {
            let dir = scratch();
            let what = format!("{point}:{strike}");
            if !died(start("build", dir.path(), &what), &what) {
                assert!(strike > 1, "{point} is never reached");
                break;
            }
            kills += 1;
            check(dir.path(), &expected, &what);
        }
    }
    println!("{kills} kills");
}

#[test]
fn a_collection_that_dies_at_any_point_is_made_good_by_the_next() {
    let expected = reference();
    for point in fail_points().iter().filter(|point| point.starts_with("gc.")) {
        for strike in 1..=STRIKES {
            let dir = scratch();
            let what = format!("{point}:{strike}");
            build(dir.path());
            let own = Cache::open(&dir.path().join("cache")).unwrap();
            let (need, elsewhere) = (needed(&own, 1), dir.path().join("elsewhere"));
            drop(own);
            fs::create_dir(&elsewhere).unwrap();
            let mut world = World::diamond();
            world.settings = vec![4; 5];
            world.build(&Cache::open(&dir.path().join("cache")).unwrap().in_workspace(&elsewhere).unwrap(), 4);
            fs::remove_dir_all(&elsewhere).unwrap();
            litter(dir.path());
            if !died(start("collect", dir.path(), &what), &what) {
                assert!(strike > 1, "{point} is never reached");
                break;
            }
            files_of(&Cache::peek(&dir.path().join("cache")).unwrap(), &need);
            assert_whole(dir.path(), &what);
            collect(dir.path());
            check(dir.path(), &expected, &what);
        }
    }
}

/// One file of each kind that only a collection removes.
fn litter(dir: &Path) {
    let cache = Cache::open(&dir.join("cache")).unwrap();
    let key = Digest::of(b"litter");
    cache.set_hint(key, key).unwrap();
    cache.partial(key).save("checkpoint", b"half").unwrap();
    fs::write(cache.lock_path(Digest::of(b"other")), "").unwrap();
    fs::write(cache.dir().join("quarantine/damaged"), "").unwrap();
}
