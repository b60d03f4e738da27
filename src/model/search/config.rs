//! Settings of the search, as pipeline.toml has them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::model::tokenizer::CaptionTokenizer;

/// How captions are searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The most probable token at every step.
    Greedy,
    /// Beam search by the rules of transformers' `generate`.
    #[default]
    Beam,
    /// ClipCap's beam search: one pool ranked by mean log-probability, in which finished sequences stay.
    BeamClipcap,
}

/// How captions are decoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecodeConfig {
    /// The rule.
    pub method: Method,
    /// Sequences kept per image by the beam methods.
    pub width: usize,
    /// The most tokens of a caption, the end token among them.
    pub max_tokens: usize,
    /// `beam` ranks finished sequences by their log-probability over their length to this power.
    pub length_penalty: f64,
    /// Whether the tokenizer's end token ends a caption; the original never stops there.
    pub end_token: bool,
    /// More tokens that end a caption (the original: 13 and 764).
    pub stop_ids: Vec<u32>,
    /// The same, as texts of one token each, such as "." and " .".
    pub stop_texts: Vec<String>,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self {
            method: Method::Beam,
            width: 5,
            max_tokens: 67,
            length_penalty: 1.0,
            end_token: true,
            stop_ids: Vec::new(),
            stop_texts: Vec::new(),
        }
    }
}

impl DecodeConfig {
    /// Fails if a number is out of its range.
    pub fn check(&self) -> Result<()> {
        if self.width == 0 || self.max_tokens == 0 {
            bail!("decoding needs a width and max_tokens of at least 1, not {} and {}", self.width, self.max_tokens);
        }
        if !self.length_penalty.is_finite() {
            bail!("length_penalty is {}, not a finite number", self.length_penalty);
        }
        Ok(())
    }

    /// All tokens that end a caption.
    ///
    /// Fails if a stop text is not exactly one token, or an id is outside the vocabulary.
    pub fn stops(&self, tokenizer: &CaptionTokenizer) -> Result<BTreeSet<u32>> {
        let mut stops: BTreeSet<u32> = self.end_token.then(|| tokenizer.eos()).into_iter().collect();
        for &id in &self.stop_ids {
            if id as usize >= tokenizer.vocab_size() {
                bail!("stop id {id} is outside the vocabulary of {} tokens", tokenizer.vocab_size());
            }
            stops.insert(id);
        }
        for text in &self.stop_texts {
            let ids = tokenizer.encode(text).context("cannot read stop_texts")?;
            let [id, _end] = ids[..] else {
                bail!("the stop text {text:?} is {} tokens, not one", ids.len().saturating_sub(1));
            };
            stops.insert(id);
        }
        Ok(stops)
    }
}
