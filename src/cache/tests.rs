//! The store as a whole: what survives damage, kills, races and unusual surroundings.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::digest::Digest;
use crate::progress::Silent;

mod concurrent;
mod crash;
mod gc;
mod gc_rules;
mod verify;
mod world;

/// What a test makes of the bytes of a file.
type Damage<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

fn place() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    (dir, cache)
}

/// The names in one folder of the cache.
fn names(cache: &Cache, folder: &str) -> Vec<String> {
    let entries = list::entries(&cache.dir().join(folder)).unwrap();
    entries.into_iter().map(|e| e.file_name().into_string().unwrap()).collect()
}

/// Overwrites a read-only file.
fn damage(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn ingredients(lr: f64) -> Ingredients {
    Ingredients {
        schema: 1,
        stage: "train".to_owned(),
        version: 1,
        parameters: BTreeMap::from([
            ("lr".to_owned(), json!(lr)),
            ("nested".to_owned(), json!({"b": [1, 2.5, -0.0, 1e300], "a": "\u{4e2d}\n"})),
        ]),
        inputs: BTreeMap::from([("tokens".to_owned(), Digest::of(b"t"))]),
        environment: BTreeMap::from([("device".to_owned(), "cpu".to_owned())]),
    }
}

fn record(cache: &Cache, lr: f64, content: &[u8]) -> Record {
    let object = cache.put(content, "parquet").unwrap();
    let output = Output {
        name: "history".to_owned(),
        object: object.digest,
        extension: object.extension,
        bytes: object.bytes,
        data: Digest::of(b"data"),
        columns: BTreeMap::from([("loss".to_owned(), Digest::of(b"loss"))]),
        rows: Some(3),
    };
    Record::new(ingredients(lr), vec![output], vec!["said something".to_owned()])
}

#[test]
fn an_object_comes_back_and_a_second_put_changes_nothing() {
    let (_dir, cache) = place();
    for content in [&b""[..], b"x", &vec![7; 3_000_000]] {
        let object = cache.put(content, "parquet").unwrap();
        let before = fs::metadata(cache.path(&object)).unwrap();
        assert_eq!(object.digest, Digest::of(content));
        assert_eq!(cache.put(content, "parquet").unwrap(), object);
        let after = fs::metadata(cache.path(&object)).unwrap();
        assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
        assert_eq!(after.permissions().mode() & 0o222, 0, "nobody may write");
        assert_eq!(cache.get(&object).unwrap().unwrap(), content);
        assert!(cache.has(&object));
    }
    assert_eq!(names(&cache, "tmp"), [""; 0]);
    assert_eq!(cache.objects().unwrap().len(), 3);
}

#[test]
fn eight_threads_put_the_same_object() {
    let (_dir, cache) = place();
    let content = vec![42; 500_000];
    for round in 0..10_u8 {
        let content = [&content[..], &[round]].concat();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| cache.put(&content, "bin").unwrap());
            }
        });
        let object = cache.put(&content, "bin").unwrap();
        assert_eq!(cache.get(&object).unwrap().unwrap(), content);
    }
    assert_eq!(names(&cache, "tmp"), [""; 0]);
    assert_eq!(names(&cache, "quarantine"), [""; 0]);
}

