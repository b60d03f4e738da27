//! How bytes reach the disk: beside, synced, then renamed; a kill at any point leaves the old file or the new one.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::NamedTempFile;

use super::{CacheError, fail};

/// Temporary files are called `.rsic-<process>-<random>.tmp`.
const TEMPORARY: &str = ".rsic-";
/// After this long a temporary file is garbage even if its process number is in use again.
const ABANDONED: Duration = Duration::from_hours(24);
/// How often to begin again when a temporary file is swept away between creating and locking it.
const RACES: usize = 64;

/// Device and inode: equal exactly when two names are one file.
pub(super) type Identity = (u64, u64);

/// The identity behind some metadata.
pub(super) fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Nanoseconds since 1970; before that, zero.
pub(super) fn now() -> u128 {
    #[allow(clippy::disallowed_methods, reason = "the cache compares file ages and dates its log; no key sees it")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// Seconds since 1970.
pub(super) fn now_seconds() -> u64 {
    (now() / 1_000_000_000) as u64
}

/// Creates `folder` with its parents and makes every new name durable.
pub(super) fn ensure_folder(folder: &Path) -> Result<(), CacheError> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = parent(folder);
    if above != folder {
        ensure_folder(above)?;
    }
    match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(e) => return Err(CacheError::io("create the folder", folder, e)),
        Ok(()) => {}
    }
    sync_folder(above)
}

/// Makes the names in `folder` durable; file systems that cannot do that are left alone.
pub(super) fn sync_folder(folder: &Path) -> Result<(), CacheError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match File::open(folder).and_then(|f| f.sync_all()) {
        Err(e) if !matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Err(CacheError::io("sync the folder", folder, e))
        }
        _ => Ok(()),
    }
}

/// Creates a temporary file that [`sweep`] will not touch while this process holds it.
///
/// Dropping it removes it, so that an error on the way to its final name leaves nothing behind.
pub(super) fn temporary(folder: &Path) -> Result<NamedTempFile, CacheError> {
    let fail = |e| CacheError::io("create a temporary file in", folder, e);
    ensure_folder(folder)?;
    for _ in 0..RACES {
        let file = tempfile::Builder::new()
            .prefix(&format!("{TEMPORARY}{}-", std::process::id()))
            .suffix(".tmp")
            .permissions(Permissions::from_mode(0o666)) // less the umask, as for any new file
            .tempfile_in(folder)
            .map_err(fail)?;
        // Without lock support the process number alone protects the file. With it, a sweeper in another container may
        // hold the lock for a moment, and may have taken the file for abandoned.
        let _ = file.as_file().lock();
        if is_same(file.as_file(), file.path()) {
            return Ok(file);
        }
    }
    Err(fail(io::Error::other("it is removed at once")))
}

/// Whether the open file is still the one with this name.
pub(super) fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => identity(&a) == identity(&b),
        _ => false,
    }
}

/// Publishes `bytes` as the read-only file `target`; returns `false`, changing nothing, if that name is taken.
///
/// `scratch` is a folder on the same file system.
pub(super) fn publish_new(scratch: &Path, target: &Path, bytes: &[u8]) -> Result<bool, CacheError> {
    let mut file = temporary(scratch)?;
    fail::point("object", "create");
    file.write_all(bytes).map_err(|e| CacheError::io("write", target, e))?;
    fail::point("object", "write");
    persist_new(file, target)
}

/// Gives a finished temporary file its final name and makes it read-only; returns `false` if that name is taken.
pub(super) fn persist_new(file: NamedTempFile, target: &Path) -> Result<bool, CacheError> {
    let fail = |e| CacheError::io("write", target, e);
    let point = |step| fail::point("object", step);
    let mut mode = file.as_file().metadata().map_err(fail)?.permissions();
    mode.set_readonly(true);
    file.as_file().set_permissions(mode).map_err(fail)?;
    point("mode");
    file.as_file().sync_all().map_err(fail)?;
    point("sync");
    let folder = parent(target);
    ensure_folder(folder)?;
    point("parent");
    match file.persist_noclobber(target) {
        Ok(_) => {}
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        // A file system without hard links: the name is derived from the content, so replacing loses nothing.
        Err(e) if no_links(&e.error) && !target.exists() => drop(e.file.persist(target).map_err(|e| fail(e.error))?),
        Err(e) => return Err(fail(e.error)),
    }
    point("rename");
    sync_folder(folder)?;
    point("folder");
    Ok(true)
}

fn no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput)
}

/// Publishes `bytes` as the file `target`, replacing what was there in one step.
///
/// `scratch` is a folder on the same file system; `what` names the fail points.
pub(super) fn replace(scratch: &Path, target: &Path, bytes: &[u8], what: &str) -> Result<(), CacheError> {
    let fail = |e| CacheError::io("write", target, e);
    let mut file = temporary(scratch)?;
    fail::point(what, "create");
    file.write_all(bytes).map_err(fail)?;
    fail::point(what, "write");
    persist(file, target, what)
}

