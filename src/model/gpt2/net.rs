//! The layers, over tensors that may or may not be variables.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;

use super::Gpt2Config;
use crate::model::kernel::{Mat, Packed};
use crate::model::ops::{
    self, Activation, Affine, Dropout, Grad, Masking, Projection, Stack, StackLayer, Stored, activate, embedding,
    layer_norm, linear, linear_packed, values,
};

/// Tensors by checkpoint name.
type Named = BTreeMap<String, Tensor>;

fn get(tensors: &Named, name: &str) -> Result<Tensor> {
    let name = format!("transformer.{name}");
    tensors.get(&name).cloned().with_context(|| format!("no tensor `{name}`"))
}

/// A matrix, as it is stored (`[in, out]`) or packed for writing.
#[derive(Clone, Debug)]
enum Matrix {
    Stored(Tensor),
    Packed(Arc<Packed>),
}

/// A linear layer.
#[derive(Clone, Debug)]
struct Linear {
    weight: Matrix,
    bias: Tensor,
}

impl Linear {
    fn new(tensors: &Named, name: &str) -> Result<Self> {
        let weight = Matrix::Stored(get(tensors, &format!("{name}.weight"))?);
        Ok(Self { weight, bias: get(tensors, &format!("{name}.bias"))? })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match &self.weight {
            Matrix::Stored(weight) => {
                linear(x, weight, Some(&self.bias), Stored::InOut, Grad::of(weight.is_variable()))?
            }
            Matrix::Packed(weight) => linear_packed(x, weight, Some(&self.bias))?,
        })
    }

    /// As a layer of a [`Stack`].
    fn affine(&self) -> Result<Affine> {
        match &self.weight {
            Matrix::Stored(weight) => {
                Ok(Affine { weight: weight.clone(), bias: Some(self.bias.clone()), stored: Stored::InOut })
            }
            Matrix::Packed(_) => bail!("packed matrices are for writing alone"),
        }
    }

    fn packed(self) -> Result<Self> {
        let weight = match self.weight {
            Matrix::Stored(weight) => {
                let (inputs, outputs) = weight.dims2()?;
                Arc::new(Packed::new(Mat::new(&values(&weight)?, inputs, outputs)))
            }
            Matrix::Packed(weight) => weight,
        };
        Ok(Self { weight: Matrix::Packed(weight), bias: self.bias })
    }
}

/// A layer norm.
#[derive(Clone, Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn new(tensors: &Named, name: &str) -> Result<Self> {
        Ok(Self { weight: get(tensors, &format!("{name}.weight"))?, bias: get(tensors, &format!("{name}.bias"))? })
    }

    /// As a norm of a [`Stack`].
    fn in_stack(&self) -> ops::Norm {
        ops::Norm { weight: self.weight.clone(), bias: self.bias.clone() }
    }

    fn apply(&self, x: &Tensor, eps: f64) -> Result<Tensor> {
        Ok(layer_norm(x, &self.weight, &self.bias, eps as f32, Grad::of(self.weight.is_variable()))?)
    }
}

/// One layer.
#[derive(Clone, Debug)]
struct Block {
    ln_1: Norm,
    c_attn: Linear,
    attn_c_proj: Linear,
    ln_2: Norm,
    c_fc: Linear,
    mlp_c_proj: Linear,
}

impl Block {
    /// As a layer of a [`Stack`].
    fn in_stack(&self) -> Result<StackLayer> {
        Ok(StackLayer {
            norm1: self.ln_1.in_stack(),
            projection: Projection::Joint(self.c_attn.affine()?),
            project: self.attn_c_proj.affine()?,
            norm2: self.ln_2.in_stack(),
            fc1: self.c_fc.affine()?,
            fc2: self.mlp_c_proj.affine()?,
        })
    }

    fn packed(self) -> Result<Self> {
        Ok(Self {
            c_attn: self.c_attn.packed()?,
            attn_c_proj: self.attn_c_proj.packed()?,
            c_fc: self.c_fc.packed()?,
            mlp_c_proj: self.mlp_c_proj.packed()?,
            ..self
        })
    }
}

