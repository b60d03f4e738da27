//! Trained weights as one file.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use candle_core::Var;
use safetensors::SafeTensors;

use crate::model::mapper::{Mapper, MapperConfig};
use crate::model::weights::{Weights, parse};

/// What the names of a mapper's tensors begin with, as in ClipCap's checkpoints.
pub const MAPPER_PREFIX: &str = "clip_project.";
/// What the names of a fine-tuned language model's tensors begin with.
pub const GPT_PREFIX: &str = "gpt.";
/// The entry of the file's metadata that holds the mapper's configuration, as JSON.
pub const MAPPER_KEY: &str = "rsic.mapper";

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
    let metadata = HashMap::from([(MAPPER_KEY.to_owned(), serde_json::to_string(config)?)]);
    Ok(safetensors::serialize(tensors, Some(metadata))?)
}

/// Reads the file that training wrote.
///
/// Fails if it is not one, or lists the tensors that do not fit its own configuration.
pub fn read_weights(bytes: &[u8]) -> Result<TrainedWeights> {
    let what = "cannot read the trained weights";
    let config = mapper_config(bytes).context(what)?;
    let (mut mapper, mut gpt2) = (Weights::new(), Weights::new());
    for (name, tensor) in parse(bytes).context(what)? {
        if let Some(name) = name.strip_prefix(MAPPER_PREFIX) {
            mapper.insert(name.to_owned(), tensor);
        } else if let Some(name) = name.strip_prefix(GPT_PREFIX) {
            gpt2.insert(name.to_owned(), tensor);
        } else {
            bail!("{what}: tensor `{name}` belongs neither to {MAPPER_PREFIX} nor to {GPT_PREFIX}");
        }
    }
    let mapper = Mapper::from_tensors(&config, mapper).context(what)?;
    Ok(TrainedWeights { mapper, gpt2: (!gpt2.is_empty()).then_some(gpt2) })
}

/// The mapper's settings from the file's metadata.
fn mapper_config(bytes: &[u8]) -> Result<MapperConfig> {
    let metadata = SafeTensors::read_metadata(bytes).ok().and_then(|(_, header)| header.metadata().clone());
    let json = metadata.as_ref().and_then(|metadata| metadata.get(MAPPER_KEY));
    // A file that is not weights at all is better described by the reader of weights.
    let Some(json) = json else {
        parse(bytes)?;
        bail!("they carry no `{MAPPER_KEY}`: they were not written by this program's training");
    };
    serde_json::from_str(json).with_context(|| format!("`{MAPPER_KEY}` is {json}"))
}
