//! The ceiling: one human caption of each image against the others (leave one out).

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::UInt32Array;
use serde::{Deserialize, Serialize};

use super::super::unscored::captions_table;
use super::super::{Context, Inputs, Outcome};
use super::of_split;
use crate::language::Split;
use crate::table;

/// Reads `images` and `sentences`; writes `captions` and `held_out`, the sentences that are no references then.
///
/// Image number k of the split gives its sentence k mod (number of sentences), as is usual; the others are its
/// references. Where a file pads an image with copies of one caption, the copy that is left makes that a perfect score:
/// `distinct` takes each caption of an image once, and leaves out images that have only one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Human {
    /// The split to caption.
    pub split: Split,
    /// Count equal captions of an image once.
    pub distinct: bool,
}

impl Human {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, _: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let sentences = inputs.table("sentences")?;
        let mut of_image: BTreeMap<u32, Vec<(u32, &str)>> = BTreeMap::new();
        let owners = table::u32s(&sentences, "image_id")?.values().iter();
        let ids = table::u32s(&sentences, "sent_id")?.values().iter();
        for ((image, sentence), raw) in owners.zip(ids).zip(table::strings(&sentences, "raw")?) {
            of_image.entry(*image).or_default().push((*sentence, raw.unwrap_or_default()));
        }
        let (mut captions, mut held_out, mut alone) = (Vec::new(), Vec::new(), 0);
        for (k, image) in of_split(&images, self.split)?.into_iter().enumerate() {
            let all = of_image.get(&image).map(Vec::as_slice).unwrap_or_default();
            let Some((caption, out)) = leave_one_out(all, k, self.distinct) else {
                alone += 1;
                continue;
            };
            captions.push((image, caption.to_owned()));
            held_out.extend(out.into_iter().map(|sentence| (image, sentence)));
        }
        if captions.is_empty() {
            bail!("no image of the {} split has two captions", self.split.name());
        }
        let mut outcome = Outcome::default();
        if alone > 0 {
            let kind = if self.distinct { "distinct " } else { "" };
            outcome.log.push(format!("{alone} images without a second {kind}caption are left out"));
        }
        outcome.table("captions", captions_table(&captions)?);
        let numbers = |f: fn(&(u32, u32)) -> u32| Arc::new(UInt32Array::from_iter_values(held_out.iter().map(f)));
        outcome.table("held_out", table::make(table::held_out(), vec![numbers(|row| row.0), numbers(|row| row.1)])?);
        Ok(outcome)
    }
}

/// The caption that image number `k` gives, and the sentences that are no references of it.
fn leave_one_out<'a>(sentences: &[(u32, &'a str)], k: usize, distinct: bool) -> Option<(&'a str, Vec<u32>)> {
    let mut kept: Vec<(u32, &str)> = Vec::new();
    let mut out = Vec::new();
    for &(id, raw) in sentences {
        if distinct && kept.iter().any(|(_, other)| *other == raw) {
            out.push(id);
        } else {
            kept.push((id, raw));
        }
    }
    if kept.len() < 2 {
        return None;
    }
    let (id, caption) = kept[k % kept.len()];
    out.push(id);
    Some((caption, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caption_is_left_out() {
        let padded = [(5, "a"), (6, "a"), (7, "b"), (8, "a"), (9, "c")];
        // (number of the image, distinct, caption, sentences that are no references), by hand.
        for (k, distinct, expected) in [
            (0, false, Some(("a", vec![5]))),
            (7, false, Some(("b", vec![7]))),
            (0, true, Some(("a", vec![6, 8, 5]))),
            (2, true, Some(("c", vec![6, 8, 9]))),
        ] {
            assert_eq!(leave_one_out(&padded, k, distinct), expected, "{k} {distinct}");
        }
        assert_eq!(leave_one_out(&[(1, "a"), (2, "a")], 0, true), None);
        assert_eq!(leave_one_out(&[(1, "a")], 0, false), None);
    }
}
