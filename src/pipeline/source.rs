//! Digests of source files and folders, each computed once per build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::{CacheError, StatCache};
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

/// Sources changed while a stage read them, so that its result belongs to no version of them.
#[derive(Debug, thiserror::Error)]
#[error("{what} while {instance} ran; its result is discarded")]
pub struct SourcesChanged {
    /// Which files, and what happened to them.
    pub what: String,
    /// The stage that was to read them.
    pub instance: String,
}

impl SourcesChanged {
    /// What to do about it.
    pub const HINT: &'static str = "let the program that writes the sources finish, then build again";
}

/// The digest of every file.
pub type Files = BTreeMap<PathBuf, Digest>;

/// How many changed files an error names.
const NAMED: usize = 5;

/// Which files differ and how, in words; empty if none do.
pub(super) fn changes(old: &Files, new: &Files) -> String {
    let paths: BTreeSet<&PathBuf> = old.keys().chain(new.keys()).collect();
    let mut said: Vec<String> = Vec::new();
    for path in paths.into_iter().filter(|path| old.get(*path) != new.get(*path)) {
        let how = match (old.contains_key(path), new.contains_key(path)) {
            (true, true) => "changed",
            (true, false) => "was removed",
            (false, _) => "was added",
        };
        said.push(format!("{} {how}", path.display()));
    }
    let more = said.len().saturating_sub(NAMED);
    said.truncate(NAMED);
    if more > 0 {
        said.push(format!("{more} more changed"));
    }
    said.join(", ")
}

/// A source as it was when it was last looked at.
#[derive(Clone, Debug)]
struct Known {
    digest: Digest,
    files: Arc<Files>,
}

/// Computes and remembers source digests.
pub struct Sources<'a> {
    facts: &'a StatCache,
    known: Mutex<BTreeMap<PathBuf, Result<Known, Blocked>>>,
}

impl<'a> Sources<'a> {
    /// Nothing is known yet but what `facts` remembers of unchanged files.
    pub fn new(facts: &'a StatCache) -> Self {
        Self { facts, known: Mutex::default() }
    }

    /// The digest of a file's bytes.
    pub fn file(&self, path: &Path) -> Result<Digest, Blocked> {
        self.once(path, || one_file(self.facts, path)).map(|known| known.digest)
    }

    /// The digest of a folder: the names and contents of its files.
    pub fn folder(&self, path: &Path) -> Result<Digest, Blocked> {
        self.once(path, || one_folder(self.facts, path)).map(|known| known.digest)
    }

    /// The files of a source; none if it cannot be read.
    pub(super) fn files(&self, path: &Path) -> Arc<Files> {
        let look = || if path.is_dir() { one_folder(self.facts, path) } else { one_file(self.facts, path) };
        // Another stage may have asked to look again since the key was made.
        self.once(path, look).map(|known| known.files).unwrap_or_default()
    }

    /// Forgets this build's answers, so that the next question looks at the files again.
    pub fn look_again(&self) {
        self.known().clear();
    }

    fn once(&self, path: &Path, compute: impl FnOnce() -> Result<Known, Blocked>) -> Result<Known, Blocked> {
        if let Some(known) = self.known().get(path) {
            return known.clone();
        }
        // Not under the lock: other threads have other files to ask for, and help to hash this one.
        let looked = compute();
        self.known().entry(path.to_owned()).or_insert(looked).clone()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Result<Known, Blocked>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(path: &Path) -> Blocked {
    Blocked {
        why: format!("missing source {}", path.display()),
        hint: Some("put the file there, or change its path in pipeline.toml".to_owned()),
    }
}

fn one_file(facts: &StatCache, path: &Path) -> Result<Known, Blocked> {
    if !path.is_file() {
        return Err(missing(path));
    }
    let digest = facts.digest_file(path).map_err(|error| refused(&error))?;
    Ok(Known { digest, files: Arc::new(Files::from([(path.to_owned(), digest)])) })
}

fn refused(error: &CacheError) -> Blocked {
    Blocked { why: with_cause(error), hint: error.hint() }
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

fn one_folder(facts: &StatCache, path: &Path) -> Result<Known, Blocked> {
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
    let mut known = Files::new();
    let digests = facts.digest_files(&files);
    for ((file, name), digest) in files.into_iter().zip(&names).zip(digests) {
        let digest = digest.map_err(|error| refused(&error))?;
        let name = name.as_encoded_bytes();
        manifest.update(&(name.len() as u64).to_le_bytes()).update(name).update(digest.as_bytes());
        known.insert(file, digest);
    }
    Ok(Known { digest: manifest.finalize().into(), files: Arc::new(known) })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changes_are_named_by_file() {
        let files = |text: &str| -> Files {
            let pairs = text.split_whitespace().map(|word| word.split_once('=').unwrap());
            pairs.map(|(name, content)| (PathBuf::from(name), Digest::of(content.as_bytes()))).collect()
        };
        for (name, old, new, said) in [
            ("nothing", "a=1 b=2", "a=1 b=2", ""),
            ("changed", "a=1 b=2", "a=1 b=3", "b changed"),
            ("removed", "a=1 b=2", "b=2", "a was removed"),
            ("added", "b=2", "a=1 b=2", "a was added"),
            ("several", "a=1 b=2", "b=3 c=1", "a was removed, b changed, c was added"),
            (
                "many",
                "",
                "a=1 b=1 c=1 d=1 e=1 f=1 g=1",
                "a was added, b was added, c was added, d was added, e was added, 2 more changed",
            ),
        ] {
            assert_eq!(changes(&files(old), &files(new)), said, "{name}");
        }
    }

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
            prop_assert_eq!(one_folder(&facts, &folder).unwrap().digest, naive(&folder));
        }
    }
}
