//! Collections, rule by rule.

use super::gc::{NOTHING, make_old, open};
use super::world::{World, all_files, collect_all, files_of, needed, patience, shown};
use super::*;

/// Settings of a store with one edited and rebuilt diamond -> what goes.
#[test]
fn each_rule_keeps_what_it_says() {
    let day = Duration::from_hours(24);
    // Four builds of sim/4, whose own setting was 0, 2, 4, 6: three records that only rules keep, two objects each but
    // for shared ones. Expected: how many of the four last records stay.
    for (name, policy, stay) in [
        ("only the last", NOTHING, 1),
        ("0 is 1", Policy { keep_last: 0, ..NOTHING }, 1),
        ("two", Policy { keep_last: 2, ..NOTHING }, 2),
        ("more than there are", Policy { keep_last: 9, ..NOTHING }, 4),
        ("young ones", Policy { keep_within: day, ..NOTHING }, 4),
        ("no budget for rules", Policy { keep_last: 3, keep_within: day, budget: Some(0), ..NOTHING }, 1),
        ("a large budget", Policy { keep_last: 3, budget: Some(1 << 40), ..NOTHING }, 3),
        ("a budget that is no rule", Policy { budget: Some(1 << 40), ..NOTHING }, 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::diamond();
        let mut keys = Vec::new();
        for setting in [0, 2, 4, 6] {
            world.settings[4] = setting;
            let cache = open(dir.path(), 0);
            world.build(&cache, 4);
            keys.push(cache.root("sim/4").unwrap().unwrap().key);
        }
        let cache = open(dir.path(), 0);
        let plan = cache.plan_collection(&policy).unwrap();
        cache.collect(&plan, &patience(), &mut |_| ()).unwrap();
        let left: Vec<bool> = keys.iter().map(|key| cache.record_path(*key).exists()).collect();
        let expected: Vec<bool> = (0..4).map(|nth| nth >= 4 - stay).collect();
        assert_eq!(left, expected, "{name}: the newest stay");
        files_of(&cache, &needed(&cache, 1));
        let why = if policy.budget == Some(0) { Why::OverBudget } else { Why::Unneeded };
        assert!(plan.remove.iter().all(|item| item.why == why), "{name}: {:?}", plan.remove);
    }
}

/// What a test puts into a store; a lock may have to be held meanwhile.
type Arrange<'a> = &'a dyn Fn(&Cache) -> Option<Guard>;
/// The folder of a file that goes, and why.
type Goes = (&'static str, Why);

/// Everything besides results: what makes a file go, and what keeps it.
#[test]
fn other_files_go_when_nobody_needs_them() {
    let key = Digest::of(b"unfinished");
    let cases: [(&str, Arrange, Option<Goes>); 9] = [
        (
            "young unfinished work",
            &|cache| {
                cache.partial(key).save("a", b"x").unwrap();
                None
            },
            None,
        ),
        (
            "old unfinished work",
            &|cache| {
                cache.partial(key).save("a", b"x").unwrap();
                let folder = cache.dir().join("partial").join(key.to_hex());
                make_old(&folder.join("a"));
                make_old(&folder);
                None
            },
            Some(("partial", Why::Deserted)),
        ),
        (
            "old unfinished work that somebody goes on with",
            &|cache| {
                cache.partial(key).save("a", b"x").unwrap();
                let folder = cache.dir().join("partial").join(key.to_hex());
                make_old(&folder.join("a"));
                make_old(&folder);
                Some(cache.lock(key, &patience(), &mut |_| ()).unwrap())
            },
            None,
        ),
        ("a lock that is held", &|cache| Some(cache.lock(key, &patience(), &mut |_| ()).unwrap()), None),
        (
            "a lock of a killed program",
            &|cache| {
                fs::write(cache.lock_path(key), "process 1").unwrap();
                None
            },
            Some(("lock", Why::Leftover)),
        ),
        (
            "a young damaged file",
            &|cache| {
                fs::write(cache.dir().join("quarantine/x"), "x").unwrap();
                None
            },
            None,
        ),
        (
            "a session of a killed program",
            &|cache| {
                let path = cache.dir().join("sessions").join(format!(".rsic-{}-a.tmp", dead_process()));
                fs::write(path, format!("{}\n", Digest::of(b"x"))).unwrap();
                None
            },
            Some(("sessions", Why::Leftover)),
        ),
        (
            "a hint at nothing",
            &|cache| {
                cache.set_hint(key, key).unwrap();
                None
            },
            Some(("hints", Why::Pointless)),
        ),
        (
            "a foreign file",
            &|cache| {
                fs::write(cache.dir().join("objects/notes"), "x").unwrap();
                None
            },
            None,
        ),
    ];
    for (name, arrange, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(dir.path(), 0);
        let _guard = arrange(&cache);
        let policy = Policy { keep_within: Duration::from_hours(1), ..NOTHING };
        let plan = cache.plan_collection(&policy).unwrap();
        let said: Vec<_> =
            plan.remove.iter().map(|i| (i.path.iter().next().unwrap().to_str().unwrap(), i.why)).collect();
        assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{name}");
        let applied = cache.collect(&plan, &patience(), &mut |_| ()).unwrap();
        assert_eq!(applied.removed, plan.remove, "{name}");
        assert!(plan.remove.iter().all(|item| !cache.dir().join(&item.path).exists()), "{name}");
    }
}

#[test]
fn what_a_program_has_looked_up_stays_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::diamond();
    world.build(&open(dir.path(), 0), 4);
    let old = open(dir.path(), 0).root("sim/4").unwrap().unwrap().key;
    world.settings[4] = 2;
    world.build(&open(dir.path(), 0), 4);
    let reader = open(dir.path(), 0);
    assert!(reader.record(old).unwrap().is_some());
    let loose = reader.put(b"not named yet", "bin").unwrap();
    collect_all(&dir.path().join("cache"));
    files_of(&reader, &[old]);
    assert_eq!(reader.get(&loose).unwrap().unwrap(), b"not named yet");
    drop(reader);
    let removed = collect_all(&dir.path().join("cache")).removed.len();
    assert_eq!(removed, 3, "the old record, its own object and the loose one; `common` is that of others");
}

#[test]
fn collections_wait_for_each_other_and_for_a_program_that_cannot_say_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 0);
    let plan = cache.plan_collection(&NOTHING).unwrap();
    let limit = Some(Duration::from_millis(60));
    let try_it = |heard: &mut Vec<String>| {
        let patience = Patience { timeout: limit, ..patience() };
        cache.collect(&plan, &patience, &mut |holder| heard.push(holder.to_owned()))
    };
    let mut heard = Vec::new();
    let other = lock::wait_for(cache.gate(), &patience(), &mut |_| ()).unwrap();
    assert!(matches!(try_it(&mut heard), Err(CacheError::LockTimeout { .. })));
    assert_eq!(heard, [format!("process {} (`rsic gc`), for collection", std::process::id())]);
    drop(other);
    try_it(&mut heard).unwrap();
    // As on a full disk: there is no place for the file of a session.
    let sessions = cache.dir().join("sessions");
    fs::remove_dir(&sessions).unwrap();
    fs::write(&sessions, "").unwrap();
    let builder = open(dir.path(), 0);
    builder.put(b"content", "bin").unwrap();
    assert!(matches!(try_it(&mut heard), Err(CacheError::LockTimeout { .. })));
    drop(builder);
    try_it(&mut heard).unwrap();
}

