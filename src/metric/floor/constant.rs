//! The floor of every comparison: one and the same caption for all images.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use polars::prelude::DataFrame;

use super::super::arithmetic::mean;
use super::super::cider;
use super::super::ngram::{Block, Counter, Item, ORDERS, numbers};
use super::super::score::{Texts, columns};
use super::super::words::Words;
use crate::language::Language;

/// How many captions are compared in full.
const FINALISTS: usize = 32;
/// How many train images they are compared on, evenly spread.
const SAMPLE: usize = 250;

/// The train caption that fits the train images best as the caption of every image.
///
/// - `train`: references as [`score`](crate::metric::score()) reads them.
///
/// The choice sees train references only: captions nearest to the mean of all references (as weighted bags of
/// n-grams) and the most frequent ones are compared by mean CIDEr-D on an even sample of the train images; of
/// equals, the first in alphabetical order wins. No random choice. Fails without references.
pub fn constant_caption(train: &DataFrame, language: Language) -> Result<String> {
    let (ids, raws) = columns(train, "train references", "raw")?;
    ensure!(!ids.is_empty(), "there are no train references to choose a constant caption from");
    let mut texts = Texts::new(Words::of(language));
    let mut images: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut frequency: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (id, raw) in ids.into_iter().zip(raws) {
        let place = texts.place(raw);
        images.entry(id).or_default().push(place);
        frequency.entry(raw).or_insert((place, 0)).1 += 1;
    }
    let mut counter = Counter::new(&texts.tokenized, texts.words);
    let items: Vec<Item> =
        images.into_values().map(|references| Item { hypothesis: references[0], references }).collect();
    let block = counter.block(&items)?;
    let mut documents = vec![0; counter.ngrams()];
    cider::add_document_frequency(&block, &mut documents)?;
    let idf = cider::inverse_frequency(&documents, items.len());
    let nearness = nearness(&block, &idf)?;

    let mut candidates: Vec<(&str, usize, usize)> =
        frequency.iter().map(|(&raw, &(place, times))| (raw, place, times)).collect();
    let near = |place: usize| nearness.get(&texts.tokenized[place]).copied().unwrap_or_default();
    candidates.sort_by(|a, b| near(b.1).total_cmp(&near(a.1)).then(a.0.cmp(b.0)));
    let mut finalists: Vec<(&str, usize)> = candidates.iter().take(FINALISTS / 2).map(|c| (c.0, c.1)).collect();
    candidates.sort_by(|a, b| b.2.cmp(&a.2).then(a.0.cmp(b.0)));
    finalists.extend(candidates.iter().take(FINALISTS / 2).map(|c| (c.0, c.1)));
    finalists.sort_unstable();
    finalists.dedup();

    let step = items.len().div_ceil(SAMPLE);
    let sample: Vec<&Item> = items.iter().step_by(step).collect();
    let trials: Vec<Item> = finalists
        .iter()
        .flat_map(|&(_, hypothesis)| {
            sample.iter().map(move |item| Item { hypothesis, references: item.references.clone() })
        })
        .collect();
    let [_, values] = cider::scores(&counter.block(&trials)?, &idf)?;
    let mut best = (f64::NEG_INFINITY, "");
    for (&(raw, _), values) in finalists.iter().zip(values.chunks(sample.len())) {
        let value = mean(values);
        if value > best.0 {
            best = (value, raw);
        }
    }
    Ok(best.1.to_owned())
}

/// Per tokenised caption: the cosine of its weights with the sum of all references' unit vectors.
fn nearness(block: &Block, idf: &[f64]) -> Result<BTreeMap<String, f64>> {
    let tf_idf = cider::tf_idf(block, idf)?;
    let norms = cider::norms(block, &tf_idf)?;
    let sentence = numbers(&tf_idf, "sentence")?;
    let n = numbers(&tf_idf, "n")?;
    let ngram = numbers(&tf_idf, "ngram")?;
    let unit: Vec<f64> = (tf_idf.column("weight")?.f64()?.into_no_null_iter().zip(sentence.iter().zip(&n)))
        .map(|(weight, (&sentence, &n))| match norms[sentence as usize][n as usize - 1] {
            0.0 => 0.0,
            norm => weight / norm / ORDERS as f64,
        })
        .collect();
    let mut times = vec![0.0; block.lengths.len()];
    numbers(&block.references, "reference")?.iter().for_each(|&sentence| times[sentence as usize] += 1.0);
    let mut centre = vec![0.0; idf.len()];
    for ((&sentence, &ngram), &unit) in sentence.iter().zip(&ngram).zip(&unit) {
        centre[ngram as usize] += times[sentence as usize] * unit;
    }
    let mut near = vec![0.0; block.lengths.len()];
    for ((&sentence, &ngram), &unit) in sentence.iter().zip(&ngram).zip(&unit) {
        near[sentence as usize] += unit * centre[ngram as usize];
    }
    Ok(block.texts.iter().cloned().zip(near).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::references;

    #[test]
    fn the_constant_caption_is_the_one_most_like_all_others() {
        let plane = "a plane is parked at the airport .";
        let train = references(
            vec![1, 1, 2, 2, 3, 3, 4],
            vec![
                plane,
                "many trees",
                plane,
                "some white planes are parked .",
                "a plane is parked .",
                plane,
                "a lake .",
            ],
        )
        .unwrap();
        assert_eq!(constant_caption(&train, Language::En).unwrap(), plane);
    }

    #[test]
    fn without_train_references_there_is_no_floor() {
        let none = references(vec![], vec![]).unwrap();
        assert!(constant_caption(&none, Language::En).is_err());
    }
}
