//! Vocabularies for small models trained here; the same sentences always give the same bytes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::{END_OF_TEXT, SEP, UNK, bytes, files};

/// Learns a byte-level BPE of at most `vocab_size` tokens and returns its tokenizer.json.
///
/// Ids: the 256 bytes in GPT-2's order, the merged tokens in the order learned, `<|endoftext|>` last. The most frequent
/// pair is merged first, of equally frequent ones the first by its two texts; a pair seen once is never merged, so the
/// vocabulary may come out smaller. Fails if `vocab_size` is below 257.
pub fn train_bpe(sentences: impl IntoIterator<Item = impl AsRef<str>>, vocab_size: usize) -> Result<Vec<u8>> {
    if vocab_size < 257 {
        bail!("a byte-level vocabulary needs at least 257 tokens, not {vocab_size}");
    }
    let mut learner = Learner::new(&words(sentences)?);
    let mut merges = Vec::new();
    while learner.tokens.len() + 1 < vocab_size {
        let Some(pair) = learner.best() else { break };
        merges.push((learner.tokens[pair.0 as usize].clone(), learner.tokens[pair.1 as usize].clone()));
        learner.merge(pair);
    }
    learner.tokens.push(END_OF_TEXT.to_owned());
    let vocab: Map<String, Value> = learner.tokens.into_iter().zip((0..).map(|id: u32| id.into())).collect();
    Ok(serde_json::to_vec(&files::byte_level_json(&vocab, &merges))?)
}

/// How often each word occurs, as GPT-2's splitting rule sees words, spelled in the byte alphabet.
fn words(sentences: impl IntoIterator<Item = impl AsRef<str>>) -> Result<BTreeMap<String, i64>> {
    let rule = ByteLevel::new(false, true, true);
    let mut words = BTreeMap::new();
    for sentence in sentences {
        let mut split = PreTokenizedString::from(sentence.as_ref());
        rule.pre_tokenize(&mut split).map_err(|error| anyhow!(error))?;
        for (word, ..) in split.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *words.entry(word.to_owned()).or_default() += 1;
        }
    }
    Ok(words)
}

/// Two neighbouring tokens.
type Pair = (u32, u32);

/// The words as they are spelled so far, and where each pair occurs.
struct Learner {
    tokens: Vec<String>,
    words: Vec<(Vec<u32>, i64)>,
    pairs: BTreeMap<Pair, (i64, BTreeSet<usize>)>,
}

impl Learner {
    /// Spells every word in single bytes.
    fn new(words: &BTreeMap<String, i64>) -> Self {
        let alphabet = bytes::alphabet();
        let ids: BTreeMap<char, u32> = alphabet.iter().copied().zip(0..).collect();
        let spell = |word: &String| word.chars().filter_map(|c| ids.get(&c).copied()).collect();
        let mut learner = Self {
            tokens: alphabet.into_iter().map(String::from).collect(),
            words: words.iter().map(|(word, &n)| (spell(word), n)).collect(),
            pairs: BTreeMap::new(),
        };
        for at in 0..learner.words.len() {
            learner.count(at, 1);
        }
        learner
    }

    /// Adds (`sign` 1) or removes (-1) the pairs of one word.
    fn count(&mut self, at: usize, sign: i64) {
        let (word, n) = &self.words[at];
        for pair in word.windows(2) {
            let (count, places) = self.pairs.entry((pair[0], pair[1])).or_default();
            *count += sign * n;
            // A word that still has the pair adds itself again after its merge.
            if sign > 0 {
                places.insert(at)
            } else {
                places.remove(&at)
            };
        }
    }

    /// The pair to merge next, if any occurs twice.
    fn best(&self) -> Option<Pair> {
        let text = |id: u32| self.tokens[id as usize].as_str();
        let repeated = self.pairs.iter().filter(|(_, (count, _))| *count > 1);
        repeated.max_by_key(|(pair, (count, _))| (*count, Reverse((text(pair.0), text(pair.1))))).map(|(pair, _)| *pair)
    }

    /// Replaces a pair by one token wherever it occurs.
    fn merge(&mut self, pair: Pair) {
        let text = format!("{}{}", self.tokens[pair.0 as usize], self.tokens[pair.1 as usize]);
        // Two different pairs may spell the same token.
        let id = self.tokens.iter().position(|token| *token == text).unwrap_or(self.tokens.len());
        if id == self.tokens.len() {
            self.tokens.push(text);
        }
        let places = self.pairs.get(&pair).map(|(_, places)| places.clone()).unwrap_or_default();
        for at in places {
            self.count(at, -1);
            self.words[at].0 = replace(&self.words[at].0, pair, id as u32);
            self.count(at, 1);
        }
        self.pairs.remove(&pair);
    }
}

/// `word` with every occurrence of `pair`, from the left, replaced by `id`.
fn replace(word: &[u32], pair: Pair, id: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, tail @ ..] = rest {
        if tail.first() == Some(&pair.1) && *first == pair.0 {
            out.push(id);
            rest = &tail[1..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// Collects the characters of some sentences into a vocabulary of one token per character; returns its tokenizer.json.
///
/// Ids: `[UNK]`, `[SEP]` (the end token), then the characters by code point. Blanks are not tokens: text is
/// encoded without them, as Chinese is written.
pub fn train_characters(sentences: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Vec<u8>> {
    let mut characters = BTreeSet::new();
    for sentence in sentences {
        characters.extend(sentence.as_ref().chars().filter(|c| !c.is_whitespace() && !c.is_control()));
    }
    let tokens = [UNK, SEP].map(str::to_owned).into_iter().chain(characters.into_iter().map(String::from));
    let vocab: Map<String, Value> = tokens.zip((0..).map(|id: u32| id.into())).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [files::special(UNK, 0), files::special(SEP, 1)],
        "normalizer": { "type": "Replace", "pattern": { "Regex": r"\s" }, "content": "" },
        "pre_tokenizer": { "type": "Split", "pattern": { "Regex": r"[\s\S]" }, "behavior": "Isolated", "invert": false },
        "post_processor": null, "decoder": { "type": "Fuse" },
        "model": { "type": "WordLevel", "unk_token": UNK, "vocab": vocab }
    });
    Ok(serde_json::to_vec(&json)?)
}
