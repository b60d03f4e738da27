//! From the remote store into the cache.

use futures_util::StreamExt as _;
use object_store::path::Path;

use super::{Remote, RemoteError};
use crate::cache::{Cache, Object, Record};
use crate::digest::Digest;
use crate::progress::{Interrupted, Progress};

impl Remote {
    /// Makes sure that the cache has `record`, with all its objects; returns how many bytes came.
    ///
    /// `progress` advances by all bytes of the record's objects. Fails with [`RemoteError::Corrupt`] or
    /// [`RemoteError::Lost`] if an object is not what the record names: then the record is not published.
    pub fn pull(&self, cache: &Cache, record: &Record, progress: &dyn Progress) -> Result<u64, RemoteError> {
        let mut bytes = 0;
        for output in &record.outputs {
            let object = output.stored();
            cache.hold(object.digest)?;
            if cache.has(&object) {
                progress.advance(object.bytes);
            } else {
                self.fetch(cache, &object, progress)?;
                bytes += object.bytes;
            }
        }
        cache.publish(record)?;
        Ok(bytes)
    }

    fn fetch(&self, cache: &Cache, object: &Object, progress: &dyn Progress) -> Result<(), RemoteError> {
        let path = self.object_path(object);
        let Some(answer) = self.start(&path)? else { return Err(RemoteError::Lost { url: self.shown(&path) }) };
        if answer.meta.size != object.bytes {
            return Err(self.corrupt(&path, format!("{} bytes instead of {}", answer.meta.size, object.bytes)));
        }
        let mut pieces = answer.into_stream();
        let whole = cache.receive::<RemoteError>(object, &mut || {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            let piece = self.ask("read", &path, async { pieces.next().await.transpose() })?.flatten();
            progress.advance(piece.as_ref().map_or(0, |piece| piece.len() as u64));
            Ok(piece)
        })?;
        if whole { Ok(()) } else { Err(self.corrupt(&path, "its bytes are not those of its name".to_owned())) }
    }

    /// The digest and the size of what is there.
    pub(super) fn read_through(
        &self,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<Option<(Digest, u64)>, RemoteError> {
        let Some(answer) = self.start(path)? else { return Ok(None) };
        let mut pieces = answer.into_stream();
        let mut hasher = blake3::Hasher::new();
        loop {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            match self.ask("read", path, async { pieces.next().await.transpose() })?.flatten() {
                Some(piece) => _ = hasher.update(&piece),
                None => return Ok(Some((hasher.finalize().into(), hasher.count()))),
            }
        }
    }
}
