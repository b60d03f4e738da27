//! Captions to token ids and back.
//!
//! Three kinds of vocabulary are known: GPT-2's byte-level BPE, BERT's WordPiece (Chinese GPT-2 checkpoints) and one
//! token per character (small Chinese models trained here).

mod bytes;
mod files;
mod train;

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tokenizers::Tokenizer;

use super::Bundle;
use crate::language::Language;

pub use train::{train_bpe, train_characters};

/// The end-of-text token of byte-level BPE vocabularies.
const END_OF_TEXT: &str = "<|endoftext|>";
/// The token before a BERT text.
const CLS: &str = "[CLS]";
/// The token after a BERT text, and after a text of single characters.
const SEP: &str = "[SEP]";
/// What fills rows up in BERT batches.
const PAD: &str = "[PAD]";
/// Stands for what the vocabulary does not hold.
const UNK: &str = "[UNK]";

/// How the tokens of a vocabulary make up text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Byte-level BPE: tokens are byte strings.
    Bytes,
    /// WordPiece: words and their `##` continuations.
    Pieces,
    /// One token per character.
    Characters,
}

impl Kind {
    /// Reads the kind off a tokenizer.json; old files do not name their model type.
    fn of(json: &Value) -> Result<Self> {
        let model = &json["model"];
        let guess = if model["merges"].is_array() { "BPE" } else { "unknown" };
        match model["type"].as_str().unwrap_or(guess) {
            "BPE" if json["decoder"]["type"] == "ByteLevel" => Ok(Self::Bytes),
            "BPE" => bail!("its BPE is not byte-level: only GPT-2's kind is supported"),
            "WordPiece" => Ok(Self::Pieces),
            "WordLevel" if json["decoder"]["type"] == "Fuse" => Ok(Self::Characters),
            other => bail!("model type `{other}` is not supported: use byte-level BPE or WordPiece"),
        }
    }
}

/// The tokenizer of one language model, for captions of one language.
#[derive(Clone, Debug)]
pub struct CaptionTokenizer {
    inner: Tokenizer,
    kind: Kind,
    language: Language,
    bos: Option<u32>,
    eos: u32,
    /// Tokens that leave no trace in the text.
    silent: BTreeSet<u32>,
    size: usize,
}

impl CaptionTokenizer {
    /// Reads `tokenizer.json`, or GPT-2's `vocab.json` (`encoder.json`) with `merges.txt` (`vocab.bpe`), or BERT's `vocab.txt`.
    ///
    /// A BERT vocabulary ends captions with `[SEP]`, whatever config.json says (Chinese GPT-2 checkpoints keep GPT-2's
    /// 50256 there, which they do not have). Fails if config.json's `eos_token_id` is outside a byte-level vocabulary.
    pub fn load(bundle: &Bundle, language: Language) -> Result<Self> {
        let what = || format!("cannot read the tokenizer of model {}", bundle.name);
        let json = files::tokenizer_json(bundle).with_context(what)?;
        Self::from_json(&json, files::end_id(bundle).with_context(what)?, language).with_context(what)
    }

    /// Makes the tokenizer that `json` describes; `end` is the id that config.json calls the end of a text.
    fn from_json(json: &Value, end: Option<u32>, language: Language) -> Result<Self> {
        let kind = Kind::of(json)?;
        let mut inner = Tokenizer::from_bytes(json.to_string()).map_err(|error| anyhow!(error))?;
        inner.with_truncation(None).map_err(|error| anyhow!(error))?.with_padding(None);
        let size = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let id = |token: &str| {
            inner
                .token_to_id(token)
                .ok_or_else(|| anyhow!("the vocabulary has no token `{token}` (it has {size} tokens)"))
        };
        let (bos, eos) = match (kind, end) {
            (Kind::Bytes, Some(end)) if (end as usize) < size => (None, end),
            (Kind::Bytes, Some(end)) => bail!(
                "config.json's eos_token_id {end} is outside the vocabulary of {size} tokens: \
                 the tokenizer and the model do not belong together"
            ),
            (Kind::Bytes, None) => (None, id(END_OF_TEXT)?),
            (Kind::Pieces, _) => (Some(id(CLS)?), id(SEP)?),
            (Kind::Characters, _) => (None, id(SEP)?),
        };
        let mut silent: BTreeSet<u32> = match kind {
            Kind::Pieces => [CLS, SEP, PAD].iter().filter_map(|token| inner.token_to_id(token)).collect(),
            Kind::Characters => [UNK, SEP].iter().filter_map(|token| inner.token_to_id(token)).collect(),
            Kind::Bytes => special(&inner),
        };
        silent.insert(eos);
        Ok(Self { inner, kind, language, bos, eos, silent, size })
    }

    /// The tokens of a caption, with the end token appended and no token before it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        let mut ids = encoding.map_err(|error| anyhow!("cannot tokenize {text:?}: {error}"))?.get_ids().to_vec();
        ids.push(self.eos);
        Ok(ids)
    }

    /// The token between the prefix and the caption: `[CLS]` of a BERT vocabulary, else none.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends every caption.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.size
    }

    /// The text of some tokens, without special tokens; ids outside the vocabulary are passed over.
    ///
    /// Bytes that are not UTF-8, such as a character cut by the token limit, are dropped; U+FFFD never appears.
    /// WordPiece words are joined by blanks in English and without in Chinese; characters always without.
    pub fn decode(&self, ids: &[u32]) -> String {
        let spoken = ids.iter().filter(|id| !self.silent.contains(id));
        let tokens = spoken.filter_map(|&id| self.inner.id_to_token(id));
        match self.kind {
            Kind::Bytes => bytes::decode(tokens),
            Kind::Pieces => join(tokens, self.language),
            Kind::Characters => tokens.collect(),
        }
    }
}

/// The ids of all special tokens.
fn special(tokenizer: &Tokenizer) -> BTreeSet<u32> {
    let added = tokenizer.get_added_tokens_decoder();
    added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect()
}

/// Puts word pieces together.
fn join(pieces: impl Iterator<Item = String>, language: Language) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece.strip_prefix("##") {
            Some(rest) if !rest.is_empty() => text.push_str(rest),
            _ => {
                if language == Language::En && !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(&piece);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
