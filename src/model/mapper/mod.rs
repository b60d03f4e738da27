//! Mappers: one CLIP vector to the rows that a language model reads before a caption.

mod config;
mod forward;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use candle_core::{Tensor, Var};

use super::init::Init;
use super::ops::{tensor, values};
use super::weights::{Tensors, Weights};

pub use config::{AmhtInit, MapperConfig, MapperKind};

/// A mapper with its weights, under ClipCap's names without `clip_project.`.
#[derive(Clone, Debug)]
pub struct Mapper {
    config: MapperConfig,
    variables: BTreeMap<String, Var>,
}

impl Mapper {
    /// A new mapper; equal seeds give equal weights.
    pub fn init(config: &MapperConfig, seed: u64) -> Result<Self> {
        config.check()?;
        let shapes: BTreeMap<String, Vec<usize>> = config.tensors().into_iter().collect();
        let mut variables = BTreeMap::new();
        for (name, shape) in &shapes {
            let stream = format!("mapper.{name}");
            let tensor = match first_values(config, name, &shapes) {
                Some(init) => init.tensor(seed, &stream, shape.as_slice())?,
                None => identities(shape)?,
            };
            variables.insert(name.clone(), Var::from_tensor(&tensor)?);
        }
        Ok(Self { config: config.clone(), variables })
    }

    /// A mapper with given weights.
    ///
    /// Fails with the list of all tensors that are missing, misshapen or unknown.
    pub fn from_tensors(config: &MapperConfig, weights: Weights) -> Result<Self> {
        let mut tensors = Tensors::new("mapper", weights);
        let own = Self::take(config, &mut tensors, "")?;
        tensors.finish()?;
        Self::with(config, own)
    }

    /// Takes a mapper's weights, whose names begin with `prefix`, for [`Mapper::with`]; the others stay.
    ///
    /// What is missing or misshapen is for [`Tensors::check`] or [`Tensors::finish`] to list before they are used.
    pub fn take(config: &MapperConfig, tensors: &mut Tensors, prefix: &str) -> Result<Weights> {
        config.check()?;
        let take = |(name, shape): (String, Vec<usize>)| {
            let tensor = tensors.take(&format!("{prefix}{name}"), &shape)?;
            Ok((name, tensor))
        };
        config.tensors().into_iter().map(take).collect()
    }

    /// A mapper with the weights that [`Mapper::take`] took.
    pub fn with(config: &MapperConfig, weights: Weights) -> Result<Self> {
        let variable = |(name, tensor)| Ok((name, Var::from_tensor(&tensor)?));
        Ok(Self { config: config.clone(), variables: weights.into_iter().map(variable).collect::<Result<_>>()? })
    }

    /// What this mapper is made of.
    pub fn config(&self) -> &MapperConfig {
        &self.config
    }

