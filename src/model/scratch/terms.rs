//! Captions as sets of terms, the small text encoder's view of language.

use std::collections::{BTreeMap, BTreeSet};

use crate::language::Language;

/// The terms worth knowing, sorted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vocabulary {
    language: Language,
    terms: BTreeMap<String, usize>,
    /// How much each term tells: the logarithm of one over the share of pictures whose captions have it.
    weights: Vec<f32>,
}

impl Vocabulary {
    /// The terms that occur in the captions of at least `min_pictures` pictures.
    pub(super) fn new(captions: &[impl AsRef<[String]>], language: Language, min_pictures: usize) -> Self {
        let mut counts = BTreeMap::<String, usize>::new();
        for picture in captions {
            let terms: BTreeSet<String> =
                picture.as_ref().iter().flat_map(|caption| terms(caption, language)).collect();
            for term in terms {
                *counts.entry(term).or_default() += 1;
            }
        }
        counts.retain(|_, count| *count >= min_pictures);
        let pictures = captions.len() as f64;
        let weights = counts.values().map(|&count| (pictures / count as f64).ln() as f32).collect();
        let terms = counts.into_keys().enumerate().map(|(id, term)| (term, id)).collect();
        Self { language, terms, weights }
    }

    /// How many terms there are.
    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }

    /// The ids of a caption's known terms, ascending, each once.
    pub(super) fn ids(&self, caption: &str) -> Vec<usize> {
        let known = terms(caption, self.language).into_iter().filter_map(|term| self.terms.get(&term).copied());
        known.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// For every term the share of one picture's captions that have it.
    pub(super) fn shares(&self, captions: &[String]) -> Vec<f32> {
        let mut shares = vec![0.0; self.len()];
        for caption in captions {
            for id in self.ids(caption) {
                shares[id] += 1.0 / captions.len() as f32;
            }
        }
        shares
    }

    /// Shares, each times how much its term tells, scaled to length 1.
    pub(super) fn direction(&self, shares: &[f32]) -> Vec<f32> {
        let weighted: Vec<f32> = shares.iter().zip(&self.weights).map(|(share, weight)| share * weight).collect();
        let length = weighted.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        weighted.iter().map(|x| x / length).collect()
    }
}

/// English: words in lower case. Chinese: characters and pairs of neighbouring characters.
fn terms(caption: &str, language: Language) -> Vec<String> {
    match language {
        Language::En => {
            let lower = caption.to_lowercase();
            let words = lower.split(|c: char| !c.is_alphanumeric());
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
        }
        Language::Zh => {
            let characters: Vec<char> = caption.chars().filter(|c| c.is_alphanumeric()).collect();
            let single = characters.iter().map(char::to_string);
            single.chain(characters.windows(2).map(|pair| pair.iter().collect())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captions(pictures: &[&[&str]]) -> Vec<Vec<String>> {
        pictures.iter().map(|texts| texts.iter().map(|&text| text.to_owned()).collect()).collect()
    }

    #[test]
    fn rare_terms_are_left_out_and_common_ones_tell_nothing() {
        let captions = captions(&[&["A red roof .", "Red ."], &["A blue lake .", "the red lake"]]);
        let vocabulary = Vocabulary::new(&captions, Language::En, 2);
        assert_eq!(vocabulary.terms.keys().collect::<Vec<_>>(), ["a", "red"]);
        assert_eq!(vocabulary.shares(&captions[0]), [0.5, 1.0]);
        assert_eq!(vocabulary.direction(&[0.5, 1.0]), [0.0, 0.0]);
        assert_eq!(vocabulary.ids("Red red A sky"), [0, 1]);
    }

    #[test]
    fn chinese_terms_are_characters_and_pairs() {
        assert_eq!(terms("机场，大", Language::Zh), ["机", "场", "大", "机场", "场大"]);
    }
}