#[test]
fn a_damaged_object_is_a_miss_and_is_healed_by_the_next_put() {
    let cases: [(&str, Damage, Presence); 6] = [
        ("one bit", &|b| [&[b[0] ^ 1], &b[1..]].concat(), Presence::Present),
        ("zeros", &|b| vec![0; b.len()], Presence::Present),
        ("swapped with another of the same size", &|_| b"tnetnoc".to_vec(), Presence::Present),
        ("truncated", &|b| b[..3].to_vec(), Presence::Damaged),
        ("empty", &|_| Vec::new(), Presence::Damaged),
        ("longer", &|b| [b, b"!"].concat(), Presence::Damaged),
    ];
    for (name, change, by_size) in cases {
        for heal_by_get in [true, false] {
            let (_dir, cache) = place();
            let content = b"content";
            let object = cache.put(content, "parquet").unwrap();
            damage(&cache.path(&object), &change(content));
            assert_eq!(cache.look(&object), by_size, "{name}");
            assert_eq!(cache.verify(&object).unwrap(), Presence::Damaged, "{name}");
            let peeked = Cache::peek(cache.dir()).unwrap();
            assert_eq!(peeked.get(&object).unwrap(), None, "{name}");
            assert_eq!(names(&cache, "quarantine"), [""; 0], "{name}: a reader moves nothing");
            if heal_by_get {
                assert_eq!(cache.get(&object).unwrap(), None, "{name}");
                assert_eq!(cache.look(&object), Presence::Missing, "{name}");
            }
            assert_eq!(cache.put(content, "parquet").unwrap(), object, "{name}");
            assert_eq!(cache.get(&object).unwrap().unwrap(), content, "{name}");
            assert_eq!(names(&cache, "quarantine").len(), 1, "{name}");
        }
    }
}

#[test]
fn quarantine_gives_back_what_was_healed_meanwhile() {
    let (_dir, cache) = place();
    let object = cache.put(b"content", "bin").unwrap();
    cache.quarantine(&cache.path(&object), (0, 0)); // another file than the one that is there now
    assert_eq!(cache.get(&object).unwrap().unwrap(), b"content");
}

#[test]
fn extensions_and_names_cannot_leave_their_folder() {
    let (_dir, cache) = place();
    for extension in ["", "..", "a/b", "Parquet", "a.b", "abcdefghijklmnopq"] {
        assert!(matches!(cache.put(b"x", extension), Err(CacheError::Name { .. })), "{extension:?}");
    }
    for instance in ["", "x", "/x", "x/", "../x", "x/..", "x/y/z", "x/a\nb", "x/.y", "x\\y/z"] {
        assert!(matches!(cache.set_root(instance, Digest::of(b""), &[]), Err(CacheError::Name { .. })), "{instance:?}");
    }
}

