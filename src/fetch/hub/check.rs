//! Whether a file has the bytes that the hub's etag promises.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use super::error::HubError;
use super::name::is_hex;
use crate::progress::{Interrupted, Progress};

/// How the bytes of a file were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It was in the cache before: whoever put it there checked it.
    AlreadyHere,
    /// Its SHA-256 is that of the hub: the files of Git LFS and Xet.
    Sha256,
    /// Its Git blob id (SHA-1) is that of the hub: all other files.
    GitBlob,
    /// Only its size: the etag is no digest, as with some mirrors.
    SizeOnly,
}

impl Proof {
    /// What an etag can prove: 64 hexadecimal digits are a SHA-256, 40 a Git blob id.
    pub(super) fn of(etag: &str) -> Self {
        if is_hex(etag, 64) {
            Self::Sha256
        } else if is_hex(etag, 40) {
            Self::GitBlob
        } else {
            Self::SizeOnly
        }
    }
}

/// Reads the file at `path` and compares its digest with the etag; `name` is for the message.
pub(super) fn check(path: &Path, name: &str, etag: &str, progress: &dyn Progress) -> Result<Proof, HubError> {
    let proof = Proof::of(etag);
    let (digest, algorithm) = match proof {
        Proof::Sha256 => ("SHA-256", &SHA256),
        Proof::GitBlob => ("Git blob id", &SHA1_FOR_LEGACY_USE_ONLY),
        Proof::SizeOnly | Proof::AlreadyHere => return Ok(proof),
    };
    let mut file = File::open(path).map_err(HubError::io(path))?;
    let mut context = Context::new(algorithm);
    if proof == Proof::GitBlob {
        let length = file.metadata().map_err(HubError::io(path))?.len();
        context.update(format!("blob {length}\0").as_bytes());
    }
    let mut buffer = vec![0; 1 << 20];
    loop {
        if progress.cancelled() {
            return Err(Interrupted.into());
        }
        match file.read(&mut buffer).map_err(HubError::io(path))? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    let found = hex(context.finish().as_ref());
    if found == etag {
        return Ok(proof);
    }
    Err(HubError::Corrupt { file: name.to_owned(), digest, expected: etag.to_owned(), found })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn digests_of_known_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        // (bytes, etag, proof): `sha256sum` and `git hash-object --stdin` of the bytes.
        for (bytes, etag, proof) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Some(Proof::Sha256)),
            ("hello\n", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", Some(Proof::Sha256)),
            ("hello\n", "ce013625030ba8dba906f756967f9e9ca394464a", Some(Proof::GitBlob)),
            ("", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", Some(Proof::GitBlob)),
            ("hello\n", "some-mirror-1", Some(Proof::SizeOnly)),
            ("hullo\n", "ce013625030ba8dba906f756967f9e9ca394464a", None),
            ("hullo\n", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", None),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let found = check(&path, "x", etag, &Silent);
            assert_eq!(found.as_ref().ok().copied(), proof, "{bytes:?} {etag}: {found:?}");
            assert_eq!(matches!(found, Err(HubError::Corrupt { .. })), proof.is_none());
        }
    }
}
