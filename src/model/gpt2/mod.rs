//! GPT-2, for training (a prefix of embeddings and the text after it at once) and for writing (token by token).

mod cache;
mod config;
mod decode;
mod net;

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use candle_core::{Tensor, Var};

use super::Bundle;
use super::init::Init;
use super::ops::{Dropout, Grad, Stored, matmul, prediction_loss, stack, values};
use super::weights::Tensors;

pub use cache::Cache;
pub use config::Gpt2Config;
pub use decode::Writer;
use net::Net;

/// What checkpoint names begin with, where they have a prefix at all.
const PREFIX: &str = "transformer.";

/// A GPT-2 language model with tied input and output embeddings.
///
/// Methods that take `trainable` compute gradients of the weights only if it is true (by [`super::ops::backward`] alone);
/// those of the input always.
#[derive(Clone, Debug)]
pub struct Gpt2 {
    config: Gpt2Config,
    /// With the names of checkpoints, prefix included.
    variables: BTreeMap<String, Var>,
    /// The network over the variables, and over the same numbers as constants.
    tracked: Net,
    frozen: Net,
}

impl Gpt2 {
    /// Reads config.json and the weights of a model; names with and without the prefix `transformer.` are understood.
    ///
    /// Fails with the list of all tensors that are missing, misshapen or unknown.
    pub fn load(bundle: &Bundle) -> Result<Self> {
        Self::from_tensors(Gpt2Config::load(bundle)?, Tensors::open(bundle)?)
    }

    /// Builds the network of `config` from tensors.
    pub fn from_tensors(config: Gpt2Config, mut tensors: Tensors) -> Result<Self> {
        config.check()?;
        let model = tensors.model().to_owned();
        tensors.strip_prefix(PREFIX);
        tensors.ignore(is_buffer);
        let head =
            tensors.has("lm_head.weight").then(|| tensors.take("lm_head.weight", &[config.vocab_size, config.n_embd]));
        let mut variables = BTreeMap::new();
        for (name, shape) in config.tensors() {
            let tensor = tensors.take(&name, &shape)?;
            variables.insert(format!("{PREFIX}{name}"), tensor);
        }
        tensors.finish()?;
        if let (Some(head), Some(wte)) = (head.transpose()?, variables.get("transformer.wte.weight"))
            && *values(&head.contiguous()?)? != *values(&wte.contiguous()?)?
        {
            bail!("{model} has an lm_head.weight of its own: only the head tied to wte.weight is supported");
        }
        let variables = variables.into_iter().map(|(name, tensor)| Ok((name, Var::from_tensor(&tensor)?)));
        Self::from_variables(config, variables.collect::<Result<_>>()?)
    }

    /// A new network with random weights, the same for every run with this `seed`.
    ///
    /// Source: GPT-2's own scheme. Deviation 0.02; layers that write into the residual stream divided by the root of their number.
    pub fn init(config: Gpt2Config, seed: u64) -> Result<Self> {
        config.check()?;
        let residual = 0.02 / (2.0 * config.n_layer as f32).sqrt();
        let mut variables = BTreeMap::new();
        for (name, shape) in config.tensors() {
            let values = match name.as_str() {
                name if name.ends_with("bias") => Init::Constant(0.0),
                name if name.contains("ln_") => Init::Constant(1.0),
                name if name.ends_with("c_proj.weight") => Init::Normal(residual),
                _ => Init::Normal(0.02),
            };
            let name = format!("{PREFIX}{name}");
            let tensor = values.tensor(seed, &name, shape)?;
            variables.insert(name, Var::from_tensor(&tensor)?);
        }
        Self::from_variables(config, variables)
    }

    /// Builds the network over variables that have the right names and shapes.
    fn from_variables(config: Gpt2Config, variables: BTreeMap<String, Var>) -> Result<Self> {
        let net = |tensor: fn(&Var) -> Tensor| {
            let tensors = variables.iter().map(|(name, var)| (name.clone(), tensor(var))).collect();
            Net::new(&config, &tensors)
        };
        let tracked = net(|var| var.as_tensor().clone())?;
        let frozen = net(Var::as_detached_tensor)?;
        Ok(Self { config, variables, tracked, frozen })
    }

