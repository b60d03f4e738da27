//! Trained weights as one file.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow};
use candle_core::Var;

use crate::model::Content;
use crate::model::gpt2::Gpt2;
use crate::model::mapper::{Mapper, MapperConfig};
use crate::model::weights::{TensorFile, Tensors};

/// What the names of a mapper's tensors begin with, as in ClipCap's checkpoints.
pub const MAPPER_PREFIX: &str = "clip_project.";
/// What the names of a fine-tuned language model's tensors begin with.
pub const GPT_PREFIX: &str = "gpt.";
/// The note of the file that holds the mapper's configuration, as JSON.
pub const MAPPER_KEY: &str = "rsic.mapper";

/// What a training run left.
pub struct TrainedWeights {
    /// The mapper.
    pub mapper: Mapper,
    /// The language model's weights (`transformer.wte.weight`, ...), if it was trained along; not read yet.
    pub gpt2: Option<Tensors>,
}

/// Writes a SafeTensors file of a mapper and, if it was trained along, the language model.
///
/// Tensors are sorted by name; equal weights give equal bytes.
pub fn save_weights(mapper: &Mapper, gpt2: Option<&Gpt2>) -> Result<Vec<u8>> {
    let metadata = HashMap::from([(MAPPER_KEY.to_owned(), serde_json::to_string(mapper.config())?)]);
    let tensors = named(mapper, gpt2);
    let tensors = tensors.iter().map(|(name, var)| (name, var.as_tensor()));
    Ok(safetensors::serialize(tensors, Some(metadata))?)
}

/// All weights under the names that they have in a file, sorted.
pub(crate) fn named(mapper: &Mapper, gpt2: Option<&Gpt2>) -> Vec<(String, Var)> {
    let mapper = mapper.parameters().into_iter().map(|(name, var)| (format!("{MAPPER_PREFIX}{name}"), var));
    let gpt2 = gpt2.map(Gpt2::parameters).unwrap_or_default();
    let mut all: Vec<_> =
        mapper.chain(gpt2.into_iter().map(|(name, var)| (format!("{GPT_PREFIX}{name}"), var))).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Reads the file that training wrote.
///
/// Fails if it is not one, or lists the tensors that do not fit its own configuration.
pub fn read_weights(content: &Content) -> Result<TrainedWeights> {
    let what = "cannot read the trained weights";
    let file = TensorFile::open(content).context(what)?;
    let config = mapper_config(&file)
        .transpose()
        .ok_or_else(|| anyhow!("they carry no `{MAPPER_KEY}`: they were not written by this program's training"));
    let config = config.and_then(|config| config).context(what)?;
    let mut tensors = Tensors::of_file("trained weights", file);
    let mapper = Mapper::take(&config, &mut tensors, MAPPER_PREFIX).context(what)?;
    let gpt2 = if tensors.names().any(|name| name.starts_with(GPT_PREFIX)) {
        tensors.check().context(what)?;
        tensors.strip_prefix(GPT_PREFIX);
        Some(tensors)
    } else {
        tensors.finish().context(what)?;
        None
    };
    Ok(TrainedWeights { mapper: Mapper::with(&config, mapper)?, gpt2 })
}

/// The mapper's settings from the file's notes, if it has them.
pub(super) fn mapper_config(file: &TensorFile) -> Result<Option<MapperConfig>> {
    let Some(json) = file.notes.get(MAPPER_KEY) else { return Ok(None) };
    serde_json::from_str(json).with_context(|| format!("`{MAPPER_KEY}` is {json}")).map(Some)
}
