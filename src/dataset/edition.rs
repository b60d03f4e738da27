//! Which edition of a dataset a file is: the widely copied RSICD file has val and test swapped, and scores on the two
//! must never meet in one table.

use super::{Finding, FindingKind, ImageRecord, SentenceRecord};
use crate::digest::Digest;
use crate::language::Language;

/// A published split, told by the first 16 digits of its digest.
struct KnownSplit {
    name: &'static str,
    digest: &'static str,
    /// The published captions on it: name of the edition, first 16 digits of the captions digest.
    editions: &'static [(&'static str, &'static str)],
    /// The name of the original split of which this one has val and test swapped.
    swapped: Option<&'static str>,
}

/// Computed from the published annotation files.
const KNOWN: [KnownSplit; 4] = [
    KnownSplit {
        name: "ucm",
        digest: "179591ac86c1bdf4",
        editions: &[("ucm", "1aae70e2fde3b4c6"), ("ucm-modified", "dd6ae123467a72af")],
        swapped: None,
    },
    KnownSplit {
        name: "sydney",
        digest: "9cc35af04372af8e",
        editions: &[
            ("sydney", "e0d3c2ffada8d550"),
            ("sydney-cn", "5d29a56ba4b43050"),
            ("sydney-modified", "f097712907214f71"),
        ],
        swapped: None,
    },
    KnownSplit {
        name: "rsicd-original",
        digest: "eb2dceacdf021cce",
        editions: &[("rsicd-original", "06e25117f53750c2")],
        swapped: None,
    },
    KnownSplit {
        name: "rsicd-modified",
        digest: "ac886d40adc68446",
        editions: &[("rsicd-modified", "2108956229454863")],
        swapped: Some("rsicd-original"),
    },
];

/// The digest of the ordered (file name, split) list.
pub(super) fn split_digest(images: &[ImageRecord]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("rsic 2026 dataset split v1");
    for image in images {
        update(&mut hasher, &image.filename);
        update(&mut hasher, image.split.name());
    }
    hasher.finalize().into()
}

/// The digest of the language and of the captions, image by image.
pub(super) fn captions_digest(language: Language, images: &[ImageRecord], sentences: &[SentenceRecord]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("rsic 2026 dataset captions v1");
    update(&mut hasher, language.code());
    let mut rest = sentences;
    for image in images {
        let count = rest.iter().take_while(|sentence| sentence.image_id == image.image_id).count();
        let (own, after) = rest.split_at(count);
        update(&mut hasher, &image.filename);
        hasher.update(&(count as u64).to_le_bytes());
        for sentence in own {
            update(&mut hasher, &sentence.raw);
        }
        rest = after;
    }
    hasher.finalize().into()
}

fn update(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
}

/// The edition's name; equal names mean equal splits and equal references.
pub(super) fn name(language: Language, split: Digest, captions: Digest) -> String {
    let Some(known) = known(split) else {
        let both = Digest::derive("rsic 2026 dataset edition v1", &[*split.as_bytes(), *captions.as_bytes()].concat());
        return format!("custom-{}", &both.to_hex()[..8]);
    };
    let text = captions.to_hex();
    if let Some((edition, _)) = known.editions.iter().find(|(_, prefix)| text.starts_with(prefix)) {
        return (*edition).to_owned();
    }
    let language = match language {
        Language::En => "",
        Language::Zh => "-cn",
    };
    format!("{}{language}-text-{}", known.name, &text[..8])
}

fn known(split: Digest) -> Option<&'static KnownSplit> {
    let split = split.to_hex();
    KNOWN.iter().find(|known| split.starts_with(known.digest))
}

/// What a reader should know about the edition.
pub(super) fn findings(split: Digest, edition: &str) -> Vec<Finding> {
    let Some(known) = known(split) else {
        let detail = format!("{edition}: no published edition; scores on it compare with no published ones");
        return vec![Finding::of_set(FindingKind::UnknownEdition, detail)];
    };
    let mut findings = Vec::new();
    if let Some(original) = known.swapped {
        let detail = format!("val and test are swapped against {original}: scores on the two do not compare");
        findings.push(Finding::of_set(FindingKind::SwappedSplits, detail));
    }
    if !known.editions.iter().any(|(name, _)| *name == edition) {
        let detail = format!("{edition}: the split of {}, with captions of no published edition", known.name);
        findings.push(Finding::of_set(FindingKind::EditedCaptions, detail));
    }
    findings
}
