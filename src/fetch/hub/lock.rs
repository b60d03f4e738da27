//! One transfer of a blob at a time, among all processes: an OS lock on the file that Python's client locks too.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::error::HubError;
use crate::progress::{Interrupted, Progress};

/// Held until dropped; the system frees it when the process dies.
pub(super) struct Lock {
    /// `None` where the file system has no locks: the digest check still keeps wrong bytes out.
    _file: Option<File>,
}

/// Waits for the lock; whoever waits for `what` is told for which process.
pub(super) fn acquire(path: &Path, what: &str, progress: &dyn Progress) -> Result<Lock, HubError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(HubError::io(folder))?;
    let mut told = false;
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(HubError::io(path))?;
        match file.try_lock() {
            // Python's client may have removed the file that was waited for.
            Ok(()) if !is_at(&file, path) => continue,
            Ok(()) => {
                sign(&file);
                return Ok(Lock { _file: Some(file) });
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(Lock { _file: None });
            }
            Err(TryLockError::Error(error)) => return Err(HubError::io(path)(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            let who = holder(path).map_or_else(|| "another process".to_owned(), |id| format!("process {id}"));
            progress.note(&format!("waiting for {who}, which fetches {what}"));
            told = true;
        }
        if progress.cancelled() {
            return Err(Interrupted.into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Leaves our process id in the file for those who wait; they do without it if that fails.
fn sign(mut file: &File) {
    let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
}

fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether the open file is still the one of that name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |data: fs::Metadata| (data.dev(), data.ino());
    let (open, named) = (file.metadata().map(identity), fs::metadata(path).map(identity));
    matches!((open, named), (Ok(open), Ok(named)) if open == named)
}

/// An open file cannot be removed there.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::progress::Silent;

    #[derive(Default)]
    struct Watch {
        notes: Mutex<Vec<String>>,
        stop: AtomicBool,
    }

    impl Progress for Watch {
        fn begin(&self, _: &str, _: u64, _: &str) {}
        fn advance(&self, _: u64) {}
        fn note(&self, text: &str) {
            self.notes.lock().unwrap().push(text.to_owned());
        }
        fn cancelled(&self) -> bool {
            self.stop.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn the_second_waits_and_says_for_whom() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".locks/models--a/x.lock");
        let first = acquire(&path, "x", &Silent).unwrap();
        let watch = Watch::default();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| acquire(&path, "x", &watch));
            while watch.notes.lock().unwrap().is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(!second.is_finished());
            drop(first);
            assert!(second.join().unwrap().is_ok());
        });
        let expected = format!("waiting for process {}, which fetches x", std::process::id());
        assert_eq!(*watch.notes.lock().unwrap(), [expected]);
    }

    #[test]
    fn waiting_can_be_broken_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let _first = acquire(&path, "x", &Silent).unwrap();
        let watch = Watch { stop: true.into(), ..Watch::default() };
        assert!(matches!(acquire(&path, "x", &watch), Err(HubError::Interrupted(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_on_a_file_that_was_removed_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let file = File::create(&path).unwrap();
        assert!(is_at(&file, &path));
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&file, &path));
        let _second = File::create(&path).unwrap();
        assert!(!is_at(&file, &path));
    }
}
