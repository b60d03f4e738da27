//! All ways in which words of a caption may match words of a reference.

use super::sentence::{Rewritable, Sentence, Word};
use super::tables::Tables;

pub(super) const EXACT: usize = 0;
const STEM: usize = 1;
const SYNONYM: usize = 2;
const PARAPHRASE: usize = 3;

/// Words of the caption and words of the reference that may stand for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) module: usize,
    pub(super) hypothesis: Span,
    pub(super) reference: Span,
}

impl Match {
    /// How far the words stand from one another.
    pub(super) fn distance(&self) -> u32 {
        self.hypothesis.start.abs_diff(self.reference.start)
    }
}

/// Neighbouring words of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) length: u32,
}

impl Span {
    pub(super) fn end(self) -> u32 {
        self.start + self.length
    }

    pub(super) fn words(self) -> std::ops::Range<usize> {
        self.start as usize..self.end() as usize
    }
}

/// The matches in the order in which the search tries them: by first word of the reference, then by module.
pub(super) fn matches(tables: &Tables, hypothesis: &Sentence, reference: &Sentence) -> Vec<Match> {
    let same = hypothesis.words.len() == reference.words.len()
        && hypothesis.words.iter().zip(&reference.words).all(|(a, b)| a.hash == b.hash);
    let mut found = Vec::with_capacity(4 * reference.words.len());
    for (there, word) in reference.words.iter().enumerate() {
        for (here, other) in hypothesis.words.iter().enumerate() {
            let mut add = |module| {
                let span = |start| Span { start: start as u32, length: 1 };
                found.push(Match { module, hypothesis: span(here), reference: span(there) });
            };
            if other.hash == word.hash {
                add(EXACT);
            } else if !same {
                if other.stem == word.stem {
                    add(STEM);
                }
                if other.synset_bits & word.synset_bits != 0
                    && have_common(synsets(hypothesis, other), synsets(reference, word))
                {
                    add(SYNONYM);
                }
            }
        }
    }
    if !same {
        paraphrases(tables, hypothesis, reference, &mut found);
    }
    found.sort_by_key(|found| (found.reference.start, found.module));
    found
}

fn synsets<'a>(sentence: &'a Sentence, word: &Word) -> &'a [u32] {
    &sentence.synsets[word.synsets.start as usize..word.synsets.end as usize]
}

/// Whether two sorted lists share a number.
fn have_common(mut a: &[u32], mut b: &[u32]) -> bool {
    while let ([x, behind_x @ ..], [y, behind_y @ ..]) = (a, b) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => a = behind_x,
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Greater => b = behind_y,
        }
    }
    false
}

/// Paraphrases from the reference to the caption, then from the caption to the reference.
fn paraphrases(tables: &Tables, hypothesis: &Sentence, reference: &Sentence, found: &mut Vec<Match>) {
    for from in &reference.rewritable {
        let first = found.len();
        rewritings(tables, from, hypothesis, |to| {
            let reference = Span { start: from.start, length: from.length };
            found.push(Match { module: PARAPHRASE, hypothesis: to, reference });
        });
        // In the order of the published rows, which are sorted by their words.
        let ids = |found: &Match| hypothesis.words[found.hypothesis.words()].iter().map(|word| word.id);
        found[first..].sort_by(|a, b| ids(a).cmp(ids(b)));
    }
    for from in &hypothesis.rewritable {
        rewritings(tables, from, reference, |to| {
            let hypothesis = Span { start: from.start, length: from.length };
            found.push(Match { module: PARAPHRASE, hypothesis, reference: to });
        });
    }
}

/// Calls `found` with every phrase of `sentence` that `from` may be rewritten into.
fn rewritings(tables: &Tables, from: &Rewritable, sentence: &Sentence, mut found: impl FnMut(Span)) {
    let mut rest = tables.rewritings().slice(from.rewritings.clone());
    for phrase in &sentence.phrases {
        rest = rest.from(phrase.number);
        match rest.get(0) {
            None => break,
            Some(number) if number == phrase.number => found(Span { start: phrase.start, length: phrase.length }),
            Some(_) => {}
        }
    }
}
