//! Views: the files under stable names that users see, copied out of the cache.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Cache, CacheError, Object, StatCache, fail, file};
use crate::digest::Digest;

/// How often to look at a file again that others replace meanwhile.
const LOOKS: usize = 8;

/// The state of a file that users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// There is no such file.
    Missing,
    /// It holds what the object holds.
    Fresh,
    /// It holds something else: an earlier result, or somebody edited it.
    Modified,
}

/// What [`Cache::expose`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// The file was written.
    Written,
    /// The file held the right bytes already.
    Kept,
    /// Nothing: the object is missing or damaged, so the action has to run again.
    Lost,
}

/// Replaces a file of the workspace in one step, and removes what killed writers left beside it.
pub fn replace_file(target: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let folder = file::parent(target);
    file::sweep(folder);
    file::replace(folder, target, bytes, "lockfile")
}

impl Cache {
    /// Makes `target` a copy of the object, in one step, whatever it was before.
    ///
    /// A copy shares its blocks with the object where the file system can do that, but never its inode: writing to it
    /// cannot damage the cache. Callers that care about users' edits ask [`Cache::view`] first.
    pub fn expose(&self, object: &Object, target: &Path, stat: &StatCache) -> Result<Exposed, CacheError> {
        if self.view(object, target, stat)? == View::Fresh {
            return Ok(Exposed::Kept);
        }
        let source = self.path(object);
        let mut from = match File::open(&source) {
            Ok(file) => file,
            Err(e) if file::is_missing(&e) => return Ok(Exposed::Lost),
            Err(e) => return Err(CacheError::io("read the object", &source, e)),
        };
        let folder = file::parent(target);
        file::ensure_folder(folder)?;
        self.session.sweep_once(folder);
        let fail = |e| CacheError::io("write", target, e);
        let mut copy = file::temporary(folder)?;
        fail::point("view", "create");
        std::io::copy(&mut from, copy.as_file_mut()).map_err(fail)?;
        copy.flush().map_err(fail)?;
        fail::point("view", "write");
        let written = copy.reopen().and_then(Digest::of_reader).map_err(fail)?;
        if written == object.digest {
            file::persist(copy, target, "view")?;
            return Ok(Exposed::Written);
        }
        // Reading it the normal way moves a damaged object to the quarantine.
        match self.get(object)? {
            None => Ok(Exposed::Lost),
            Some(_) => Err(fail(std::io::Error::other("the copy differs from the object; the disk may be failing"))),
        }
    }

    /// The file `relative` below `root`, to be written or removed there; only the first folder on the way may be a link.
    ///
    /// Fails with [`CacheError::Link`] if another one is.
    pub fn target(root: &Path, relative: &Path) -> Result<PathBuf, CacheError> {
        let first = relative.components().next().map_or(root.to_owned(), |first| root.join(first));
        let path = root.join(relative);
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != first && *folder != root) {
            file::refuse_link(folder)?;
        }
        Ok(path)
    }

    /// Compares the file `target` with an object, by size and then by content.
    ///
    /// A file that is replaced again and again while it is read, as by other builds, is modified.
    pub fn view(&self, object: &Object, target: &Path, stat: &StatCache) -> Result<View, CacheError> {
        for _ in 0..LOOKS {
            match fs::metadata(target) {
                Err(e) if file::is_missing(&e) => return Ok(View::Missing),
                // A symbolic link that leads nowhere.
                Err(_) if file::intruder(target).is_some() => return Ok(View::Modified),
                Err(e) => return Err(CacheError::io("look at", target, e)),
                Ok(metadata) if !metadata.is_file() || metadata.len() != object.bytes => return Ok(View::Modified),
                Ok(_) => {}
            }
            match stat.digest_file(target) {
                Ok(digest) if digest == object.digest => return Ok(View::Fresh),
                Ok(_) => return Ok(View::Modified),
                Err(CacheError::ChangedWhileRead(_)) => {}
                Err(CacheError::Io { source, .. }) if file::is_missing(&source) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(View::Modified)
    }
}
