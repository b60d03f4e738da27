//! The decoder of "Show, attend and tell" (Xu et al., 2015), in the form of the PyTorch tutorial: an LSTM that looks at the cells of a
//! feature map anew for every word.
//!
//! Before each word every cell `x_i` gets the score `e_i = w . relu(W_e x_i + W_d h)`; their softmax `alpha` mixes the cells to `z`,
//! which a gate scales: `z <- sigmoid(W_f h) * z`. The LSTM reads `[embedding(word); z]`, and its new state predicts the next word. It
//! begins with two linear functions of the mean cell.
//!
//! Every caption has the same bits whatever others are in its batch and however many threads work.

mod backward;
mod batch;
mod captioner;
mod config;
mod features;
mod forward;
mod loss;
mod net;
mod settings;
mod train;
mod tuned;
mod vocabulary;
mod writer;

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use candle_core::Var;

use super::Content;
use super::init::Init;
use super::ops::{self, values};
use super::weights::{TensorFile, Tensors, Weights};

pub use batch::Caption;
pub use captioner::{Captioner, ImageRow};
pub use config::AttendConfig;
pub use features::{Encoder, MapSource, ReadMaps, Stored};
pub use loss::Loss;
pub use settings::{AttendTraining, Selection};
pub use train::{AttendData, Epoch, Plan, Trained, ValScores, Validate, train};
pub use tuned::{OpenPictures, Tuned};
pub use vocabulary::{END, SPECIAL, START, Vocabulary};
pub use writer::{State, Writer};

/// The note of a weights file that holds the configuration, as JSON.
pub const ATTEND_KEY: &str = "rsic.attend";

/// A decoder with its weights, under the tutorial's names (`attention.encoder_att.weight`, ...).
#[derive(Clone, Debug)]
pub struct Decoder {
    config: AttendConfig,
    variables: BTreeMap<String, Var>,
}

impl Decoder {
    /// A new decoder; equal seeds give equal weights.
    pub fn init(config: &AttendConfig, seed: u64) -> Result<Self> {
        config.check()?;
        let variables = config.tensors().into_iter().map(|(name, shape, init)| {
            let tensor = init.tensor(seed, &format!("attend.{name}"), shape)?;
            Ok((name.to_owned(), Var::from_tensor(&tensor)?))
        });
        Ok(Self { config: config.clone(), variables: variables.collect::<Result<_>>()? })
    }

    /// A decoder with given weights.
    ///
    /// Fails with the list of all tensors that are missing, misshapen or unused.
    pub fn from_tensors(config: &AttendConfig, mut tensors: Tensors) -> Result<Self> {
        let own = Self::take(config, &mut tensors, "")?;
        tensors.finish()?;
        Self::with(config, own)
    }

    /// Takes a decoder's weights, whose names begin with `prefix`, for [`Decoder::with`]; the others stay.
    ///
    /// What is missing or misshapen is for [`Tensors::check`] or [`Tensors::finish`] to list before they are used.
    pub fn take(config: &AttendConfig, tensors: &mut Tensors, prefix: &str) -> Result<Weights> {
        config.check()?;
        let take = |(name, shape, _): (&str, Vec<usize>, Init)| {
            let tensor = tensors.take(&format!("{prefix}{name}"), &shape)?;
            Ok((name.to_owned(), tensor))
        };
        config.tensors().into_iter().map(take).collect()
    }

    /// A decoder with the weights that [`Decoder::take`] took.
    pub fn with(config: &AttendConfig, weights: Weights) -> Result<Self> {
        let variable = |(name, tensor)| Ok((name, Var::from_tensor(&tensor)?));
        Ok(Self { config: config.clone(), variables: weights.into_iter().map(variable).collect::<Result<_>>()? })
    }

    /// Reads what [`Decoder::save`] wrote.
    ///
    /// Fails if it is something else, or lists the tensors that do not fit its own configuration.
    pub fn load(content: &Content) -> Result<Self> {
        let file = TensorFile::open(content).context("cannot read the decoder's weights")?;
        let json = file.notes.get(ATTEND_KEY).with_context(|| {
            format!("the decoder's weights carry no `{ATTEND_KEY}`: they were not written by this program's training")
        })?;
        let config = serde_json::from_str(json).with_context(|| format!("`{ATTEND_KEY}` is {json}"))?;
        Self::from_tensors(&config, Tensors::of_file("trained decoder", file))
    }

    /// A SafeTensors file of all weights, sorted by name, with the configuration as a note; equal weights give equal bytes.
    pub fn save(&self) -> Result<Vec<u8>> {
        let metadata = HashMap::from([(ATTEND_KEY.to_owned(), serde_json::to_string(&self.config)?)]);
        let tensors = self.variables.iter().map(|(name, var)| (name, var.as_tensor()));
        Ok(safetensors::serialize(tensors, Some(metadata))?)
    }

    /// The sizes.
    pub fn config(&self) -> &AttendConfig {
        &self.config
    }

    /// All weights, sorted by name, for an optimiser.
    pub fn parameters(&self) -> Vec<(String, Var)> {
        self.variables.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    fn variable(&self, name: &str) -> Result<&Var> {
        self.variables.get(name).with_context(|| format!("the decoder has no `{name}`"))
    }

    /// The numbers of some weights, one after the other: their rows as one matrix.
    fn stacked(&self, names: &[&str]) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        for name in names {
            all.extend_from_slice(&values(self.variable(name)?)?);
        }
        Ok(all)
    }

    /// Hands over the gradients of some weights, which lie one after the other.
    fn give(&self, names: &[&str], mut grad: &[f32]) -> Result<()> {
        for name in names {
            let variable = self.variable(name)?;
            let (own, rest) = grad.split_at(variable.elem_count());
            ops::give(variable, own.to_vec())?;
            grad = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
