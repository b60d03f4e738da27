//! All that keeps captions from being those of a split, counted and with examples.

use std::collections::BTreeMap;

use super::index::{Index, Place};
use super::key::quote;
use super::{Entry, ImageKey, Target};
use crate::language::Split;

/// How many cases of a problem a message names.
const EXAMPLES: usize = 5;

/// All that is wrong.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) torn: Tally,
    pub(super) repeated: Tally,
    pub(super) repeats: usize,
    pub(super) foreign: BTreeMap<Split, Tally>,
    pub(super) unknown: Tally,
    pub(super) missing: Tally,
    pub(super) stems: StemTrap,
}

impl Problems {
    /// Counts an entry that belongs to no image; `on` is where it stands.
    pub(super) fn not_placed(&mut self, place: Place, entry: &Entry, on: &str) {
        let key = &entry.key;
        match (place, &entry.also) {
            (Place::Two, Some(also)) => self.torn.add(|| format!("{key} and {also}{on}")),
            (Place::Several, _) => self.unknown.add(|| format!("{key} (the name fits several files){on}")),
            _ => self.unknown.add(|| format!("{key}{on}")),
        }
    }

    /// A line for each problem; `matched` of the `wanted` images of `split` have a caption.
    pub(super) fn lines(&self, split: Split, matched: usize, wanted: usize) -> Vec<String> {
        let split = split.name();
        let captions =
            |tally: &Tally| format!("{} {}", tally.count, if tally.count == 1 { "caption" } else { "captions" });
        let are = |tally: &Tally| if tally.count == 1 { "is" } else { "are" };
        let mut lines = Vec::new();
        if let Some(cases) = self.torn.cases() {
            let captions = captions(&self.torn);
            lines.push(format!("{captions} with an id and a name of different images, keep the right one: {cases}"));
        }
        if let Some(cases) = self.repeated.cases() {
            let count = self.repeated.count;
            let (images, too_many) = (if count == 1 { "image has" } else { "images have" }, self.repeats);
            lines.push(format!("{count} {images} more than one caption ({too_many} too many): {cases}"));
        }
        for (other, tally) in &self.foreign {
            let cases = tally.cases().unwrap_or_default();
            lines.push(format!("{} {} of split {}, not {split}: {cases}", captions(tally), are(tally), other.name()));
        }
        if let Some(cases) = self.unknown.cases() {
            let tally = &self.unknown;
            lines.push(format!("{} {} of no image of the dataset: {cases}", captions(tally), are(tally)));
        }
        if let Some(cases) = self.missing.cases() {
            let have = if self.missing.count == 1 { "has" } else { "have" };
            let (count, images) = (self.missing.count, if wanted == 1 { "image" } else { "images" });
            lines.push(format!("{count} of the {wanted} {images} of split {split} {have} no caption: {cases}"));
        } else if matched == 0 && wanted > 0 {
            lines.push(format!("not one caption is of an image of split {split}"));
        } else if wanted == 0 {
            lines.push(format!("the dataset has no image of split {split}"));
        }
        lines
    }

    /// The one command that would help, if `count` problems have one.
    pub(super) fn hint(&self, count: usize, matched: usize) -> Option<String> {
        if let Some((number, file)) = &self.stems.example
            && !self.stems.refuted
            && (!self.foreign.is_empty() || self.unknown.count > 0)
        {
            let file = quote(file);
            return Some(format!("a bare number is an image id; if file names are meant, write {file} for {number}"));
        }
        match self.foreign.first_key_value() {
            Some((other, _)) if self.foreign.len() == 1 && matched == 0 => {
                Some(format!("to score them as captions of split {0}: `rsic score --split {0}`, or `-p caption.split={0}` for targets", other.name()))
            }
            None if count == 1 && self.missing.count > 0 && matched > 0 => {
                Some("to score the captions that are there: `rsic score --allow-missing`, or `allow_missing = true` in pipeline.toml".to_owned())
            }
            _ => None,
        }
    }
}

/// Whether every key is a number under which the split has a file, though the number is the id of another image.
#[derive(Default)]
pub(super) struct StemTrap {
    /// Some key speaks against it.
    refuted: bool,
    /// The first number, and the file that it would name.
    example: Option<(u32, String)>,
}

impl StemTrap {
    /// Looks at one more key.
    pub(super) fn consider(&mut self, key: &ImageKey, index: &Index<'_>, targets: &[Target<'_>], split: Split) {
        if self.refuted {
            return;
        }
        let ImageKey::Id(id) = *key else {
            self.refuted = true;
            return;
        };
        match index.by_stem(&id.to_string()) {
            Some(at) if targets[at].split == split => {
                if self.example.is_none() && index.by_id(id) != Some(at) {
                    self.example = Some((id, targets[at].filename.to_owned()));
                }
            }
            _ => self.refuted = true,
        }
    }
}

/// How often something occurred, and the first few times.
#[derive(Default)]
pub(super) struct Tally {
    count: usize,
    examples: Vec<String>,
}

impl Tally {
    /// Counts one more.
    pub(super) fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }

    /// The first few, and how many more there are; nothing if there are none.
    fn cases(&self) -> Option<String> {
        let more = self.count - self.examples.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (self.count > 0).then(|| self.examples.join(", ") + &more)
    }
}
