//! Locks: two builds of one action share the work, the second waits and says for whom.
//!
//! A lock is held by an open file, not by its existence: the kernel lets go when the process ends, however it ends,
//! so there are no stale locks and nothing to clean up by hand.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::{Cache, CacheError, fail, file};
use crate::digest::Digest;

/// How long to sleep between two tries: short enough not to be noticed, and long enough to cost nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a build waits for a collection to end; it takes seconds unless somebody stopped it.
const LONGEST_COLLECTION: Duration = Duration::from_mins(10);

/// How often to begin again at once when the lock file is removed between opening and locking it.
const RACES: usize = 64;

/// Who asks for a lock, and for how long.
pub struct Patience<'a> {
    /// The command, as others will read it: `rsic build score/ucm_amht`.
    pub command: &'a str,
    /// The instance that is to be built.
    pub instance: &'a str,
    /// When to give up; `None` is never.
    pub timeout: Option<Duration>,
    /// Whether the user asked to stop; looked at about 20 times a second while waiting.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    file: File,
    excludes: bool,
}

impl Cache {
    /// Waits until nobody else works on the action with this key, in this process or any other.
    ///
    /// `waiting` is called with a description of the holder, once for each holder that is in the way. After waiting
    /// the caller looks for the record again: the holder has probably published it.
    ///
    /// Fails with [`CacheError::LockTimeout`] or [`CacheError::Interrupted`] as `patience` says. On a file system
    /// without locks everybody gets in at once, which wastes work but breaks nothing.
    pub fn lock(
        &self,
        key: Digest,
        patience: &Patience<'_>,
        waiting: &mut dyn FnMut(&str),
    ) -> Result<Guard, CacheError> {
        self.needs_writing("lock an action")?;
        wait_for(self.lock_path(key), patience, waiting)
    }

    pub(super) fn lock_path(&self, key: Digest) -> PathBuf {
        self.dir.join("lock").join(key.to_hex())
    }
}

/// Waits for the lock `path`.
pub(super) fn wait_for(
    path: PathBuf,
    patience: &Patience<'_>,
    waiting: &mut dyn FnMut(&str),
) -> Result<Guard, CacheError> {
    let began = Instant::now();
    let mut announced = None;
    loop {
        if let Some(guard) = try_lock(&path, patience)? {
            return Ok(guard);
        }
        let holder = describe_holder(&path);
        if (patience.cancelled)() {
            return Err(CacheError::Interrupted { holder });
        }
        let waited = began.elapsed();
        if patience.timeout.is_some_and(|limit| waited >= limit) {
            return Err(CacheError::LockTimeout { path, holder, seconds: waited.as_secs() });
        }
        if announced.as_ref() != Some(&holder) {
            waiting(&holder);
            announced = Some(holder);
        }
        thread::sleep(PAUSE.min(patience.timeout.map_or(PAUSE, |limit| limit.saturating_sub(waited))));
    }
}

/// Opens the lock `path` together with others; keeps out only who takes it alone. `None` where nothing can be locked.
///
/// The file stays when the lock is dropped: others may share it.
pub(super) fn share(path: &Path) -> Result<Option<File>, CacheError> {
    let began = Instant::now();
    loop {
        let file = open(path)?;
        match file.try_lock_shared() {
            Ok(()) if file::is_same(&file, path) => return Ok(Some(file)),
            Ok(()) => continue,
            Err(TryLockError::Error(e)) if has_no_locks(&e) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(CacheError::io("lock", path, e)),
            Err(TryLockError::WouldBlock) => {}
        }
        let waited = began.elapsed();
        if waited >= LONGEST_COLLECTION {
            let (path, holder) = (path.to_owned(), describe_holder(path));
            return Err(CacheError::LockTimeout { path, holder, seconds: waited.as_secs() });
        }
        thread::sleep(PAUSE / 10);
    }
}

fn open(path: &Path) -> Result<File, CacheError> {
    file::ensure_folder(file::parent(path))?;
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    // A file of another user, or on a read-only file system, can be locked all the same.
    opened.or_else(|e| File::open(path).map_err(|_| CacheError::io("lock", path, e)))
}

