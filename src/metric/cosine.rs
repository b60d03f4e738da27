//! The number that the original code prints as "CIDEr" for Chinese: a cosine of character counts, in [0, 1].
//!
//! It is not CIDEr (no corpus, no n-gram weights, no length penalty, no factor 10) and stands under the variant `seed`
//! as `character-cosine`, so that published numbers of that kind can be recognised. Definition, as observed: for N = 1 to
//! 4 the n-grams of words of up to N words, written one after the other with blanks, of the caption and of all
//! references; characters (blanks too) are weighted by tf-idf over these two texts; the value is the mean cosine.

use std::collections::BTreeMap;

use anyhow::Result;

use super::jieba::is_white;
use super::ngram::{Block, ORDERS, numbers};

/// The weight of a character that only one of the two texts has: ln(3/2) + 1. One that both have weighs 1.
const RARE: f64 = 1.405_465_108_108_164_4;

/// The value of every image of a block; NaN where the caption or all references are empty.
pub(super) fn scores(block: &Block) -> Result<Vec<f64>> {
    let hypotheses = numbers(&block.hypotheses, "hypothesis")?;
    let mut references = vec![Vec::new(); block.images];
    let images = numbers(&block.references, "image")?.into_iter();
    for (image, reference) in images.zip(numbers(&block.references, "reference")?) {
        references[image as usize].push(block.texts[reference as usize].as_str());
    }
    let texts = hypotheses.iter().map(|&sentence| block.texts[sentence as usize].as_str());
    Ok(texts.zip(&references).map(|(caption, references)| score(caption, references)).collect())
}

fn score(caption: &str, references: &[&str]) -> f64 {
    let cosines = (1..=ORDERS).map(|order| cosine(&characters(&[caption], order), &characters(references, order)));
    cosines.sum::<f64>() / ORDERS as f64
}

/// How often each character occurs in the n-grams of up to `order` words of all texts, blanks between them included.
fn characters(texts: &[&str], order: usize) -> BTreeMap<char, f64> {
    let mut counts = BTreeMap::new();
    let mut blanks = texts.len().saturating_sub(1);
    for text in texts {
        let words: Vec<&str> = text.split(is_white).filter(|word| !word.is_empty()).collect();
        let longest = order.min(words.len());
        let ngrams: usize = (1..=longest).map(|n| words.len() + 1 - n).sum();
        blanks += (1..=longest).map(|n| (n - 1) * (words.len() + 1 - n)).sum::<usize>() + ngrams.saturating_sub(1);
        for (place, word) in words.iter().enumerate() {
            // The n-grams of n words that hold the word at this place.
            let holding = |n: usize| (place + 1).min(words.len() - place).min(n).min(words.len() + 1 - n);
            let times: usize = (1..=longest).map(holding).sum();
            for c in word.chars() {
                *counts.entry(c).or_insert(0.0) += times as f64;
            }
        }
    }
    if blanks > 0 {
        *counts.entry(' ').or_insert(0.0) += blanks as f64;
    }
    counts
}

fn cosine(a: &BTreeMap<char, f64>, b: &BTreeMap<char, f64>) -> f64 {
    let weight = |c: &char| if a.contains_key(c) && b.contains_key(c) { 1.0 } else { RARE };
    let norm = |counts: &BTreeMap<char, f64>| {
        counts.iter().map(|(c, count)| (count * weight(c)) * (count * weight(c))).sum::<f64>().sqrt()
    };
    let dot: f64 = a.iter().filter_map(|(c, count)| Some(count * b.get(c)?)).sum();
    dot / (norm(a) * norm(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ngrams_by_hand() {
        // "a b c" up to two words: a b c, a b, b c -> "a b c a b b c": a 2, b 3, c 2, six blanks.
        let expected = BTreeMap::from([(' ', 6.0), ('a', 2.0), ('b', 3.0), ('c', 2.0)]);
        assert_eq!(characters(&["a b c"], 2), expected);
        // Two texts: "a", "b" -> "a b".
        assert_eq!(characters(&["a", "b"], 4), BTreeMap::from([(' ', 1.0), ('a', 1.0), ('b', 1.0)]));
    }

    #[test]
    fn known_values() {
        // By hand: one common character of two, 1 / (1 + RARE^2); equal texts 1; nothing to compare with, no number.
        assert!((score("飞机", &["机场"]) - 1.0 / (1.0 + RARE * RARE)).abs() < 1e-12);
        assert!((score("a b c d e", &["a b c d e"]) - 1.0).abs() < 1e-12);
        assert!(score("", &["a"]).is_nan() && score("a", &[""]).is_nan());
    }
}
