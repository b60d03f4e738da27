//! Objects: immutable bytes, named by their own hash.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::file::{self, Identity, Opened};
use super::{Cache, CacheError, fail};
use crate::digest::Digest;

/// How often [`Cache::put`] begins again when others remove or damage the object meanwhile.
const ATTEMPTS: usize = 4;

/// The name of some bytes in the cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    /// The hash of the bytes.
    pub digest: Digest,
    /// How many there are.
    pub bytes: u64,
    /// The file name extension without a dot, so that other programs know the format: `parquet`.
    pub extension: String,
}

/// Whether an object is where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Present,
    /// There is no such file.
    Missing,
    /// There is a file, but it holds something else.
    Damaged,
}

/// What was found under the name of an object.
pub(super) enum Found<T> {
    Whole(T),
    Missing,
    Damaged(Identity),
}

impl Cache {
    /// Stores `bytes` and returns their name; storing equal bytes again changes nothing.
    ///
    /// A damaged file under that name is moved to the quarantine and replaced.
    pub fn put(&self, bytes: &[u8], extension: &str) -> Result<Object, CacheError> {
        self.needs_writing("store an object")?;
        let extension = checked_extension(extension)?.to_owned();
        let object = Object { digest: Digest::of(bytes), bytes: bytes.len() as u64, extension };
        let path = self.path(&object);
        self.hold(object.digest)?;
        for _ in 0..ATTEMPTS {
            match self.find_object(&object)? {
                Found::Whole(()) => {
                    // Whoever wrote it may not have come to this yet, and our record must not outlive the object.
                    file::sync_folder(file::parent(&path))?;
                    return Ok(object);
                }
                Found::Damaged(seen) => self.quarantine(&path, seen),
                Found::Missing => {}
            }
            if file::publish_new(&self.scratch(), &path, bytes)? {
                return Ok(object);
            }
        }
        let taken = io::Error::from(io::ErrorKind::AlreadyExists);
        Err(CacheError::io("replace the damaged object", &path, taken))
    }

    /// Stores an object that comes in pieces from elsewhere, until `next` gives `None`.
    ///
    /// Returns `false`, having kept nothing, if the bytes are not those of its name. What is left of a longer answer is
    /// not asked for.
    pub(super) fn receive<E: From<CacheError>>(
        &self,
        object: &Object,
        next: &mut dyn FnMut() -> Result<Option<Bytes>, E>,
    ) -> Result<bool, E> {
        self.needs_writing("store an object")?;
        let path = self.path(object);
        let fail = |e| CacheError::io("write", &path, e);
        self.hold(object.digest)?;
        if let Found::Damaged(seen) = self.find_object(object)? {
            self.quarantine(&path, seen);
        }
        let mut file = file::temporary(&self.scratch())?;
        fail::point("object", "create");
        let mut hasher = blake3::Hasher::new();
        while let Some(piece) = next()? {
            if hasher.count() + piece.len() as u64 > object.bytes {
                return Ok(false);
            }
            hasher.update(&piece);
            file.as_file_mut().write_all(&piece).map_err(fail)?;
        }
        fail::point("object", "write");
        if Digest::from(hasher.finalize()) != object.digest {
            return Ok(false);
        }
        // Whoever was quicker wrote the same bytes.
        file::persist_new(file, &path)?;
        Ok(true)
    }

    /// Reads an object and verifies it.
    ///
    /// Returns `None` if it is not there. A damaged one is moved to the quarantine and is not there either.
    pub fn get(&self, object: &Object) -> Result<Option<Vec<u8>>, CacheError> {
        let found = self.find(object, |file| {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(object.bytes as usize)?;
            file.read_to_end(&mut bytes)?;
            Ok((Digest::of(&bytes), bytes))
        })?;
        Ok(match found {
            Found::Whole(bytes) => Some(bytes),
            Found::Missing => None,
            Found::Damaged(seen) => {
                self.quarantine(&self.path(object), seen);
                None
            }
        })
    }

    /// Whether the object seems to be there; see [`Cache::look`].
    pub fn has(&self, object: &Object) -> bool {
        self.look(object) == Presence::Present
    }

    /// Looks for an object without reading it: a file of the right size counts as present.
    pub fn look(&self, object: &Object) -> Presence {
        match fs::metadata(self.path(object)) {
            Ok(metadata) if metadata.is_file() && metadata.len() == object.bytes => Presence::Present,
            Ok(_) => Presence::Damaged,
            Err(_) => Presence::Missing,
        }
    }

    /// Reads an object only to see whether it is whole; moves nothing.
    pub fn verify(&self, object: &Object) -> Result<Presence, CacheError> {
        Ok(match self.find_object(object)? {
            Found::Whole(()) => Presence::Present,
            Found::Missing => Presence::Missing,
            Found::Damaged(_) => Presence::Damaged,
        })
    }

    /// The file of an object, for programs that read it in place; it must never be written to.
    pub fn path(&self, object: &Object) -> PathBuf {
        self.fanned("objects", &object.digest.to_hex(), &object.extension)
    }

    /// Reads an object only to see whether it is whole; moves nothing and holds nothing.
    pub(super) fn find_object(&self, object: &Object) -> Result<Found<()>, CacheError> {
        self.find(object, |file| Digest::of_reader(file).map(|d| (d, ())))
    }

    /// Opens an object and lets `read` take what it needs and the digest of everything.
    fn find<T>(
        &self,
        object: &Object,
        read: impl FnOnce(&mut dyn Read) -> io::Result<(Digest, T)>,
    ) -> Result<Found<T>, CacheError> {
        let path = self.path(object);
        let fail = |e| CacheError::io("read the object", &path, e);
        let (metadata, mut file) = match file::open_ours(&path).map_err(fail)? {
            Opened::File(metadata, file) => (metadata, file),
            Opened::Intruder(seen) => return Ok(Found::Damaged(seen)),
            Opened::Missing => return Ok(Found::Missing),
        };
        let seen = file::identity(&metadata);
        if !metadata.is_file() || metadata.len() != object.bytes {
            return Ok(Found::Damaged(seen));
        }
        match read(&mut file) {
            Ok((digest, taken)) if digest == object.digest => Ok(Found::Whole(taken)),
            Ok(_) => Ok(Found::Damaged(seen)),
            Err(e) if is_bad_sector(&e) => Ok(Found::Damaged(seen)),
            Err(e) => Err(fail(e)),
        }
    }
}

/// The disk cannot read the file any more (`EIO`): to us that is damage like any other.
fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(5)
}

/// Checks a file name extension: 1 to 16 lower-case letters and digits.
pub(super) fn checked_extension(extension: &str) -> Result<&str, CacheError> {
    let plain = extension.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if plain && (1..=16).contains(&extension.len()) {
        return Ok(extension);
    }
    let why = "it is not 1 to 16 lower-case letters and digits";
    Err(CacheError::Name { what: "a file name extension", name: extension.to_owned(), why })
}
