//! Roots: which key each instance was last built with, so that status can say what changed since.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Cache, CacheError, canonical, checked_name, file, list};
use crate::digest::Digest;

/// The last build of an instance; it also keeps the record and its objects alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// The instance, such as `score/ucm_amht`.
    pub instance: String,
    /// The key of its last build.
    pub key: Digest,
}

impl Cache {
    /// The last build of an instance, or `None` if there is none or its file is damaged.
    pub fn root(&self, instance: &str) -> Result<Option<Root>, CacheError> {
        let bytes = file::read(&self.root_path(instance)?)?;
        let root: Option<Root> = bytes.and_then(|b| serde_json::from_slice(&b).ok());
        Ok(root.filter(|r| r.instance == instance))
    }

    /// Remembers the key an instance was built with; called after the record is published.
    pub fn set_root(&self, instance: &str, key: Digest) -> Result<(), CacheError> {
        self.needs_writing("remember a build")?;
        let path = self.root_path(instance)?;
        let root = Root { instance: instance.to_owned(), key };
        if self.root(instance)?.is_some_and(|r| r == root) {
            return Ok(());
        }
        let json = canonical::sorted(&root).map_err(|e| CacheError::io("write", &path, e.into()))?;
        file::replace(&self.scratch(), &path, &canonical::text(&json))
    }

    /// Forgets the last build of an instance.
    pub fn remove_root(&self, instance: &str) -> Result<(), CacheError> {
        self.needs_writing("forget a build")?;
        file::remove(&self.root_path(instance)?)
    }

    /// All roots, sorted by instance.
    pub fn roots(&self) -> Result<Vec<Root>, CacheError> {
        let mut roots = Vec::new();
        for stage in list::entries(&self.dir.join("roots"))? {
            for entry in list::entries(&stage.path())? {
                let read: Option<Root> = file::read(&entry.path())?.and_then(|b| serde_json::from_slice(&b).ok());
                // A damaged or misplaced file is as good as none.
                roots.extend(read.filter(|r| self.root_path(&r.instance).is_ok_and(|p| p == entry.path())));
            }
        }
        roots.sort_by(|a, b| a.instance.cmp(&b.instance));
        Ok(roots)
    }

    fn root_path(&self, instance: &str) -> Result<PathBuf, CacheError> {
        let why = "it is not of the form `stage/name`";
        let (stage, name) = instance.split_once('/').ok_or_else(|| CacheError::Name {
            what: "an instance",
            name: instance.to_owned(),
            why,
        })?;
        let stage = self.dir.join("roots").join(checked_name("a stage", stage)?);
        Ok(stage.join(format!("{}.json", checked_name("an instance", name)?)))
    }
}
