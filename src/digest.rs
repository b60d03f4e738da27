//! Content digests: 256-bit BLAKE3, written as 64 lower-case hexadecimal digits.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A BLAKE3 digest of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Hashes everything that is left to read, in constant memory.
    pub fn of_reader(reader: impl Read) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(hasher.finalize().into())
    }

    /// Hashes `bytes` for one purpose; equal bytes under another `context` give another digest.
    ///
    /// `context` is a constant of the program, never data (BLAKE3 `derive_key`).
    pub fn derive(context: &str, bytes: &[u8]) -> Self {
        Self(blake3::derive_key(context, bytes))
    }

    /// The digest as 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(self) -> String {
        self.to_hex()[..12].to_owned()
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest of 64 lower-case hexadecimal digits")]
pub struct NotADigest(String);

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(NotADigest(text.to_owned()));
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let Some((high, low)) = digit(*high).zip(digit(*low)) else { return Err(NotADigest(text.to_owned())) };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// The value of a lower-case hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Hex)
    }
}

/// Reads a digest without a copy of its text: records hold some fifty of them.
struct Hex;

impl de::Visitor<'_> for Hex {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest of 64 lower-case hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_rejects_everything_else() {
        let digest = Digest::of(b"rsic");
        assert_eq!(digest.to_hex().parse::<Digest>().unwrap(), digest);
        let upper = digest.to_hex().to_uppercase();
        for wrong in ["", "ab", upper.as_str(), &"g".repeat(64), &"a".repeat(65)] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong:?}");
            assert!(serde_json::from_value::<Digest>(wrong.into()).is_err(), "{wrong:?}");
        }
        assert_eq!(serde_json::from_value::<Digest>(digest.to_hex().into()).unwrap(), digest);
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{digest}\"")).unwrap(), digest);
    }

    #[test]
    fn a_context_separates_equal_bytes() {
        assert_ne!(Digest::of(b"x"), Digest::derive("rsic test", b"x"));
    }
}
