//! The parsed file -> image and sentence rows, with the checks that stop a build.

use std::collections::{BTreeMap, BTreeSet};

use super::json::{File, Loose, Sentence};
use super::{DatasetError, Finding, FindingKind, ImageRecord, SentenceRecord, class, text};
use crate::language::{Language, Split};

/// How many examples a message gives.
const EXAMPLES: usize = 3;

/// The images in published order.
///
/// Fails if there is none, or at the first one whose split is unknown, whose name is unsafe or that repeats an earlier
/// one's id or name.
pub(super) fn images(file: &File, file_name: &str) -> Result<Vec<ImageRecord>, DatasetError> {
    if file.images.is_empty() {
        return Err(DatasetError::NoImages { file: file_name.to_owned() });
    }
    let (mut ids, mut names) = (BTreeMap::new(), BTreeMap::new());
    let mut splits = Vec::with_capacity(file.images.len());
    for (index, image) in file.images.iter().enumerate() {
        let position = index + 1;
        if let Some(cause) = unsafe_name(&image.filename) {
            let (file, filename) = (file_name.to_owned(), beginning(&image.filename));
            return Err(DatasetError::UnsafeName { file, position, filename, cause });
        }
        let split = image.split.parse::<Split>().ok();
        splits.push(split.ok_or_else(|| DatasetError::UnknownSplit {
            file: file_name.to_owned(),
            position,
            filename: image.filename.clone(),
            found: beginning(&image.split),
        })?);
        let repeated = |field, value, first| DatasetError::Repeated {
            file: file_name.to_owned(),
            field,
            value,
            first,
            second: position,
        };
        if let Some(first) = ids.insert(image.imgid, position) {
            return Err(repeated("imgid", image.imgid.to_string(), first));
        }
        if let Some(first) = names.insert(image.filename.as_str(), position) {
            return Err(repeated("filename", format!("`{}`", image.filename), first));
        }
    }
    let names: Vec<&str> = file.images.iter().map(|image| image.filename.as_str()).collect();
    let rows = file.images.iter().zip(splits).zip(class::classes(&names));
    Ok(rows
        .map(|((image, split), class)| ImageRecord {
            image_id: image.imgid,
            filename: image.filename.clone(),
            split,
            class,
        })
        .collect())
}

/// The longest name that file systems take, in bytes.
const LONGEST_NAME: usize = 255;
/// How much of a text from the file a message shows, in characters.
const SHOWN: usize = 100;

/// The beginning of a text.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Why a file name must not be joined to a folder, if so.
fn unsafe_name(name: &str) -> Option<&'static str> {
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    match name {
        "" => Some("is empty"),
        "." | ".." => Some("is a folder"),
        _ if name.contains(['/', '\\']) => Some("has a path separator"),
        _ if name.starts_with('.') => Some("is hidden"),
        _ if name.len() > LONGEST_NAME => Some("is longer than 255 bytes"),
        _ if drive => Some("begins with a drive letter"),
        _ if name.contains(char::is_control) => Some("has a control character"),
        _ => None,
    }
}

/// The sentences in published order; repairs and contradictions go to `findings`.
///
/// Fails if any sentence has no text in `language`.
pub(super) fn sentences(
    file: &File,
    file_name: &str,
    language: Language,
    findings: &mut Vec<Finding>,
) -> Result<Vec<SentenceRecord>, DatasetError> {
    require_text(file, file_name, language)?;
    let renumber = must_renumber(file, findings);
    let mut rows = Vec::new();
    for image in &file.images {
        sentence_ids_disagree(image, findings);
        for sentence in &image.sentences {
            let sent_id = sentence.sentid.filter(|_| !renumber).unwrap_or(rows.len() as u32);
            let (raw, tokens) = caption(sentence, language);
            let raw = raw.unwrap_or_default();
            let mut report = |kind, detail| {
                findings.push(Finding::of_sentence(kind, image.imgid, sent_id, detail));
            };
            match sentence.imgid {
                Loose::Value(id) if id != image.imgid => {
                    report(FindingKind::ImageIdDisagrees, format!("the sentence says imgid {id}"));
                }
                Loose::Other(_) => report(FindingKind::ImageIdDisagrees, "the sentence's imgid is no number".into()),
                _ => {}
            }
            match tokens {
                Loose::Value(tokens) if !text::tokens_agree(raw, tokens, language) => {
                    report(FindingKind::TokensDisagree, format!("`{raw}` has tokens `{}`", tokens.join("|")));
                }
                Loose::Other(_) => report(FindingKind::TokensDisagree, "the tokens are no list of strings".into()),
                _ => {}
            }
            let repaired = text::repair(raw);
            if repaired.batch_mark {
                report(FindingKind::BatchMark, format!("{raw:?} became {:?}", repaired.text));
            }
            if repaired.control {
                report(FindingKind::ControlCharacter, format!("{raw:?} became {:?}", repaired.text));
            }
            rows.push(SentenceRecord { image_id: image.imgid, sent_id, raw: repaired.text });
        }
    }
    Ok(rows)
}

fn caption(sentence: &Sentence, language: Language) -> (Option<&str>, &Loose<Vec<String>>) {
    match language {
        Language::En => (sentence.raw.as_deref(), &sentence.tokens),
        Language::Zh => (sentence.raw_chinese.as_deref(), &sentence.tokens_chinese),
    }
}

fn require_text(file: &File, file_name: &str, language: Language) -> Result<(), DatasetError> {
    let all = || file.images.iter().flat_map(|image| image.sentences.iter().enumerate().map(move |s| (image, s)));
    let lacking = || all().filter(|(_, (_, sentence))| caption(sentence, language).0.is_none());
    let missing = lacking().count();
    if missing == 0 {
        return Ok(());
    }
    let name = |(image, (index, _)): (&super::json::Image, (usize, _))| {
        format!("`{}` (imgid {}) sentence {}", image.filename, image.imgid, index + 1)
    };
    let examples = lacking().take(EXAMPLES).map(name).collect::<Vec<_>>().join(", ");
    Err(DatasetError::MissingText { file: file_name.to_owned(), language, missing, total: all().count(), examples })
}

/// Whether sentence ids are missing or collide; reported once.
fn must_renumber(file: &File, findings: &mut Vec<Finding>) -> bool {
    let mut seen = BTreeSet::new();
    let (mut missing, mut repeated, mut example) = (0, 0, None);
    for (image, sentence) in file.images.iter().flat_map(|image| image.sentences.iter().map(move |s| (image, s))) {
        match sentence.sentid {
            None => missing += 1,
            Some(id) if !seen.insert(id) => {
                repeated += 1;
                example = example.or_else(|| Some(format!("; the first is {id} in `{}`", image.filename)));
            }
            Some(_) => {}
        }
    }
    if missing + repeated == 0 {
        return false;
    }
    let example = example.unwrap_or_default();
    let detail =
        format!("{missing} sentence ids are missing and {repeated} are repeated{example}: all are numbered from 0");
    findings.push(Finding::of_set(FindingKind::SentenceIdsRenumbered, detail));
    true
}

fn sentence_ids_disagree(image: &super::json::Image, findings: &mut Vec<Finding>) {
    let own: Vec<u32> = image.sentences.iter().filter_map(|sentence| sentence.sentid).collect();
    let detail = match &image.sentids {
        Loose::Value(listed) if *listed != own => format!("`sentids` lists {listed:?}, the sentences have {own:?}"),
        Loose::Other(_) => "`sentids` is no list of numbers".to_owned(),
        _ => return,
    };
    findings.push(Finding::of_image(FindingKind::SentenceIdsDisagree, image.imgid, detail));
}