#[test]
fn a_record_comes_back_in_its_one_form() {
    let (_dir, cache) = place();
    let record = record(&cache, 2e-5, b"content");
    assert_eq!(cache.record(record.key).unwrap(), None);
    assert_eq!(cache.publish(&record).unwrap(), Publication::New);
    assert_eq!(cache.publish(&record).unwrap(), Publication::Same);
    assert_eq!(cache.record(record.key).unwrap().unwrap(), record);
    assert_eq!(cache.records().unwrap(), [record.key]);
    assert_eq!(cache.get(&record.output("history").unwrap().stored()).unwrap().unwrap(), b"content");
    let text = fs::read_to_string(cache.fanned("actions", &record.key.to_hex(), "json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let fields: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["check", "ingredients", "key", "log", "outputs"]);
    assert!(text.contains("\"lr\": 2e-5") || text.contains("\"lr\": 0.00002"), "{text}");
    let rerun = Record { log: Vec::new(), ..record.clone() };
    assert_eq!(cache.publish(&rerun).unwrap(), Publication::Replaced(Box::new(record)));
}

#[test]
fn a_record_is_not_published_before_its_objects_or_against_itself() {
    let (_dir, cache) = place();
    let whole = record(&cache, 1.0, b"content");
    let mut lost = whole.clone();
    lost.outputs[0].object = Digest::of(b"elsewhere");
    let mut twice = whole.clone();
    twice.outputs.push(twice.outputs[0].clone());
    let mut escape = whole.clone();
    escape.outputs[0].extension = "../x".to_owned();
    let foreign = Record { ingredients: ingredients(2.0), ..whole };
    for (name, record) in [("lost", lost), ("twice", twice), ("escape", escape), ("foreign", foreign)] {
        assert!(matches!(cache.publish(&record), Err(CacheError::Inconsistent { .. })), "{name}");
        assert_eq!(cache.record(record.key).unwrap(), None, "{name}");
    }
}

#[test]
fn a_damaged_record_is_a_miss() {
    let (_dir, cache) = place();
    let record = record(&cache, 2e-5, b"content");
    let other = self::record(&cache, 1e-4, b"content");
    let path = |r: &Record| cache.fanned("actions", &r.key.to_hex(), "json");
    cache.publish(&other).unwrap();
    let foreign = fs::read(path(&other)).unwrap();
    cache.publish(&record).unwrap();
    let text = fs::read_to_string(path(&record)).unwrap();
    let digit = Digest::of(b"data").to_hex();
    for (name, garbage) in [
        ("empty", Vec::new()),
        ("no JSON", b"\xff\0garbage".to_vec()),
        ("other JSON", b"[]".to_vec()),
        ("truncated", text.as_bytes()[..text.len() / 2].to_vec()),
        ("of another key", foreign),
        ("a hash was changed", text.replace(&digit, &Digest::of(b"x").to_hex()).into_bytes()),
        ("a parameter was changed", text.replace("\u{4e2d}", "x").into_bytes()),
        ("another layout", text.replace('\n', "").into_bytes()),
        ("a field too much", text.replacen('{', "{\"extra\": 1,", 1).into_bytes()),
    ] {
        damage(&path(&record), &garbage);
        assert_eq!(cache.record(record.key).unwrap(), None, "{name}");
        assert!(!path(&record).exists(), "{name}");
        assert_eq!(names(&cache, "quarantine").len(), 1, "{name}");
        assert_eq!(cache.publish(&record).unwrap(), Publication::New, "{name}");
        assert_eq!(cache.record(record.key).unwrap().as_ref(), Some(&record), "{name}");
    }
}

#[test]
fn roots_come_back_sorted_and_damaged_ones_are_none() {
    let (_dir, cache) = place();
    for name in ["train/b", "score/ucm_amht", "train/a"] {
        cache.set_root(name, Digest::of(name.as_bytes()), &[]).unwrap();
        cache.set_root(name, Digest::of(name.as_bytes()), &[]).unwrap();
    }
    let list = |cache: &Cache| cache.roots().unwrap().into_iter().map(|r| r.instance).collect::<Vec<_>>();
    assert_eq!(list(&cache), ["score/ucm_amht", "train/a", "train/b"]);
    assert_eq!(cache.root("train/a").unwrap().unwrap().key, Digest::of(b"train/a"));
    let roots = cache.own_roots();
    fs::copy(roots.join("train/a.json"), roots.join("train/c.json")).unwrap();
    fs::write(roots.join("train/b.json"), "{").unwrap();
    assert_eq!(list(&cache), ["score/ucm_amht", "train/a"]);
    assert_eq!((cache.root("train/b").unwrap(), cache.root("train/c").unwrap()), (None, None));
    cache.remove_root("train/a").unwrap();
    cache.remove_root("train/a").unwrap();
    assert_eq!(list(&cache), ["score/ucm_amht"]);
}

#[test]
fn a_killed_writer_leaves_nothing_and_a_living_one_is_left_alone() {
    let (_dir, cache) = place();
    let tmp = cache.scratch();
    let dead = dead_process();
    let own = std::process::id();
    let living = file::temporary(&tmp).unwrap();
    let locked = fs::File::create(tmp.join(format!(".rsic-{dead}-locked.tmp"))).unwrap();
    locked.try_lock().unwrap(); // in another container, with process numbers of its own
    for name in [
        format!(".rsic-{dead}-abc.tmp"),
        format!(".rsic-{own}-new.tmp"),
        format!(".rsic-{own}-old.tmp"),
        "notes".to_owned(),
    ] {
        fs::write(tmp.join(name), "half").unwrap();
    }
    let old = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    fs::File::options().write(true).open(tmp.join(format!(".rsic-{own}-old.tmp"))).unwrap().set_times(old).unwrap();
    Cache::open(cache.dir()).unwrap();
    let living_name = living.path().file_name().unwrap().to_str().unwrap().to_owned();
    let mut expected =
        vec![living_name, format!(".rsic-{dead}-locked.tmp"), format!(".rsic-{own}-new.tmp"), "notes".to_owned()];
    expected.sort();
    assert_eq!(names(&cache, "tmp"), expected);
}

/// A process number that was in use and is not any more.
fn dead_process() -> u32 {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

#[test]
fn only_a_cache_or_an_empty_folder_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    Cache::open(dir.path()).unwrap();
    Cache::open(dir.path()).unwrap();
    assert!(fs::read_to_string(dir.path().join("CACHEDIR.TAG")).unwrap().starts_with("Signature: 8a477f597d28d172"));
    fs::write(dir.path().join("FORMAT"), "rsic cache 3\nmore\n").unwrap();
    for error in [Cache::open(dir.path()).unwrap_err(), Cache::peek(dir.path()).unwrap_err()] {
        assert!(error.to_string().contains("says `rsic cache 3`"), "{error}");
        assert!(error.hint().is_some());
    }
    fs::remove_file(dir.path().join("FORMAT")).unwrap();
    Cache::open(dir.path()).unwrap(); // as after a kill during the first `open`
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("thesis.tex"), "").unwrap();
    let error = Cache::open(other.path()).unwrap_err();
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    let file = other.path().join("thesis.tex");
    assert!(Cache::open(&file).is_err());
}

#[test]
fn peeking_creates_nothing_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("cache");
    let cache = Cache::peek(&absent).unwrap();
    let object = Object { digest: Digest::of(b""), bytes: 0, extension: "bin".to_owned() };
    assert_eq!(cache.get(&object).unwrap(), None);
    assert_eq!(cache.record(object.digest).unwrap(), None);
    assert_eq!(cache.root("train/a").unwrap(), None);
    assert!(
        cache.objects().unwrap().is_empty() && cache.records().unwrap().is_empty() && cache.roots().unwrap().is_empty()
    );
    let never = Patience { command: "", instance: "", timeout: None, cancelled: &|| false };
    for (name, error) in [
        ("put", cache.put(b"", "bin").unwrap_err()),
        ("root", cache.set_root("train/a", object.digest, &[]).unwrap_err()),
        ("lock", cache.lock(object.digest, &never, &mut |_| ()).unwrap_err()),
        ("run", cache.start_run().unwrap_err()),
        ("publish", cache.publish(&Record::new(ingredients(1.0), Vec::new(), Vec::new())).unwrap_err()),
    ] {
        assert!(matches!(error, CacheError::ReadOnly { .. }), "{name}: {error}");
    }
    assert!(!absent.exists());
}

