//! Damage of every kind in a store and beside it: found, taken out of the way, made anew, or clearly refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::sandbox::{Ran, Sandbox, copy, files};

/// A view of a result.
pub(crate) const VIEW: &str = "output/score/ucm_human.parquet";

fn objects(sandbox: &Sandbox) -> Vec<PathBuf> {
    files(&sandbox.path("cache/objects"))
}

fn records(sandbox: &Sandbox) -> Vec<PathBuf> {
    files(&sandbox.path("cache/actions"))
}

/// Puts other bytes into a file, read-only or not.
pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    if path.exists() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn replace_by_link(path: &Path, target: &str) {
    fs::remove_file(path).unwrap();
    symlink(target, path).unwrap();
}

pub(crate) fn replace_by_folder(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    fs::write(path.join("inside"), "x").unwrap();
}

/// The object that an output is a copy of.
fn object_of(sandbox: &Sandbox, view: &str) -> PathBuf {
    let bytes = fs::read(sandbox.path(view)).unwrap();
    objects(sandbox).into_iter().find(|path| fs::read(path).unwrap() == bytes).unwrap()
}

fn swap(sandbox: &Sandbox, views: [&str; 2]) {
    let [a, b] = views.map(|view| object_of(sandbox, view));
    let aside = sandbox.path("aside");
    fs::rename(&a, &aside).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&aside, &b).unwrap();
}

/// What a kind of damage leads to.
struct Row {
    name: &'static str,
    damage: fn(&Sandbox),
    /// Exit codes of `verify --quick`, `verify`, a planned collection, and `build`.
    codes: [i32; 4],
    /// What `verify` says, or the error of what fails.
    words: &'static str,
    /// How many stages the build runs.
    runs: usize,
    /// Whether the store is sound after the build; else it is after a repair.
    heals: bool,
}

const fn row(
    name: &'static str,
    damage: fn(&Sandbox),
    codes: [i32; 4],
    words: &'static str,
    runs: usize,
    heals: bool,
) -> Row {
    Row { name, damage, codes, words, runs, heals }
}

