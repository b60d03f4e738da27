//! The content-addressed store: bytes, keys and records; it knows nothing of their meaning.
//!
//! | file | what it holds | written |
//! | --- | --- | --- |
//! | `FORMAT`, `CACHEDIR.TAG` | which program wrote the folder; that backups may skip it | once |
//! | `objects/ab/<digest>.<extension>` | immutable bytes, read-only, named by their own hash | never replaced |
//! | `actions/ab/<key>.json` | a [`Record`]: what an action with this key read and wrote | replaced if a forced rerun differs |
//! | `roots/<workspace>/<stage>/<name>.json` | the last [`Build`]s of an instance, newest first | replaced |
//! | `roots/<workspace>/.workspace` | where that workspace is, if it is not the folder that holds the cache | replaced |
//! | `pins/<name>.json` | a [`Pin`]: keys to keep until they are unpinned | replaced |
//! | `hints/<digest>.json` | a key that may help another action; keeps nothing alive | replaced |
//! | `partial/<key>/` | unfinished work, such as training checkpoints | replaced, removed at the end |
//! | `lock/<key>` | who builds an action now | removed when done |
//! | `lock/gc` | held alone by a collection, for a moment by all others | removed by collections |
//! | `sessions/` | the keys and objects that running programs rely on | removed when they end |
//! | `runs/*.jsonl` | what was run when, and how long it took | appended |
//! | `quarantine/` | damaged objects and records, for inspection | replaced |
//! | `stat.txt` | hashes of unchanged source files | replaced |
//! | `remote.txt` | when the remote store last did not answer | replaced, removed when it does |
//! | `tmp/` | files on their way to one of the names above | removed by the next [`Cache::open`] after a kill |
//!
//! There is no index that could disagree with the files, and no path is stored: the folder may be moved, copied or
//! have any part of it deleted at any time; what is gone is built again. Every write is a temporary file, synced and
//! renamed. Reads verify: what is damaged is a miss. Objects are written before the record that names them.

mod canonical;
mod error;
mod fail;
mod file;
mod gc;
mod hint;
mod key;
mod list;
mod live;
mod lock;
mod object;
mod partial;
mod pin;
mod reason;
mod record;
mod remote;
mod runs;
mod session;
mod stat;
mod state;
mod verify;
mod view;
mod workspace;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::CacheError;
pub use fail::{fail_points, point as fail_point};
pub use gc::{Applied, Item, Plan, Policy, Spared, Why};
pub use key::Ingredients;
pub use lock::{Guard, Patience};
pub use object::{Object, Presence};
pub use partial::{PartialDir, Slot};
pub use pin::Pin;
pub use reason::{Reason, changed_columns};
pub use record::{Output, Publication, Record};
pub use remote::{Pushed, Remote, RemoteError, RemoteSettings, Sent, without_credentials};
pub use runs::{Event, Outcome, RunLog};
pub use stat::StatCache;
pub use state::{Build, Root};
pub use verify::{Depth, Fault, Finding, Report};
pub use view::{Exposed, View, replace_file};
pub use workspace::KnownWorkspace;

/// The line in FORMAT; it changes when older programs could misread the folder.
const FORMAT: &str = "rsic cache 2";
/// The line of the first version, whose roots said less: they are forgotten, and all results stay.
const FIRST_FORMAT: &str = "rsic cache 1";
/// The standard mark of folders that backups may skip; source: <https://bford.info/cachedir/>.
const TAG: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Everything here can be built again by `rsic build`.\n";
/// The folders in a cache.
const FOLDERS: [&str; 11] =
    ["actions", "hints", "lock", "objects", "partial", "pins", "quarantine", "roots", "runs", "sessions", "tmp"];

/// An open cache folder; cheap to clone, safe to share between threads and processes.
///
/// What was looked up or stored through it is safe from every collection until it and all its clones are dropped.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
    writable: bool,
    /// The workspace, unless it is the one that holds the cache; see [`Cache::in_workspace`].
    elsewhere: Option<PathBuf>,
    session: Arc<session::Session>,
}

