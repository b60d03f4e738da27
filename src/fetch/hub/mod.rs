//! Models from the hub into the Hugging Face cache.
//!
//! ```text
//! revision -> commit and list of files -> which are wanted -> etag and size of each
//!          -> blobs/<etag>.incomplete -> digest -> blobs/<etag> -> snapshots/<commit>/<file> -> refs/<revision>
//! ```
//!
//! - What is in the cache is not fetched again, whoever put it there; Python's `huggingface_hub` finds what we put there.
//! - A kill at any time leaves blobs that are whole and parts that the next run goes on with. The revision is noted
//!   last: until then readers see the old commit.
//! - All files are of one commit, even if the branch moves meanwhile.
//! - Nothing from the network becomes a path or a blob before it was checked; the token goes to the hub only.
//! - Offline, no client is made: there is no code that could open a socket.
//!
//! The crate `hf-hub` is not used. 0.5 (the last one on `ureq`) checks no digest, has no offline mode, does not read
//! `HF_TOKEN` or `HF_HUB_CACHE`, locks another file than Python's client, has one kind of error for all refusals, and
//! appends a whole file to its part when a server ignores the range. 1.0 neither resumes nor checks digests, and needs
//! tokio, reqwest and Xet: 225 crates.

mod api;
mod background;
mod check;
mod choose;
mod client;
mod download;
mod error;
mod hint;
mod layout;
mod lock;
mod name;
mod redirect;
mod retry;
mod settings;

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;

pub use check::Proof;
pub use choose::{CONFIG, Files, PREPROCESSOR, TOKENIZER};
pub use error::HubError;
pub use settings::{Settings, Token, cache_folder};

use crate::progress::Progress;
use client::Client;
use layout::Layout;

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// `NAME` or `ORG/NAME`.
    pub id: &'a str,
    /// A branch, a tag, `refs/pr/N` or a commit.
    pub revision: &'a str,
    /// Which of its files.
    pub files: Files<'a>,
}

/// A model that is in the cache now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// What the revision means.
    pub commit: String,
    /// `snapshots/<commit>`.
    pub folder: PathBuf,
    /// The files that were wanted, in the order in which they came.
    pub files: Vec<FetchedFile>,
    /// Bytes that came over the network, without those that were here before.
    pub downloaded_bytes: u64,
}

/// A file that is in the cache now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedFile {
    /// Its name in the repository.
    pub name: String,
    /// Its place in the snapshot.
    pub path: PathBuf,
    /// How it was checked.
    pub proof: Proof,
}

/// Makes sure that the wanted files are in the cache.
///
/// `progress` hears of each file's bytes (unit `bytes`) and in notes of waiting and trying again.
pub fn fetch(settings: &Settings, wanted: &Wanted, progress: &dyn Progress) -> Result<Fetched, HubError> {
    name::check_id(wanted.id)?;
    name::check_revision(wanted.revision)?;
    let layout = Layout::new(&settings.cache, wanted.id, settings.symlinks);
    match here(&layout, wanted) {
        Ok(fetched) if settings.offline || needs_no_hub(wanted) => return Ok(fetched),
        Err(error) if settings.offline => return Err(error),
        _ => {}
    }
    let client = Client::new(settings, progress)?;
    let listing = api::listing(&client, wanted.id, wanted.revision)?;
    let commit = listing.commit;
    let mut fetched = Fetched { folder: layout.snapshot(&commit), commit, files: Vec::new(), downloaded_bytes: 0 };
    let mut names = VecDeque::from(wanted.files.choose(wanted.id, &listing.files)?);
    while let Some(name) = names.pop_front() {
        let (file, bytes) = one_file(&client, &layout, wanted, &fetched.commit, name)?;
        names.extend(shards(wanted, &file)?);
        fetched.files.push(file);
        fetched.downloaded_bytes += bytes;
    }
    layout.set_commit(wanted.revision, &fetched.commit)?;
    Ok(fetched)
}

/// A commit never changes: files of it that are here and were named need no question.
fn needs_no_hub(wanted: &Wanted) -> bool {
    name::is_commit(wanted.revision) && matches!(wanted.files, Files::Named(_))
}

/// The wanted files as the cache has them.
fn here(layout: &Layout, wanted: &Wanted) -> Result<Fetched, HubError> {
    let lacks = |what: &str| HubError::Offline {
        id: wanted.id.to_owned(),
        revision: wanted.revision.to_owned(),
        missing: what.to_owned(),
    };
    let commit = layout.commit(wanted.revision).ok_or_else(|| lacks("the revision"))?;
    let mut fetched = Fetched { folder: layout.snapshot(&commit), commit, files: Vec::new(), downloaded_bytes: 0 };
    let names = wanted.files.choose(wanted.id, &layout.files(&fetched.commit));
    let mut names = VecDeque::from(names.map_err(|error| match error {
        HubError::NoModel { lacks: what, .. } => lacks(what),
        error => error,
    })?);
    while let Some(name) = names.pop_front() {
        let path = layout.here(&fetched.commit, &name).ok_or_else(|| lacks(&name))?;
        let file = FetchedFile { name, path, proof: Proof::AlreadyHere };
        names.extend(shards(wanted, &file)?);
        fetched.files.push(file);
    }
    Ok(fetched)
}

/// The files that this one asks for in turn.
fn shards(wanted: &Wanted, file: &FetchedFile) -> Result<Vec<String>, HubError> {
    if wanted.files != Files::Model || !choose::lists_shards(&file.name) {
        return Ok(Vec::new());
    }
    let list = fs::read(&file.path).map_err(HubError::io(&file.path))?;
    let lacks = "weights: its list of shards names none";
    choose::shards(&list)?.ok_or_else(|| HubError::NoModel { id: wanted.id.to_owned(), lacks, others: Vec::new() })
}

fn one_file(
    client: &Client,
    layout: &Layout,
    wanted: &Wanted,
    commit: &str,
    name: String,
) -> Result<(FetchedFile, u64), HubError> {
    if let Some(path) = layout.here(commit, &name) {
        return Ok((FetchedFile { name, path, proof: Proof::AlreadyHere }, 0));
    }
    let facts = api::file_facts(client, wanted, commit, &name)?;
    let got = download::blob(client, layout, &download::Wanted { id: wanted.id, commit, file: &name, facts: &facts })?;
    let path = layout.publish(commit, &name, &facts.etag)?;
    Ok((FetchedFile { name, path, proof: got.proof }, got.bytes))
}

#[cfg(test)]
mod tests;
