//! Captions that somebody else's model made -> one caption for every image of a split.
//!
//! [`read`] takes a whole file and tells its format by content first and by name second:
//!
//! | format | an image and its caption |
//! | --- | --- |
//! | JSON object, as the original code writes | `{"12": "a plane ."}`; a list of exactly one string is a caption too |
//! | JSON list, as COCO wants results | `[{"image_id": 12, "caption": "a plane ."}]` |
//! | JSON object with such a list | `{"annotations": [...]}` |
//! | JSONL | `{"image_id": 12, "caption": "a plane ."}` on a line of its own |
//! | CSV, TSV | columns `image_id` and `caption` under a header |
//!
//! Instead of `image_id` a file may say any of [`KEY_NAMES`]; other keys and columns are passed over. Parquet is read by
//! the import stage, which fills the same [`Record`]s. [`assign`] then gives each image of a split its caption, or tells
//! everything that keeps it from doing so at once. Captions stay as they are, byte for byte; an empty one is a caption.

mod assign;
#[cfg(test)]
mod assign_tests;
mod columns;
mod error;
mod explain;
#[cfg(test)]
mod hostile_tests;
mod index;
mod json;
mod key;
mod kind;
mod problems;
#[cfg(test)]
mod random_tests;
mod record;
#[cfg(test)]
mod tests;
mod value;

pub use assign::{Assigned, Target, assign};
pub use error::CandidateError;
pub use key::{BadKey, ImageKey};
pub use record::{CAPTION, KEY_NAMES, Record};

/// One caption, and the image it is said to be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the file calls the image.
    pub key: ImageKey,
    /// What else the file calls it: the name, where `key` is an id and both stand there. [`assign`] compares the two.
    pub also: Option<ImageKey>,
    /// The caption.
    pub caption: String,
    /// Where it stands: the line, or the row in a format without lines; from 1.
    pub line: usize,
}

/// Reads a caption file; entries come in the file's order, repeated ones included.
///
/// `file_name` is what messages call it; its extension decides only where the content leaves it open. Fails if the file
/// is of no known format, has no caption at all, or at the first entry that is not one image with one caption.
pub fn read(bytes: &[u8], file_name: &str) -> Result<Vec<Entry>, CandidateError> {
    kind::refuse_foreign(bytes, file_name)?;
    let text = utf8(bytes, file_name)?;
    let extension = file_name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let json = matches!(extension.as_deref(), Some("json" | "jsonl" | "ndjson"));
    let entries = match text.trim_start().bytes().next() {
        Some(b'{' | b'[') => json::entries(text, file_name)?,
        Some(_) if json && !columns::has_header(text) => json::entries(text, file_name)?,
        _ => columns::entries(text, file_name, extension.as_deref() == Some("tsv"))?,
    };
    if entries.is_empty() {
        return Err(CandidateError::Empty { file: file_name.to_owned() });
    }
    Ok(entries)
}

/// The text without its byte order mark.
fn utf8<'a>(bytes: &'a [u8], file_name: &str) -> Result<&'a str, CandidateError> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(text).map_err(|error| {
        let (line, column) = position(text, error.valid_up_to());
        let byte = bytes.len() - text.len() + error.valid_up_to() + 1;
        CandidateError::NotUtf8 { file: file_name.to_owned(), line, column, byte }
    })
}

/// Line and column of a byte, both from 1.
fn position(text: &[u8], at: usize) -> (usize, usize) {
    let (mut line, mut start) = (1, 0);
    for (end, _) in text[..at].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        (line, start) = (line + 1, end + 1);
    }
    (line, at - start + 1)
}
