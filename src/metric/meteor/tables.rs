//! The word lists of METEOR as one block of bytes, read where it lies.

use std::ops::Range;

use anyhow::{Context, Result, ensure};

use super::bytes::{Numbers, Sparse};
use super::dictionary::Dictionary;
use super::normalize::Prefixes;

/// What a table begins with.
const MAGIC: [u8; 8] = *b"meteor\r\n";
/// 1: first layout.
const VERSION: u32 = 1;
/// Magic, version, and the length of each part.
const HEAD: usize = MAGIC.len() + 4 + 4 * PARTS;

/// How many parts a table has; the last one holds the paraphrases.
const PARTS: usize = 26;

/// Something for each part of a table.
type Parts<T> = [T; PARTS];

/// Function words, synonyms, paraphrases and the normaliser's list, as made by [`compile`](super::compile).
#[derive(Debug)]
pub struct Tables {
    bytes: Vec<u8>,
    parts: Parts<Range<usize>>,
    pub(super) prefixes: Prefixes,
}

impl Tables {
    /// Opens what [`compile`](super::compile) has made, without copying it; a few milliseconds.
    ///
    /// Fails if the bytes are none of its tables; whatever they are, nothing panics then or later.
    pub fn new(bytes: Vec<u8>) -> Result<Self> {
        let parts = parts(&bytes).context("not a METEOR table, or one of another version")?;
        let prefixes =
            std::str::from_utf8(&bytes[parts[0].clone()]).context("damaged METEOR table: list of prefixes")?;
        let tables = Self { prefixes: Prefixes::new(prefixes), bytes, parts };
        ensure!(tables.view().is_sound(), "damaged METEOR table: its parts contradict one another");
        Ok(tables)
    }

    /// The parts as lists.
    pub(super) fn view(&self) -> View<'_> {
        let part = |index: usize| &self.bytes[self.parts[index].clone()];
        View {
            function: Dictionary::new(part(1), part(2), part(3)),
            synonyms: Dictionary::new(part(4), part(5), part(6)),
            synset_bounds: Numbers::new(part(7)),
            synsets: Numbers::new(part(8)),
            exceptions: Dictionary::new(part(9), part(10), part(11)),
            base_bounds: Numbers::new(part(12)),
            bases: Numbers::new(part(13)),
            vocabulary: Dictionary::new(part(14), part(15), part(16)),
            word_ids: Numbers::new(part(17)),
            last_words: part(18).as_chunks().0,
            longer: Sparse::new(part(19), part(20), part(21)),
            rewritable: Sparse::new(part(22), part(23), part(24)),
            rewritings: self.rewritings(),
        }
    }

    /// `u32[n]`: the phrases into which phrases may be rewritten, in ranges of `rewritable`, each sorted.
    pub(super) fn rewritings(&self) -> Numbers<'_> {
        Numbers::new(&self.bytes[self.parts[PARTS - 1].clone()])
    }
}

/// The lists of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// Words that count less.
    pub(super) function: Dictionary<'a>,
    /// Words with synonyms; `synset_bounds` has the ranges of `synsets` by their rank.
    pub(super) synonyms: Dictionary<'a>,
    pub(super) synset_bounds: Numbers<'a>,
    pub(super) synsets: Numbers<'a>,
    /// Irregular forms; `base_bounds` has the ranges of `bases`, ranks of `synonyms`, by their rank.
    pub(super) exceptions: Dictionary<'a>,
    pub(super) base_bounds: Numbers<'a>,
    pub(super) bases: Numbers<'a>,
    /// Words of the paraphrases; `word_ids` has their alphabetical number by their rank.
    pub(super) vocabulary: Dictionary<'a>,
    pub(super) word_ids: Numbers<'a>,
    /// Phrases are numbered: first those of one word, as that word; then longer ones, level by level, sorted by the
    /// phrase they lengthen. `u16[longer phrases]`: the word added last.
    pub(super) last_words: &'a [[u8; 2]],
    /// The phrases that lengthen a phrase, as range of `last_words`.
    pub(super) longer: Sparse<'a>,
    /// Where the paraphrases of a phrase lie among all of them.
    pub(super) rewritable: Sparse<'a>,
    pub(super) rewritings: Numbers<'a>,
}

impl View<'_> {
    fn is_sound(&self) -> bool {
        let dictionaries = [self.function, self.synonyms, self.exceptions, self.vocabulary];
        dictionaries.iter().all(|dictionary| dictionary.is_sound())
            && self.synset_bounds.len() == self.synonyms.len() + 1
            && self.synset_bounds.are_bounds_of(self.synsets.len())
            && self.base_bounds.len() == self.exceptions.len() + 1
            && self.base_bounds.are_bounds_of(self.bases.len())
            && self.word_ids.len() == self.vocabulary.len()
            && self.longer.is_sound(self.last_words.len())
            && self.rewritable.is_sound(self.rewritings.len())
    }

    /// The phrase that lengthens `phrase` by `word`.
    pub(super) fn lengthened(&self, phrase: u32, word: u32) -> Option<u32> {
        let range = self.longer.range(phrase as usize)?;
        let words = self.last_words.get(range.clone())?;
        let place = words.binary_search_by_key(&word, |word| u32::from(u16::from_le_bytes(*word))).ok()?;
        Some((self.word_ids.len() + range.start + place) as u32)
    }
}

/// One block of bytes out of the parts.
pub(super) fn join(parts: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD + parts.iter().map(Vec::len).sum::<usize>());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    for part in parts {
        bytes.extend(u32::try_from(part.len()).context("METEOR table too large")?.to_le_bytes());
    }
    for part in parts {
        bytes.extend(part);
    }
    Ok(bytes)
}

/// Where the parts lie; nothing if the head is another or the lengths do not add up.
fn parts(bytes: &[u8]) -> Option<Parts<Range<usize>>> {
    let head = bytes.get(..HEAD)?.strip_prefix(&MAGIC)?.strip_prefix(&VERSION.to_le_bytes())?;
    let mut end = HEAD;
    let parts = std::array::from_fn(|part| {
        let length = Numbers::new(head).get(part).unwrap_or_default();
        end += length as usize;
        end - length as usize..end
    });
    (end == bytes.len()).then_some(parts)
}
