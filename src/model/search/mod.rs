//! From a model that predicts the next token to whole token sequences.
//!
//! One [`Decoder`] serves every rule: greedy, beam search as transformers, ClipCap or "show, attend and tell" do it, and
//! sampling. A batch of images runs together; what is finished leaves it. Rows never mix, so neither do results: the batch
//! size changes nothing.
//!
//! Some tokens may be banned from a sequence, by its own past (see [`DecodeConfig`]) or from all of them ([`Decoder::never`]). No rule takes them, but
//! log-probabilities stay the model's own. A sequence that may take no token at all ends as it is.

mod beam;
mod clipcap;
mod config;
mod filter;
mod greedy;
mod limits;
mod rank;
mod sample;
mod set_aside;
mod watched;

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use candle_core::Tensor;
use rayon::prelude::*;

pub use config::{DecodeConfig, Method};
use limits::Limits;
use rank::Row;
pub use watched::Watched;

/// A model that continues token sequences, many independent rows at a time.
pub trait Decoder {
    /// What the model remembers of every row.
    type State;

    /// Begins one row per image from `input` (first dimension: images) and predicts the first tokens.
    fn start(&self, input: &Tensor) -> Result<(Self::State, Logits)>;

    /// Appends one token to every row and predicts the next ones.
    fn step(&self, state: &mut Self::State, tokens: &[u32]) -> Result<Logits>;

    /// Replaces the rows by `rows` of the present ones, in this order; a row may leave or be doubled.
    fn select(&self, state: &mut Self::State, rows: &[usize]) -> Result<()>;

    /// The tokens that no sequence may have, such as padding.
    fn never(&self) -> &[u32] {
        &[]
    }
}

/// The scores of every token for the next position of every row, before softmax.
#[derive(Clone, Debug)]
pub struct Logits {
    values: Vec<f32>,
    vocab: usize,
}

impl Logits {
    /// From `values`: `f32[rows, vocab]`.
    pub fn new(values: Vec<f32>, vocab: usize) -> Self {
        Self { values, vocab }
    }

    /// The scores of one row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.vocab..(row + 1) * self.vocab]
    }
}

/// A finished sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hypothesis {
    /// The tokens, the one that ended it among them.
    pub ids: Vec<u32>,
    /// Sum of the natural logarithms of the probabilities that the model gave them.
    pub log_prob: f64,
    /// Whether a stop token ended it, rather than the limit or a ban of all tokens.
    pub stopped: bool,
}

/// A live sequence: which row it continues and with which token.
struct Next {
    row: usize,
    token: u32,
}

/// The sequences of one image.
trait Rule: Send {
    /// Takes one more prediction, one row per live sequence; returns the live sequences, none when it is over.
    fn advance(&mut self, rows: &[Row<'_>]) -> Vec<Next>;

    /// All sequences, best first, or in the order of the draws; at least one.
    fn finish(self) -> Vec<Hypothesis>;
}

/// Writes `config.n` token sequences for every image of `input` (first dimension), best first, or in the order of the draws.
///
/// A beam may hold fewer than `n`, but never none.
/// - `ids`: what the images are called. A draw depends on the seed, this and its own number alone.
/// - `max_tokens`: the most tokens of a sequence, the one that ends it among them.
/// - `stops`: the tokens that end a sequence.
///
/// Fails if the settings are impossible or the model gives NaN.
pub fn search<D: Decoder>(
    decoder: &D,
    input: &Tensor,
    ids: &[u32],
    config: &DecodeConfig,
    max_tokens: usize,
    stops: &BTreeSet<u32>,
) -> Result<Vec<Vec<Hypothesis>>> {
    config.check(max_tokens)?;
    let images = input.dim(0)?;
    ensure!(ids.len() == images, "{} image ids for {images} images", ids.len());
    let limits = Limits { config, max_tokens, stops, never: decoder.never() };
    let mut results = match config.method {
        Method::Greedy => run(decoder, input, ids, |_| greedy::Greedy::new(limits)),
        Method::Beam => run(decoder, input, ids, |_| beam::Beams::new(limits)),
        Method::BeamClipcap => run(decoder, input, ids, |_| clipcap::Pool::new(limits)),
        Method::BeamSetAside => run(decoder, input, ids, |_| set_aside::SetAside::new(limits)),
        Method::Sample => run(decoder, input, ids, |id| sample::Draws::new(limits, id)),
    }?;
    for found in &mut results {
        found.truncate(config.n);
    }
    Ok(results)
}

/// One image in the batch: its rule and its rows.
struct Job<R> {
    image: usize,
    rule: R,
    rows: std::ops::Range<usize>,
    next: Vec<Next>,
}

/// Runs one rule per image until none has a live sequence left.
fn run<D: Decoder, R: Rule>(
    decoder: &D,
    input: &Tensor,
    ids: &[u32],
    rule: impl Fn(u32) -> R,
) -> Result<Vec<Vec<Hypothesis>>> {
    let mut results: Vec<Vec<Hypothesis>> = ids.iter().map(|_| Vec::new()).collect();
    if ids.is_empty() {
        return Ok(results);
    }
    let (mut state, mut logits) = decoder.start(input)?;
    let job = |(image, &id)| Job { image, rule: rule(id), rows: image..image + 1, next: Vec::new() };
    let mut jobs: Vec<Job<R>> = ids.iter().enumerate().map(job).collect();
    loop {
        advance(&mut jobs, &logits)?;
        let (live, done): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| !job.next.is_empty());
        for job in done {
            results[job.image] = job.rule.finish();
        }
        jobs = live;
        if jobs.is_empty() {
            return Ok(results);
        }
        let (mut rows, mut tokens) = (Vec::new(), Vec::new());
        for job in &mut jobs {
            let first = rows.len();
            rows.extend(job.next.iter().map(|next| job.rows.start + next.row));
            tokens.extend(job.next.iter().map(|next| next.token));
            job.rows = first..rows.len();
        }
        decoder.select(&mut state, &rows)?;
        logits = decoder.step(&mut state, &tokens)?;
    }
}

/// Gives every image its rows of the prediction.
fn advance<R: Rule>(jobs: &mut [Job<R>], logits: &Logits) -> Result<()> {
    let healthy = jobs.par_iter_mut().map(|job| {
        let rows: Vec<Row<'_>> = job.rows.clone().map(|row| Row::new(logits.row(row))).collect();
        let healthy = rows.iter().all(Row::is_finite);
        if healthy {
            job.next = job.rule.advance(&rows);
        }
        healthy
    });
    if healthy.reduce(|| true, |a, b| a && b) {
        return Ok(());
    }
    bail!("the model predicts NaN or infinity: its weights, or the vectors given to it, are damaged")
}

#[cfg(test)]
mod tests;
