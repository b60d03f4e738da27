//! METEOR 1.5 for English (`-l en -norm`), as the COCO caption evaluation calls it.
//!
//! [`compile`] makes one table of the published word lists; [`Tables`] opens it. [`Tables::sentence`] prepares a
//! text, [`align`] compares two, and [`Statistics`] scores the counts, bit for bit as the original does. Other
//! scripts work too: every sign that is neither Latin nor Cyrillic is a word, matched exactly.

mod bytes;
mod compile;
mod dictionary;
mod matches;
mod normalize;
mod phrases;
mod power;
mod search;
mod sentence;
mod statistics;
mod synonyms;
mod tables;

#[cfg(test)]
pub(super) mod tests;

pub use compile::{Sources, compile};
pub use sentence::Sentence;
pub use statistics::{COUNTS, Statistics, score_of_sums};
pub use tables::Tables;

use matches::matches;
use search::search;
use statistics::Side;

/// Aligns a caption with one reference and counts what matches.
pub fn align(tables: &Tables, hypothesis: &Sentence, reference: &Sentence) -> Statistics {
    let matches = matches(tables, hypothesis, reference);
    let alignment = search(&matches, hypothesis.len(), reference.len());
    let mut statistics = Statistics::default();
    for (side, sentence) in [(Side::Hypothesis, hypothesis), (Side::Reference, reference)] {
        let function = sentence.words.iter().filter(|word| word.is_function).count();
        statistics.add_words(side, sentence.len() as u32, function as u32);
    }
    for found in &alignment.matches {
        for word in &hypothesis.words[found.hypothesis.words()] {
            statistics.add_matched(Side::Hypothesis, found.module, word.is_function);
        }
        for word in &reference.words[found.reference.words()] {
            statistics.add_matched(Side::Reference, found.module, word.is_function);
        }
    }
    statistics.set_chunks(alignment.chunks);
    statistics
}
