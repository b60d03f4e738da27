//! Workspaces: several may share one cache, each with roots of its own.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::stat::text::{escape, unescape};
use super::{Cache, CacheError, canonical, file, list};
use crate::digest::Digest;

/// The workspace whose folder holds the cache: it may be moved together with it.
const OWN: &str = "own";
/// Separates the names of workspaces from all other hashes.
const CONTEXT: &str = "rsic 2026 cache: name of a workspace";
/// Separates the check sum of the file that says where a workspace is.
const SEAL: &str = "rsic 2026 cache: check sum of a workspace";
/// That file; no stage can be called so.
pub(super) const PLACE: &str = ".workspace";

/// A workspace that has roots in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownWorkspace {
    /// The name of its folder below `roots/`.
    pub id: String,
    /// Where it was; `None` for the one that holds the cache, and where that is not known.
    pub path: Option<PathBuf>,
    /// Whether its folder is known not to be there any more.
    pub gone: bool,
}

/// What is written beside the roots of a workspace that lies elsewhere.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// The absolute path; bytes that are not visible ASCII are `%` and two digits.
    path: String,
}

impl Cache {
    /// The same cache, with the roots of the workspace in `root`; before that they are those of the folder that holds it.
    ///
    /// A workspace that does not hold the cache is known by its absolute path: moved, it has no roots until its next
    /// build, which finds all results. Containers that see different folders under one path need different paths.
    ///
    /// Fails if the folder does not exist.
    pub fn in_workspace(self, root: &Path) -> Result<Self, CacheError> {
        let fail = |e| CacheError::io("find the folder", root, e);
        let place = root.canonicalize().map_err(fail)?;
        let own = match self.dir.canonicalize() {
            Ok(dir) => dir.parent() == Some(&place),
            // A cache that is not there yet has no roots to confuse.
            Err(_) => true,
        };
        Ok(Self { elsewhere: (!own).then_some(place), ..self })
    }

    /// All workspaces that have roots, sorted by their names in the cache.
    pub fn workspaces(&self) -> Result<Vec<KnownWorkspace>, CacheError> {
        let mut known = Vec::new();
        for entry in list::entries(&self.dir.join("roots"))? {
            let Ok(id) = entry.file_name().into_string() else { continue };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = read_place(&entry.path())?;
                let gone = path.as_ref().is_some_and(|p| p.symlink_metadata().is_err_and(|e| file::is_missing(&e)));
                known.push(KnownWorkspace { id, path, gone });
            }
        }
        Ok(known)
    }

    /// The folder of the roots of this workspace.
    pub(super) fn own_roots(&self) -> PathBuf {
        let name = match &self.elsewhere {
            None => OWN.to_owned(),
            Some(place) => Digest::derive(CONTEXT, place.as_os_str().as_bytes()).to_hex()[..32].to_owned(),
        };
        self.dir.join("roots").join(name)
    }

    /// Writes down where this workspace is, unless it holds the cache or that is known already.
    pub(super) fn note_place(&self) -> Result<(), CacheError> {
        let Some(place) = &self.elsewhere else { return Ok(()) };
        let folder = self.own_roots();
        if read_place(&folder)?.as_ref() == Some(place) {
            return Ok(());
        }
        let mut path = String::new();
        escape(place.as_os_str().as_bytes(), &mut path);
        let target = folder.join(PLACE);
        let text = canonical::seal(&Place { path }, SEAL).map_err(|e| CacheError::io("write", &target, e.into()))?;
        file::replace(&self.scratch(), &target, &text, "mark")
    }
}

fn read_place(folder: &Path) -> Result<Option<PathBuf>, CacheError> {
    let place = canonical::read_sealed(&folder.join(PLACE), SEAL, |_: &Place| true)?;
    Ok(place.whole().and_then(|p| unescape(&p.path)).map(|b| PathBuf::from(OsString::from_vec(b))))
}
