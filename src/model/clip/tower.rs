//! The transformer layers that both towers consist of.

use std::sync::Arc;

use anyhow::Result;
use candle_core::Tensor;

use super::config::TowerConfig;
use crate::model::kernel::{Mat, Packed};
use crate::model::ops::{Activation, Grad, Masking, activate, add, attention_qkv, layer_norm, linear_packed, values};
use crate::model::weights::Tensors;

/// Packs a weight that is stored `[out, in]`.
pub(super) fn pack(weight: &Tensor) -> Result<Arc<Packed>> {
    let (outputs, inputs) = weight.dims2()?;
    let weight = weight.contiguous()?;
    Ok(Arc::new(Packed::new(Mat::new(&values(&weight)?, outputs, inputs).t())))
}

/// A linear layer.
#[derive(Clone, Debug)]
struct Linear {
    weight: Arc<Packed>,
    bias: Tensor,
}

impl Linear {
    /// Takes some layers with the same input as one, their outputs side by side.
    fn take(tensors: &mut Tensors, names: &[String], inputs: usize, outputs: usize) -> Result<Self> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for name in names {
            weights.push(tensors.take(&format!("{name}.weight"), &[outputs, inputs])?);
            biases.push(tensors.take(&format!("{name}.bias"), &[outputs])?);
        }
        tensors.check_zeros()?;
        Ok(Self { weight: pack(&Tensor::cat(&weights, 0)?)?, bias: Tensor::cat(&biases, 0)? })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(linear_packed(x, &self.weight, Some(&self.bias))?)
    }
}

/// A layer norm.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl Norm {
    pub(super) fn take(tensors: &mut Tensors, name: &str, config: &TowerConfig) -> Result<Self> {
        let weight = tensors.take(&format!("{name}.weight"), &[config.hidden_size])?;
        let bias = tensors.take(&format!("{name}.bias"), &[config.hidden_size])?;
        Ok(Self { weight, bias, eps: config.layer_norm_eps as f32 })
    }

    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(layer_norm(x, &self.weight, &self.bias, self.eps, Grad::InputOnly)?)
    }
}

/// One layer.
#[derive(Clone, Debug)]
struct Layer {
    norm1: Norm,
    qkv_proj: Linear,
    out_proj: Linear,
    norm2: Norm,
    fc1: Linear,
    fc2: Linear,
}

/// All layers of a tower.
#[derive(Clone, Debug)]
pub(super) struct Tower {
    layers: Vec<Layer>,
    heads: usize,
    activation: Activation,
}

impl Tower {
    /// Takes the tensors `{prefix}.encoder.layers.N.*`.
    pub(super) fn take(tensors: &mut Tensors, prefix: &str, config: &TowerConfig) -> Result<Self> {
        let (d, inner) = (config.hidden_size, config.intermediate_size);
        let mut layers = Vec::new();
        for n in 0..config.num_hidden_layers {
            let name = |part: &str| format!("{prefix}.encoder.layers.{n}.{part}");
            let qkv = ["q", "k", "v"].map(|part| name(&format!("self_attn.{part}_proj")));
            layers.push(Layer {
                qkv_proj: Linear::take(tensors, &qkv, d, d)?,
                out_proj: Linear::take(tensors, &[name("self_attn.out_proj")], d, d)?,
                norm1: Norm::take(tensors, &name("layer_norm1"), config)?,
                norm2: Norm::take(tensors, &name("layer_norm2"), config)?,
                fc1: Linear::take(tensors, &[name("mlp.fc1")], d, inner)?,
                fc2: Linear::take(tensors, &[name("mlp.fc2")], inner, d)?,
            });
        }
        Ok(Self { layers, heads: config.num_attention_heads, activation: config.activation()? })
    }

    /// Runs all layers on `x`: `f32[b, t, d]`.
    pub(super) fn forward(&self, x: Tensor, masking: &Masking) -> Result<Tensor> {
        let mut x = x;
        for layer in &self.layers {
            let qkv = layer.qkv_proj.apply(&layer.norm1.apply(&x)?)?;
            x = add(&x, &layer.out_proj.apply(&attention_qkv(&qkv, self.heads, masking.clone())?)?)?;
            let inner = activate(&layer.fc1.apply(&layer.norm2.apply(&x)?)?, self.activation)?;
            x = add(&x, &layer.fc2.apply(&inner)?)?;
        }
        Ok(x)
    }
}
