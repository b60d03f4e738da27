//! The consensus caption: of an image's captions, the one that is most like the others.

use std::collections::BTreeMap;

use anyhow::Result;
use polars::prelude::DataFrame;

use super::super::cider;
use super::super::ngram::{BLOCK, Counter, Item};
use super::super::score::{Texts, columns};
use super::super::words::Words;
use crate::language::Language;

/// Of every image's captions the one with the highest CIDEr-D against the others; of equals, the first.
///
/// - `train`: references as [`score`](crate::metric::score()) reads them; document frequencies are those of these images.
///
/// Source: Devlin et al., "Exploring Nearest Neighbor Approaches for Image Captioning", 2015.
pub fn consensus(train: &DataFrame, language: Language) -> Result<BTreeMap<u32, String>> {
    let (ids, raws) = columns(train, "train references", "raw")?;
    let mut texts = Texts::new(Words::of(language));
    let mut images: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (id, raw) in ids.into_iter().zip(raws) {
        images.entry(id).or_default().push(raw);
    }
    let places: Vec<Vec<usize>> =
        images.values().map(|raws| raws.iter().map(|raw| texts.place(raw)).collect()).collect();
    let mut counter = Counter::new(&texts.tokenized, texts.words);
    let whole: Vec<Item> = places.iter().map(|all| Item { hypothesis: all[0], references: all.clone() }).collect();
    let mut frequency = Vec::new();
    for items in whole.chunks(BLOCK) {
        let block = counter.block(items)?;
        frequency.resize(counter.ngrams(), 0);
        cider::add_document_frequency(&block, &mut frequency)?;
    }
    let idf = cider::inverse_frequency(&frequency, whole.len());
    let others = |all: &[usize], left_out: usize| -> Vec<usize> {
        all.iter().enumerate().filter(|(k, _)| *k != left_out).map(|(_, place)| *place).collect()
    };
    let trials: Vec<Item> = places
        .iter()
        .filter(|all| all.len() > 1)
        .flat_map(|all| {
            all.iter().enumerate().map(move |(k, &place)| Item { hypothesis: place, references: others(all, k) })
        })
        .collect();
    let mut values = Vec::with_capacity(trials.len());
    for items in trials.chunks(BLOCK) {
        let [_, clipped] = cider::scores(&counter.block(items)?, &idf)?;
        values.extend(clipped);
    }
    let mut values = values.into_iter();
    let choose = |(id, raws): (u32, Vec<&str>)| {
        let mut best = (f64::NEG_INFINITY, raws[0]);
        if raws.len() > 1 {
            for (raw, value) in raws.iter().zip(values.by_ref()) {
                if value > best.0 {
                    best = (value, raw);
                }
            }
        }
        (id, best.1.to_owned())
    };
    Ok(images.into_iter().map(choose).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::references;

    #[test]
    fn the_caption_most_like_the_others_is_chosen() {
        let ids = vec![1, 1, 1, 2, 3];
        let raws =
            vec!["many trees", "a plane is parked here", "a plane is parked there", "a lone lake", "two white ships"];
        let train = references(ids, raws).unwrap();
        let chosen = consensus(&train, Language::En).unwrap();
        assert_eq!(chosen[&1], "a plane is parked here", "of two equals the first");
        assert_eq!(chosen[&2], "a lone lake");
    }
}