    /// The configuration.
    pub fn config(&self) -> &Gpt2Config {
        &self.config
    }

    /// Width of the embeddings.
    pub fn width(&self) -> usize {
        self.config.n_embd
    }

    /// Number of tokens.
    pub fn vocab(&self) -> usize {
        self.config.vocab_size
    }

    /// Longest sequence, prefix included.
    pub fn max_positions(&self) -> usize {
        self.config.n_positions
    }

    /// All weights, sorted by name (`transformer.h.0.attn.c_attn.bias`, ...), for an optimiser.
    pub fn parameters(&self) -> Vec<(String, Var)> {
        self.variables.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The weights as a SafeTensors file; equal weights give equal bytes.
    pub fn save(&self) -> Result<Vec<u8>> {
        let tensors = self.variables.iter().map(|(name, var)| (name, var.as_tensor()));
        Ok(safetensors::serialize(tensors, None)?)
    }

    /// The model as files, `config.json` and `model.safetensors`; the vocabulary is not among them.
    pub fn to_bundle(&self, name: &str) -> Result<Bundle> {
        let config = serde_json::to_vec_pretty(&self.config)?;
        let files = [("config.json".to_owned(), config.into()), ("model.safetensors".to_owned(), self.save()?.into())];
        Ok(Bundle { files: files.into(), name: name.to_owned() })
    }

    fn net(&self, trainable: bool) -> &Net {
        if trainable { &self.tracked } else { &self.frozen }
    }

    /// The embeddings of tokens: `u32[..]` to `f32[.., d]`, without positions.
    pub fn embed_tokens(&self, ids: &Tensor, trainable: bool) -> Result<Tensor> {
        self.net(trainable).embed(ids)
    }

    /// What the network makes of input embeddings: `f32[b, t, d]` to `f32[b, t, d]`, after the final norm.
    ///
    /// Adds the positions 0, 1, ... and attends to the past only. Fails if `t` is above [`Self::max_positions`].
    pub fn hidden(&self, x: &Tensor, trainable: bool) -> Result<Tensor> {
        self.hidden_dropped(x, trainable, None)
    }

    /// [`Self::hidden`], with dropout where transformers' GPT-2 has it in training, if given.
    pub fn hidden_dropped(&self, x: &Tensor, trainable: bool, dropout: Option<Dropout>) -> Result<Tensor> {
        let (length, room) = (x.dim(1)?, self.max_positions());
        ensure!(length <= room, "a sequence of {length} positions: the model has {room}");
        Ok(stack(x, &self.net(trainable).stack(self.config.n_head, dropout)?)?)
    }

    /// The scores of all tokens before softmax: `f32[n, d]` (from [`Self::hidden`]) to `f32[n, v]`.
    pub fn logits(&self, hidden: &Tensor, trainable: bool) -> Result<Tensor> {
        Ok(matmul(hidden, &self.net(trainable).wte, Stored::OutIn, Grad::of(trainable))?)
    }

    /// The mean over targets of the negative log-likelihood, in nats: `f32[]`.
    ///
    /// `hidden` is what [`Self::hidden`] gave; `positions` are its rows, counted through, that predict the `targets`.
    pub fn loss(&self, hidden: &Tensor, positions: &[u32], targets: &[u32], trainable: bool) -> Result<Tensor> {
        Ok(prediction_loss(hidden, &self.net(trainable).wte, positions, targets, Grad::of(trainable))?)
    }

    /// The model for writing: the same predictions sooner, but no training any more.
    pub fn into_writer(self) -> Result<Writer> {
        let Self { config, variables, tracked, frozen } = self;
        // What is left is then the only owner of each matrix and frees it once it is packed.
        drop((variables, tracked));
        Writer::new(config, frozen)
    }
}

/// Whether a tensor is a stored mask, which older checkpoints carry along.
pub(super) fn is_buffer(name: &str) -> bool {
    name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")
}

#[cfg(test)]
mod tests;
