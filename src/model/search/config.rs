//! Settings of the search, as pipeline.toml has them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::model::tokenizer::CaptionTokenizer;

/// The most sequences of one image, and the most tokens of one sequence.
const MOST: usize = 10_000;

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
    /// Beam search of "show, attend and tell": ranked by summed log-probability, and narrower by every finished sequence.
    BeamSetAside,
    /// Every token is drawn by chance, by its probability.
    Sample,
}

impl Method {
    /// Its name in pipeline.toml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::Beam => "beam",
            Self::BeamClipcap => "beam_clipcap",
            Self::BeamSetAside => "beam_set_aside",
            Self::Sample => "sample",
        }
    }
}

/// How captions are decoded: `[caption.decoding]`.
///
/// Settings added later are left out of the serialised form, and so of cache keys, where they change nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecodeConfig {
    /// `greedy`, `beam`, `beam_clipcap` (`ClipCap`'s rule: one pool in which finished beams stay), `beam_set_aside` (the one
    /// of "show, attend and tell": finished beams leave, and the beam is narrower by them) or `sample`.
    pub method: Method,
    /// Sequences kept per image by the beam methods.
    pub width: usize,
    /// `beam` ranks finished sequences by their log-probability over their length to this power.
    pub length_penalty: f64,
    /// Whether end-of-text ends a caption; the original, which never learnt it, stops only at the ids or texts below.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub end_token: bool,
    /// Further token ids that end a caption (the original's are 13 and 764).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_ids: Vec<u32>,
    /// Texts of one token each that end a caption, such as "." and " ." (as in the original).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_texts: Vec<String>,
    /// Captions per image: the best ones of a beam, or this many draws.
    #[serde(skip_serializing_if = "is_one")]
    pub n: usize,
    /// How many tokens a caption has at least before the one that ends it.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_tokens: usize,
    /// No run of this many tokens occurs twice in a caption; 0 allows all.
    #[serde(skip_serializing_if = "is_zero")]
    pub no_repeat_ngram: usize,
    /// `sample` divides the scores by this: below 1 likely tokens become likelier still.
    #[serde(skip_serializing_if = "is_one")]
    pub temperature: f64,
    /// `sample` draws from this many of the most probable tokens only; 0 keeps all.
    #[serde(skip_serializing_if = "is_zero")]
    pub top_k: usize,
    /// `sample` draws from the fewest most probable tokens that together have this share of the probability.
    #[serde(skip_serializing_if = "is_one")]
    pub top_p: f64,
    /// Where the random numbers of `sample` come from.
    #[serde(skip_serializing_if = "is_zero")]
    pub seed: u64,
}

fn is_zero<T: PartialEq + From<u8>>(value: &T) -> bool {
    *value == T::from(0)
}

fn is_one<T: PartialEq + From<u8>>(value: &T) -> bool {
    *value == T::from(1)
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self {
            method: Method::Beam,
            width: 5,
            length_penalty: 1.0,
            end_token: true,
            stop_ids: Vec::new(),
            stop_texts: Vec::new(),
            n: 1,
            min_tokens: 0,
            no_repeat_ngram: 0,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
        }
    }
}

impl DecodeConfig {
    /// Fails if a setting is out of its range, or differs from its default although the method does not use it.
    ///
    /// - `max_tokens`: the most tokens of a caption, the end token among them.
    pub fn check(&self, max_tokens: usize) -> Result<()> {
        for (name, value) in [("width", self.width), ("max_tokens", max_tokens), ("n", self.n)] {
            ensure!(value > 0, "`{name}` must be at least 1");
            ensure!(value <= MOST, "`{name}` must be at most {MOST}, not {value}");
        }
        for (name, value) in [("length_penalty", self.length_penalty), ("temperature", self.temperature)] {
            ensure!(value.is_finite(), "`{name}` must be a finite number, not {value}");
        }
        ensure!(self.temperature > 0.0, "`temperature` must be above 0, not {}", self.temperature);
        ensure!(self.top_p > 0.0 && self.top_p <= 1.0, "`top_p` must be above 0 and at most 1, not {}", self.top_p);
        ensure!(
            self.min_tokens <= max_tokens,
            "`min_tokens` must be at most `max_tokens`, which is {max_tokens}, not {}",
            self.min_tokens
        );
        self.check_use()?;
        match self.method {
            Method::Greedy => ensure!(
                self.n == 1,
                "`n` must be 1 with method `greedy`, which finds one caption: use `beam` or `sample` for {}",
                self.n
            ),
            Method::Beam | Method::BeamClipcap | Method::BeamSetAside => ensure!(
                self.n <= self.width,
                "`n` must be at most `width`, which is {}, not {}: keep more beams",
                self.width,
                self.n
            ),
            Method::Sample => {}
        }
        Ok(())
    }

    /// Fails if a setting is given that the method does not use.
    fn check_use(&self) -> Result<()> {
        let (default, method) = (Self::default(), self.method);
        let draws = method == Method::Sample;
        for (name, used, given) in [
            ("length_penalty", method == Method::Beam, self.length_penalty != default.length_penalty),
            ("temperature", draws, self.temperature != default.temperature),
            ("top_k", draws, self.top_k != default.top_k),
            ("top_p", draws, self.top_p != default.top_p),
            ("seed", draws, self.seed != default.seed),
        ] {
            ensure!(used || !given, "`{name}` has no effect with method `{}`: leave it out", method.name());
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
