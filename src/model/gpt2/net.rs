//! The layers, over tensors that may or may not be variables.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::Tensor;

use super::Gpt2Config;
use crate::model::ops::{Activation, Grad, Stored, activate, layer_norm, linear};

/// A weight and a bias.
#[derive(Clone, Debug)]
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    fn new(tensors: &BTreeMap<String, Tensor>, name: &str) -> Result<Self> {
        let get = |part: &str| {
            let name = format!("transformer.{name}.{part}");
            tensors.get(&name).cloned().with_context(|| format!("no tensor `{name}`"))
        };
        Ok(Self { weight: get("weight")?, bias: get("bias")? })
    }

    /// `x` through the layer; GPT-2 stores these weights `[in, out]`.
    fn linear(&self, x: &Tensor) -> Result<Tensor> {
        Ok(linear(x, &self.weight, Some(&self.bias), Stored::InOut, self.grad())?)
    }

    /// The layer norm of `x`.
    fn norm(&self, x: &Tensor, eps: f64) -> Result<Tensor> {
        Ok(layer_norm(x, &self.weight, &self.bias, eps as f32, self.grad())?)
    }

    fn grad(&self) -> Grad {
        Grad::of(self.weight.is_variable())
    }
}

/// One layer.
#[derive(Clone, Debug)]
struct Block {
    ln_1: Affine,
    c_attn: Affine,
    attn_c_proj: Affine,
    ln_2: Affine,
    c_fc: Affine,
    mlp_c_proj: Affine,
}

/// The whole network.
#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) wte: Tensor,
    pub(super) wpe: Tensor,
    blocks: Vec<Block>,
    ln_f: Affine,
    eps: f64,
    activation: Activation,
}

impl Net {
    /// From tensors named as in checkpoints, with the prefix `transformer.`.
    pub(super) fn new(config: &Gpt2Config, tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        let block = |layer: usize| -> Result<Block> {
            let part = |name: &str| Affine::new(tensors, &format!("h.{layer}.{name}"));
            Ok(Block {
                ln_1: part("ln_1")?,
                c_attn: part("attn.c_attn")?,
                attn_c_proj: part("attn.c_proj")?,
                ln_2: part("ln_2")?,
                c_fc: part("mlp.c_fc")?,
                mlp_c_proj: part("mlp.c_proj")?,
            })
        };
        let table = |name: &str| tensors.get(name).cloned().with_context(|| format!("no tensor `{name}`"));
        Ok(Self {
            wte: table("transformer.wte.weight")?,
            wpe: table("transformer.wpe.weight")?,
            blocks: (0..config.n_layer).map(block).collect::<Result<_>>()?,
            ln_f: Affine::new(tensors, "ln_f")?,
            eps: config.layer_norm_epsilon,
            activation: config.activation()?,
        })
    }

    /// Runs all layers on `x` (`f32[.., d]`, positions already added), without the final norm.
    ///
    /// `attend(layer, qkv)` turns queries, keys and values side by side (`[.., 3 d]`) into `[.., d]`.
    pub(super) fn layers(&self, x: Tensor, mut attend: impl FnMut(usize, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let mut x = x;
        for (layer, block) in self.blocks.iter().enumerate() {
            let attended = attend(layer, &block.c_attn.linear(&block.ln_1.norm(&x, self.eps)?)?)?;
            x = (x + block.attn_c_proj.linear(&attended)?)?;
            let inner = activate(&block.c_fc.linear(&block.ln_2.norm(&x, self.eps)?)?, self.activation)?;
            x = (x + block.mlp_c_proj.linear(&inner)?)?;
        }
        Ok(x)
    }

    /// The final norm.
    pub(super) fn last_norm(&self, x: &Tensor) -> Result<Tensor> {
        self.ln_f.norm(x, self.eps)
    }
}
