//! Verification: each fault is found by name, repaired by the quarantine, and made good by the next build.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU64, Ordering};

use super::world::{World, all_files, collect_all, files_of, instance, needed};
use super::*;
use crate::progress::Progress;

struct Case {
    name: &'static str,
    /// Breaks something in a store with one built diamond and a pin `paper` of it.
    harm: fn(&Harm),
    /// What a quick look finds.
    quick: &'static [&'static str],
    /// What a full look finds.
    full: &'static [&'static str],
    /// How many findings a repair deals with.
    repaired: usize,
}

/// What a case may break.
struct Harm {
    cache: Cache,
    record: Record,
}

impl Harm {
    fn object(&self, output: usize) -> PathBuf {
        self.cache.path(&self.record.outputs[output].stored())
    }

    fn record(&self) -> PathBuf {
        self.cache.record_path(self.record.key)
    }

    fn root(&self) -> PathBuf {
        self.cache.own_roots().join("sim/4.json")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.cache.dir().join(name)
    }
}

fn edit(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    damage(path, &bytes);
}

const CASES: &[Case] = &[
    Case { name: "nothing", harm: |_| (), quick: &[], full: &[], repaired: 0 },
    Case {
        name: "one bit of an object",
        harm: |h| edit(&h.object(0), |b| b[3] ^= 1),
        quick: &[],
        full: &["ObjectBytes"],
        repaired: 1,
    },
    Case {
        name: "an object cut short",
        harm: |h| edit(&h.object(0), |b| b.truncate(5)),
        quick: &["ObjectSize"],
        full: &["ObjectSize"],
        repaired: 1,
    },
    Case {
        name: "an empty object",
        harm: |h| edit(&h.object(1), Vec::clear),
        quick: &["ObjectSize"],
        full: &["ObjectSize"],
        repaired: 1,
    },
    Case {
        name: "two objects swapped",
        harm: |h| {
            let swap = h.file("swap");
            fs::rename(h.object(0), &swap).unwrap();
            fs::rename(h.object(1), h.object(0)).unwrap();
            fs::rename(&swap, h.object(1)).unwrap();
        },
        quick: &["ObjectSize", "ObjectSize"],
        full: &["ObjectSize", "ObjectSize"],
        repaired: 2,
    },
    Case {
        name: "a missing object",
        harm: |h| fs::remove_file(h.object(0)).unwrap(),
        quick: &["ObjectMissing"],
        full: &["ObjectMissing"],
        repaired: 0,
    },
    Case {
        name: "a folder instead of an object",
        harm: |h| {
            fs::remove_file(h.object(0)).unwrap();
            fs::create_dir(h.object(0)).unwrap();
        },
        quick: &["ObjectSize"],
        full: &["ObjectSize"],
        repaired: 1,
    },
    Case {
        name: "a link to nowhere instead of an object",
        harm: |h| {
            fs::remove_file(h.object(0)).unwrap();
            symlink("nowhere", h.object(0)).unwrap();
        },
        quick: &["ObjectBytes"],
        full: &["ObjectBytes"],
        repaired: 1,
    },
    Case {
        name: "an object that no record names",
        harm: |h| {
            let object = h.cache.put(b"loose", "bin").unwrap();
            edit(&h.cache.path(&object), |b| b[0] ^= 1);
        },
        quick: &[],
        full: &["ObjectBytes"],
        repaired: 1,
    },
    Case {
        name: "garbage for a record",
        harm: |h| edit(&h.record(), |b| b[10] = 0xff),
        quick: &["RecordDamaged"],
        full: &["RecordDamaged"],
        repaired: 1,
    },
    Case {
        name: "an empty record",
        harm: |h| edit(&h.record(), Vec::clear),
        quick: &["RecordDamaged"],
        full: &["RecordDamaged"],
        repaired: 1,
    },
    Case {
        name: "the record of another key",
        harm: |h| {
            let other = h.cache.records().unwrap().into_iter().find(|key| *key != h.record.key).unwrap();
            fs::remove_file(h.record()).unwrap();
            fs::copy(h.cache.record_path(other), h.record()).unwrap();
        },
        quick: &["RecordDamaged"],
        full: &["RecordDamaged"],
        repaired: 1,
    },
    Case {
        name: "a missing record: the root and the pin want it",
        harm: |h| fs::remove_file(h.record()).unwrap(),
        quick: &["RecordMissing", "RecordMissing"],
        full: &["RecordMissing", "RecordMissing"],
        repaired: 0,
    },
    Case {
        name: "a damaged root",
        harm: |h| edit(&h.root(), |b| b[40] ^= 1),
        quick: &["RootDamaged"],
        full: &["RootDamaged"],
        repaired: 1,
    },
    Case {
        name: "the root of another instance",
        harm: |h| _ = fs::copy(h.root(), h.root().with_file_name("7.json")).unwrap(),
        quick: &["RootDamaged"],
        full: &["RootDamaged"],
        repaired: 1,
    },
    Case {
        name: "a damaged pin",
        harm: |h| edit(&h.file("pins/paper.json"), |b| b.truncate(40)),
        quick: &["PinDamaged"],
        full: &["PinDamaged"],
        repaired: 1,
    },
    Case {
        name: "a damaged hint",
        harm: |h| edit(&h.cache.hint_path(Digest::of(&[4])), Vec::clear),
        quick: &["HintDamaged"],
        full: &["HintDamaged"],
        repaired: 1,
    },
    Case {
        name: "a damaged checkpoint",
        harm: |h| {
            h.cache.partial(h.record.key).save("epoch", b"state").unwrap();
            edit(&h.file("partial").join(h.record.key.to_hex()).join("epoch"), |b| b[33] ^= 1);
        },
        quick: &[],
        full: &["PartialDamaged"],
        repaired: 1,
    },
    Case {
        name: "temporary files of a killed program",
        harm: |h| {
            for folder in ["tmp", "sessions", "."] {
                fs::write(h.file(folder).join(format!(".rsic-{}-a.tmp", dead_process())), "").unwrap();
            }
        },
        quick: &["Leftover", "Leftover", "Leftover"],
        full: &["Leftover", "Leftover", "Leftover"],
        repaired: 3,
    },
    Case {
        name: "foreign files",
        harm: |h| {
            fs::write(h.file("notes.txt"), "").unwrap();
            fs::write(h.file("objects/notes.txt"), "").unwrap();
            fs::write(h.object(0).with_extension("parquet~"), "").unwrap();
            fs::write(h.file("objects").join(OsString::from_vec(b"\xff".to_vec())), "").unwrap();
        },
        quick: &["Foreign", "Foreign", "Foreign", "Foreign"],
        full: &["Foreign", "Foreign", "Foreign", "Foreign"],
        repaired: 0,
    },
];

