//! Pins: results that a user wants to keep, under a name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::canonical::Found;
use super::state::root_files;
use super::{Cache, CacheError, canonical, checked_name, file, list};
use crate::digest::Digest;

/// Separates the check sum of pins from all other hashes.
const CONTEXT: &str = "rsic 2026 cache: check sum of a pin";

/// Results that are kept until they are unpinned, whatever is built meanwhile and in whichever workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The name that the user gave it.
    pub name: String,
    /// The instance that was pinned.
    pub instance: String,
    /// The key of its build, and those of all that it read, directly or not, sorted.
    pub keys: Vec<Digest>,
    /// When it was pinned, in seconds since 1970.
    pub at: u64,
}

impl Cache {
    /// Keeps the last build of an instance, with all that it read, under a name; replaces an earlier pin of that name.
    ///
    /// Fails with [`CacheError::NoResult`] if a record or an object is not there.
    pub fn pin(&self, name: &str, instance: &str) -> Result<Pin, CacheError> {
        self.needs_writing("pin a result")?;
        let path = self.pin_path(name)?;
        let unbuilt = || CacheError::NoResult(instance.to_owned());
        let build = self.builds(instance)?.into_iter().next().ok_or_else(unbuilt)?;
        let mut keys = build.needs;
        keys.push(build.key);
        keys.sort();
        for &key in &keys {
            let record = self.record(key)?.ok_or_else(unbuilt)?;
            if record.outputs.iter().any(|output| !self.has(&output.stored())) {
                return Err(unbuilt());
            }
        }
        let pin = Pin { name: name.to_owned(), instance: instance.to_owned(), keys, at: file::now_seconds() };
        let text = canonical::seal(&pin, CONTEXT).map_err(|e| CacheError::io("write", &path, e.into()))?;
        file::replace(&self.scratch(), &path, &text, "pin")?;
        Ok(pin)
    }

    /// Lets go of a pin; `false` if there is none of that name. A damaged one goes too.
    pub fn unpin(&self, name: &str) -> Result<bool, CacheError> {
        self.needs_writing("unpin a result")?;
        let path = self.pin_path(name)?;
        let there = path.symlink_metadata().is_ok();
        file::remove(&path)?;
        Ok(there)
    }

    /// All pins, sorted by name; damaged ones are left out.
    pub fn pins(&self) -> Result<Vec<Pin>, CacheError> {
        Ok(self.pin_files()?.into_iter().filter_map(|(_, pin)| pin).collect())
    }

    /// The keys that pins and the last builds of other workspaces keep, and who keeps each, in words.
    pub fn kept_by_others(&self) -> Result<BTreeMap<Digest, String>, CacheError> {
        let mut kept = BTreeMap::new();
        for workspace in self.workspaces()? {
            let roots = self.dir.join("roots").join(&workspace.id);
            if roots == self.own_roots() {
                continue;
            }
            let place =
                workspace.path.map_or_else(|| "the folder of the store".to_owned(), |p| p.display().to_string());
            for build in root_files(&roots)?.into_iter().filter_map(|(_, builds)| builds?.builds.into_iter().next()) {
                let keys = build.needs.into_iter().chain([build.key]);
                kept.extend(keys.map(|key| (key, format!("the workspace in {place}"))));
            }
        }
        for pin in self.pins()? {
            kept.extend(pin.keys.iter().map(|key| (*key, format!("pin `{}`", pin.name))));
        }
        Ok(kept)
    }

    /// Every JSON file in `pins/`, with what it says; `None` if it is damaged, misplaced or not one of ours.
    pub(super) fn pin_files(&self) -> Result<Vec<(PathBuf, Option<Pin>)>, CacheError> {
        let mut found = Vec::new();
        for entry in list::entries(&self.dir.join("pins"))? {
            let path = entry.path();
            if !list::is_json(&path) {
                continue;
            }
            let fits = |pin: &Pin| self.pin_path(&pin.name).is_ok_and(|p| p == path);
            let pin = canonical::read_sealed(&path, CONTEXT, fits)?;
            if !matches!(pin, Found::Missing) {
                found.push((path, pin.whole()));
            }
        }
        Ok(found)
    }

    fn pin_path(&self, name: &str) -> Result<PathBuf, CacheError> {
        Ok(self.dir.join("pins").join(format!("{}.json", checked_name("a pin", name)?)))
    }
}
