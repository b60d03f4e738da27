//! A caption as METEOR sees it: words, and all that other words may match them by.

use std::ops::Range;

use rust_stemmers::{Algorithm, Stemmer};

use super::normalize::normalize;
use super::synonyms::synsets;
use super::tables::{Tables, View};

/// The longest phrase of the paraphrases, in words.
const LONGEST: usize = 7;

/// What stands between the texts in METEOR's input.
const SEPARATOR: &str = "|||";

/// A caption, prepared for [`align`](super::align) with any number of others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sentence {
    pub(super) words: Vec<Word>,
    pub(super) synsets: Vec<u32>,
    /// Every phrase of the paraphrases that occurs, by its number.
    pub(super) phrases: Vec<Phrase>,
    /// Those that may be rewritten, in the order of their words.
    pub(super) rewritable: Vec<Rewritable>,
}

/// A word; in comparing words METEOR takes those with the same hash for equal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) hash: u32,
    pub(super) stem: u32,
    pub(super) is_function: bool,
    /// Where its synonym sets lie in the sentence's list, and a sign of them: without a common bit, none is common.
    pub(super) synsets: Range<u32>,
    pub(super) synset_bits: u64,
    /// Its alphabetical number among the words of the paraphrases.
    pub(super) id: Option<u32>,
}

/// The words from `start` on, which are a phrase of the paraphrases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Phrase {
    pub(super) number: u32,
    pub(super) start: u32,
    pub(super) length: u32,
}

/// A phrase with the range of its paraphrases in the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rewritable {
    pub(super) start: u32,
    pub(super) length: u32,
    pub(super) rewritings: Range<usize>,
}

impl Tables {
    /// A caption to be scored, its words joined by blanks; `|||` is removed, as the COCO evaluation does.
    pub fn hypothesis(&self, text: &str) -> Sentence {
        self.sentence(&text.replace(SEPARATOR, ""))
    }

    /// A reference, its words joined by blanks; each `|||` in it begins another one, as the COCO evaluation has it.
    pub fn references(&self, text: &str) -> Vec<Sentence> {
        text.split(SEPARATOR).map(|text| self.sentence(text)).collect()
    }

    /// Prepares a text, its words joined by blanks, with METEOR's normaliser.
    pub fn sentence(&self, text: &str) -> Sentence {
        let view = self.view();
        let stemmer = Stemmer::create(Algorithm::English);
        let mut sentence = Sentence::default();
        for word in normalize(text, &self.prefixes).split(' ').filter(|word| !word.is_empty()) {
            let hash = java_hash(word);
            let sets = synsets(&view, word);
            let start = sentence.synsets.len() as u32;
            sentence.synsets.extend(&sets);
            sentence.words.push(Word {
                hash,
                stem: java_hash(&stemmer.stem(word)),
                is_function: view.function.rank(word).is_some(),
                synsets: start..sentence.synsets.len() as u32,
                synset_bits: sets.iter().fold(0, |bits, set| bits | 1 << (set.wrapping_mul(0x9e37_79b1) >> 26)),
                id: view.vocabulary.rank(word).and_then(|rank| view.word_ids.get(rank)),
            });
        }
        sentence.find_phrases(&view);
        sentence
    }
}

/// Java's `String.hashCode`.
fn java_hash(word: &str) -> u32 {
    word.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

impl Sentence {
    /// How many words the normaliser has left.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it has no word.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn find_phrases(&mut self, view: &View<'_>) {
        for start in 0..self.words.len() {
            let mut phrase = None;
            for (before, word) in self.words[start..].iter().take(LONGEST).enumerate() {
                let longer = word.id.and_then(|word| match phrase {
                    None => Some(word),
                    Some(phrase) => view.lengthened(phrase, word),
                });
                let Some(number) = longer else { break };
                phrase = longer;
                let (start, length) = (start as u32, before as u32 + 1);
                self.phrases.push(Phrase { number, start, length });
                if let Some(rewritings) = view.rewritable.range(number as usize) {
                    self.rewritable.push(Rewritable { start, length, rewritings });
                }
            }
        }
        self.phrases.sort_unstable();
    }
}