fn kinds(report: &Report) -> Vec<String> {
    let name = |fault: &Fault| format!("{fault:?}").split([' ', '{']).next().unwrap().to_owned();
    report.findings.iter().map(|finding| name(&finding.fault)).collect()
}

#[test]
fn every_fault_is_found_repaired_and_built_again() {
    for case in CASES {
        let dir = tempfile::tempdir().unwrap();
        let world = World::diamond();
        let open = || Cache::open(&dir.path().join("cache")).unwrap();
        world.build(&open(), 4);
        open().pin("paper", "sim/4").unwrap();
        let cache = open();
        let record = cache.record(cache.root("sim/4").unwrap().unwrap().key).unwrap().unwrap();
        (case.harm)(&Harm { cache: cache.clone(), record });
        let before = all_files(cache.dir());
        let looks = [(Depth::Quick, case.quick), (Depth::Full, case.full)].map(|(depth, expected)| {
            let report = cache.inspect(depth, &Silent).unwrap();
            assert_eq!(kinds(&report), expected, "{}, {depth:?}: {:?}", case.name, report.findings);
            let tidy = expected.iter().all(|kind| ["Leftover", "Foreign"].contains(kind));
            assert_eq!(report.is_sound(), tidy, "{}", case.name);
            report
        });
        assert_eq!(all_files(cache.dir()), before, "{}: looking changes nothing", case.name);
        assert_eq!(cache.repair(&looks[1]).unwrap().len(), case.repaired, "{}", case.name);
        assert!(cache.repair(&looks[1]).unwrap().is_empty(), "{}: once is enough", case.name);
        world.build(&open(), 4);
        files_of(&cache, &needed(&cache, 1));
        if case.full != ["PinDamaged"] {
            assert_eq!(cache.pins().unwrap().len(), 1, "{}", case.name);
        }
        let after = cache.inspect(Depth::Full, &Silent).unwrap();
        let foreign = case.full.iter().filter(|kind| **kind == "Foreign").count();
        assert_eq!(after.findings.len(), foreign, "{}: {:?}", case.name, after.findings);
        drop(cache);
        collect_all(&dir.path().join("cache"));
    }
}