/// Takes the lock if it is free.
pub(super) fn try_lock(path: &Path, patience: &Patience<'_>) -> Result<Option<Guard>, CacheError> {
    for _ in 0..RACES {
        let file = open(path)?;
        let excludes = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) if has_no_locks(&e) => false,
            Err(TryLockError::Error(e)) => return Err(CacheError::io("lock", path, e)),
        };
        // The holder before us removed the file between our opening and locking it: others cannot see our lock.
        if !file::is_same(&file, path) {
            continue;
        }
        let mut guard = Guard { path: path.to_owned(), file, excludes };
        // The description is a courtesy; a full disk must not stop a build that may need no space.
        let _ = guard.describe(patience);
        fail::point("lock", "take");
        return Ok(Some(guard));
    }
    Ok(None)
}

/// Whether the file system cannot lock at all; some network file systems say `ENOLCK`.
fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(37)
}

fn describe_holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|f| f.take(1000).read_to_string(&mut text));
    let line = text.lines().next().unwrap_or_default();
    if read.is_ok() && !line.is_empty() { line.to_owned() } else { "another process".to_owned() }
}

impl Guard {
    /// Whether nobody else can hold this lock now; not so on a file system without locks.
    pub(super) fn excludes(&self) -> bool {
        self.excludes
    }

    fn describe(&mut self, patience: &Patience<'_>) -> io::Result<()> {
        let text = format!("process {} (`{}`), for {}\n", std::process::id(), patience.command, patience.instance);
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Removed while still locked: whoever opened the old file finds out and begins again.
        if file::is_same(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn patient(timeout: Option<Duration>) -> Patience<'static> {
        Patience { command: "rsic build a", instance: "train/a", timeout, cancelled: &|| false }
    }

    fn key() -> Digest {
        Digest::of(b"key")
    }

    #[test]
    fn eight_threads_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let (inside, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let _guard = cache.lock(key(), &patient(None), &mut |_| ()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        turns.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(turns.into_inner(), 40);
        assert_eq!(fs::read_dir(dir.path().join("lock")).unwrap().count(), 0, "lock files do not pile up");
    }

    #[test]
    fn the_second_hears_once_about_the_first_and_gives_up_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let first = cache.lock(key(), &patient(None), &mut |_| panic!("nobody is there")).unwrap();
        let mut heard = Vec::new();
        let limit = Some(Duration::from_millis(200));
        let error = cache.lock(key(), &patient(limit), &mut |who| heard.push(who.to_owned())).unwrap_err();
        let expected = format!("process {} (`rsic build a`), for train/a", std::process::id());
        assert_eq!(heard, [expected.as_str()]);
        assert!(matches!(&error, CacheError::LockTimeout { holder, .. } if *holder == expected), "{error}");
        let other = cache.lock(Digest::of(b"other"), &patient(None), &mut |_| panic!("another key is free")).unwrap();
        drop((first, other));
        cache.lock(key(), &patient(limit), &mut |_| panic!("it was dropped")).unwrap();
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let _first = cache.lock(key(), &patient(None), &mut |_| ()).unwrap();
        let patience = Patience { cancelled: &|| true, ..patient(None) };
        let error = cache.lock(key(), &patience, &mut |_| ()).unwrap_err();
        assert!(matches!(error, CacheError::Interrupted { .. }), "{error}");
    }

    #[test]
    fn a_file_left_by_a_killed_process_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        fs::write(dir.path().join("lock").join(key().to_hex()), "process 1 (`rsic build b`), for train/b\n").unwrap();
        cache.lock(key(), &patient(None), &mut |_| panic!("nobody holds it")).unwrap();
    }

    #[test]
    fn a_removed_lock_file_lets_the_next_in_and_harms_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let path = dir.path().join("lock").join(key().to_hex());
        let first = cache.lock(key(), &patient(None), &mut |_| ()).unwrap();
        fs::remove_file(&path).unwrap();
        let second = cache.lock(key(), &patient(None), &mut |_| ()).unwrap();
        drop(first);
        assert!(path.exists(), "the first does not remove the file of the second");
        drop(second);
        assert!(!path.exists());
    }
}
