//! Everything in the cache that could go.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Item, Kind, Live, Plan, Policy, Seen, Why};
use crate::cache::state::root_files;
use crate::cache::{Cache, CacheError, file, list};
use crate::digest::Digest;

impl Cache {
    /// Plans a collection that keeps the records in `also` too.
    pub(super) fn survey(&self, policy: &Policy, also: &BTreeSet<Digest>) -> Result<Plan, CacheError> {
        let live = self.live(policy, also)?;
        let mut survey = Survey { cache: self, policy, live, remove: Vec::new(), kept: 0 };
        survey.roots()?;
        survey.hints()?;
        survey.results()?;
        survey.partial()?;
        survey.quarantine()?;
        survey.locks()?;
        survey.temporaries()?;
        let Survey { live, mut remove, kept, .. } = survey;
        remove.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        Ok(Plan { policy: policy.clone(), remove, kept, kept_bytes: live.bytes })
    }
}

struct Survey<'a> {
    cache: &'a Cache,
    policy: &'a Policy,
    live: Live,
    remove: Vec<Item>,
    kept: usize,
}

impl Survey<'_> {
    /// Adds a file to the plan, unless it went away meanwhile.
    fn take(&mut self, path: &Path, kind: Kind, why: Why) {
        if let Ok(metadata) = path.symlink_metadata() {
            self.push(path, kind, why, metadata.len(), seen(&metadata));
        }
    }

    fn push(&mut self, path: &Path, kind: Kind, why: Why, bytes: u64, seen: Seen) {
        let path = path.strip_prefix(&self.cache.dir).unwrap_or(path).to_owned();
        self.remove.push(Item { path, bytes, why, kind, seen });
    }

    fn entries(&self, folder: &str) -> Result<Vec<PathBuf>, CacheError> {
        Ok(list::entries(&self.cache.dir.join(folder))?.into_iter().map(|entry| entry.path()).collect())
    }

    fn is_old(&self, seen: Seen) -> bool {
        let at = u64::try_from(seen.1 / 1_000_000_000).unwrap_or_default();
        !self.policy.is_recent(at, file::now_seconds())
    }

    fn roots(&mut self) -> Result<(), CacheError> {
        for workspace in std::mem::take(&mut self.live.gone) {
            for (path, _) in root_files(&self.cache.dir.join("roots").join(&workspace.id))? {
                self.take(&path, Kind::Root, Why::WorkspaceGone);
            }
        }
        Ok(())
    }

    fn hints(&mut self) -> Result<(), CacheError> {
        for path in self.entries("hints")? {
            let Some((about, "json")) = path.file_name().and_then(list::split_name) else { continue };
            let hint = self.cache.read_hint(about)?.whole();
            if hint.is_none_or(|hint| !self.live.records.contains(&hint.key)) {
                self.take(&path, Kind::Hint, Why::Pointless);
            }
        }
        Ok(())
    }

    fn results(&mut self) -> Result<(), CacheError> {
        let why =
            |live: &Live, digest: &Digest| if live.squeezed.contains(digest) { Why::OverBudget } else { Why::Unneeded };
        for (key, extension, path) in list::fanned_files(&self.cache.dir.join("actions"))? {
            if extension != "json" {
                continue;
            }
            if self.live.records.contains(&key) || self.live.held.contains(&key) {
                self.kept += 1;
            } else {
                self.take(&path, Kind::Record(key), why(&self.live, &key));
            }
        }
        for (digest, _, path) in list::fanned_files(&self.cache.dir.join("objects"))? {
            if self.live.objects.contains(&digest) {
                self.kept += 1;
            } else {
                self.take(&path, Kind::Object, why(&self.live, &digest));
            }
        }
        Ok(())
    }

    fn partial(&mut self) -> Result<(), CacheError> {
        for path in self.entries("partial")? {
            let Some(key) = key_of(&path) else { continue };
            // A save that comes between two looks shows in the newest file.
            let files = list::entries(&path)?.into_iter().filter_map(|entry| entry.metadata().ok());
            let files: Vec<Metadata> = files.chain(path.metadata()).collect();
            let Some(newest) = files.iter().map(seen).max_by_key(|seen| seen.1) else { continue };
            if self.is_old(newest) && !self.live.held.contains(&key) && !is_locked(&self.cache.lock_path(key)) {
                let bytes = files.iter().filter(|m| m.is_file()).map(Metadata::len).sum();
                self.push(&path, Kind::Partial(key), Why::Deserted, bytes, newest);
            }
        }
        Ok(())
    }

    fn quarantine(&mut self) -> Result<(), CacheError> {
        for path in self.entries("quarantine")? {
            // Moving a file there changes its ctime.
            let moved = path.symlink_metadata().map(|m| nanos(m.ctime(), m.ctime_nsec()));
            if path.is_file() && moved.is_ok_and(|at| self.is_old(((0, 0), at))) {
                self.take(&path, Kind::Quarantine, Why::Quarantined);
            }
        }
        Ok(())
    }

    fn locks(&mut self) -> Result<(), CacheError> {
        for path in self.entries("lock")? {
            if let Some(key) = key_of(&path)
                && !is_locked(&path)
            {
                self.take(&path, Kind::Lock(key), Why::Leftover);
            }
        }
        Ok(())
    }

    fn temporaries(&mut self) -> Result<(), CacheError> {
        for folder in self.cache.folders_of_temporaries() {
            for entry in list::entries(&folder)? {
                if file::is_abandoned(&entry.path()) == Some(true) {
                    self.take(&entry.path(), Kind::Temporary, Why::Leftover);
                }
            }
        }
        Ok(())
    }
}

fn nanos(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

fn seen(metadata: &Metadata) -> Seen {
    (file::identity(metadata), nanos(metadata.mtime(), metadata.mtime_nsec()))
}

fn key_of(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Whether somebody holds the lock in this file; not if there is none.
fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}
