//! Trained weights as one file.

use std::collections::HashMap;

use anyhow::{Context, Result};
use candle_core::Var;
use safetensors::SafeTensors;

use crate::model::mapper::{Mapper, MapperConfig};
use crate::model::weights::{Weights, parse};

/// What the names of a mapper's tensors begin with, as in ClipCap's checkpoints.
pub(super) const MAPPER: &str = "clip_project.";
/// What the names of a fine-tuned language model's tensors begin with.
pub(super) const GPT: &str = "gpt.";
/// The entry of the file's metadata that holds the mapper's configuration, as JSON.
const CONFIG: &str = "rsic.mapper";

/// What a training run left.
#[derive(Debug)]
pub struct TrainedWeights {
    /// The mapper.
    pub mapper: Mapper,
    /// The language model's weights (`transformer.wte.weight`, ...), if it was trained along.
    pub gpt2: Option<Weights>,
}

/// Writes a SafeTensors file: tensors sorted by name, and one metadata entry; equal weights give equal bytes.
pub(super) fn save_weights(config: &MapperConfig, variables: &[(String, Var)]) -> Result<Vec<u8>> {
    let tensors = variables.iter().map(|(name, var)| (name, var.as_tensor()));
    let metadata = HashMap::from([(CONFIG.to_owned(), serde_json::to_string(config)?)]);
    Ok(safetensors::serialize(tensors, Some(metadata))?)
}

/// Reads the file that training wrote.
///
/// Fails if it is not one, or lists the tensors that do not fit its own configuration.
pub fn read_weights(bytes: &[u8]) -> Result<TrainedWeights> {
    let what = "cannot read trained weights";
    let (_, header) = SafeTensors::read_metadata(bytes).context(what)?;
    let config = header.metadata().as_ref().and_then(|metadata| metadata.get(CONFIG));
    let config =
        config.context("these weights do not say what mapper they are of: was the file written by `train`?")?;
    let config: MapperConfig = serde_json::from_str(config).context(what)?;
    let (mut mapper, mut gpt2) = (Weights::new(), Weights::new());
    for (name, tensor) in parse(bytes).context(what)? {
        if let Some(name) = name.strip_prefix(GPT) {
            gpt2.insert(name.to_owned(), tensor);
        } else {
            mapper.insert(name.strip_prefix(MAPPER).unwrap_or(&name).to_owned(), tensor);
        }
    }
    let mapper = Mapper::from_tensors(&config, mapper)?;
    Ok(TrainedWeights { mapper, gpt2: (!gpt2.is_empty()).then_some(gpt2) })
}
