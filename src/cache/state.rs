//! Roots: what each instance was last built as, so that status can say what changed since.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::canonical::Found;
use super::{Cache, CacheError, canonical, checked_name, file, list};
use crate::digest::Digest;

/// Separates the check sum of roots from all other hashes.
const CONTEXT: &str = "rsic 2026 cache: check sum of a root";
/// How many builds of an instance are remembered.
const HISTORY: usize = 16;

/// The last build of an instance in one workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The instance, such as `score/ucm_amht`.
    pub instance: String,
    /// The key of its last build.
    pub key: Digest,
}

/// One build of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Its key.
    pub key: Digest,
    /// The keys of all that it read, directly or not, sorted.
    pub needs: Vec<Digest>,
    /// When it became the last one, in seconds since 1970.
    pub at: u64,
}

/// The file of a root.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Builds {
    /// The instance.
    pub(super) instance: String,
    /// Its builds, newest first; no key twice.
    pub(super) builds: Vec<Build>,
}

impl Cache {
    /// The last build of an instance, or `None` if there is none or its file is damaged.
    pub fn root(&self, instance: &str) -> Result<Option<Root>, CacheError> {
        let last = self.builds(instance)?.into_iter().next();
        Ok(last.map(|build| Root { instance: instance.to_owned(), key: build.key }))
    }

    /// The last builds of an instance, newest first; none if its file is damaged.
    ///
    /// Results of all but the first may have been collected.
    pub fn builds(&self, instance: &str) -> Result<Vec<Build>, CacheError> {
        let read = read_builds(&self.root_path(instance)?, |r| r.instance == instance)?;
        Ok(read.whole().map(|r| r.builds).unwrap_or_default())
    }

    /// Remembers the key an instance was built with, and the keys of all that it read, directly or not; called after the
    /// record is published. All of them are kept until other builds of the instance take their place.
    pub fn set_root(&self, instance: &str, key: Digest, needs: &[Digest]) -> Result<(), CacheError> {
        self.needs_writing("remember a build")?;
        let path = self.root_path(instance)?;
        let mut needs = needs.to_vec();
        needs.sort();
        needs.dedup();
        let mut builds = self.builds(instance)?;
        if builds.first().is_some_and(|last| last.key == key && last.needs == needs) {
            return Ok(());
        }
        builds.retain(|build| build.key != key);
        builds.insert(0, Build { key, needs, at: file::now_seconds() });
        builds.truncate(HISTORY);
        self.note_place()?;
        let root = Builds { instance: instance.to_owned(), builds };
        let text = canonical::seal(&root, CONTEXT).map_err(|e| CacheError::io("write", &path, e.into()))?;
        file::replace(&self.scratch(), &path, &text, "root")
    }

    /// Forgets the builds of an instance.
    pub fn remove_root(&self, instance: &str) -> Result<(), CacheError> {
        self.needs_writing("forget a build")?;
        file::remove(&self.root_path(instance)?)
    }

    /// All roots of this workspace, sorted by instance.
    pub fn roots(&self) -> Result<Vec<Root>, CacheError> {
        let mut roots = Vec::new();
        for (_, read) in root_files(&self.own_roots())? {
            // A damaged or misplaced file is as good as none.
            roots.extend(read.and_then(|r| Some(Root { key: r.builds.first()?.key, instance: r.instance })));
        }
        roots.sort_by(|a, b| a.instance.cmp(&b.instance));
        Ok(roots)
    }

    fn root_path(&self, instance: &str) -> Result<PathBuf, CacheError> {
        path_below(&self.own_roots(), instance)
    }
}

/// Every JSON file in the roots of one workspace, with what it says; `None` if it is damaged, misplaced or not one of ours.
pub(super) fn root_files(workspace: &Path) -> Result<Vec<(PathBuf, Option<Builds>)>, CacheError> {
    let mut found = Vec::new();
    for stage in list::entries(workspace)? {
        if list::is_json(&stage.path()) {
            found.push((stage.path(), None));
        }
        for entry in list::entries(&stage.path())?.into_iter().filter(|e| list::is_json(&e.path())) {
            let path = entry.path();
            let read = read_builds(&path, |r| path_below(workspace, &r.instance).is_ok_and(|p| p == path))?;
            // A file that goes away meanwhile is simply not there.
            if !matches!(read, Found::Missing) {
                found.push((path, read.whole()));
            }
        }
    }
    Ok(found)
}

fn read_builds(path: &Path, fits: impl Fn(&Builds) -> bool) -> Result<Found<Builds>, CacheError> {
    canonical::read_sealed(path, CONTEXT, |read: &Builds| !read.builds.is_empty() && fits(read))
}

fn path_below(workspace: &Path, instance: &str) -> Result<PathBuf, CacheError> {
    let why = "it is not of the form `stage/name`";
    let (stage, name) = instance.split_once('/').ok_or_else(|| CacheError::Name {
        what: "an instance",
        name: instance.to_owned(),
        why,
    })?;
    let stage = workspace.join(checked_name("a stage", stage)?);
    Ok(stage.join(format!("{}.json", checked_name("an instance", name)?)))
}
