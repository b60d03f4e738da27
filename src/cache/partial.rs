//! Unfinished work of an action, kept so that a killed run goes on where it was.

use std::path::PathBuf;

use anyhow::Context;

use super::{Cache, CacheError, checked_name, fail, file};
use crate::digest::Digest;
use crate::progress::Checkpoint;

/// How many bytes of digest each file begins with.
const HEAD: usize = 32;

/// The folder for the unfinished work of one action; it is created by the first [`PartialDir::save`].
///
/// The caller holds the lock of the action.
#[derive(Clone, Debug)]
pub struct PartialDir {
    folder: PathBuf,
    scratch: PathBuf,
}

/// One named file of a [`PartialDir`].
#[derive(Clone, Debug)]
pub struct Slot {
    place: PartialDir,
    name: String,
}

impl Cache {
    /// The unfinished work of the action with this key.
    pub fn partial(&self, key: Digest) -> PartialDir {
        PartialDir { folder: self.dir.join("partial").join(key.to_hex()), scratch: self.scratch() }
    }
}

impl PartialDir {
    /// What was saved last under `name`; `None` if nothing was, or if it is damaged.
    pub fn load(&self, name: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let Some(mut bytes) = file::read(&self.path(name)?)? else { return Ok(None) };
        if bytes.len() < HEAD {
            return Ok(None);
        }
        let content = bytes.split_off(HEAD);
        Ok((Digest::of(&content).as_bytes().as_slice() == bytes).then_some(content))
    }

    /// Replaces what was saved under `name`; a kill meanwhile leaves the old or the new.
    pub fn save(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let content = [Digest::of(bytes).as_bytes(), bytes].concat();
        file::replace(&self.scratch, &self.path(name)?, &content, "partial")
    }

    /// Whether anything was saved and not removed.
    pub fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// Removes everything, when the work is done or not wanted any more.
    pub fn remove(&self) -> Result<(), CacheError> {
        file::remove_folder(&self.folder)?;
        fail::point("partial", "remove");
        Ok(())
    }

    /// The file `name` as the place where one computation keeps its state.
    pub fn slot(&self, name: &str) -> Slot {
        Slot { place: self.clone(), name: name.to_owned() }
    }

    fn path(&self, name: &str) -> Result<PathBuf, CacheError> {
        Ok(self.folder.join(checked_name("the name of unfinished work", name)?))
    }
}

impl Checkpoint for Slot {
    fn load(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        self.place.load(&self.name).with_context(|| format!("cannot load the checkpoint `{}`", self.name))
    }

    fn save(&mut self, state: &[u8]) -> anyhow::Result<()> {
        self.place.save(&self.name, state).with_context(|| format!("cannot save the checkpoint `{}`", self.name))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_damaged_was_never_saved() {
        let dir = tempfile::tempdir().unwrap();
        let partial = Cache::open(dir.path()).unwrap().partial(Digest::of(b"key"));
        assert_eq!(partial.load("weights").unwrap(), None);
        partial.save("weights", b"one").unwrap();
        partial.save("weights", b"two").unwrap();
        assert_eq!(partial.load("weights").unwrap().unwrap(), b"two");
        let path = partial.path("weights").unwrap();
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[34] ^= 1;
        for damage in [&whole[..34], &whole[..10], &[], &flipped, &vec![0; whole.len()]] {
            fs::write(&path, damage).unwrap();
            assert_eq!(partial.load("weights").unwrap(), None, "{damage:?}");
        }
        partial.save("weights", b"").unwrap();
        assert_eq!(partial.load("weights").unwrap().unwrap(), b"", "nothing is a state too");
    }

    #[test]
    fn a_slot_is_a_checkpoint_and_removal_is_repeatable() {
        let dir = tempfile::tempdir().unwrap();
        let partial = Cache::open(dir.path()).unwrap().partial(Digest::of(b"key"));
        let mut slot = partial.slot("state");
        assert!(slot.load().unwrap().is_none());
        slot.save(b"epoch 1").unwrap();
        assert_eq!(slot.load().unwrap().unwrap(), b"epoch 1");
        partial.remove().unwrap();
        partial.remove().unwrap();
        assert!(slot.load().unwrap().is_none());
        assert!(partial.save("../escape", b"").is_err());
    }
}
