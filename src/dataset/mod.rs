//! Published annotation files -> rows, with a linter for everything odd in them.
//!
//! [`read`] takes the JSON of one dataset in one language. What contradicts itself beyond repair or could do harm is a
//! [`DatasetError`]; everything else is kept and reported as a [`Finding`]. Captions stay as published, byte for byte,
//! with two exceptions, both reported: batch marks (`###`) and the blanks around them go, and a control character or
//! line break becomes a blank. In particular nothing is trimmed, lower-cased or normalised (NFKC would change most
//! Chinese captions).

pub mod candidates;
mod class;
mod edition;
mod error;
mod finding;
mod json;
pub mod lint;
mod rows;
#[cfg(test)]
mod tests;
mod text;

pub use error::DatasetError;
pub use finding::{Finding, FindingKind};

use crate::digest::Digest;
use crate::language::{Language, Split};

/// One dataset in one language, in published order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// The language of the captions.
    pub language: Language,
    /// The edition's name: scores are comparable exactly when it is the same.
    ///
    /// A published edition has its own name (`rsicd-original`); a published split with other captions is
    /// `<split>-text-<8 hex digits of the captions digest>`; anything else is `custom-<8 hex digits of both digests>`.
    pub edition: String,
    /// Digest of the ordered (file name, split) list.
    pub split_digest: Digest,
    /// Digest of the language and of all captions, image by image.
    pub captions_digest: Digest,
    /// The images.
    pub images: Vec<ImageRecord>,
    /// The captions, image by image.
    pub sentences: Vec<SentenceRecord>,
    /// Everything odd, grouped by kind.
    pub findings: Vec<Finding>,
}

/// One image of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// The published `imgid`, unique.
    pub image_id: u32,
    /// A plain file name without folders, unique.
    pub filename: String,
    /// The part of the dataset it belongs to.
    pub split: Split,
    /// The scene class, where the file name tells.
    pub class: Option<String>,
}

/// One caption of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceRecord {
    /// The image it describes.
    pub image_id: u32,
    /// The published `sentid`, or its number in the file if those are not unique.
    pub sent_id: u32,
    /// The caption.
    pub raw: String,
}

/// Reads an annotation file.
///
/// `file_name` is what messages call it. Unknown keys, key order, line breaks and a byte order mark do not matter. For
/// [`Language::Zh`] only `raw_chinese` is read; a caption without it is an error, never replaced by the English one.
pub fn read(json: &[u8], file_name: &str, language: Language) -> Result<Annotations, DatasetError> {
    let (file, byte_order_mark) = json::parse(json, file_name)?;
    let mut findings = Vec::new();
    if byte_order_mark {
        findings.push(Finding::of_set(FindingKind::ByteOrderMark, "the file begins with a byte order mark".to_owned()));
    }
    let images = rows::images(&file, file_name)?;
    let sentences = rows::sentences(&file, file_name, language, &mut findings)?;
    let split_digest = edition::split_digest(&images);
    let captions_digest = edition::captions_digest(language, &images, &sentences);
    let edition = edition::name(language, split_digest, captions_digest);
    findings.extend(edition::findings(split_digest, &edition));
    findings.extend(lint::check(language, &images, &sentences));
    // Stable: within a kind the order stays that of the file.
    findings.sort_by_key(|finding| finding.kind);
    Ok(Annotations { language, edition, split_digest, captions_digest, images, sentences, findings })
}
