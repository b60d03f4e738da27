//! The paraphrases: phrases as a tree of words, and for each phrase the ones it may be rewritten into.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, ensure};

use super::bytes::{push_numbers, sparse};
use super::dictionary::{dictionary, rank};

/// The phrases in the order in which they were first read.
#[derive(Default)]
pub(super) struct Phrases {
    /// Each word with its number, which is the index into `spellings`.
    words: HashMap<Box<str>, u32, BuildHasherDefault<Mix>>,
    /// Each word, and its phrase of one word.
    spellings: Vec<(Box<str>, u32)>,
    /// The phrases that lengthen others, by phrase and word.
    longer: HashMap<u64, u32, BuildHasherDefault<Mix>>,
    /// By length less one: each phrase with the one it lengthens (itself if of one word) and the word added.
    levels: Vec<Vec<[u32; 3]>>,
    count: u32,
    /// Each phrase with one it may be rewritten into.
    rows: Vec<[u32; 2]>,
}

impl Phrases {
    /// Reads lines of probability, phrase and paraphrase.
    pub(super) fn read(text: &mut dyn Read) -> Result<Self> {
        let mut phrases = Self::default();
        let mut text = BufReader::with_capacity(1 << 20, text);
        let mut lines = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        let (mut from, mut to) = (Path::default(), Path::default());
        let [probability, phrase, paraphrase, before] = &mut lines;
        while next_line(&mut text, probability)? {
            ensure!(next_line(&mut text, phrase)?, "a phrase is missing at the end");
            ensure!(next_line(&mut text, paraphrase)?, "a paraphrase is missing at the end");
            if phrase != before {
                phrases.follow(&mut from, std::str::from_utf8(phrase)?)?;
                std::mem::swap(phrase, before);
            }
            phrases.follow(&mut to, std::str::from_utf8(paraphrase)?)?;
            phrases.rows.extend(from.last().zip(to.last()).map(|((_, from), (_, to))| [*from, *to]));
        }
        Ok(phrases)
    }

    /// Makes `path` the words of `phrase`, each with the phrase up to there; neighbours mostly begin alike.
    fn follow(&mut self, path: &mut Path, phrase: &str) -> Result<()> {
        let mut length = 0;
        for word in phrase.split_ascii_whitespace() {
            let word = self.word(word)?;
            if path.get(length).is_none_or(|(other, _)| *other != word) {
                path.truncate(length);
                let phrase = match path.last() {
                    None => self.spellings[word as usize].1,
                    Some((_, shorter)) => self.lengthened(*shorter, word, length)?,
                };
                path.push((word, phrase));
            }
            length += 1;
        }
        path.truncate(length);
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<u32> {
        if let Some(word) = self.words.get(word) {
            return Ok(*word);
        }
        let number = u32::from(u16::try_from(self.spellings.len()).context("more than 65,536 words")?);
        self.words.insert(word.into(), number);
        let phrase = self.add(0, [self.count, number])?;
        self.spellings.push((word.into(), phrase));
        Ok(number)
    }

    fn lengthened(&mut self, phrase: u32, word: u32, length: usize) -> Result<u32> {
        let key = u64::from(phrase) << 32 | u64::from(word);
        if let Some(longer) = self.longer.get(&key) {
            return Ok(*longer);
        }
        let longer = self.add(length, [phrase, word])?;
        self.longer.insert(key, longer);
        Ok(longer)
    }

    fn add(&mut self, level: usize, [shorter, word]: [u32; 2]) -> Result<u32> {
        let phrase = self.count;
        self.count = phrase.checked_add(1).context("too many phrases")?;
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push([phrase, shorter, word]);
        Ok(phrase)
    }

    /// The parts of the table, from the vocabulary on.
    ///
    /// Words get their rank by spelling and phrases their place level by level, so that sorting the numbers of
    /// words sorts the phrases as the published file does.
    pub(super) fn parts(mut self) -> Vec<Vec<u8>> {
        let mut by_spelling: Vec<u32> = (0..self.spellings.len() as u32).collect();
        by_spelling.sort_unstable_by_key(|word| &self.spellings[*word as usize].0);
        let mut alphabetical = vec![0; by_spelling.len()];
        for (place, word) in by_spelling.iter().enumerate() {
            alphabetical[*word as usize] = place as u32;
        }
        let spellings = std::mem::take(&mut self.spellings).into_iter().map(|(spelling, _)| spelling);
        let words = rank(spellings.zip(alphabetical.iter().copied()));
        let [buckets, spelling, text] = dictionary(&words);
        let word_ids = push_numbers(words.iter().map(|(_, place)| *place));

        let mut places = vec![0; self.count as usize];
        let mut longer = vec![0; self.count as usize];
        let mut last_words = Vec::new();
        let mut place = 0;
        for (level, phrases) in self.levels.iter().enumerate() {
            let shorter = |phrase: u32| if level == 0 { 0 } else { places[phrase as usize] };
            let mut sorted: Vec<[u32; 3]> = phrases
                .iter()
                .map(|[phrase, from, word]| [shorter(*from), alphabetical[*word as usize], *phrase])
                .collect();
            sorted.sort_unstable();
            for [shorter, word, phrase] in sorted {
                places[phrase as usize] = place;
                place += 1;
                if level > 0 {
                    longer[shorter as usize] += 1;
                    last_words.extend((word as u16).to_le_bytes());
                }
            }
        }

        let mut rows: Vec<[u32; 2]> = self.rows.iter().map(|row| row.map(|phrase| places[phrase as usize])).collect();
        rows.sort_unstable();
        rows.dedup();
        let mut rewritable = vec![0; self.count as usize];
        for [from, _] in &rows {
            rewritable[*from as usize] += 1;
        }
        let [longer_bits, longer_ranks, longer_bounds] = sparse(&longer);
        let [bits, bit_ranks, bounds] = sparse(&rewritable);
        let rewritings = push_numbers(rows.iter().map(|[_, to]| *to));
        let longer = [longer_bits, longer_ranks, longer_bounds];
        let rewritable = [bits, bit_ranks, bounds, rewritings];
        let parts = [buckets, spelling, text, word_ids, last_words].into_iter().chain(longer).chain(rewritable);
        parts.collect()
    }
}

/// The words of a phrase, each with the phrase that ends there.
type Path = Vec<(u32, u32)>;

/// Reads a line without its end; whether there was one.
fn next_line(text: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let read = text.read_until(b'\n', line)?;
    line.pop_if(|byte| *byte == b'\n');
    Ok(read > 0)
}

/// A quick hash for keys that are numbers already.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks();
        for eight in eights {
            self.write_u64(u64::from_le_bytes(*eight));
        }
        self.write_u64(rest.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