#[test]
fn a_record_that_became_garbage_after_the_plan_stays_with_its_objects() {
    let dir = tempfile::tempdir().unwrap();
    let builder = open(dir.path(), 0);
    let object = builder.put(b"content", "parquet").unwrap();
    drop(builder);
    let cache = open(dir.path(), 0);
    let plan = cache.plan_collection(&NOTHING).unwrap();
    assert_eq!(plan.remove.len(), 1);
    let builder = open(dir.path(), 0);
    let record = record(&builder, 1.0, b"content");
    builder.publish(&record).unwrap();
    drop(builder);
    let applied = cache.collect(&plan, &patience(), &mut |_| ()).unwrap();
    assert_eq!(applied.spared, [(plan.remove[0].clone(), Spared::Needed)]);
    files_of(&cache, &[record.key]);
    assert_eq!(collect_all(cache.dir()).removed.len(), 2, "the next one takes both");
    assert!(!cache.has(&object));
}

#[test]
fn a_file_that_took_the_place_of_a_planned_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 0);
    for name in ["changed", "gone", "same"] {
        fs::write(cache.dir().join("quarantine").join(name), "x").unwrap();
    }
    let plan = cache.plan_collection(&NOTHING).unwrap();
    fs::write(dir.path().join("new"), "y").unwrap();
    fs::rename(dir.path().join("new"), cache.dir().join("quarantine/changed")).unwrap();
    fs::remove_file(cache.dir().join("quarantine/gone")).unwrap();
    let applied = cache.collect(&plan, &patience(), &mut |_| ()).unwrap();
    let item = |nth: usize| plan.remove[nth].clone();
    assert_eq!(applied.spared, [(item(0), Spared::Changed), (item(1), Spared::Gone)]);
    assert_eq!(applied.removed, [item(2)]);
}

