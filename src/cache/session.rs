//! Sessions: what running programs rely on, so that a collection beside them leaves it alone.
//!
//! Before a program looks for a record or an object, it writes the digest into a file of its own in `sessions/`; it does
//! that while it shares the lock `lock/gc`. A collection takes that lock alone, then reads all sessions, roots and pins,
//! then removes, then lets go. So for every look-up one of two things holds. It was written down before the collection
//! took the lock: then the collection sees it and leaves the record, its objects and any object of that digest. Or it
//! was written down after the collection let go: then the program looks only now, and what was removed is a plain miss.
//! A program writes a root before it ends, so that between the end of its session and its root there is no gap.
//!
//! A session counts while its program lives. Its file is a temporary one like others: locked, and swept away when the
//! program was killed. Nothing is synced: a session need not survive the machine.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

use super::{Cache, CacheError, fail, file, list, lock};
use crate::digest::Digest;

/// What this handle of a cache relies on; shared by its clones.
#[derive(Debug, Default)]
pub(super) struct Session {
    held: Mutex<Held>,
    /// The folders of views in which killed writers' files were looked for: once is enough, for they hold a file per instance.
    swept: Mutex<BTreeSet<PathBuf>>,
}

#[derive(Debug, Default)]
struct Held {
    digests: BTreeSet<Digest>,
    file: Option<NamedTempFile>,
    /// Where a digest cannot be written down, for lack of space or rights, the lock itself is kept: collections wait for
    /// this program.
    barrier: Option<File>,
}

impl Cache {
    /// Keeps everything that is called `digest` from being collected for as long as this handle or a clone lives.
    ///
    /// Storage that cannot be written needs no protection from us, and readers through [`Cache::peek`] take none: what
    /// they look for may go away as if they had come later.
    pub(super) fn hold(&self, digest: Digest) -> Result<(), CacheError> {
        if !self.writable {
            return Ok(());
        }
        let mut held = self.session.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.barrier.is_some() || held.digests.contains(&digest) {
            return Ok(());
        }
        let gate = match lock::share(&self.gate()) {
            Ok(gate) => gate,
            Err(e) if e.is_read_only() => return Ok(()),
            Err(e) => return Err(e),
        };
        match held.write(&self.sessions(), digest) {
            Ok(()) => _ = held.digests.insert(digest),
            Err(_) => held.barrier = gate,
        }
        Ok(())
    }

    /// The lock that a collection takes alone.
    pub(super) fn gate(&self) -> PathBuf {
        self.dir.join("lock").join("gc")
    }

    /// What all living programs rely on.
    pub(super) fn held_by_all(&self) -> Result<BTreeSet<Digest>, CacheError> {
        let mut held = BTreeSet::new();
        for entry in list::entries(&self.sessions())? {
            if file::is_abandoned(&entry.path()) == Some(false) {
                let bytes = file::read(&entry.path())?.unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                held.extend(text.lines().filter_map(|line| line.parse::<Digest>().ok()));
            }
        }
        Ok(held)
    }

    fn sessions(&self) -> PathBuf {
        self.dir.join("sessions")
    }
}

impl Session {
    /// Removes what killed writers left in `folder`, the first time that it is asked for.
    pub(super) fn sweep_once(&self, folder: &Path) {
        if self.swept.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
            file::sweep(folder);
        }
    }
}

impl Held {
    fn write(&mut self, folder: &Path, digest: Digest) -> Result<(), CacheError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let created = none.insert(file::temporary(folder)?);
                fail::point("session", "create");
                created
            }
        };
        let wrote = file.as_file_mut().write_all(format!("{digest}\n").as_bytes());
        wrote.map_err(|e| CacheError::io("write", file.path(), e))?;
        fail::point("session", "write");
        Ok(())
    }
}
