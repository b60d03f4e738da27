//! A remote store: a bucket or a folder in which several machines share objects and records.
//!
//! | name | what it holds | written |
//! | --- | --- | --- |
//! | `FORMAT` | which program wrote it | once |
//! | `objects/ab/<digest>.<extension>` | the bytes of an object | before every record that names it |
//! | `actions/ab/<key>.json` | a [`Record`](super::Record), the same bytes as in a cache | exclusively: the first one stays |
//!
//! What comes from there is trusted as far as its hash: an object is kept only if its bytes are those of its name, a
//! record only if its key is that of its ingredients. Whoever may write there can still publish a wrong result under a
//! right key; `pipeline.lock` pins the objects of a result for those who fetch it.
//!
//! A store that does not answer is asked once: after that, all questions to the same handle fail at once.

mod error;
mod pull;
mod push;
mod rest;
mod secret;
mod settings;

use std::future::Future;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetResult, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use tokio::runtime::Runtime;

use super::{Cache, CacheError, Object, Record, canonical, file};
use crate::digest::Digest;

pub use error::RemoteError;
pub use push::{Pushed, Sent};
pub use secret::without_credentials;
pub use settings::RemoteSettings;

/// The line in FORMAT.
const FORMAT: &str = "rsic remote 1";

/// A handle of a remote store, to be shared between threads.
#[derive(Debug)]
pub struct Remote {
    url: String,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    folder: Option<PathBuf>,
    patience: Duration,
    /// Taken only when the handle is dropped.
    runtime: Option<Runtime>,
    state: Mutex<State>,
}

/// What is known of the store by now.
#[derive(Debug, Default)]
struct State {
    /// Whether FORMAT was there and right.
    greeted: Option<bool>,
    /// Why nothing is asked any more.
    down: Option<Silence>,
}

/// The first question that was not answered.
#[derive(Clone, Debug)]
struct Silence {
    doing: &'static str,
    url: String,
    why: String,
    refused: bool,
}

impl From<Silence> for RemoteError {
    fn from(Silence { doing, url, why, refused }: Silence) -> Self {
        if refused { Self::Refused { doing, url, why } } else { Self::Down { doing, url, why } }
    }
}

