//! From the cache into the remote store.

use std::fs::File;
use std::io::Read;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart};

use super::{Remote, RemoteError};
use crate::cache::object::Found;
use crate::cache::{Cache, CacheError, Object, Record, file};
use crate::digest::Digest;
use crate::progress::{Interrupted, Progress};

/// Larger objects go up in parts of this size, in bytes.
const PART: u64 = 8 << 20;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was not there.
    New,
    /// It was there.
    There,
    /// A damaged one was there, and was replaced.
    Mended,
}

/// What [`Remote::push`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// What became of the record.
    pub record: Sent,
    /// How many objects went up.
    pub objects: usize,
    /// How many bytes these have.
    pub bytes: u64,
}

impl Remote {
    /// Sends a result: its objects, then its record. What is there stays, unless it is damaged.
    ///
    /// Every object that goes up is read back and compared. Objects that are there already are taken for whole if their
    /// size is right; with `verify` they are read. `progress` advances by all bytes of the record's objects.
    ///
    /// Fails with [`RemoteError::Conflict`] if the store has another result under this key.
    pub fn push(
        &self,
        cache: &Cache,
        key: Digest,
        verify: bool,
        progress: &dyn Progress,
    ) -> Result<Pushed, RemoteError> {
        let Some(record) = cache.record(key)? else {
            return Err(CacheError::NoResult(format!("key {}", key.short())).into());
        };
        self.found()?;
        let theirs = match self.record(key) {
            Ok(Some(theirs)) if !same(&theirs, &record) => return Err(RemoteError::Conflict(key)),
            Ok(theirs) => theirs,
            Err(RemoteError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut pushed = Pushed { record: Sent::There, objects: 0, bytes: 0 };
        // The objects of the record that is there, which may be encoded in another way.
        for output in &theirs.as_ref().unwrap_or(&record).outputs {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            let object = output.stored();
            let path = self.object_path(&object);
            if !self.holds(&path, &object, verify, progress)? {
                self.send(cache, &object, &path, progress)?;
                pushed.objects += 1;
                pushed.bytes += object.bytes;
            }
            progress.advance(object.bytes);
        }
        if theirs.is_none() {
            pushed.record = self.send_record(&record)?;
        }
        Ok(pushed)
    }

    fn holds(&self, path: &Path, object: &Object, verify: bool, progress: &dyn Progress) -> Result<bool, RemoteError> {
        if verify {
            Ok(self.read_through(path, progress)? == Some((object.digest, object.bytes)))
        } else {
            Ok(self.size(path)? == Some(object.bytes))
        }
    }

    fn send(&self, cache: &Cache, object: &Object, path: &Path, progress: &dyn Progress) -> Result<(), RemoteError> {
        if object.bytes <= PART {
            let Some(bytes) = cache.get(object)? else { return Err(lost(object)) };
            let sent = self.send_some(path, self.store.put(path, PutPayload::from(bytes)))?;
            sent.ok_or_else(|| self.nowhere(path))?;
        } else {
            self.send_parts(cache, object, path, progress)?;
        }
        self.settle(path)?;
        let back = self.read_through(path, progress);
        if matches!(back, Ok(Some(found)) if found == (object.digest, object.bytes)) {
            return Ok(());
        }
        // Whoever comes next would take a file of the right size for whole.
        _ = self.wait(self.patience, self.store.delete(path));
        back?;
        Err(self.corrupt(path, "what was uploaded does not come back the same".to_owned()))
    }

    /// Sends a large object in parts; a local file that turns out to be damaged leaves nothing there.
    fn send_parts(
        &self,
        cache: &Cache,
        object: &Object,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<(), RemoteError> {
        let place = cache.path(object);
        let fail = |error| CacheError::io("read the object", &place, error);
        let mut source = match File::open(&place) {
            Err(error) if file::is_missing(&error) => return Err(lost(object)),
            opened => opened.map_err(fail)?,
        };
        let upload = self.ask("write", path, self.store.put_multipart(path))?;
        let Some(upload) = upload else { return Err(RemoteError::Lost { url: self.shown(path) }) };
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART as usize);
        let mut hasher = blake3::Hasher::new();
        let sent = loop {
            let mut part = Vec::with_capacity(PART as usize);
            if let Err(error) = source.by_ref().take(PART).read_to_end(&mut part) {
                break Err(fail(error).into());
            }
            if part.is_empty() {
                break Ok(());
            }
            if progress.cancelled() {
                break Err(Interrupted.into());
            }
            hasher.update(&part);
            let wrote = self.send_some(path, async {
                upload.wait_for_capacity(2).await?;
                upload.put(Bytes::from(part));
                Ok(())
            });
            if let Err(error) = wrote {
                break Err(error);
            }
        };
        let whole = Digest::from(hasher.finalize()) == object.digest;
        match sent {
            Ok(()) if whole => {
                self.send_some(path, upload.finish())?.ok_or_else(|| self.nowhere(path))?;
                Ok(())
            }
            sent => {
                // Even if the store does not answer any more: parts that stay are paid for.
                _ = self.wait(self.patience, upload.abort());
                sent?;
                // So that the next build makes it anew.
                if let Found::Damaged(seen) = cache.find_object(object)? {
                    cache.quarantine(&place, seen);
                }
                Err(lost(object))
            }
        }
    }

    fn send_record(&self, record: &Record) -> Result<Sent, RemoteError> {
        let path = self.record_path(record.key);
        let text = record.text()?;
        let sent = if self.create(&path, text.clone().into())? {
            Sent::New
        } else {
            match self.record(record.key) {
                Ok(Some(theirs)) if same(&theirs, record) => return Ok(Sent::There),
                Ok(Some(_)) => return Err(RemoteError::Conflict(record.key)),
                Ok(None) | Err(RemoteError::Corrupt { .. }) => {
                    let sent = self.ask("write", &path, self.store.put(&path, PutPayload::from(text)))?;
                    sent.ok_or_else(|| self.nowhere(&path))?;
                    self.settle(&path)?;
                    Sent::Mended
                }
                Err(error) => return Err(error),
            }
        };
        match self.record(record.key)? {
            Some(back) if back == *record => Ok(sent),
            _ => Err(self.corrupt(&path, "what was uploaded does not come back the same".to_owned())),
        }
    }
}

/// Whether two records of one key have the same content, however it is encoded.
fn same(one: &Record, other: &Record) -> bool {
    let content = |record: &Record| -> Vec<_> {
        record.outputs.iter().map(|output| (output.name.clone(), output.data, output.columns.clone())).collect()
    };
    content(one) == content(other)
}

fn lost(object: &Object) -> RemoteError {
    CacheError::NoResult(format!("object {}", object.digest.short())).into()
}
