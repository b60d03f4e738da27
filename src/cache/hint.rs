//! Hints: results that may help another action; they keep nothing alive and are never needed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::canonical::Found;
use super::{Cache, CacheError, canonical, file};
use crate::digest::Digest;

/// Separates the check sum of hints from all other hashes.
const CONTEXT: &str = "rsic 2026 cache: check sum of a hint";

/// The file of a hint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hint {
    /// What the hint is about.
    about: Digest,
    /// The key of the result that may help.
    pub(super) key: Digest,
}

impl Cache {
    /// The key that was last suggested for `about`; its record may be gone by now.
    pub fn hint(&self, about: Digest) -> Result<Option<Digest>, CacheError> {
        Ok(self.read_hint(about)?.whole().map(|hint| hint.key))
    }

    /// Suggests a key for `about`, in place of an earlier one, to all workspaces.
    pub fn set_hint(&self, about: Digest, key: Digest) -> Result<(), CacheError> {
        self.needs_writing("leave a hint")?;
        if self.hint(about)? == Some(key) {
            return Ok(());
        }
        let path = self.hint_path(about);
        let text = canonical::seal(&Hint { about, key }, CONTEXT);
        let text = text.map_err(|e| CacheError::io("write", &path, e.into()))?;
        file::replace(&self.scratch(), &path, &text, "hint")
    }

    pub(super) fn read_hint(&self, about: Digest) -> Result<Found<Hint>, CacheError> {
        canonical::read_sealed(&self.hint_path(about), CONTEXT, |hint: &Hint| hint.about == about)
    }

    pub(super) fn hint_path(&self, about: Digest) -> PathBuf {
        self.dir.join("hints").join(format!("{about}.json"))
    }
}
