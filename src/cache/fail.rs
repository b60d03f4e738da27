//! Fail points: places where a test can make the program die as if it were killed.
//!
//! `RSIC_FAIL_AT=record.rename` aborts the process the first time that it has renamed a record into place,
//! `RSIC_FAIL_AT=record.rename:3` the third time. There is one point after every system call that changes the store, so
//! that the whole-program tests can try each of them. No destructor runs, nothing is flushed.
//!
//! `RSIC_FAIL_AT=stage.begin=FILE` does not die: it creates FILE and goes on when somebody has removed it, so that a test
//! can do something in the middle of a build; it pauses each time that it comes there, with `:3` from the third time on.
//! `stage` alone is every step of a stage.
//!
//! The points are in every build, because those tests run the program that users run. One costs a look at a variable
//! that was read once; each stands beside a system call that costs a thousand times more.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The environment variable that arms one point.
const VARIABLE: &str = "RSIC_FAIL_AT";

/// What is written as a new file that gets its name at the end.
const WRITES: [&str; 9] = ["hint", "lockfile", "mark", "object", "partial", "pin", "record", "root", "view"];
/// The steps of that, in their order.
const STEPS: [&str; 6] = ["create", "write", "sync", "parent", "rename", "folder"];
/// All other points.
const OTHERS: [&str; 23] = [
    "facts.create",
    "facts.rename",
    "facts.write",
    "gc.begin",
    "gc.hint",
    "gc.lock",
    "gc.object",
    "gc.partial",
    "gc.quarantine",
    "gc.record",
    "gc.root",
    "gc.temporary",
    "lock.take",
    "log.write",
    "object.mode",
    "partial.remove",
    "rest.create",
    "rest.rename",
    "rest.write",
    "session.create",
    "session.write",
    "stage.begin",
    "stage.end",
];

/// The names of all points, for tests that try each of them.
pub fn fail_points() -> Vec<String> {
    let writes = WRITES.iter().flat_map(|what| STEPS.iter().map(move |step| format!("{what}.{step}")));
    writes.chain(OTHERS.iter().map(|&name| name.to_owned())).collect()
}

/// Dies or pauses here if `RSIC_FAIL_AT` names this point and it was reached often enough.
pub fn point(what: &str, step: &str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    #[cfg(test)]
    assert!(fail_points().contains(&format!("{what}.{step}")), "{what}.{step} is not listed");
    let armed = ARMED.get_or_init(|| Armed::read(&std::env::var(VARIABLE).ok()?));
    let Some(armed) = armed else { return };
    match &armed.pause {
        None if armed.strikes(what, step) => std::process::abort(),
        Some(file) if armed.strikes(what, step) => {
            armed.left.store(1, Ordering::Relaxed);
            pause(file);
        }
        _ => {}
    }
}

/// Creates the file and waits until it is gone.
fn pause(file: &Path) {
    if fs::write(file, "").is_ok() {
        while file.exists() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

struct Armed {
    name: String,
    left: AtomicUsize,
    pause: Option<PathBuf>,
}

impl Armed {
    /// Reads `name` or `name:count`, each with or without `=file`.
    fn read(text: &str) -> Option<Self> {
        let (text, pause) = text.split_once('=').map_or((text, None), |(text, file)| (text, Some(PathBuf::from(file))));
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        Some(Self { name: name.to_owned(), left: AtomicUsize::new(count.parse().ok()?), pause })
    }

    fn strikes(&self, what: &str, step: &str) -> bool {
        let named = self.name == what || self.name.split_once('.') == Some((what, step));
        named && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_strikes_exactly_at_its_count() {
        for (text, expected) in [
            ("record.rename", vec![1]),
            ("record.rename:3", vec![3]),
            ("record.rename:9", vec![]),
            ("record.rename:x", vec![]),
            ("record", vec![1]),
            ("record.sync", vec![]),
            ("record.rename:2=folder/a:b=c", vec![2]),
            ("", vec![]),
        ] {
            let armed = Armed::read(text);
            let struck = (1..=5).filter(|_| armed.as_ref().is_some_and(|armed| armed.strikes("record", "rename")));
            assert_eq!(struck.collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
