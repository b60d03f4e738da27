//! The arithmetic of the mappers.

use candle_core::{Result, Tensor, bail};

use super::MapperConfig;
use crate::model::kernel::rows;
use crate::model::ops::{
    Grad, Masking, Stored, attention_kv, layer_norm, linear, matmul, matmul_heads, relu, tanh, tensor, values,
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
fn affine(x: &Tensor, find: Find, name: &str) -> Result<Tensor> {
    let weight = need(find, &format!("{name}.weight"))?;
    match find(&format!("{name}.bias")) {
        Some(bias) => linear(x, &weight, Some(&bias), Stored::OutIn, Grad::Both),
        None => matmul(x, &weight, Stored::OutIn, Grad::Both),
    }
}

fn norm(x: &Tensor, find: Find, name: &str) -> Result<Tensor> {
    let (weight, bias) = (need(find, &format!("{name}.weight"))?, need(find, &format!("{name}.bias"))?);
    layer_norm(x, &weight, &bias, EPS, Grad::Both)
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
    let hidden = tanh(&affine(clip, find, "model.0")?)?;
    affine(&hidden, find, "model.2")?.reshape((clip.dim(0)?, config.prefix_length, config.width))
}

pub(super) fn transformer(config: &MapperConfig, clip: &Tensor, find: Find) -> Result<Tensor> {
    let (b, k, d) = (clip.dim(0)?, config.prefix_length, config.width);
    let rows = affine(clip, find, "linear")?.reshape((b, config.clip_length, d))?;
    let constants = need(find, "prefix_const")?.unsqueeze(0)?.broadcast_as((b, k, d))?;
    let mut z = Tensor::cat(&[&rows, &constants], 1)?;
    for layer in 0..config.layers {
        let find = |name: &str| find(&format!("transformer.layers.{layer}.{name}"));
        z = (&z + attend(config, &norm(&z, &find, "norm1")?, &find)?)?;
        let hidden = relu(&affine(&norm(&z, &find, "norm2")?, &find, "mlp.fc1")?)?;
        z = (&z + affine(&hidden, &find, "mlp.fc2")?)?;
    }
    z.narrow(1, config.clip_length, k)?.contiguous()
}

fn attend(config: &MapperConfig, z: &Tensor, find: Find) -> Result<Tensor> {
    let mut queries = affine(z, find, "attn.to_queries")?;
    if let Some(weights) = find("attn.adaptive_weights") {
        queries = matmul_heads(&queries, &weights, &need(find, "attn.adaptive_biases")?)?;
    }
    let keys_values = affine(z, find, "attn.to_keys_values")?;
    affine(&attention_kv(&queries, &keys_values, config.heads, Masking::none())?, find, "attn.project")
}