/// [`replace`] for what may be lost: it does not wait for the disk.
///
/// After a power cut the file may be empty or cut short; a kill leaves the old or the new one.
pub(super) fn replace_unsynced(scratch: &Path, target: &Path, bytes: &[u8], what: &str) -> Result<(), CacheError> {
    let fail = |e| CacheError::io("write", target, e);
    let mut file = temporary(scratch)?;
    fail::point(what, "create");
    file.write_all(bytes).map_err(fail)?;
    fail::point(what, "write");
    file.persist(target).map_err(|e| fail(e.error))?;
    fail::point(what, "rename");
    Ok(())
}

/// Gives a finished temporary file its final name, replacing what was there in one step.
pub(super) fn persist(file: NamedTempFile, target: &Path, what: &str) -> Result<(), CacheError> {
    file.as_file().sync_all().map_err(|e| CacheError::io("write", target, e))?;
    fail::point(what, "sync");
    let folder = parent(target);
    ensure_folder(folder)?;
    fail::point(what, "parent");
    file.persist(target).map_err(|e| CacheError::io("write", target, e.error))?;
    fail::point(what, "rename");
    sync_folder(folder)?;
    fail::point(what, "folder");
    Ok(())
}

/// The folder of a file; the current one for a bare name, itself for the root of the file system.
pub(super) fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        None => file,
        Some(_) => Path::new("."),
    }
}

/// Opens a file for reading; `None` if there is none.
///
/// What is no file, such as a pipe that nobody writes to, could be waited for without end: it is known by its metadata,
/// and in place of its content there is nothing.
pub(super) fn open(path: &Path) -> io::Result<Option<(Metadata, Box<dyn Read>)>> {
    let found = || -> io::Result<(Metadata, Box<dyn Read>)> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Ok((metadata, Box::new(io::empty())));
        }
        let file = File::open(path)?;
        Ok((file.metadata()?, Box::new(file)))
    };
    match found() {
        Ok(found) => Ok(Some(found)),
        Err(e) if is_missing(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a whole file, or `None` if there is none; what is no file has no bytes.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, CacheError> {
    let fail = |e| CacheError::io("read", path, e);
    let Some((metadata, mut file)) = open(path).map_err(fail)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(size).map_err(|e| fail(e.into()))?;
    file.read_to_end(&mut bytes).map_err(fail)?;
    Ok(Some(bytes))
}

/// What was found under a name of ours.
pub(super) enum Opened {
    File(Metadata, Box<dyn Read>),
    Missing,
    /// A folder or a symbolic link that leads to no file.
    Intruder(Identity),
}

/// [`open`], where only we write.
pub(super) fn open_ours(path: &Path) -> io::Result<Opened> {
    Ok(match open(path) {
        Ok(Some((metadata, file))) => Opened::File(metadata, file),
        other => match (intruder(path), other) {
            (Some(seen), _) => Opened::Intruder(seen),
            (None, Err(e)) => return Err(e),
            (None, Ok(_)) => Opened::Missing,
        },
    })
}

/// What stands under a name of ours although we write only files: a folder or a symbolic link; `None` for anything else.
pub(super) fn intruder(path: &Path) -> Option<Identity> {
    let metadata = path.symlink_metadata().ok()?;
    (metadata.is_dir() || metadata.is_symlink()).then(|| identity(&metadata))
}

/// Whether the error says that there is no such file.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Fails if `folder` is a link: what is written or removed in it would be somewhere else.
pub(super) fn refuse_link(folder: &Path) -> Result<(), CacheError> {
    match folder.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_symlink() => Err(CacheError::Link(folder.to_owned())),
        _ => Ok(()),
    }
}

/// Removes a file; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(e) if !is_missing(&e) => Err(CacheError::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it, or what stands in its place, if anything is there.
pub(super) fn remove_folder(path: &Path) -> Result<(), CacheError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => remove(path),
        Err(e) if !is_missing(&e) => Err(CacheError::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Removes the temporary files in `folder` whose writers were killed, and only those.
///
/// Errors are not reported: what cannot be removed now is removed by a later build.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_abandoned(&entry.path()) == Some(true) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The process number in the name of a temporary file.
pub(super) fn writer(name: &OsStr) -> Option<u32> {
    let rest = name.to_str()?.strip_prefix(TEMPORARY)?.strip_suffix(".tmp")?;
    rest.split_once('-')?.0.parse().ok()
}

/// Whether nobody will finish this temporary file; `None` for a file that is not a temporary one of ours.
///
/// A lock tells it even across containers and machines, where process numbers mean nothing; the process number guards
/// the moment between creating and locking, and file systems without locks.
pub(super) fn is_abandoned(path: &Path) -> Option<bool> {
    let process = writer(path.file_name()?)?;
    let file = OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path)).ok()?;
    let metadata = file.metadata().ok().filter(Metadata::is_file)?;
    let written = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let old = now().saturating_sub(written.as_nanos()) > ABANDONED.as_nanos();
    let processes = Path::new("/proc/self").exists();
    let dead = processes && !Path::new("/proc").join(process.to_string()).exists();
    Some(match file.try_lock() {
        Ok(()) => dead || old,
        Err(fs::TryLockError::WouldBlock) => false,
        Err(fs::TryLockError::Error(_)) => dead && old,
    })
}
