//! The arithmetic of the mappers.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use super::MapperConfig;
use crate::model::kernel::rows;
use crate::model::ops::{
    Activation, Affine, Masking, Norm, Projection, Stack, StackLayer, Stored, stack, tanh, tensor, values,
};

/// Added to variances.
const EPS: f32 = 1e-5;

/// Finds a weight by its name.
type Find<'a> = &'a dyn Fn(&str) -> Option<Tensor>;

fn need(find: Find, name: &str) -> Result<Tensor> {
    match find(name) {
        Some(tensor) => Ok(tensor),
        None => bail!("the mapper has no tensor `{name}`"),
    }
}

/// A linear layer whose bias may be absent.
fn affine(find: Find, name: &str) -> Result<Affine> {
    let bias = find(&format!("{name}.bias"));
    Ok(Affine { weight: need(find, &format!("{name}.weight"))?, bias, stored: Stored::OutIn })
}

fn norm(find: Find, name: &str) -> Result<Norm> {
    Ok(Norm { weight: need(find, &format!("{name}.weight"))?, bias: need(find, &format!("{name}.bias"))? })
}

/// Scales every row to length 1; a row of zeros stays as it is.
pub(super) fn unit_rows(x: &Tensor) -> Result<Tensor> {
    let width = x.dim(1)?;
    let mut scaled = values(&x.contiguous()?)?.to_vec();
    for row in scaled.chunks_mut(width.max(1)) {
        let length = rows::sum_of_squares(row).sqrt();
        if length > 0.0 {
            rows::scale(row, 1.0 / length);
        }
    }
    tensor(scaled, x.shape())
}

pub(super) fn mlp(config: &MapperConfig, clip: &Tensor, find: Find) -> Result<Tensor> {
    let hidden = tanh(&affine(find, "model.0")?.apply(clip)?)?;
    affine(find, "model.2")?.apply(&hidden)?.reshape((clip.dim(0)?, config.prefix_length, config.width))
}

pub(super) fn linear(config: &MapperConfig, clip: &Tensor, find: Find) -> Result<Tensor> {
    let layer = Affine { weight: need(find, "weight")?, bias: Some(need(find, "bias")?), stored: Stored::OutIn };
    layer.apply(clip)?.reshape((clip.dim(0)?, config.prefix_length, config.width))
}

pub(super) fn transformer(config: &MapperConfig, clip: &Tensor, find: Find) -> Result<Tensor> {
    let (b, k, d) = (clip.dim(0)?, config.prefix_length, config.width);
    let rows = affine(find, "linear")?.apply(clip)?.reshape((b, config.clip_length, d))?;
    let constants = need(find, "prefix_const")?.unsqueeze(0)?.broadcast_as((b, k, d))?;
    let layer = |layer: usize| layer_weights(&|name: &str| find(&format!("transformer.layers.{layer}.{name}")));
    let layers = Stack {
        positions: None,
        layers: (0..config.layers).map(layer).collect::<Result<_>>()?,
        last_norm: None,
        heads: config.heads,
        activation: Activation::Relu,
        eps: EPS,
        masking: Masking::none(),
        dropout: None,
    };
    let z = stack(&Tensor::cat(&[&rows, &constants], 1)?, &Arc::new(layers))?;
    z.narrow(1, config.clip_length, k)?.contiguous()
}

fn layer_weights(find: Find) -> Result<StackLayer> {
    let adaptive = match find("attn.adaptive_weights") {
        Some(weights) => Some((weights, need(find, "attn.adaptive_biases")?)),
        None => None,
    };
    let (queries, keys_values) = (affine(find, "attn.to_queries")?, affine(find, "attn.to_keys_values")?);
    Ok(StackLayer {
        norm1: norm(find, "norm1")?,
        projection: Projection::Split { queries, adaptive, keys_values },
        project: affine(find, "attn.project")?,
        norm2: norm(find, "norm2")?,
        fc1: affine(find, "mlp.fc1")?,
        fc2: affine(find, "mlp.fc2")?,
    })
}
