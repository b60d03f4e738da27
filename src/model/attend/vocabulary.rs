//! The words that the decoder knows.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::language::Language;

/// The words that are no words: padding, any other word, start and end of a caption; their ids are their places.
pub const SPECIAL: [&str; 4] = ["<pad>", "<unk>", "<start>", "<end>"];
const UNKNOWN: u32 = 1;
/// The id of the start of a caption.
pub const START: u32 = 2;
/// The id of the end of a caption.
pub const END: u32 = 3;

/// Words with their ids: the special ones, then the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<String>,
    ids: BTreeMap<String, u32>,
}

impl Vocabulary {
    /// Takes the words that occur more than `min_word_freq` times, the most frequent first, of equals by their characters.
    ///
    /// - `counts`: how often each word occurs in the captions to learn from.
    pub fn of_counts(counts: &BTreeMap<String, u32>, min_word_freq: u32) -> Self {
        let frequent = |(word, count): &(&String, &u32)| **count > min_word_freq && !SPECIAL.contains(&word.as_str());
        let mut kept: Vec<(&String, &u32)> = counts.iter().filter(frequent).collect();
        kept.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let special = SPECIAL.map(str::to_owned);
        Self::indexed(special.into_iter().chain(kept.into_iter().map(|(word, _)| word.clone())).collect())
    }

    /// The vocabulary with these words, in the order of their ids. Fails unless it begins with [`SPECIAL`] and no word stands in it twice.
    pub fn of_words(words: Vec<String>) -> Result<Self> {
        ensure!(words.iter().take(SPECIAL.len()).eq(SPECIAL.iter()), "a vocabulary begins with {}", SPECIAL.join(" "));
        let all = words.len();
        let vocabulary = Self::indexed(words);
        ensure!(vocabulary.ids.len() == all, "a word stands twice in the vocabulary");
        Ok(vocabulary)
    }

    fn indexed(words: Vec<String>) -> Self {
        let ids = words.iter().zip(0..).map(|(word, id)| (word.clone(), id)).collect();
        Self { words, ids }
    }

    /// All words, by id.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The ids of a caption's words, start and end around them.
    pub fn encode<'a>(&self, words: impl Iterator<Item = &'a str>) -> Vec<u32> {
        let known = words.map(|word| self.ids.get(word).copied().filter(|id| *id > END).unwrap_or(UNKNOWN));
        [START].into_iter().chain(known).chain([END]).collect()
    }

    /// The words of these ids, without the special ones.
    pub fn words_of<'a>(&'a self, ids: &'a [u32]) -> impl Iterator<Item = &'a str> {
        ids.iter().filter(|id| **id > END).filter_map(|id| self.words.get(*id as usize)).map(String::as_str)
    }

    /// The caption of these ids: Chinese words stand together, others are kept apart by blanks.
    pub fn decode(&self, ids: &[u32], language: Language) -> String {
        let between = match language {
            Language::En => " ",
            Language::Zh => "",
        };
        self.words_of(ids).collect::<Vec<_>>().join(between)
    }

    /// Whether a caption may hold this id: a word, or its end.
    pub fn is_written(id: u32) -> bool {
        id >= END
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
        pairs.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect()
    }

    #[test]
    fn words_are_those_seen_often_enough() {
        // By hand. A caption that spells a special word does not get it.
        let vocabulary =
            Vocabulary::of_counts(&counts(&[("a", 9), ("plane", 6), ("rare", 5), ("<end>", 99), ("big", 6)]), 5);
        assert_eq!(vocabulary.words(), ["<pad>", "<unk>", "<start>", "<end>", "a", "big", "plane"]);
        for (name, caption, ids) in [
            ("known", "a big plane", vec![2, 4, 5, 6, 3]),
            ("unknown", "a rare plane", vec![2, 4, 1, 6, 3]),
            ("spelt like a special one", "a <end> <pad>", vec![2, 4, 1, 1, 3]),
            ("empty", "", vec![2, 3]),
        ] {
            assert_eq!(vocabulary.encode(caption.split_whitespace()), ids, "{name}");
        }
        assert_eq!(vocabulary.decode(&[4, 6, 3], Language::En), "a plane");
        assert_eq!(vocabulary.decode(&[2, 4, 1, 6, 3, 0, 99], Language::Zh), "aplane");
    }

    #[test]
    fn a_list_that_is_no_vocabulary_is_refused() {
        let list = |words: &[&str]| Vocabulary::of_words(words.iter().map(|word| (*word).to_owned()).collect());
        assert!(list(&["a", "b"]).unwrap_err().to_string().contains("begins with <pad> <unk>"));
        assert!(list(&[&SPECIAL[..], &["a", "a"]].concat()).unwrap_err().to_string().contains("twice"));
    }

    proptest! {
        #[test]
        fn known_words_come_back(words in prop::collection::btree_map("[a-z]{1,6}", 1_u32..9, 1..20)) {
            let vocabulary = Vocabulary::of_counts(&words, 0);
            let caption: Vec<&str> = words.keys().map(String::as_str).collect();
            prop_assert_eq!(vocabulary.decode(&vocabulary.encode(caption.iter().copied()), Language::En), caption.join(" "));
            prop_assert_eq!(Vocabulary::of_words(vocabulary.words().to_vec()).unwrap(), vocabulary);
        }
    }
}