#[test]
fn a_workspace_that_is_gone_is_forgotten_only_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::diamond();
    world.build(&open(dir.path(), 1), 4);
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    let plan = |forget_gone| cache.plan_collection(&Policy { forget_gone, ..NOTHING }).unwrap().remove.len();
    assert_eq!((plan(false), plan(true)), (0, 0), "it is still there");
    fs::remove_dir_all(dir.path().join("other")).unwrap();
    assert!(cache.workspaces().unwrap()[0].gone);
    // 5 roots, 5 hints, 5 records, 5 own objects and 1 common one.
    assert_eq!((plan(false), plan(true)), (0, 21));
}

#[test]
fn workspaces_keep_their_roots_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (open(dir.path(), 0), open(dir.path(), 1));
    let mut world = World::diamond();
    assert_eq!(world.build(&first, 4), 5);
    assert_eq!(second.root("sim/4").unwrap(), None);
    assert_eq!(world.build(&second, 4), 0, "but share their results");
    world.settings[4] = 2;
    assert_eq!(world.build(&second, 4), 1);
    assert_ne!(first.root("sim/4").unwrap(), second.root("sim/4").unwrap());
    let known = first.workspaces().unwrap();
    let mut paths: Vec<_> = known.iter().map(|workspace| workspace.path.clone()).collect();
    paths.sort();
    assert_eq!(paths, [None, Some(dir.path().join("other").canonicalize().unwrap())]);
    assert!(known.iter().all(|workspace| !workspace.gone));
    assert!(shown(&first, 4).exists());
}

#[test]
fn nothing_is_collected_while_a_root_or_a_pin_is_damaged() {
    for folder in ["roots/own/sim", "pins"] {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(dir.path(), 0);
        World::diamond().build(&cache, 4);
        cache.pin("paper", "sim/4").unwrap();
        let path = all_files(&cache.dir().join(folder)).pop_last().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for (name, damaged) in [
            ("one digit", text.replacen("\"at\": 1", "\"at\": 2", 1)),
            ("empty", String::new()),
            ("cut", text[..text.len() / 2].to_owned()),
        ] {
            assert_ne!(damaged, text);
            fs::write(&path, damaged).unwrap();
            let error = cache.plan_collection(&NOTHING).unwrap_err();
            assert!(matches!(&error, CacheError::UnknownRoot(p) if *p == path), "{folder}, {name}: {error}");
        }
        let report = cache.inspect(Depth::Quick, &Silent).unwrap();
        assert_eq!(cache.repair(&report).unwrap().len(), 1, "{folder}");
        cache.plan_collection(&NOTHING).unwrap();
    }
}

#[test]
fn builds_are_remembered_newest_first_without_repetition() {
    let (_dir, cache) = place();
    let key = |n: u8| Digest::of(&[n]);
    for n in 0..20 {
        cache.set_root("train/a", key(n), &[key(100), key(n + 1), key(100)]).unwrap();
    }
    cache.set_root("train/a", key(10), &[]).unwrap();
    let keys: Vec<Digest> = cache.builds("train/a").unwrap().iter().map(|build| build.key).collect();
    let expected: Vec<Digest> = [10, 19, 18, 17, 16, 15, 14, 13, 12, 11, 9, 8, 7, 6, 5, 4].map(key).to_vec();
    assert_eq!(keys, expected);
    let mut needs = vec![key(20), key(100)];
    needs.sort();
    assert_eq!(cache.builds("train/a").unwrap()[1].needs, needs);
    let file = cache.own_roots().join("train/a.json");
    let before = fs::metadata(&file).unwrap().ino();
    cache.set_root("train/a", key(10), &[]).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().ino(), before, "nothing is written without need");
    cache.set_root("train/a", key(10), &[key(1)]).unwrap();
    assert_eq!(cache.builds("train/a").unwrap()[0].needs, [key(1)], "the same result from other records");
}