/// All damage that a build or a repair makes good by itself. The stages are four; the objects of the first record are
/// those of one stage.
const ROWS: [Row; 30] = [
    row(
        "two objects swapped",
        |s| swap(s, [VIEW, "output/ingest/ucm.parquet"]),
        [4, 4, 0, 0],
        "bytes instead of",
        2,
        true,
    ),
    row(
        "object is a link into nowhere",
        |s| replace_by_link(&objects(s)[0], "/nowhere"),
        [4, 4, 0, 0],
        "not those of its name",
        1,
        true,
    ),
    row(
        "object is a link to itself",
        |s| replace_by_link(&objects(s)[0].clone(), objects(s)[0].file_name().unwrap().to_str().unwrap()),
        [4, 4, 0, 0],
        "not those of its name",
        1,
        true,
    ),
    row("object is a folder", |s| replace_by_folder(&objects(s)[0]), [4, 4, 0, 0], "bytes instead of", 1, true),
    row("no objects", |s| fs::remove_dir_all(s.path("cache/objects")).unwrap(), [4, 4, 0, 0], "missing", 4, true),
    row("record empty", |s| overwrite(&records(s)[0], b""), [4, 4, 0, 0], "damaged record", 1, true),
    row(
        "record of another key",
        |s| overwrite(&records(s)[0], &fs::read(&records(s)[1]).unwrap()),
        [4, 4, 0, 0],
        "damaged record",
        1,
        true,
    ),
    row(
        "record with a field of a newer version",
        |s| {
            let text = fs::read_to_string(&records(s)[0]).unwrap();
            overwrite(&records(s)[0], text.replacen("{\n", "{\n  \"added\": 1,\n", 1).as_bytes());
        },
        [4, 4, 0, 0],
        "damaged record",
        1,
        true,
    ),
    row(
        "record is a link into nowhere",
        |s| replace_by_link(&records(s)[0], "/nowhere"),
        [4, 4, 0, 0],
        "damaged",
        1,
        true,
    ),
    row(
        "record is a link to itself",
        |s| replace_by_link(&records(s)[0].clone(), records(s)[0].file_name().unwrap().to_str().unwrap()),
        [4, 4, 0, 0],
        "damaged record",
        1,
        true,
    ),
    row("record is a folder", |s| replace_by_folder(&records(s)[0]), [4, 4, 0, 0], "damaged record", 1, true),
    row("no records", |s| fs::remove_dir_all(s.path("cache/actions")).unwrap(), [4, 4, 0, 0], "is missing", 4, true),
    row("no FORMAT", |s| fs::remove_file(s.path("cache/FORMAT")).unwrap(), [0, 0, 0, 0], "all sound", 0, true),
    row(
        "no FORMAT, and a temporary file of a killed program",
        |s| {
            fs::remove_file(s.path("cache/FORMAT")).unwrap();
            fs::write(s.path("cache/.rsic-4194399-abc.tmp"), "x").unwrap();
        },
        [0, 0, 0, 0],
        "left by a killed program",
        0,
        true,
    ),
    row(
        "nothing but FORMAT",
        |s| {
            fs::remove_dir_all(s.path("cache")).unwrap();
            overwrite(&s.path("cache/FORMAT"), b"rsic cache 2\n");
        },
        [0, 0, 0, 0],
        "0 records",
        4,
        true,
    ),
    row("no store", |s| fs::remove_dir_all(s.path("cache")).unwrap(), [0, 0, 0, 0], "0 records", 4, true),
    row(
        "stat.txt garbage",
        |s| overwrite(&s.path("cache/stat.txt"), b"\xff\0garbage"),
        [0, 0, 0, 0],
        "all sound",
        0,
        true,
    ),
    row(
        "logs garbage",
        |s| {
            overwrite(&s.path("cache/runs/x.jsonl"), b"\xff\0garbage\n{\"at\":1}\n{");
            fs::create_dir(s.path("cache/runs/z.jsonl")).unwrap();
        },
        [0, 0, 0, 0],
        "all sound",
        0,
        true,
    ),
    row(
        "roots garbage",
        |s| files(&s.path("cache/roots")).iter().for_each(|path| overwrite(path, b"garbage")),
        [4, 4, 5, 0],
        "damaged root",
        0,
        true,
    ),
    row("pin garbage", |s| overwrite(&s.path("cache/pins/paper.json"), b"{}"), [4, 4, 5, 0], "damaged pin", 0, false),
    row(
        "pin is a folder",
        |s| fs::create_dir(s.path("cache/pins/p.json")).unwrap(),
        [4, 4, 5, 0],
        "damaged pin",
        0,
        false,
    ),
    row(
        "hint garbage",
        |s| overwrite(&s.path(&format!("cache/hints/{}.json", "ab".repeat(32))), b"{}"),
        [4, 4, 0, 0],
        "damaged hint",
        0,
        false,
    ),
    row(
        "unfinished work garbage",
        |s| overwrite(&s.path(&format!("cache/partial/{}/checkpoint", "ab".repeat(32))), b"garbage"),
        [0, 4, 0, 0],
        "damaged checkpoint",
        0,
        false,
    ),
    row(
        "files where folders of unfinished work belong",
        |s| {
            for record in records(s) {
                overwrite(&s.path("cache/partial").join(record.file_stem().unwrap()), b"x");
            }
        },
        [0, 0, 0, 0],
        "not a file of the cache",
        0,
        true,
    ),
    row(
        "a lock and sessions of programs that are gone",
        |s| {
            overwrite(&s.path(&format!("cache/lock/{}", "ab".repeat(32))), b"process 1\n");
            overwrite(&s.path("cache/sessions/.rsic-4194399-a.tmp"), b"\xff garbage\n");
            overwrite(&s.path("cache/tmp/.rsic-4194399-a.tmp"), b"x");
        },
        [0, 0, 0, 0],
        "left by a killed program",
        0,
        true,
    ),
    row(
        "everything from the future",
        |s| {
            let shared = fs::canonicalize(s.path("datasets")).unwrap();
            fs::remove_file(s.path("datasets")).unwrap();
            copy(&shared, &s.path("datasets"));
            #[allow(clippy::disallowed_methods, reason = "a test of clocks")]
            let then = SystemTime::now() + Duration::from_hours(24 * 400);
            for path in files(&s.root) {
                let mode = fs::metadata(&path).unwrap().permissions();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
                fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
                fs::set_permissions(&path, mode).unwrap();
            }
        },
        [0, 0, 0, 0],
        "all sound",
        0,
        true,
    ),
    row("result edited", |s| overwrite(&s.path(VIEW), b"mine"), [0, 0, 0, 0], "all sound", 0, true),
    row(
        "result is a link into nowhere",
        |s| replace_by_link(&s.path(VIEW), "/nowhere/x"),
        [0, 0, 0, 0],
        "all sound",
        0,
        true,
    ),
    row(
        "result is a link to itself",
        |s| replace_by_link(&s.path(VIEW), "ucm_human.parquet"),
        [0, 0, 0, 0],
        "all sound",
        0,
        true,
    ),
    row(
        "result edited without a trace in its size and time",
        |s| {
            let (path, mut bytes) = (s.path(VIEW), fs::read(s.path(VIEW)).unwrap());
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            bytes[200] ^= 1;
            overwrite(&path, &bytes);
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        },
        [0, 0, 0, 0],
        "all sound",
        0,
        true,
    ),
];

