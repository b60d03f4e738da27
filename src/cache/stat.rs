//! The stat cache: hashes of source files that need not be read again.
//!
//! A file counts as unchanged if device, inode, size, mtime and ctime are equal. A file that was written shortly before
//! it was read could be written again within the same tick of the clock; such a file is not remembered (the rule that
//! git calls racy). The whole thing is local and disposable: losing it costs time, never correctness.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CacheError, file};
use crate::digest::Digest;

pub(super) mod text;

/// The kind under which plain digests are remembered.
const DIGEST: &str = "blake3";
/// The most bytes that a file in a folder of sources may have.
const LARGEST: u64 = 1 << 32;
/// How long a file must have been left alone before it was read, in nanoseconds: FAT counts in steps of 2 s.
const SETTLED: i128 = 2_000_000_000;

/// Remembers facts about source files for as long as the files do not change.
#[derive(Debug)]
pub struct StatCache {
    file: PathBuf,
    clock: fn() -> u128,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    facts: BTreeMap<Slot, Fact>,
    dirty: bool,
}

/// What is known about which file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    /// The absolute path; as bytes, because comparing paths part by part takes most of the time of a look-up.
    path: OsString,
    /// Shared by the facts of one kind.
    kind: Arc<str>,
}

/// Something that is true of a file while its stamp stays the same.
#[derive(Clone, Debug, PartialEq)]
struct Fact {
    stamp: Stamp,
    /// JSON in one line.
    payload: String,
}

/// The state of a file as far as it can be seen without reading it; times in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    mtime: i128,
    ctime: i128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let nanos = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            mtime: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a later change would surely be seen, if reading began at `began`.
    fn is_settled(&self, began: u128) -> bool {
        self.mtime.max(self.ctime) + SETTLED <= began as i128
    }
}

impl StatCache {
    /// Reads what was remembered in `file`; one that is missing or damaged is empty.
    pub fn open(file: &Path) -> Self {
        let facts = load(file);
        Self { file: file.to_owned(), clock: file::now, memory: Mutex::new(Memory { facts, dirty: false }) }
    }

    /// The digest of a file's bytes; the file is read, in constant memory, only if it is not known to be unchanged.
    pub fn digest_file(&self, path: &Path) -> Result<Digest, CacheError> {
        self.recall_or(path, DIGEST, |file, _| Digest::of_reader(file))
    }

    /// The digests of the files of a folder, computed in parallel, in the order of `paths`.
    ///
    /// One that is larger than 4 GiB is refused: a sparse one would be read for days.
    pub fn digest_files(&self, paths: &[PathBuf]) -> Vec<Result<Digest, CacheError>> {
        let digest = |file: &mut File, size: u64| {
            if size > LARGEST {
                let why = format!("it has {size} bytes, and nothing here reads so much");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
            Digest::of_reader(file)
        };
        paths.par_iter().map(|path| self.recall_or(path, DIGEST, digest)).collect()
    }

    /// `compute` of a file's bytes; the file is read only if it is not known to be unchanged.
    ///
    /// `kind` names what is computed and the version of the code that does: `pixels 1`. A failure that depends only
    /// on the bytes is a value too: let `T` be a `Result` with a text.
    pub fn remember<T: Serialize + DeserializeOwned>(
        &self,
        path: &Path,
        kind: &str,
        compute: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, CacheError> {
        self.recall_or(path, kind, |file, size| {
            let mut bytes = Vec::with_capacity(size as usize);
            file.read_to_end(&mut bytes)?;
            Ok(compute(&bytes))
        })
    }

    /// [`StatCache::remember`] for many files in parallel; results in the order of `paths`.
    pub fn remember_all<T: Serialize + DeserializeOwned + Send>(
        &self,
        paths: &[PathBuf],
        kind: &str,
        compute: impl Fn(&[u8]) -> T + Sync,
    ) -> Vec<Result<T, CacheError>> {
        paths.par_iter().map(|path| self.remember(path, kind, &compute)).collect()
    }

    /// Writes down what was learned, together with what other processes wrote meanwhile; forgets files that are gone.
    ///
    /// Does nothing if nothing was learned, or if the folder is not there: a command that only reads creates none.
    pub fn save(&self) -> Result<(), CacheError> {
        let mut memory = self.memory();
        let folder = file::parent(&self.file);
        if !memory.dirty || !folder.is_dir() {
            return Ok(());
        }
        let mut facts = load(&self.file);
        for (slot, fact) in &memory.facts {
            if facts.get(slot) != Some(fact) {
                facts.insert(slot.clone(), fact.clone());
            }
        }
        let gone = |slot: &Slot| Path::new(&slot.path).symlink_metadata().is_err();
        let gone: Vec<Slot> = facts.par_iter().filter(|(slot, _)| gone(slot)).map(|(slot, _)| slot.clone()).collect();
        for slot in gone {
            facts.remove(&slot);
        }
        // A busy disk must not make `status` wait; a file that was cut short has a wrong check sum, and is empty.
        file::replace_unsynced(folder, &self.file, text::write(&facts).as_bytes(), "facts")?;
        memory.dirty = false;
        Ok(())
    }

    fn recall_or<T: Serialize + DeserializeOwned>(
        &self,
        path: &Path,
        kind: &str,
        read: impl FnOnce(&mut File, u64) -> io::Result<T>,
    ) -> Result<T, CacheError> {
        let fail = |e| CacheError::io("read", path, e);
        let absolute = if path.is_absolute() { path.to_owned() } else { std::path::absolute(path).map_err(fail)? };
        let slot = Slot { path: absolute.into_os_string(), kind: kind.into() };
        let began = (self.clock)();
        if let Some(known) = self.recall(&slot, Stamp::of(&fs::metadata(path).map_err(fail)?)) {
            return Ok(known);
        }
        let mut file = File::open(path).map_err(fail)?;
        let before = Stamp::of(&file.metadata().map_err(fail)?);
        let value = read(&mut file, before.size).map_err(fail)?;
        // Asked of the name, not of the open file: a file that was replaced meanwhile has changed, too.
        let after = fs::metadata(path).map(|m| Stamp::of(&m));
        if !after.is_ok_and(|after| after == before) {
            return Err(CacheError::ChangedWhileRead(path.to_owned()));
        }
        self.note(slot, before, began, &value);
        Ok(value)
    }

    fn recall<T: DeserializeOwned>(&self, slot: &Slot, stamp: Stamp) -> Option<T> {
        let payload = {
            let memory = self.memory();
            memory.facts.get(slot).filter(|fact| fact.stamp == stamp)?.payload.clone()
        };
        serde_json::from_str(&payload).ok()
    }

    fn note<T: Serialize>(&self, slot: Slot, stamp: Stamp, began: u128, value: &T) {
        let payload = if stamp.is_settled(began) { serde_json::to_string(value).ok() } else { None };
        let mut memory = self.memory();
        match payload {
            Some(payload) => {
                memory.facts.insert(slot, Fact { stamp, payload });
                memory.dirty = true;
            }
            None => memory.dirty |= memory.facts.remove(&slot).is_some(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Every change is one map operation, so that a panic elsewhere leaves nothing half-done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(file: &Path) -> BTreeMap<Slot, Fact> {
    let bytes = file::read(file).ok().flatten().unwrap_or_default();
    String::from_utf8(bytes).ok().and_then(|text| text::read(&text)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
