//! Which files belong into a cache.

use std::path::{Path, PathBuf};

use crate::cache::list;
use crate::cache::workspace::PLACE;
use crate::cache::{CacheError, file};
use crate::digest::Digest;

/// All files below a folder, sorted; symbolic links count as files.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let mut found = Vec::new();
    for entry in list::entries(folder)? {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether this program writes files of that name; the path is relative to the cache.
pub(super) fn is_ours(path: &Path) -> bool {
    let Some(parts) = path.iter().map(|part| part.to_str()).collect::<Option<Vec<_>>>() else { return false };
    let is_digest = |name: &str| name.parse::<Digest>().is_ok();
    let is_json = |name: &str| list::is_json(Path::new(name));
    match parts.as_slice() {
        ["FORMAT" | "CACHEDIR.TAG" | "stat.txt" | "remote.txt"]
        | ["lock", "gc"]
        | ["quarantine", _]
        | ["roots", _, PLACE] => true,
        ["lock", name] => is_digest(name),
        ["objects", fan, name] => list::split_name(name.as_ref()).is_some() && name.starts_with(fan) && fan.len() == 2,
        ["actions", fan, name] => {
            matches!(list::split_name(name.as_ref()), Some((_, "json"))) && name.starts_with(fan) && fan.len() == 2
        }
        ["hints", name] => matches!(list::split_name(name.as_ref()), Some((_, "json"))),
        ["partial", key, _] => is_digest(key),
        // Whatever has such a name is read as a root or a pin, and is damaged if it is none.
        ["pins", name] | ["roots", _, name] | ["roots", _, _, name] if is_json(name) => true,
        ["runs", name] => Path::new(name).extension().is_some_and(|extension| extension == "jsonl"),
        ["tmp" | "sessions", name] | [name] => file::writer(name.as_ref()).is_some(),
        _ => false,
    }
}
