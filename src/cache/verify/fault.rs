//! The faults that a cache can have.

use std::fmt;

use crate::digest::Digest;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A record names this object, but it is not there; its action has to run again.
    ObjectMissing {
        /// The key of the record.
        key: Digest,
        /// The name of the output.
        output: String,
    },
    /// The object has another size than a record says, or is no file.
    ObjectSize {
        /// What the record says, in bytes.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The bytes of the object are not those that its name says.
    ObjectBytes,
    /// Not a whole record, or that of another key.
    RecordDamaged,
    /// Not a whole root, or that of another instance.
    RootDamaged,
    /// Not a whole pin, or one of another name.
    PinDamaged,
    /// Not a whole hint, or one about something else.
    HintDamaged,
    /// Unfinished work that cannot be gone on with.
    PartialDamaged,
    /// A root or a pin keeps a record that is not there.
    RecordMissing {
        /// The key of the record.
        key: Digest,
    },
    /// It cannot be read.
    Unreadable {
        /// The answer of the operating system.
        why: String,
    },
    /// A temporary file of a killed program.
    Leftover,
    /// Not a file of this program.
    Foreign,
}

impl Fault {
    /// Whether a result is damaged, lost or in doubt; the others are only untidy.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Leftover | Self::Foreign)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectMissing { key, output } => write!(f, "missing: output {output} of record {}", key.short()),
            Self::ObjectSize { expected, found } => write!(f, "damaged: {found} bytes instead of {expected}"),
            Self::ObjectBytes => f.write_str("damaged: the bytes are not those of its name"),
            Self::RecordDamaged => f.write_str("damaged record"),
            Self::RootDamaged => f.write_str("damaged root"),
            Self::PinDamaged => f.write_str("damaged pin"),
            Self::HintDamaged => f.write_str("damaged hint"),
            Self::PartialDamaged => f.write_str("damaged checkpoint"),
            Self::RecordMissing { key } => write!(f, "keeps record {}, which is missing", key.short()),
            Self::Unreadable { why } => write!(f, "cannot be read: {why}"),
            Self::Leftover => f.write_str("left by a killed program"),
            Self::Foreign => f.write_str("not a file of the cache"),
        }
    }
}
