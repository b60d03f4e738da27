//! Hostile input: paths that lead elsewhere, sizes that lie, and thousands of mutated files of every kind.
//!
//! Whatever a file holds, the program says what is wrong with which file, stays within its memory, ends with one of its
//! own exit codes, and writes nothing outside the cache and `output/`.

mod bombs;
mod bundles;
mod foreign;
mod kinds;
mod mutate;
mod mutated;
mod paths;
mod writers;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use rsic::digest::Digest;

use crate::sandbox::{Ran, Sandbox};

/// The exit codes of design: ok, stage, usage, stale, corruption, I/O, lock.
const CODES: [i32; 7] = [0, 1, 2, 3, 4, 5, 6];
/// The address space of a program that is given something hostile, in megabytes; the same program needs 400 at rest.
const ROOM: u64 = 2_000;
/// A program that has not ended by then hangs; nothing here takes a tenth of it.
const PATIENCE: &str = "300";

/// Every entry below a folder with what it is; links are not followed, and `cache` and `output` of a workspace are passed over.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let kind = metadata.file_type();
        let what = if kind.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_dir() {
            all.extend(snapshot(&path));
            "folder".to_owned()
        } else if kind.is_file() && metadata.len() < 1 << 24 {
            format!("file {}", Digest::of(&fs::read(&path).unwrap()))
        } else if kind.is_file() {
            format!("large file of {} bytes", metadata.len())
        } else {
            format!("fifo {}, socket {}", kind.is_fifo(), kind.is_socket())
        };
        all.insert(path, what);
    }
    let own = |path: &Path| path.ends_with("workspace/cache") || path.ends_with("workspace/output");
    all.retain(|path, what| !path.ancestors().any(own) || own(path) && what.starts_with("link"));
    all
}

/// Runs `rsic -C <workspace> ARGS` in little memory; fails the test if it dies, hangs or ends with a foreign exit code.
#[track_caller]
fn within_bounds(name: &str, sandbox: &Sandbox, args: &[&str]) -> Ran {
    bounded(name, &sandbox.command(&[&["--threads", "2"], args].concat()))
}

/// The same for any command.
#[track_caller]
fn bounded(name: &str, inner: &Command) -> Ran {
    let mut command = Command::new("/bin/sh");
    let limits = format!("ulimit -v {}; ulimit -c 0; exec timeout -s KILL {PATIENCE} \"$@\"", ROOM * 1000);
    command.args(["-c", &limits, "sh"]).arg(inner.get_program()).args(inner.get_args());
    for (key, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    if let Some(folder) = inner.get_current_dir() {
        command.current_dir(folder);
    }
    let ran: Ran = command.output().unwrap().into();
    let fine = ran.code.is_some_and(|code| CODES.contains(&code));
    assert!(fine, "{name}: exit code {:?}\nstdout:\n{}\nstderr:\n{}", ran.code, ran.out, ran.err);
    for word in ["panicked", "defect of rsic", "stack overflow"] {
        assert!(!ran.err.contains(word), "{name}: {}", ran.err);
    }
    ran
}

/// Checks every row, then fails the test if any was wrong.
fn each<T>(rows: impl IntoIterator<Item = T>, check: impl Fn(T)) {
    let wrong = rows.into_iter().filter_map(|row| catch_unwind(AssertUnwindSafe(|| check(row))).err()).count();
    assert_eq!(wrong, 0, "rows that are wrong");
}

/// Fails the test unless the command ended with this code and said these words, in no more than some screens of text.
#[track_caller]
fn refused(name: &str, ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{name}\nstdout:\n{}\nstderr:\n{}", ran.out, ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{name}: no {word:?} in stderr:\n{}", ran.err);
    }
    assert!(ran.err.len() < 10_000, "{name}: {} bytes of message", ran.err.len());
}
