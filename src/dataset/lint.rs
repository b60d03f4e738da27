//! All checks on finished rows; each function is one check.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, FindingKind, ImageRecord, SentenceRecord, text};
use crate::digest::Digest;
use crate::language::{Language, Split};

/// Everything that the rows themselves show.
pub(super) fn check(language: Language, images: &[ImageRecord], sentences: &[SentenceRecord]) -> Vec<Finding> {
    let mut captions: BTreeMap<u32, Vec<&str>> = images.iter().map(|image| (image.image_id, Vec::new())).collect();
    for sentence in sentences {
        captions.entry(sentence.image_id).or_default().push(&sentence.raw);
    }
    let mut findings = empty_splits(images);
    findings.extend(caption_counts(images, &captions));
    findings.extend(sentences.iter().flat_map(|sentence| one_caption(language, sentence)));
    findings.extend(odd_endings(sentences));
    findings.extend(padding(images, &captions));
    findings.extend(leaked_captions(images, sentences));
    findings.extend(leaked_images(images, &captions));
    findings
}

fn empty_splits(images: &[ImageRecord]) -> Vec<Finding> {
    let empty = Split::ALL.into_iter().filter(|split| images.iter().all(|image| image.split != *split));
    empty.map(|split| Finding::of_set(FindingKind::EmptySplit, format!("no image in {}", split.name()))).collect()
}

fn caption_counts(images: &[ImageRecord], captions: &BTreeMap<u32, Vec<&str>>) -> Vec<Finding> {
    let usual = most_frequent(captions.values().map(Vec::len)).unwrap_or_default();
    let mut findings = Vec::new();
    for image in images {
        let finding = |kind, detail| Finding::of_image(kind, image.image_id, detail);
        match captions[&image.image_id].len() {
            0 => findings.push(finding(FindingKind::NoCaptions, format!("`{}` has no caption", image.filename))),
            n if n != usual => {
                findings
                    .push(finding(FindingKind::CaptionCount, format!("{n} captions where most images have {usual}")));
            }
            _ => {}
        }
    }
    findings
}

fn one_caption(language: Language, sentence: &SentenceRecord) -> Vec<Finding> {
    let raw = &sentence.raw;
    let mut findings = Vec::new();
    let mut report = |kind, detail| {
        findings.push(Finding::of_sentence(kind, sentence.image_id, sentence.sent_id, detail));
    };
    if text::is_blank(raw) {
        report(FindingKind::BlankCaption, format!("{raw:?}"));
    }
    if text::has_extra_blanks(raw) {
        report(FindingKind::ExtraBlanks, format!("{raw:?}"));
    }
    let odd = text::odd_characters(raw, language);
    if !odd.is_empty() {
        report(FindingKind::OddCharacters, format!("`{odd}` in `{raw}`"));
    }
    if language == Language::Zh && raw.contains(|c: char| c.is_ascii_alphabetic()) {
        report(FindingKind::LatinLetters, format!("`{raw}`"));
    }
    findings
}

fn odd_endings(sentences: &[SentenceRecord]) -> Vec<Finding> {
    let usual = most_frequent(sentences.iter().map(|sentence| text::ending(&sentence.raw))).unwrap_or_default();
    let odd = sentences.iter().filter(|sentence| text::ending(&sentence.raw) != usual);
    let report = |sentence: &SentenceRecord| {
        let detail = format!("ends in {:?} where most captions end in {usual:?}", text::ending(&sentence.raw));
        Finding::of_sentence(FindingKind::OddEnding, sentence.image_id, sentence.sent_id, detail)
    };
    odd.map(report).collect()
}

fn padding(images: &[ImageRecord], captions: &BTreeMap<u32, Vec<&str>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for image in images {
        let own = &captions[&image.image_id];
        let distinct: BTreeSet<&str> = own.iter().copied().collect();
        if own.len() == distinct.len() {
            continue;
        }
        let (kind, detail) = if distinct.len() == 1 {
            (FindingKind::Padding, format!("one caption {} times: `{}`", own.len(), own[0]))
        } else {
            (FindingKind::RepeatedCaption, format!("{} captions, {} of them distinct", own.len(), distinct.len()))
        };
        findings.push(Finding::of_image(kind, image.image_id, detail));
    }
    findings.sort_by_key(|finding| finding.kind);
    findings
}

fn leaked_captions(images: &[ImageRecord], sentences: &[SentenceRecord]) -> Vec<Finding> {
    let splits: BTreeMap<u32, Split> = images.iter().map(|image| (image.image_id, image.split)).collect();
    let of = |split: Split| {
        let splits = &splits;
        sentences.iter().filter(move |sentence| splits.get(&sentence.image_id) == Some(&split))
    };
    let mut train: BTreeMap<&str, u32> = BTreeMap::new();
    for sentence in of(Split::Train) {
        train.entry(&sentence.raw).or_insert(sentence.image_id);
    }
    let leak = |sentence: &SentenceRecord| {
        let image = train.get(sentence.raw.as_str())?;
        let detail = format!("also a caption of train image {image}: `{}`", sentence.raw);
        Some(Finding::of_sentence(FindingKind::LeakedCaption, sentence.image_id, sentence.sent_id, detail))
    };
    of(Split::Test).filter_map(leak).collect()
}

fn leaked_images(images: &[ImageRecord], captions: &BTreeMap<u32, Vec<&str>>) -> Vec<Finding> {
    let set = |image: &ImageRecord| captions[&image.image_id].iter().copied().collect::<BTreeSet<&str>>();
    let mut train = BTreeMap::new();
    for image in images.iter().filter(|image| image.split == Split::Train) {
        train.entry(set(image)).or_insert(&image.filename);
    }
    let mut findings = Vec::new();
    for image in images.iter().filter(|image| image.split != Split::Train) {
        let own = set(image);
        if let Some(twin) = train.get(&own).filter(|_| !own.is_empty()) {
            let split = image.split.name();
            let detail =
                format!("all captions of {split} image `{}` are those of train image `{twin}`", image.filename);
            findings.push(Finding::of_image(FindingKind::LeakedImage, image.image_id, detail));
        }
    }
    findings
}

/// Images that show the same pixels as an earlier one; `digests` are those of the decoded pictures, in image order.
///
/// Across splits it is reported apart: a test image that was trained on.
pub fn pixel_identical(images: &[ImageRecord], digests: &[Digest]) -> Vec<Finding> {
    let mut first: BTreeMap<Digest, Vec<&ImageRecord>> = BTreeMap::new();
    let mut findings = Vec::new();
    for (image, digest) in images.iter().zip(digests) {
        let twins = first.entry(*digest).or_default();
        // A twin in another split is worse news than one in the same.
        let twin = twins.iter().find(|twin| twin.split != image.split).or(twins.first());
        if let Some(twin) = twin {
            let kind = if twin.split == image.split {
                FindingKind::IdenticalPixels
            } else {
                FindingKind::IdenticalPixelsAcrossSplits
            };
            let (a, b) = (image.split.name(), twin.split.name());
            let detail = format!("`{}` ({a}) has the pixels of `{}` ({b})", image.filename, twin.filename);
            findings.push(Finding::of_image(kind, image.image_id, detail));
        }
        twins.push(image);
    }
    findings.sort_by_key(|finding| finding.kind);
    findings
}

/// The most frequent value; of equally frequent ones the smallest.
fn most_frequent<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(value, _)| value)
}
