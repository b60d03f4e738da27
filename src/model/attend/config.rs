//! Sizes of the decoder, its weights and their first values.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::model::init::Init;

/// The largest size of anything: products of a few of them are still numbers.
const LARGEST: usize = 1 << 20;

/// The sizes of a decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttendConfig {
    /// Numbers per cell of a feature map.
    pub encoder_dim: usize,
    /// Width in which cells and the decoder's state are compared.
    pub attention_dim: usize,
    /// Width of a word's embedding.
    pub embed_dim: usize,
    /// Width of the LSTM's state.
    pub decoder_dim: usize,
    /// Number of words, special ones included.
    pub vocab_size: usize,
}

impl AttendConfig {
    /// The published widths, 512 each.
    pub fn new(encoder_dim: usize, vocab_size: usize) -> Self {
        Self { encoder_dim, attention_dim: 512, embed_dim: 512, decoder_dim: 512, vocab_size }
    }

    /// Fails if a size is 0 or beyond all reason.
    pub fn check(&self) -> Result<()> {
        for (name, size) in [
            ("encoder_dim", self.encoder_dim),
            ("attention_dim", self.attention_dim),
            ("embed_dim", self.embed_dim),
            ("decoder_dim", self.decoder_dim),
            ("vocab_size", self.vocab_size),
        ] {
            ensure!((1..=LARGEST).contains(&size), "the decoder's {name} must be from 1 to {LARGEST}, not {size}");
        }
        Ok(())
    }

    /// Name, shape and first values of every weight, sorted by name; the names are those of the PyTorch tutorial.
    ///
    /// Embeddings and output weight lie within 0.1, the output bias is 0; the others have PyTorch's defaults.
    pub(super) fn tensors(&self) -> Vec<(&'static str, Vec<usize>, Init)> {
        let (x, a, e, h, v) = (self.encoder_dim, self.attention_dim, self.embed_dim, self.decoder_dim, self.vocab_size);
        let (of_cell, of_state) = (Init::linear(x), Init::linear(h));
        vec![
            ("attention.decoder_att.bias", vec![a], of_state),
            ("attention.decoder_att.weight", vec![a, h], of_state),
            ("attention.encoder_att.bias", vec![a], of_cell),
            ("attention.encoder_att.weight", vec![a, x], of_cell),
            ("attention.full_att.bias", vec![1], Init::linear(a)),
            ("attention.full_att.weight", vec![1, a], Init::linear(a)),
            // PyTorch draws all weights of a recurrent cell by the size of its state.
            ("decode_step.bias_hh", vec![4 * h], of_state),
            ("decode_step.bias_ih", vec![4 * h], of_state),
            ("decode_step.weight_hh", vec![4 * h, h], of_state),
            ("decode_step.weight_ih", vec![4 * h, e + x], of_state),
            ("embedding.weight", vec![v, e], Init::Uniform(0.1)),
            ("f_beta.bias", vec![x], of_state),
            ("f_beta.weight", vec![x, h], of_state),
            ("fc.bias", vec![v], Init::Constant(0.0)),
            ("fc.weight", vec![v, h], Init::Uniform(0.1)),
            ("init_c.bias", vec![h], of_cell),
            ("init_c.weight", vec![h, x], of_cell),
            ("init_h.bias", vec![h], of_cell),
            ("init_h.weight", vec![h, x], of_cell),
        ]
    }
}
