//! What can go wrong with the cache, as far as a caller decides by it.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// An operation of the cache failed; a miss is never an error.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file system refused something.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried, such as `read the object`.
        doing: &'static str,
        /// The file or folder it was tried on.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// The disk or the quota is full; the temporary file is already removed.
    #[error("no space left while trying to {doing} {}", path.display())]
    NoSpace {
        /// What was tried, such as `write the object`.
        doing: &'static str,
        /// The file that could not be written.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// The folder is a cache of another version of this program.
    #[error("{} says `{found}`, but this program knows only `{known}`", path.display())]
    Format {
        /// The FORMAT file.
        path: PathBuf,
        /// Its first line.
        found: String,
        /// The line this program writes.
        known: &'static str,
    },
    /// The folder holds something that is not a cache, so nothing is written into it.
    #[error("{} is not a cache: it has no FORMAT file and holds `{stranger}`", path.display())]
    NotACache {
        /// The folder that was to be opened.
        path: PathBuf,
        /// One entry that no cache has.
        stranger: String,
    },
    /// A folder that is written to is a link to another one.
    #[error("{} is a link; files behind it are neither written nor removed", .0.display())]
    Link(PathBuf),
    /// Something was to be written through [`Cache::peek`](super::Cache::peek).
    #[error("cannot {doing}: the cache {} was opened only for reading", path.display())]
    ReadOnly {
        /// What was tried.
        doing: &'static str,
        /// The cache.
        path: PathBuf,
    },
    /// A name cannot be used as a file name.
    #[error("`{name}` cannot be {what}: {why}")]
    Name {
        /// What the name was meant for, such as `an instance`.
        what: &'static str,
        /// The name.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// Nothing can be collected while it is not known what a root or a pin keeps.
    #[error("{} is damaged or not one of ours, so that it is not known what it keeps", .0.display())]
    UnknownRoot(PathBuf),
    /// Without locks a collection could remove what a build is about to use.
    #[error("the file system of {} has no locks, so that nothing can be removed safely", .0.display())]
    NoLocks(PathBuf),
    /// A result that was to be pinned is not in the cache.
    #[error("the cache has no whole result of {0}")]
    NoResult(String),
    /// A record contradicts itself or names objects that are not in the cache.
    #[error("record {} cannot be published: {why}", key.short())]
    Inconsistent {
        /// The key of the record.
        key: Digest,
        /// What is wrong.
        why: String,
    },
    /// Another process held the lock for longer than the caller wants to wait.
    #[error("{} is still held by {holder} after {seconds} s", path.display())]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote about itself.
        holder: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The caller stopped waiting for a lock.
    #[error("interrupted while waiting for {holder}")]
    Interrupted {
        /// What the holder wrote about itself.
        holder: String,
    },
    /// A source file was written while it was read, so what was read belongs to no version of it.
    #[error("{} changed while it was read", .0.display())]
    ChangedWhileRead(PathBuf),
}

impl CacheError {
    /// Whether the storage cannot be written, by nobody or by this user.
    pub fn is_read_only(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
    }

    /// Wraps an answer of the operating system; a full disk or quota becomes [`CacheError::NoSpace`].
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { doing, path, source },
            _ => Self::Io { doing, path, source },
        }
    }

    /// What the user can do about it, if anything is known to help.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoSpace { .. } => "free some space and build again; nothing half-written was kept".to_owned(),
            Self::Format { path, found, .. } if !found.starts_with("rsic cache ") => format!(
                "if {} is a cache of this program, remove this file: the next build writes it anew and keeps all results",
                path.parent().unwrap_or(path).display()
            ),
            Self::Format { path, .. } => format!(
                "use the program version that wrote it, or remove the folder {} and build again",
                path.parent().unwrap_or(path).display()
            ),
            Self::Link(_) => {
                "put a folder in its place; only `output` and the store as a whole may be links".to_owned()
            }
            Self::NotACache { .. } => "name an empty or a new folder as the cache".to_owned(),
            Self::LockTimeout { path, .. } => format!(
                "wait for the other build or raise the lock timeout; {} itself needs no removal, a dead process holds no lock",
                path.display()
            ),
            Self::UnknownRoot(_) => {
                "`rsic verify --repair` moves it to the quarantine; what only it kept can then be removed".to_owned()
            }
            Self::NoResult(_) => "build it first".to_owned(),
            Self::ChangedWhileRead(_) => "let the program that writes it finish, then build again".to_owned(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => {
                "move it out of that folder".to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "the file system is read-only: make it writable, or name another store with RSIC_STORE".to_owned()
            }
            Self::Io { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists
                ) =>
            {
                "something else stands in its place: move it away, or try `rsic verify --repair` if it is in the store"
                    .to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "look who owns the file and what its mode is".to_owned()
            }
            _ => return None,
        };
        Some(text)
    }
}
