//! The folder of one model in the Hugging Face cache, as all of Hugging Face's clients lay it out.
//!
//! ```text
//! models--ORG--NAME/
//!   blobs/<etag>                   the bytes, named by their digest
//!   blobs/<etag>.incomplete        a transfer that broke, to go on with
//!   snapshots/<commit>/<file>      links to ../../blobs/<etag>
//!   refs/<revision>                the commit
//! .locks/models--ORG--NAME/<etag>.lock
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::error::HubError;
use super::name::is_commit;

/// The folder of one model.
pub(super) struct Layout {
    cache: PathBuf,
    folder: String,
    symlinks: bool,
}

impl Layout {
    /// The folder of the model `id`, which was checked.
    pub(super) fn new(cache: &Path, id: &str, symlinks: bool) -> Self {
        Self { cache: cache.to_owned(), folder: format!("models--{}", id.replace('/', "--")), symlinks }
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.root().join("blobs").join(etag)
    }

    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.blob(&format!("{etag}.incomplete"))
    }

    pub(super) fn lock(&self, etag: &str) -> PathBuf {
        self.cache.join(".locks").join(&self.folder).join(format!("{etag}.lock"))
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root().join("snapshots").join(commit)
    }

    /// The file of a snapshot, if it is here; a link to nothing is not.
    pub(super) fn here(&self, commit: &str, file: &str) -> Option<PathBuf> {
        let path = self.snapshot(commit).join(file);
        path.is_file().then_some(path)
    }

    /// The commit that a revision last meant.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        // Python's client keeps `refs/pr/1` in `refs/refs/pr/1`; others drop one of the two.
        let short = revision.strip_prefix("refs/").unwrap_or(revision);
        let read = |name: &str| fs::read_to_string(self.root().join("refs").join(name)).ok();
        let commit = read(revision).or_else(|| read(short))?;
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes what a revision means.
    pub(super) fn set_commit(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let path = self.root().join("refs").join(revision);
        if is_commit(revision) || fs::read(&path).is_ok_and(|noted| noted == commit.as_bytes()) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(HubError::io(folder))?;
        let (work, fresh) = self.beside()?;
        let write = File::create(&fresh).and_then(|mut file| {
            file.write_all(commit.as_bytes())?;
            file.sync_all()
        });
        write.and_then(|()| fs::rename(&fresh, &path)).map_err(HubError::io(&path))?;
        drop(work);
        sync_folder(folder);
        Ok(())
    }

    /// The files of a snapshot by their names in the repository, sorted.
    pub(super) fn files(&self, commit: &str) -> Vec<String> {
        fn walk(folder: &Path, before: &str, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).ok().into_iter().flatten().flatten() {
                let Some(name) = entry.file_name().to_str().map(|name| format!("{before}{name}")) else { continue };
                // Links are not followed into folders: the layout has none.
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    walk(&entry.path(), &format!("{name}/"), found);
                } else if entry.path().is_file() {
                    found.push(name);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.snapshot(commit), "", &mut found);
        found.sort();
        found
    }

    /// Makes the blob `etag` the file `file` of the snapshot: linked, or copied where links are not possible.
    pub(super) fn publish(&self, commit: &str, file: &str, etag: &str) -> Result<PathBuf, HubError> {
        let path = self.snapshot(commit).join(file);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(HubError::io(folder))?;
        let (work, fresh) = self.beside()?;
        let mut target: PathBuf = std::iter::repeat_n("..", 2 + file.matches('/').count()).collect();
        target.extend(["blobs", etag]);
        if !self.symlinks || symlink(&target, &fresh).is_err() {
            let blob = self.blob(etag);
            // A second name costs no room; some systems have neither kind of link.
            fs::hard_link(&blob, &fresh).or_else(|_| copy(&blob, &fresh)).map_err(HubError::io(&path))?;
        }
        fs::rename(&fresh, &path).map_err(HubError::io(&path))?;
        drop(work);
        Ok(path)
    }

    /// A place to make a file before it is moved to its own: on the same disk, and not where clients list files.
    fn beside(&self) -> Result<(tempfile::TempDir, PathBuf), HubError> {
        let root = self.root();
        fs::create_dir_all(&root).map_err(HubError::io(&root))?;
        let work = tempfile::Builder::new().prefix(".rsic-").tempdir_in(&root).map_err(HubError::io(&root))?;
        let fresh = work.path().join("file");
        Ok((work, fresh))
    }

    fn root(&self) -> PathBuf {
        self.cache.join(&self.folder)
    }
}

/// Copies to the disk, not only to its cache.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

/// Makes sure that a rename in `folder` survives a power cut, where the system can.
pub(super) fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        // A file system that cannot do this has its own way, or none.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_blob_becomes_a_file_of_a_snapshot() {
        for (symlinks, file) in [(true, "config.json"), (true, "a/b/c.bin"), (false, "a/c.bin")] {
            let cache = tempfile::tempdir().unwrap();
            let layout = Layout::new(cache.path(), "org/name", symlinks);
            let blob = cache.path().join("models--org--name/blobs/abc");
            fs::create_dir_all(blob.parent().unwrap()).unwrap();
            fs::write(&blob, "bytes").unwrap();
            assert_eq!(layout.here(COMMIT, file), None);
            // The second time it replaces what is there.
            for _ in 0..2 {
                let path = layout.publish(COMMIT, file, "abc").unwrap();
                assert_eq!(fs::read(&path).unwrap(), b"bytes");
                assert_eq!(fs::read_link(&path).is_ok(), symlinks && cfg!(any(unix, windows)));
                assert!(fs::read_link(&path).is_ok_and(|target| target.is_relative()) || !symlinks);
                assert_eq!(layout.here(COMMIT, file), Some(path));
            }
            assert_eq!(layout.files(COMMIT), [file], "nothing else is left behind");
            if symlinks {
                fs::remove_file(&blob).unwrap();
                assert_eq!(layout.here(COMMIT, file), None, "a link to nothing");
                assert!(layout.files(COMMIT).is_empty());
            }
        }
    }

    #[test]
    fn revisions_are_kept_where_pythons_client_keeps_them() {
        let cache = tempfile::tempdir().unwrap();
        let layout = Layout::new(cache.path(), "name", true);
        let refs = cache.path().join("models--name/refs");
        for (revision, file) in [("main", "main"), ("refs/pr/15", "refs/pr/15"), ("v1", "v1")] {
            assert_eq!(layout.commit(revision), None);
            layout.set_commit(revision, COMMIT).unwrap();
            assert_eq!(fs::read_to_string(refs.join(file)).unwrap(), COMMIT);
            assert_eq!(layout.commit(revision).as_deref(), Some(COMMIT));
        }
        fs::create_dir_all(refs.join("pr")).unwrap();
        fs::write(refs.join("pr/2"), format!("{COMMIT}\n")).unwrap();
        assert_eq!(layout.commit("refs/pr/2").as_deref(), Some(COMMIT));
        layout.set_commit("refs/pr/2", COMMIT).unwrap();
        assert!(refs.join("refs/pr/2").is_file(), "where Python's client looks");
        fs::write(refs.join("main"), "../../elsewhere").unwrap();
        assert_eq!(layout.commit("main"), None, "a damaged ref is none");
        layout.set_commit(COMMIT, COMMIT).unwrap();
        assert!(!refs.join(COMMIT).exists(), "a commit needs no ref");
    }
}
