//! GPT-2's config.json.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::model::Bundle;
use crate::model::ops::Activation;

/// No published network comes near these; without a limit, a damaged config.json asks for all the memory there is.
const WIDEST: usize = 1 << 16;
const DEEPEST: usize = 1 << 10;
const MOST_TOKENS: usize = 1 << 24;

/// The fields of config.json that shape the network; what is absent has GPT-2's default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpt2Config {
    /// Always `gpt2`.
    pub model_type: String,
    /// Width of the embeddings.
    pub n_embd: usize,
    /// Attention heads per layer.
    pub n_head: usize,
    /// Layers.
    pub n_layer: usize,
    /// Longest sequence, prefix included.
    pub n_positions: usize,
    /// Width of the hidden layer between; four times `n_embd` if absent.
    pub n_inner: Option<usize>,
    /// Tokens.
    pub vocab_size: usize,
    /// The function inside the feed-forward layers.
    pub activation_function: String,
    /// Added to variances.
    pub layer_norm_epsilon: f64,
    /// Only true is supported.
    pub scale_attn_weights: bool,
    /// Only false is supported.
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Only true is supported.
    pub tie_word_embeddings: bool,
    /// The token before a text; not used.
    pub bos_token_id: Option<u32>,
    /// The token that ends a text.
    pub eos_token_id: Option<u32>,
}

impl Default for Gpt2Config {
    fn default() -> Self {
        Self {
            model_type: "gpt2".to_owned(),
            n_embd: 768,
            n_head: 12,
            n_layer: 12,
            n_positions: 1024,
            n_inner: None,
            vocab_size: 50257,
            activation_function: "gelu_new".to_owned(),
            layer_norm_epsilon: 1e-5,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: true,
            bos_token_id: None,
            eos_token_id: None,
        }
    }
}

impl Gpt2Config {
    /// Reads and checks the config.json of a model.
    pub fn load(bundle: &Bundle) -> Result<Self> {
        let what = || format!("cannot use config.json of model {} as GPT-2", bundle.name);
        let config: Self = serde_json::from_slice(&bundle.file("config.json")?).with_context(what)?;
        config.check().with_context(what)?;
        Ok(config)
    }

    /// Fails if the fields contradict each other or ask for what is not supported.
    pub fn check(&self) -> Result<()> {
        self.activation()?;
        let sizes = [self.n_embd, self.n_head, self.n_layer, self.n_positions, self.vocab_size, self.inner()];
        if sizes.contains(&0) || !self.n_embd.is_multiple_of(self.n_head) {
            bail!("sizes must be positive and n_embd {} a multiple of n_head {}", self.n_embd, self.n_head);
        }
        let limits = [
            ("n_embd", self.n_embd, WIDEST),
            ("n_layer", self.n_layer, DEEPEST),
            ("n_positions", self.n_positions, MOST_TOKENS),
            ("n_inner", self.inner(), 4 * WIDEST),
            ("vocab_size", self.vocab_size, MOST_TOKENS),
        ];
        if let Some((name, size, most)) = limits.iter().find(|(_, size, most)| size > most) {
            bail!("{name} is {size}, and at most {most} is supported");
        }
        let supported = [
            ("model_type is not gpt2", self.model_type == "gpt2"),
            ("scale_attn_weights is false", self.scale_attn_weights),
            ("scale_attn_by_inverse_layer_idx is true", !self.scale_attn_by_inverse_layer_idx),
            ("tie_word_embeddings is false", self.tie_word_embeddings),
        ];
        match supported.iter().find(|(_, fine)| !fine) {
            Some((fault, _)) => bail!("{fault}, which is not supported"),
            None => Ok(()),
        }
    }

    /// Width of the hidden layer between.
    pub fn inner(&self) -> usize {
        self.n_inner.unwrap_or(self.n_embd.saturating_mul(4))
    }

    /// The function inside the feed-forward layers.
    pub(super) fn activation(&self) -> Result<Activation> {
        Ok(match self.activation_function.as_str() {
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluNew,
            "gelu" => Activation::Gelu,
            "relu" => Activation::Relu,
            other => bail!("activation_function `{other}` is not supported: use gelu_new, gelu or relu"),
        })
    }

    /// Every tensor's name (without `transformer.`) and shape, layer by layer.
    pub(in crate::model) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, inner) = (self.n_embd, self.inner());
        let mut tensors = vec![
            ("wte.weight".to_owned(), vec![self.vocab_size, d]),
            ("wpe.weight".to_owned(), vec![self.n_positions, d]),
            ("ln_f.weight".to_owned(), vec![d]),
            ("ln_f.bias".to_owned(), vec![d]),
        ];
        for layer in 0..self.n_layer {
            let shapes = [
                ("ln_1.weight", vec![d]),
                ("ln_1.bias", vec![d]),
                ("attn.c_attn.weight", vec![d, 3 * d]),
                ("attn.c_attn.bias", vec![3 * d]),
                ("attn.c_proj.weight", vec![d, d]),
                ("attn.c_proj.bias", vec![d]),
                ("ln_2.weight", vec![d]),
                ("ln_2.bias", vec![d]),
                ("mlp.c_fc.weight", vec![d, inner]),
                ("mlp.c_fc.bias", vec![inner]),
                ("mlp.c_proj.weight", vec![inner, d]),
                ("mlp.c_proj.bias", vec![d]),
            ];
            tensors.extend(shapes.map(|(name, shape)| (format!("h.{layer}.{name}"), shape)));
        }
        tensors
    }
}