    /// All weights, sorted by name, for an optimiser.
    pub fn parameters(&self) -> Vec<(String, Var)> {
        self.variables.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// How many numbers the weights are.
    pub fn parameter_count(&self) -> u64 {
        self.variables.values().map(|var| var.elem_count() as u64).sum()
    }

    /// The same function for inference with one product less per layer of [`MapperKind::Amht`]; other mappers stay as they are.
    ///
    /// Every head's matrix goes into the query weights (`W'_h = A_h^T W_h`, in `f64`), its bias becomes a query bias.
    pub fn fold(&self) -> Result<Self> {
        let mut folded = self.clone();
        if self.config.kind != MapperKind::Amht {
            return Ok(folded);
        }
        for layer in 0..self.config.layers {
            let name = |part: &str| format!("transformer.layers.{layer}.attn.{part}");
            let mut take = |part: &str| {
                folded
                    .variables
                    .remove(&name(part))
                    .with_context(|| format!("this mapper has no {part}: was it folded?"))
            };
            let (queries, adaptive, biases) =
                (take("to_queries.weight")?, take("adaptive_weights")?, take("adaptive_biases")?);
            let weight = fold_queries(&values(&queries)?, &values(&adaptive)?, self.config.width, self.config.heads);
            let weight = tensor(weight, queries.shape())?;
            let bias = biases.as_detached_tensor().reshape(self.config.width)?;
            folded.variables.insert(name("to_queries.weight"), Var::from_tensor(&weight)?);
            folded.variables.insert(name("to_queries.bias"), Var::from_tensor(&bias)?);
        }
        Ok(folded)
    }

    /// Maps CLIP vectors, `f32[b, clip_dim]`, to prefixes, `f32[b, prefix_length, width]`, remembering how, for a backward pass.
    pub fn forward(&self, clip: &Tensor) -> Result<Tensor> {
        self.run(clip, |var| var.as_tensor().clone())
    }

    /// [`Mapper::forward`] without a way back: for inference.
    pub fn prefixes(&self, clip: &Tensor) -> Result<Tensor> {
        self.run(&clip.detach(), Var::as_detached_tensor)
    }

    fn run(&self, clip: &Tensor, read: impl Fn(&Var) -> Tensor) -> Result<Tensor> {
        let (_, dim) = clip.dims2()?;
        if dim != self.config.clip_dim {
            bail!("the mapper takes vectors of {} numbers, not {dim}", self.config.clip_dim);
        }
        let clip = if self.config.normalize { forward::unit_rows(clip)? } else { clip.clone() };
        let find = |name: &str| self.variables.get(name).map(&read);
        Ok(match self.config.kind {
            MapperKind::Linear => forward::linear(&self.config, &clip, &find)?,
            MapperKind::Mlp => forward::mlp(&self.config, &clip, &find)?,
            MapperKind::Transformer | MapperKind::Amht => forward::transformer(&self.config, &clip, &find)?,
        })
    }
}

/// How a tensor's first values are drawn: as PyTorch's `Linear` and `LayerNorm` do, constants normal; `None` for identities.
fn first_values(config: &MapperConfig, name: &str, shapes: &BTreeMap<String, Vec<usize>>) -> Option<Init> {
    if name == "prefix_const" {
        return Some(Init::Normal(1.0));
    }
    if name.ends_with("adaptive_biases") {
        return Some(Init::Constant(0.0));
    }
    if name.ends_with("adaptive_weights") {
        let dh = config.width / config.heads;
        return (config.init == AmhtInit::Original).then(|| Init::kaiming(dh * dh));
    }
    if name.contains("norm") {
        return Some(Init::Constant(if name.ends_with("weight") { 1.0 } else { 0.0 }));
    }
    // A bias is drawn like its weight, by the number of inputs.
    let weight = name.strip_suffix("bias").map_or_else(|| name.to_owned(), |stem| format!("{stem}weight"));
    Some(Init::linear(shapes.get(&weight).map_or(1, |shape| shape[1])))
}

/// An identity matrix for every head.
fn identities(shape: &[usize]) -> Result<Tensor> {
    let (heads, dh) = (shape[0], shape[1]);
    let element = |i: usize| if i / dh % dh == i % dh { 1.0 } else { 0.0 };
    Ok(tensor((0..heads * dh * dh).map(element).collect(), shape)?)
}

/// `A_h^T W_h` for the rows of every head.
fn fold_queries(queries: &[f32], adaptive: &[f32], width: usize, heads: usize) -> Vec<f32> {
    let dh = width / heads;
    let element = |at: usize| {
        let (row, column) = (at / width, at % width);
        let (head, j) = (row / dh, row % dh);
        let term = |i: usize| {
            f64::from(adaptive[(head * dh + i) * dh + j]) * f64::from(queries[(head * dh + i) * width + column])
        };
        (0..dh).map(term).sum::<f64>() as f32
    };
    (0..width * width).map(element).collect()
}

#[cfg(test)]
mod tests;