#[test]
fn what_was_healed_since_the_look_is_left_alone() {
    let (_dir, cache) = place();
    let object = cache.put(b"content", "bin").unwrap();
    damage(&cache.path(&object), b"CONTENT");
    let report = cache.inspect(Depth::Full, &Silent).unwrap();
    assert_eq!(kinds(&report), ["ObjectBytes"]);
    cache.put(b"content", "bin").unwrap();
    assert!(cache.repair(&report).unwrap().is_empty());
    assert_eq!(cache.get(&object).unwrap().unwrap(), b"content");
}

/// Counts what it is told, and stops at a limit.
struct Counter {
    limit: u64,
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress for Counter {
    fn begin(&self, _: &str, total: u64, unit: &str) {
        assert_eq!(unit, "bytes");
        self.total.store(total, Ordering::Relaxed);
    }
    fn advance(&self, steps: u64) {
        self.done.fetch_add(steps, Ordering::Relaxed);
    }
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.limit
    }
}

#[test]
fn a_full_look_says_how_far_it_is_and_can_be_stopped() {
    let (_dir, cache) = place();
    for n in 0..50_u8 {
        cache.put(&[n; 10], "bin").unwrap();
    }
    for (limit, interrupted) in [(u64::MAX, false), (0, true), (100, true)] {
        let counter = Counter { limit, total: AtomicU64::new(0), done: AtomicU64::new(0) };
        let report = cache.inspect(Depth::Full, &counter).unwrap();
        let done = counter.done.into_inner();
        assert_eq!((report.bytes, report.interrupted, report.objects), (done, interrupted, 50));
        assert_eq!(counter.total.into_inner(), 500);
        assert_eq!(report.is_sound(), !interrupted);
        assert!(interrupted || done == 500);
    }
}

#[test]
fn pins_name_a_whole_result_and_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Cache::open(&dir.path().join("cache")).unwrap();
    let mut world = World::diamond();
    let cache = open();
    assert!(matches!(cache.pin("paper", "sim/4"), Err(CacheError::NoResult(_))), "not built");
    world.build(&cache, 4);
    let pin = cache.pin("paper", "sim/4").unwrap();
    assert_eq!(pin.keys.len(), 5, "with all that it reads");
    assert_eq!(cache.pins().unwrap().first(), Some(&pin));
    for name in ["", "../x", ".x", "a/b"] {
        assert!(matches!(cache.pin(name, "sim/4"), Err(CacheError::Name { .. })), "{name}");
    }
    drop(cache);
    for node in 0..5 {
        world.settings[node] = 2;
    }
    world.build(&open(), 4);
    (0..5).for_each(|node| open().remove_root(&instance(node)).unwrap());
    collect_all(&dir.path().join("cache"));
    files_of(&open(), &pin.keys);
    assert_eq!((open().unpin("paper").unwrap(), open().unpin("paper").unwrap()), (true, false));
    collect_all(&dir.path().join("cache"));
    assert_eq!((open().records().unwrap().len(), open().objects().unwrap().len()), (0, 0));
    assert!(matches!(open().pin("paper", "sim/4"), Err(CacheError::NoResult(_))), "collected");
}