impl Remote {
    /// A handle of the store that `settings` name; relative folders begin at `base`. Nothing is asked yet.
    ///
    /// Fails if the settings cannot be used.
    pub fn open(settings: &RemoteSettings, base: &FilePath) -> Result<Self, RemoteError> {
        let url = settings.shown();
        let place = settings.place(base)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| RemoteError::Settings { url: url.clone(), why: error.to_string() })?;
        Ok(Self {
            url,
            store: place.store,
            prefix: place.prefix,
            folder: place.folder,
            patience: Duration::from_secs(settings.timeout),
            runtime: Some(runtime),
            state: Mutex::default(),
        })
    }

    /// The address, fit to be shown.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The record of an action, or `None` if the store has none.
    pub fn record(&self, key: Digest) -> Result<Option<Record>, RemoteError> {
        if !self.is_founded()? {
            return Ok(None);
        }
        let path = self.record_path(key);
        let Some(bytes) = self.small(&path)? else { return Ok(None) };
        let record = Record::read(&bytes, key);
        record.map(Some).ok_or_else(|| self.corrupt(&path, "it is not a record of this key".to_owned()))
    }

    /// The record of an action if all its objects are there or in `cache`, as far as their sizes tell.
    pub fn offer(&self, cache: &Cache, key: Digest) -> Result<Option<Record>, RemoteError> {
        let Some(record) = self.record(key)? else { return Ok(None) };
        for output in record.outputs.iter().filter(|output| !cache.has(&output.stored())) {
            if self.size(&self.object_path(&output.stored()))? != Some(output.bytes) {
                return Ok(None);
            }
        }
        Ok(Some(record))
    }

    /// Whether there is a store at the place; fails if there is something else.
    pub fn is_founded(&self) -> Result<bool, RemoteError> {
        if let Some(known) = self.state().greeted {
            return Ok(known);
        }
        let path = self.prefix.clone().join("FORMAT");
        let found = self.small(&path)?;
        if let Some(bytes) = &found {
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().next().unwrap_or_default().trim_end();
            if line != FORMAT {
                let found = line.chars().take(80).collect();
                return Err(RemoteError::Format { url: self.shown(&path), found, known: FORMAT });
            }
        }
        self.state().greeted = Some(found.is_some());
        Ok(found.is_some())
    }

    /// Makes the place a store, if it is none yet.
    fn found(&self) -> Result<(), RemoteError> {
        if !self.is_founded()? {
            let path = self.prefix.clone().join("FORMAT");
            self.create(&path, format!("{FORMAT}\n").into())?;
            self.state().greeted = None;
            self.is_founded()?;
        }
        Ok(())
    }

    fn record_path(&self, key: Digest) -> Path {
        let hex = key.to_hex();
        self.prefix.clone().join("actions").join(&hex[..2]).join(format!("{hex}.json"))
    }

    fn object_path(&self, object: &Object) -> Path {
        let hex = object.digest.to_hex();
        self.prefix.clone().join("objects").join(&hex[..2]).join(format!("{hex}.{}", object.extension))
    }

    /// The address of one file, fit to be shown.
    fn shown(&self, path: &Path) -> String {
        let within = path.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or(path.as_ref());
        format!("{}/{}", self.url.trim_end_matches('/'), within.trim_start_matches('/'))
    }

    fn corrupt(&self, path: &Path, why: String) -> RemoteError {
        RemoteError::Corrupt { url: self.shown(path), why }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer, but not for ever; `None` is "there is no such file".
    fn ask<T>(
        &self,
        doing: &'static str,
        path: &Path,
        question: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Option<T>, RemoteError> {
        self.within(self.patience, doing, path, question)
    }

    /// Waits for up to [`push::PART`] bytes to be sent.
    fn send_some<T>(
        &self,
        path: &Path,
        question: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Option<T>, RemoteError> {
        self.within(self.patience * 12, "write", path, question)
    }

    fn within<T>(
        &self,
        patience: Duration,
        doing: &'static str,
        path: &Path,
        question: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Option<T>, RemoteError> {
        if let Some(silence) = &self.state().down {
            return Err(silence.clone().into());
        }
        let answer = self.wait(patience, question);
        let late = answer.is_none();
        let (why, refused) = match answer {
            Some(Ok(answer)) => return Ok(Some(answer)),
            Some(Err(object_store::Error::NotFound { .. })) => return Ok(None),
            Some(Err(error)) => (secret::clean(&chain(&error)), is_refusal(&error)),
            None => (format!("no answer within {} s", patience.as_secs()), false),
        };
        let silence = Silence { doing, url: self.shown(path), why, refused };
        // What a folder says of one file is not said of the others.
        if late || self.folder.is_none() {
            self.state().down.get_or_insert_with(|| silence.clone());
        }
        Err(silence.into())
    }

    /// The answer, if it comes in time.
    fn wait<T>(&self, patience: Duration, question: impl Future<Output = T>) -> Option<T> {
        let runtime = self.runtime.as_ref()?;
        runtime.block_on(async { tokio::time::timeout(patience, question).await }).ok()
    }

    /// There is nothing to write into, such as a bucket.
    fn nowhere(&self, path: &Path) -> RemoteError {
        let why = "there is no such bucket or container".to_owned();
        RemoteError::Down { doing: "write", url: self.shown(path), why }
    }

    fn start(&self, path: &Path) -> Result<Option<GetResult>, RemoteError> {
        self.ask("read", path, self.store.get(path))
    }

    /// A whole small file.
    fn small(&self, path: &Path) -> Result<Option<Bytes>, RemoteError> {
        let Some(answer) = self.start(path)? else { return Ok(None) };
        if answer.meta.size > canonical::LARGEST {
            return Err(self.corrupt(path, format!("it has {} bytes", answer.meta.size)));
        }
        self.ask("read", path, answer.bytes())
    }

    fn size(&self, path: &Path) -> Result<Option<u64>, RemoteError> {
        Ok(self.ask("look for", path, self.store.head(path))?.map(|meta| meta.size))
    }

    /// Writes a small file; `false` if the name is taken.
    fn create(&self, path: &Path, bytes: Bytes) -> Result<bool, RemoteError> {
        let written = self.ask("write", path, async {
            match self.store.put_opts(path, PutPayload::from(bytes), PutMode::Create.into()).await {
                // Services say it in either way.
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
                other => other.map(|_| true),
            }
        })?;
        let written = written.ok_or_else(|| self.nowhere(path))?;
        self.settle(path)?;
        Ok(written)
    }

    /// Makes a new file durable where that is up to us.
    fn settle(&self, path: &Path) -> Result<(), RemoteError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let within = path.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or_default();
        let target = folder.join(within.trim_start_matches('/'));
        let synced = std::fs::File::open(&target).and_then(|file| file.sync_all());
        synced.map_err(|error| CacheError::io("sync", &target, error))?;
        for above in target.ancestors().skip(1).take_while(|above| above.starts_with(folder)) {
            file::sync_folder(above)?;
        }
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // A call into a dead network share may never return; nobody waits for it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether the store is there and does not want us.
fn is_refusal(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