/// The whole network.
#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) wte: Tensor,
    wpe: Tensor,
    blocks: Vec<Block>,
    ln_f: Norm,
    eps: f64,
    activation: Activation,
}

impl Net {
    /// From tensors named as in checkpoints, with the prefix `transformer.`.
    pub(super) fn new(config: &Gpt2Config, tensors: &Named) -> Result<Self> {
        let block = |layer: usize| -> Result<Block> {
            let norm = |name: &str| Norm::new(tensors, &format!("h.{layer}.{name}"));
            let linear = |name: &str| Linear::new(tensors, &format!("h.{layer}.{name}"));
            Ok(Block {
                ln_1: norm("ln_1")?,
                c_attn: linear("attn.c_attn")?,
                attn_c_proj: linear("attn.c_proj")?,
                ln_2: norm("ln_2")?,
                c_fc: linear("mlp.c_fc")?,
                mlp_c_proj: linear("mlp.c_proj")?,
            })
        };
        Ok(Self {
            wte: get(tensors, "wte.weight")?,
            wpe: get(tensors, "wpe.weight")?,
            blocks: (0..config.n_layer).map(block).collect::<Result<_>>()?,
            ln_f: Norm::new(tensors, "ln_f")?,
            eps: config.layer_norm_epsilon,
            activation: config.activation()?,
        })
    }

    /// Everything between embeddings and head as one operation, for whole sequences.
    pub(super) fn stack(&self, heads: usize, dropout: Option<Dropout>) -> Result<Arc<Stack>> {
        Ok(Arc::new(Stack {
            positions: Some(self.wpe.clone()),
            layers: self.blocks.iter().map(Block::in_stack).collect::<Result<_>>()?,
            last_norm: Some(self.ln_f.in_stack()),
            heads,
            activation: self.activation,
            eps: self.eps as f32,
            masking: Masking::causal(),
            dropout,
        }))
    }

    /// The same network with all matrices packed, which then takes the place of the plain ones.
    pub(super) fn packed(self) -> Result<Self> {
        // Block by block, so that no more than one matrix exists twice.
        let blocks = self.blocks.into_iter().map(Block::packed).collect::<Result<_>>()?;
        Ok(Self { blocks, ..self })
    }

    /// The rows of the token table: `u32[..]` to `f32[.., d]`.
    pub(super) fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let flat = ids.flatten_all()?.to_vec1::<u32>()?;
        let rows = embedding(&self.wte, &flat).context("cannot embed a token")?;
        Ok(rows.reshape([ids.dims(), &[self.wte.dim(1)?]].concat())?)
    }

    /// Adds the embeddings of the positions from `first` on to `x`: `f32[b, t, d]`.
    pub(super) fn place(&self, x: &Tensor, first: usize) -> Result<Tensor> {
        let (end, room) = (first + x.dim(1)?, self.wpe.dim(0)?);
        ensure!(end <= room, "a sequence of {end} positions: the model has {room}");
        Ok(x.broadcast_add(&self.wpe.narrow(0, first, end - first)?)?)
    }

    /// Runs all layers on `x` (`f32[.., d]`, positions already added), without the final norm.
    ///
    /// `attend(layer, qkv)` turns queries, keys and values side by side (`[.., 3 d]`) into `[.., d]`.
    pub(super) fn layers(&self, x: Tensor, mut attend: impl FnMut(usize, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let mut x = x;
        for (layer, block) in self.blocks.iter().enumerate() {
            let attended = attend(layer, &block.c_attn.apply(&block.ln_1.apply(&x, self.eps)?)?)?;
            x = (x + block.attn_c_proj.apply(&attended)?)?;
            let inner = activate(&block.c_fc.apply(&block.ln_2.apply(&x, self.eps)?)?, self.activation)?;
            x = (x + block.mlp_c_proj.apply(&inner)?)?;
        }
        Ok(x)
    }

    /// The final norm.
    pub(super) fn last_norm(&self, x: &Tensor) -> Result<Tensor> {
        self.ln_f.apply(x, self.eps)
    }
}
