//! Weights from bytes: SafeTensors or PyTorch checkpoints, whole or in shards, always as `f32` where they are floats.

mod checkpoint;
mod fault;
mod pickle;
mod tensors;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use serde::Deserialize;

use super::Bundle;

pub use checkpoint::parse;
pub use tensors::Tensors;

/// Tensors by name.
pub type Weights = BTreeMap<String, Tensor>;

/// The files that hold weights and their shard lists, best first.
const FILES: [(&str, &str); 2] =
    [("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")];

/// Reads all weights of a model: `model.safetensors` or `pytorch_model.bin`, or the shards that their index names.
///
/// Floats of any width become `f32`; integer tensors keep their type.
/// Fails if there are none, or if a file is not what its name says (a web page, a Git LFS pointer, cut short).
pub fn load(bundle: &Bundle) -> Result<Weights> {
    for (whole, index) in FILES {
        if bundle.files.contains_key(whole) {
            return read(bundle, whole);
        }
        if bundle.files.contains_key(index) {
            return sharded(bundle, index);
        }
    }
    bail!(
        "model {} has no weights: put `model.safetensors` or `pytorch_model.bin` beside its config.json (it has {:?})",
        bundle.name,
        bundle.files.keys()
    )
}

/// Reads one file of a bundle.
fn read(bundle: &Bundle, file: &str) -> Result<Weights> {
    parse(bundle.file(file)?).with_context(|| format!("cannot read the weights `{file}` of model {}", bundle.name))
}

/// The part of `*.index.json` that matters.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Reads every shard that an index names.
fn sharded(bundle: &Bundle, index: &str) -> Result<Weights> {
    let map = serde_json::from_slice::<Index>(bundle.file(index)?)
        .with_context(|| format!("cannot read `{index}` of model {}", bundle.name))?
        .weight_map;
    let shards: BTreeSet<&String> = map.values().collect();
    let mut weights = Weights::new();
    for shard in shards {
        weights.extend(read(bundle, shard)?);
    }
    for (tensor, shard) in &map {
        if !weights.contains_key(tensor) {
            bail!("model {}: `{index}` promises tensor `{tensor}`, but `{shard}` does not hold it", bundle.name);
        }
    }
    Ok(weights)
}

#[cfg(test)]
mod tests;
