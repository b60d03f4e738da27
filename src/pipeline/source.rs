//! Digests of source files and folders, each computed once per build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn once(&self, path: &Path, compute: impl FnOnce() -> Result<Digest, Blocked>) -> Result<Digest, Blocked> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(path.to_owned()).or_insert_with(compute).clone()
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
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    let mut manifest = blake3::Hasher::new_derive_key("rsic 2026 source folder v1");
    for (file, digest) in files.iter().zip(facts.digest_files(&files)) {
        let digest = digest.map_err(|error| Blocked { why: with_cause(&error), hint: None })?;
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        manifest.update(&(name.len() as u64).to_le_bytes()).update(name).update(digest.as_bytes());
    }
    Ok(manifest.finalize().into())
}
