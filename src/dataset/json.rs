//! The published JSON, as it is: tolerant of further keys and any key order, strict about what rows are made of.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::DatasetError;

/// A whole annotation file.
#[derive(Deserialize)]
pub(super) struct File {
    pub(super) images: Vec<Image>,
}

/// An entry of `images`.
#[derive(Deserialize)]
pub(super) struct Image {
    pub(super) imgid: u32,
    pub(super) filename: String,
    pub(super) split: String,
    /// Redundant; compared with the sentences' own ids.
    #[serde(default)]
    pub(super) sentids: Loose<Vec<u32>>,
    pub(super) sentences: Vec<Sentence>,
}

/// An entry of `sentences`.
#[derive(Deserialize)]
pub(super) struct Sentence {
    pub(super) sentid: Option<u32>,
    /// Redundant; compared with the image's.
    #[serde(default)]
    pub(super) imgid: Loose<u32>,
    pub(super) raw: Option<String>,
    #[serde(default)]
    pub(super) tokens: Loose<Vec<String>>,
    pub(super) raw_chinese: Option<String>,
    #[serde(default)]
    pub(super) tokens_chinese: Loose<Vec<String>>,
}

/// A redundant field: what stands there may be wrong or absent without harm.
#[derive(Default, Deserialize)]
#[serde(untagged)]
pub(super) enum Loose<T> {
    Value(T),
    Other(IgnoredAny),
    #[default]
    Absent,
}

/// Parses a file; also tells whether it began with a byte order mark.
pub(super) fn parse(bytes: &[u8], file_name: &str) -> Result<(File, bool), DatasetError> {
    let (bytes, byte_order_mark) = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => (rest, true),
        None => (bytes, false),
    };
    let wrong = |line, column, cause| DatasetError::Json { file: file_name.to_owned(), line, column, cause };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let lines: Vec<&[u8]> = before.split(|&byte| byte == b'\n').collect();
        let column = lines.last().map_or(0, |line| line.len()) + 1;
        wrong(lines.len(), column, "not UTF-8; save the file as UTF-8".to_owned())
    })?;
    let file =
        serde_json::from_str(text).map_err(|error| wrong(error.line(), error.column(), explain(&error, text)))?;
    Ok((file, byte_order_mark))
}

/// The parser's words without the place, and with what they leave out.
fn explain(error: &serde_json::Error, text: &str) -> String {
    let said = error.to_string();
    let cause = said.rsplit_once(" at line ").map_or(said.as_str(), |(cause, _)| cause);
    if error.is_eof() {
        return format!("{cause}: the file is cut off");
    }
    if cause.contains("hex escape") {
        return format!("{cause}: half a surrogate pair is no character");
    }
    if cause == "expected value" {
        let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        let rest = line.get(error.column().saturating_sub(1)..).unwrap_or_default();
        let found: String = rest.chars().take_while(|c| !",]}".contains(*c)).take(20).collect();
        return format!("{cause}, found {found:?}");
    }
    cause.to_owned()
}
