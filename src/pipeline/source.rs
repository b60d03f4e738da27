//! Digests of source files and folders, each computed once per build.

use std::collections::BTreeMap;
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cache::StatCache;
use crate::digest::Digest;

/// A source that is not there or cannot be read, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Blocked {
    /// The reason.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Computes and remembers source digests.
pub struct Sources<'a> {
    facts: &'a StatCache,
    known: Mutex<BTreeMap<PathBuf, Result<Digest, Blocked>>>,
}

impl<'a> Sources<'a> {
    /// Nothing is known yet but what `facts` remembers of unchanged files.
    pub fn new(facts: &'a StatCache) -> Self {
        Self { facts, known: Mutex::default() }
    }

    /// The digest of a file's bytes.
    pub fn file(&self, path: &Path) -> Result<Digest, Blocked> {
        self.once(path, || file_digest(self.facts, path))
    }

    /// The digest of a folder: the names and contents of its files.
    pub fn folder(&self, path: &Path) -> Result<Digest, Blocked> {
        self.once(path, || folder_digest(self.facts, path))
    }

    /// Forgets this build's answers, so that the next question looks at the files again.
    pub fn look_again(&self) {
        self.known().clear();
    }

    fn once(&self, path: &Path, compute: impl FnOnce() -> Result<Digest, Blocked>) -> Result<Digest, Blocked> {
        if let Some(known) = self.known().get(path) {
            return known.clone();
        }
        // Not under the lock: other threads have other files to ask for, and help to hash this one.
        let digest = compute();
        self.known().entry(path.to_owned()).or_insert(digest).clone()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Result<Digest, Blocked>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(path: &Path) -> Blocked {
    Blocked {
        why: format!("missing source {}", path.display()),
        hint: Some("put the file there, or change its path in pipeline.toml".to_owned()),
    }
}

fn file_digest(facts: &StatCache, path: &Path) -> Result<Digest, Blocked> {
    if !path.is_file() {
        return Err(missing(path));
    }
    facts.digest_file(path).map_err(|error| Blocked { why: with_cause(&error), hint: None })
}

/// An error with what caused it.
fn with_cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn folder_digest(facts: &StatCache, path: &Path) -> Result<Digest, Blocked> {
    let unreadable =
        |error: std::io::Error| Blocked { why: format!("cannot read {}: {error}", path.display()), hint: None };
    if !path.is_dir() {
        return Err(missing(path));
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // The folder itself tells what is a file; only links have to be followed.
        let is_file = |kind: FileType| kind.is_file() || kind.is_symlink() && entry.path().is_file();
        if !hidden && entry.file_type().is_ok_and(is_file) {
            names.push(entry.file_name());
        }
    }
    names.sort();
    let files: Vec<PathBuf> = names.iter().map(|name| path.join(name)).collect();
    let mut manifest = blake3::Hasher::new_derive_key("rsic 2026 source folder v1");
    for (name, digest) in names.iter().zip(facts.digest_files(&files)) {
        let digest = digest.map_err(|error| Blocked { why: with_cause(&error), hint: None })?;
        let name = name.as_encoded_bytes();
        manifest.update(&(name.len() as u64).to_le_bytes()).update(name).update(digest.as_bytes());
    }
    Ok(manifest.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    /// What lies under a name.
    #[derive(Clone, Debug)]
    enum Entry {
        File(Vec<u8>),
        Folder,
        LinkToFile,
        LinkToFolder,
        BrokenLink,
    }

    fn entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..3).prop_map(Entry::File),
            1 => Just(Entry::Folder),
            1 => Just(Entry::LinkToFile),
            1 => Just(Entry::LinkToFolder),
            1 => Just(Entry::BrokenLink),
        ]
    }

    /// Names whose order is easily got wrong: hidden ones, prefixes, signs below and above a dot or a slash, no UTF-8.
    fn name() -> impl Strategy<Value = OsString> {
        prop::collection::vec(prop::sample::select(b"ab.-0~ \x01\xff".to_vec()), 1..4)
            .prop_filter("these two are not names", |name| name != b"." && name != b"..")
            .prop_map(OsString::from_vec)
    }

    /// The definition: every name that does not begin with a dot and leads to a file, sorted as paths.
    fn naive(folder: &Path) -> Digest {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
        files.retain(|path| !path.file_name().unwrap().as_encoded_bytes().starts_with(b"."));
        files.sort();
        let mut manifest = blake3::Hasher::new_derive_key("rsic 2026 source folder v1");
        for file in files {
            let name = file.file_name().unwrap().as_encoded_bytes();
            let digest = Digest::of(&std::fs::read(&file).unwrap());
            manifest.update(&(name.len() as u64).to_le_bytes()).update(name).update(digest.as_bytes());
        }
        manifest.finalize().into()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_folder_is_the_files_in_it(entries in prop::collection::btree_map(name(), entry(), 0..12)) {
            let entries: BTreeMap<OsString, Entry> = entries;
            let place = tempfile::tempdir().unwrap();
            let folder = place.path().join("folder");
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(place.path().join("file"), "linked").unwrap();
            for (name, entry) in &entries {
                let path = folder.join(name);
                match entry {
                    Entry::File(bytes) => std::fs::write(path, bytes),
                    Entry::Folder => std::fs::create_dir(path),
                    Entry::LinkToFile => symlink(place.path().join("file"), path),
                    Entry::LinkToFolder => symlink(place.path(), path),
                    Entry::BrokenLink => symlink(place.path().join("nothing"), path),
                }
                .unwrap();
            }
            let facts = StatCache::open(&place.path().join("stat.txt"));
            prop_assert_eq!(folder_digest(&facts, &folder).unwrap(), naive(&folder));
        }
    }
}
