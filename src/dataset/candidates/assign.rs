//! Entries -> one caption for each image of a split, or everything that is wrong with them.

use super::index::{Index, Place};
use super::key::quote;
use super::problems::{Problems, Tally};
use super::{CandidateError, Entry};
use crate::language::Split;

/// An image of the dataset that the captions should be of.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The published `imgid`, unique.
    pub image_id: u32,
    /// The published file name, unique.
    pub filename: &'a str,
    /// The part of the dataset it belongs to.
    pub split: Split,
}

/// The captions of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Image and caption, in the dataset's order.
    pub captions: Vec<(u32, String)>,
    /// The images without caption, in the dataset's order.
    pub missing: Vec<u32>,
}

/// Gives each image of `split` its caption.
///
/// `targets` are all images of the dataset in published order, so that a caption of another split is told from one of
/// another dataset. A name means the image whose file name is the same, else has the same last component, else the same
/// stem if only one has it; thus `imgs/12.tif` and `12.png` are `12.tif`, but a bare `12` is an id (see
/// [`ImageKey::from_text`](super::ImageKey::from_text)).
///
/// Fails, with all of it, if images have several captions, if captions are of other splits or of no image, if id and
/// name of one entry are two images, and if images have no caption, unless `allow_missing` and at least one has.
pub fn assign(
    entries: Vec<Entry>,
    targets: &[Target<'_>],
    split: Split,
    allow_missing: bool,
    file_name: &str,
) -> Result<Assigned, CandidateError> {
    let index = Index::of(targets);
    let mut slots: Vec<Option<Slot>> = targets.iter().map(|_| None).collect();
    let mut found = Problems::default();
    // `json.dump` writes one line: to name it each time would tell nothing.
    let one_line = entries.iter().all(|entry| entry.line <= 1);
    let on = |line: usize| if one_line { String::new() } else { format!(" on line {line}") };
    for entry in entries {
        found.stems.consider(&entry.key, &index, targets, split);
        let at = match index.place(&entry) {
            Place::Image(at) => at,
            place => {
                found.not_placed(place, &entry, &on(entry.line));
                continue;
            }
        };
        let target = &targets[at];
        if target.split != split {
            found.foreign.entry(target.split).or_default().add(|| name(target) + &on(entry.line));
            continue;
        }
        match &mut slots[at] {
            Some(slot) => {
                if slot.count == 1 {
                    found.repeated.add(|| match (slot.line, entry.line) {
                        (a, b) if a == b => name(target) + &on(a),
                        (a, b) => format!("{} on lines {a} and {b}", name(target)),
                    });
                }
                slot.count += 1;
                found.repeats += 1;
            }
            empty => *empty = Some(Slot { caption: entry.caption, line: entry.line, count: 1 }),
        }
    }
    let mut assigned = Assigned { captions: Vec::new(), missing: Vec::new() };
    for (target, slot) in targets.iter().zip(slots).filter(|(target, _)| target.split == split) {
        if let Some(slot) = slot {
            assigned.captions.push((target.image_id, slot.caption));
        } else {
            assigned.missing.push(target.image_id);
            found.missing.add(|| name(target));
        }
    }
    if allow_missing {
        found.missing = Tally::default();
    }
    let (matched, wanted) = (assigned.captions.len(), assigned.captions.len() + assigned.missing.len());
    let problems = found.lines(split, matched, wanted);
    if problems.is_empty() {
        return Ok(assigned);
    }
    let hint = found.hint(problems.len(), matched);
    Err(CandidateError::Unfit { file: file_name.to_owned(), problems, hint })
}

fn name(target: &Target<'_>) -> String {
    format!("{} ({})", target.image_id, quote(target.filename))
}

/// The caption of an image.
struct Slot {
    caption: String,
    line: usize,
    count: usize,
}
