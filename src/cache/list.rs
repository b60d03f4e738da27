//! What is in the cache, read from the file names: there is no index.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::object::checked_extension;
use super::{Cache, CacheError, Object, file};
use crate::digest::Digest;

impl Cache {
    /// All objects, sorted by digest; their sizes are those of the files, which [`Cache::inspect`] may find damaged.
    pub fn objects(&self) -> Result<Vec<Object>, CacheError> {
        let mut objects = Vec::new();
        for (digest, extension, path) in fanned_files(&self.dir.join("objects"))? {
            // A file that goes away meanwhile is simply not there.
            if let Ok(metadata) = fs::metadata(&path) {
                objects.push(Object { digest, bytes: metadata.len(), extension });
            }
        }
        objects.sort();
        Ok(objects)
    }

    /// The keys of all records, sorted; [`Cache::record`] may still find one to be damaged.
    pub fn records(&self) -> Result<Vec<Digest>, CacheError> {
        let files = fanned_files(&self.dir.join("actions"))?;
        let mut keys: Vec<Digest> = files.into_iter().filter(|f| f.1 == "json").map(|f| f.0).collect();
        keys.sort();
        Ok(keys)
    }
}

/// The entries of a folder, sorted by name; none if there is no such folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, CacheError> {
    let fail = |e| CacheError::io("list the folder", folder, e);
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(e) if file::is_missing(&e) => return Ok(Vec::new()),
        Err(e) => return Err(fail(e)),
    };
    let mut entries = list.collect::<Result<Vec<_>, _>>().map_err(fail)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

/// Whether a file is called like JSON.
pub(super) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// The digest and the extension in `<hex>.<extension>`.
pub(super) fn split_name(name: &OsStr) -> Option<(Digest, &str)> {
    let (hex, extension) = name.to_str()?.split_once('.')?;
    Some((hex.parse().ok()?, checked_extension(extension).ok()?))
}

/// Every `<folder>/ab/<hex>.<extension>` with its digest and extension; other files are not ours.
pub(super) fn fanned_files(folder: &Path) -> Result<Vec<(Digest, String, PathBuf)>, CacheError> {
    let mut files = Vec::new();
    for fan in entries(folder)? {
        for entry in entries(&fan.path())? {
            let name = entry.file_name();
            if let Some((digest, extension)) = split_name(&name)
                && fan.file_name().to_str() == Some(&digest.to_hex()[..2])
            {
                files.push((digest, extension.to_owned(), entry.path()));
            }
        }
    }
    Ok(files)
}