impl Cache {
    /// Opens the cache in `dir`, creates what is missing there and removes what killed writers left behind.
    ///
    /// A cache that is complete but on read-only storage opens too; only writing to it fails.
    ///
    /// Fails if the folder was written by another version, or is not empty and no cache, or if a folder in it is a link
    /// to elsewhere; the folder itself may be one.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let cache = Self::at(dir, true);
        for folder in FOLDERS {
            file::refuse_link(&dir.join(folder))?;
        }
        if !cache.has_known_format()? {
            if cache.format()?.as_deref() == Some(FIRST_FORMAT) {
                file::remove_folder(&dir.join("roots"))?;
            } else {
                cache.refuse_strangers()?;
            }
            for folder in FOLDERS {
                file::ensure_folder(&dir.join(folder))?;
            }
            file::replace(&cache.scratch(), &dir.join("CACHEDIR.TAG"), TAG.as_bytes(), "mark")?;
            file::replace(&cache.scratch(), &dir.join("FORMAT"), format!("{FORMAT}\n").as_bytes(), "mark")?;
        }
        for folder in cache.folders_of_temporaries() {
            file::sweep(&folder);
        }
        Ok(cache)
    }

    /// Opens the cache in `dir` for reading only: nothing is created, moved or removed.
    ///
    /// A folder that does not exist is an empty cache. Fails if the folder was written by another version.
    pub fn peek(dir: &Path) -> Result<Self, CacheError> {
        let cache = Self::at(dir, false);
        if !cache.has_known_format()? && cache.format()?.is_none() {
            cache.refuse_strangers()?;
        }
        Ok(cache)
    }

    fn at(dir: &Path, writable: bool) -> Self {
        Self { dir: dir.to_owned(), writable, elsewhere: None, session: Arc::default() }
    }

    /// The folder of the cache.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The cache of source file hashes that belongs to this cache; see [`StatCache::open`].
    pub fn stat_cache(&self) -> StatCache {
        StatCache::open(&self.dir.join("stat.txt"))
    }

    /// Whether this version wrote the folder; `false` also where it can be made its own.
    fn has_known_format(&self) -> Result<bool, CacheError> {
        match self.format()? {
            None => Ok(false),
            Some(found) if found == FORMAT => Ok(true),
            Some(found) if found == FIRST_FORMAT => Ok(false),
            Some(found) => Err(CacheError::Format { path: self.dir.join("FORMAT"), found, known: FORMAT }),
        }
    }

    /// What FORMAT says.
    fn format(&self) -> Result<Option<String>, CacheError> {
        let Some(bytes) = file::read(&self.dir.join("FORMAT"))? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.lines().next().unwrap_or_default().trim_end().chars().take(80).collect()))
    }

    /// Protects a folder that was named by mistake: without FORMAT it may hold only what a killed `open` left.
    fn refuse_strangers(&self) -> Result<(), CacheError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(CacheError::io("open the cache", &self.dir, e)),
        };
        for name in entries.flatten().map(|e| e.file_name()) {
            // FORMAT may have come just now, from another program that opens the same new cache.
            let files = ["CACHEDIR.TAG", "FORMAT", "remote.txt", "stat.txt"];
            let known = name.to_str().is_some_and(|n| FOLDERS.contains(&n) || files.contains(&n))
                || file::writer(&name).is_some();
            if !known {
                let stranger = name.to_string_lossy().into_owned();
                return Err(CacheError::NotACache { path: self.dir.clone(), stranger });
            }
        }
        Ok(())
    }

    /// Where temporary files are made: on the file system of the cache.
    fn scratch(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Everywhere in the cache where a kill may leave temporary files.
    fn folders_of_temporaries(&self) -> [PathBuf; 3] {
        [self.scratch(), self.dir.join("sessions"), self.dir.clone()]
    }

    /// `<dir>/<folder>/ab/<hex>.<extension>`: two digits fan out, so that no folder gets very long.
    fn fanned(&self, folder: &str, hex: &str, extension: &str) -> PathBuf {
        self.dir.join(folder).join(&hex[..2]).join(format!("{hex}.{extension}"))
    }

    fn needs_writing(&self, doing: &'static str) -> Result<(), CacheError> {
        if self.writable { Ok(()) } else { Err(CacheError::ReadOnly { doing, path: self.dir.clone() }) }
    }

    /// Takes a damaged file out of the way; `seen` is the file that was found to be damaged.
    ///
    /// Somebody else may have put a whole file in its place meanwhile: that one goes back. On read-only storage
    /// nothing is moved, which is a miss all the same.
    fn quarantine(&self, path: &Path, seen: file::Identity) {
        let Some(within) = path.strip_prefix(&self.dir).ok().filter(|_| self.writable) else { return };
        let name = within.iter().collect::<Vec<_>>().join(OsStr::new("-"));
        let folder = self.dir.join("quarantine");
        let grave = folder.join(name);
        if file::ensure_folder(&folder).is_err() || fs::rename(path, &grave).is_err() {
            return;
        }
        // Of a symbolic link either the link or its target was looked at.
        let moved = [fs::metadata(&grave), fs::symlink_metadata(&grave)];
        let moved: Vec<_> = moved.into_iter().flatten().map(|m| file::identity(&m)).collect();
        if !moved.is_empty() && !moved.contains(&seen) {
            let _ = fs::rename(&grave, path);
        }
    }
}

/// Checks a name that becomes a part of a path.
fn checked_name<'a>(what: &'static str, name: &'a str) -> Result<&'a str, CacheError> {
    let why = match name {
        "" => "it is empty",
        _ if name.starts_with('.') => "it begins with a dot",
        _ if name.len() > 200 => "it is longer than 200 bytes",
        _ if name.contains(['/', '\\']) => "it contains a slash",
        _ if name.contains(char::is_control) => "it contains a control character",
        _ => return Ok(name),
    };
    Err(CacheError::Name { what, name: name.to_owned(), why })
}

#[cfg(test)]
mod tests;