/// Nobody may see a panic, whatever happens.
fn run(sandbox: &Sandbox, args: &[&str], what: &str) -> Ran {
    let ran = sandbox.rsic(args);
    assert!(!ran.err.contains("panicked") && !ran.err.contains("defect"), "{what}: {args:?}: {}", ran.err);
    ran
}

fn outputs(sandbox: &Sandbox) -> Vec<Vec<u8>> {
    files(&sandbox.path("output")).iter().map(|path| fs::read(path).unwrap()).collect()
}

fn try_row(row: &Row, expected: &[Vec<u8>]) {
    let what = row.name;
    let sandbox = Sandbox::quick();
    (row.damage)(&sandbox);
    run(&sandbox, &["status"], what).ok();
    let looks: [&[&str]; 3] = [&["verify", "--quick"], &["verify"], &["gc", "--keep-within", "0s"]];
    for (args, code) in looks.iter().zip(row.codes) {
        let ran = run(&sandbox, args, what);
        assert_eq!(ran.code, Some(code), "{what}: {args:?}: {}{}", ran.out, ran.err);
        let said = ran.out + &ran.err;
        assert!(args != &["verify"] || said.contains(row.words), "{what}: {said}");
    }
    let built = sandbox.build();
    assert_eq!((built.code, built.built().len()), (Some(row.codes[3]), row.runs), "{what}: {}", built.err);
    assert!(outputs(&sandbox) == expected, "{what}: other outputs");
    let after = run(&sandbox, &["verify"], what);
    assert_eq!(after.code == Some(0), row.heals, "{what}: {}", after.out);
    // The other order: first repair, then build.
    let sandbox = Sandbox::quick();
    (row.damage)(&sandbox);
    run(&sandbox, &["verify", "--repair"], what);
    let built = sandbox.build().ok();
    assert_eq!(built.built().len(), row.runs, "{what}, repaired: {}", built.err);
    run(&sandbox, &["verify"], what).ok();
    assert!(outputs(&sandbox) == expected, "{what}, repaired: other outputs");
    run(&sandbox, &["gc", "--apply", "--keep-within", "0s"], what).ok();
}

#[test]
fn damage_is_made_good() {
    let expected = outputs(&Sandbox::quick());
    let fails = |row: &&Row| catch_unwind(|| try_row(row, &expected)).is_err();
    let failed: Vec<&str> = ROWS.iter().filter(fails).map(|row| row.name).collect();
    assert_eq!(failed, Vec::<&str>::new());
    let logs = ROWS.iter().find(|row| row.name == "logs garbage").unwrap();
    let sandbox = Sandbox::quick();
    (logs.damage)(&sandbox);
    assert!(run(&sandbox, &["log"], logs.name).ok().out.contains("score/ucm_human"));
}
