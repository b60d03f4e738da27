//! Builds the table of METEOR from the published files.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result};

use super::bytes::push_numbers;
use super::dictionary::{dictionary, rank};
use super::phrases::Phrases;
use super::tables::join;

/// The published files METEOR reads for English, as they lie in `meteor-1.5.jar` and beside it.
pub struct Sources<'a> {
    /// `function/english.words`: one word per line.
    pub function_words: &'a [u8],
    /// `synonym/english.synsets`: a word, then a line with the numbers of its synonym sets.
    pub synsets: &'a [u8],
    /// `synonym/english.exceptions`: a word, then a line with its irregular forms.
    pub exceptions: &'a [u8],
    /// `nonbreaking/english.prefixes`: the abbreviations the normaliser knows.
    pub prefixes: &'a [u8],
    /// `data/paraphrase-en`, unpacked: probability, phrase, paraphrase, one per line.
    pub paraphrases: &'a mut dyn Read,
}

/// The table for [`Tables::new`](super::Tables::new); the same bytes for the same files.
///
/// Reads the paraphrases once and needs about 300 MB for the published ones.
pub fn compile(sources: Sources<'_>) -> Result<Vec<u8>> {
    let Sources { function_words, synsets: sets, exceptions: forms, prefixes, paraphrases } = sources;
    let function_words = text(function_words, "function words")?.lines().map(|word| (word, Vec::new()));
    let synsets = synsets(text(sets, "synonym sets")?)?;
    let exceptions = exceptions(text(forms, "exceptions")?, &synsets);
    let phrases = Phrases::read(paraphrases).context("cannot read the METEOR paraphrases")?;
    let mut parts = vec![text(prefixes, "prefixes")?.as_bytes().to_vec()];
    parts.extend(dictionary(&collect(function_words)));
    parts.extend(lists(&synsets));
    parts.extend(lists(&exceptions));
    parts.extend(phrases.parts());
    join(&parts)
}

/// Words in the order of their ranks, each with some numbers.
type Lists = Vec<(Box<str>, Vec<u32>)>;

/// Each word with the numbers of its synonym sets.
fn synsets(list: &str) -> Result<Lists> {
    let words = pairs(list).map(|(word, sets)| {
        let sets = sets.split_whitespace().map(str::parse).collect::<Result<_, _>>();
        Ok((word, sets.with_context(|| format!("the synonym sets of {word:?} are no numbers"))?))
    });
    Ok(collect(words.collect::<Result<Vec<_>>>()?))
}

/// Each irregular form with the ranks in `synsets` of the words it may be a form of.
fn exceptions(list: &str, synsets: &Lists) -> Lists {
    let ranks: BTreeMap<&str, u32> = synsets.iter().zip(0..).map(|((word, _), rank)| (&**word, rank)).collect();
    let rank = |base| Vec::from_iter(ranks.get(base).copied());
    collect(pairs(list).flat_map(|(base, forms)| forms.split_whitespace().map(move |form| (form, rank(base)))))
}

/// Every other line with the one after it.
fn pairs(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut lines = list.lines();
    std::iter::from_fn(move || Some((lines.next()?.trim(), lines.next()?)))
}

/// Puts together the numbers of equal words.
fn collect<'a>(words: impl IntoIterator<Item = (&'a str, Vec<u32>)>) -> Lists {
    let mut sorted = BTreeMap::<&str, Vec<u32>>::new();
    for (word, numbers) in words {
        sorted.entry(word.trim()).or_default().extend(numbers);
    }
    rank(sorted.into_iter().map(|(word, numbers)| (word.into(), numbers)))
}

/// A dictionary, the bounds of each word's numbers, and the numbers.
fn lists(words: &Lists) -> [Vec<u8>; 5] {
    let mut end = 0;
    let ends = words.iter().map(|(_, numbers)| {
        end += numbers.len() as u32;
        end
    });
    let bounds = push_numbers(std::iter::once(0).chain(ends));
    let numbers = push_numbers(words.iter().flat_map(|(_, numbers)| numbers.iter().copied()));
    let [buckets, spelling, text] = dictionary(words);
    [buckets, spelling, text, bounds, numbers]
}

fn text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).with_context(|| format!("the METEOR list of {name} is no UTF-8 text"))
}