#[test]
fn a_moved_cache_under_an_odd_name_works_on() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(OsString::from_vec(b"\xff\xfe \xe4\xb8\xad%".to_vec()));
    let cache = Cache::open(&odd.join("cache")).unwrap();
    let record = record(&cache, 1.0, b"content");
    cache.publish(&record).unwrap();
    cache.set_root("train/a", record.key, &[]).unwrap();
    let source = odd.join("source");
    fs::write(&source, "source").unwrap();
    let stat = cache.stat_cache();
    assert_eq!(stat.digest_file(&source).unwrap(), Digest::of(b"source"));
    stat.save().unwrap();
    fs::rename(odd.join("cache"), dir.path().join("moved")).unwrap();
    let moved = Cache::open(&dir.path().join("moved")).unwrap();
    let found = moved.record(moved.root("train/a").unwrap().unwrap().key).unwrap().unwrap();
    assert_eq!(moved.get(&found.outputs[0].stored()).unwrap().unwrap(), b"content");
    assert_eq!(moved.expose(&found.outputs[0].stored(), &odd.join("out"), &stat).unwrap(), Exposed::Written);
}

#[test]
fn a_folder_that_cannot_be_written_still_reads() {
    let (_dir, cache) = place();
    let record = record(&cache, 1.0, b"content");
    cache.publish(&record).unwrap();
    let damaged = cache.put(b"damaged", "bin").unwrap();
    damage(&cache.path(&damaged), b"DAMAGED");
    let folders = |mode| {
        let fans = ["", "objects", "actions", "tmp", "quarantine"].map(|f| cache.dir().join(f));
        let inner =
            [cache.path(&damaged), cache.path(&record.outputs[0].stored())].map(|p| file::parent(&p).to_owned());
        for folder in fans.into_iter().chain(inner) {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    folders(0o555);
    let root = fs::write(cache.dir().join("probe"), "").is_ok();
    let read_only = Cache::open(cache.dir()).unwrap();
    assert_eq!(read_only.record(record.key).unwrap().as_ref(), Some(&record));
    assert_eq!(read_only.get(&record.outputs[0].stored()).unwrap().unwrap(), b"content");
    assert_eq!(read_only.get(&damaged).unwrap(), None);
    let put = read_only.put(b"new", "bin");
    folders(0o755);
    if root {
        println!("SKIPPED: this user may write anywhere, so that a read-only folder cannot be tried");
    } else {
        assert!(matches!(put, Err(CacheError::Io { .. })));
    }
}

#[test]
fn views_are_copies_that_are_written_only_when_needed() {
    let (dir, cache) = place();
    let stat = cache.stat_cache();
    let object = cache.put(b"content", "parquet").unwrap();
    let target = dir.path().join("output/score/a.parquet");
    assert_eq!(cache.view(&object, &target, &stat).unwrap(), View::Missing);
    assert_eq!(cache.expose(&object, &target, &stat).unwrap(), Exposed::Written);
    assert_eq!(cache.view(&object, &target, &stat).unwrap(), View::Fresh);
    assert_eq!(cache.expose(&object, &target, &stat).unwrap(), Exposed::Kept);
    let (ours, theirs) = (fs::metadata(cache.path(&object)).unwrap(), fs::metadata(&target).unwrap());
    assert_ne!(ours.ino(), theirs.ino());
    assert_eq!(theirs.permissions().mode() & 0o200, 0o200, "users may edit their copy");
    for edit in ["CONTENT", "longer content"] {
        fs::write(&target, edit).unwrap();
        assert_eq!(cache.view(&object, &target, &stat).unwrap(), View::Modified, "{edit}");
        assert_eq!(cache.expose(&object, &target, &stat).unwrap(), Exposed::Written, "{edit}");
        assert_eq!(fs::read(&target).unwrap(), b"content", "{edit}");
    }
    assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1, "no temporary files stay");
}

#[test]
fn a_damaged_object_is_not_exposed() {
    let (dir, cache) = place();
    let stat = cache.stat_cache();
    let object = cache.put(b"content", "parquet").unwrap();
    let target = dir.path().join("out.parquet");
    damage(&cache.path(&object), b"CONTENT");
    fs::write(&target, "earlier").unwrap();
    assert_eq!(cache.expose(&object, &target, &stat).unwrap(), Exposed::Lost);
    assert_eq!(fs::read(&target).unwrap(), b"earlier");
    assert_eq!(cache.look(&object), Presence::Missing);
    assert_eq!(cache.expose(&object, &target, &stat).unwrap(), Exposed::Lost);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the cache and the earlier file");
}

#[test]
fn a_cache_of_the_first_version_keeps_its_results_and_forgets_its_roots() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let object = cache.put(b"result", "txt").unwrap();
    drop(cache);
    fs::create_dir_all(dir.path().join("roots/score")).unwrap();
    fs::write(dir.path().join("roots/score/ucm_amht.json"), "{}").unwrap();
    fs::write(dir.path().join("FORMAT"), "rsic cache 1\n").unwrap();
    // Looking changes nothing.
    assert_eq!(Cache::peek(dir.path()).unwrap().roots().unwrap(), []);
    assert!(dir.path().join("roots/score").exists());
    let cache = Cache::open(dir.path()).unwrap();
    assert_eq!(cache.get(&object).unwrap().unwrap(), b"result");
    assert!(!dir.path().join("roots/score").exists());
    assert_eq!(fs::read_to_string(dir.path().join("FORMAT")).unwrap(), "rsic cache 2\n");
    cache.plan_collection(&Policy::default()).unwrap();
}
