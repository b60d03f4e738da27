//! Why a file is not a picture that we can use.

use std::fmt;

/// A file format, told from the first bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tagged Image File Format, either byte order, also `BigTIFF`.
    Tiff,
    /// JPEG.
    Jpeg,
    /// Portable Network Graphics.
    Png,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tiff => "TIFF",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
        })
    }
}

/// Why bytes could not be decoded; the caller adds the file's name.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The first bytes belong to no format that we read.
    #[error("not a TIFF, JPEG or PNG file (it begins with {0})")]
    UnknownFormat(String),
    /// The file ends before its last pixel.
    #[error("the {0} file is truncated: it ends before its last pixel; fetch it again")]
    Truncated(Format),
    /// The header declares more pixels than we are willing to hold, or none.
    #[error("the {format} file declares {width} x {height} pixels, and a picture may have 1 to {limit} a side and {pixels} in all",
        limit = super::MAX_SIDE, pixels = super::MAX_PIXELS)]
    Size {
        /// The file's format.
        format: Format,
        /// Declared pixels per row.
        width: u32,
        /// Declared rows.
        height: u32,
    },
    /// The format allows it, but this program has no rule for such samples.
    #[error("the {format} file holds {what}; convert it to 8-bit RGB")]
    Unsupported {
        /// The file's format.
        format: Format,
        /// What was met, a noun phrase.
        what: String,
    },
    /// The bytes break the rules of their format.
    #[error("the {format} file is damaged: {cause}")]
    Damaged {
        /// The file's format.
        format: Format,
        /// What the decoder says.
        cause: String,
    },
}
