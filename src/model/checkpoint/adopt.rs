//! A checkpoint of another program -> trained weights as if they were ours.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::infer::{Found, Parts, Shapes};
use super::trained::{GPT_PREFIX, MAPPER_PREFIX, mapper_config, save_weights};
use crate::model::Content;
use crate::model::gpt2::{Gpt2, Gpt2Config};
use crate::model::mapper::{Mapper, MapperConfig};
use crate::model::weights::{TensorFile, Tensors};

/// What weights do not tell about the network that they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Attention heads of a transformer mapper; amht's weights tell theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Whether image vectors are scaled to length 1 first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// Whether the file's language model is used; without one in the file, the frozen one is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub with_gpt2: bool,
}

/// Reads a checkpoint of a mapper, with or without the language model that was trained along, and writes it as training
/// here would have ([`super::read_weights`]).
///
/// - `name`: what messages call the file.
/// - `gpt2`: the configuration of the language model that reads the prefix.
///
/// Fails, listing every tensor that is missing, misshapen or of no use, unless all of them fit.
pub fn adopt(content: &Content, name: &str, profile: &Profile, gpt2: &Gpt2Config) -> Result<Vec<u8>> {
    let file = TensorFile::open(content).with_context(|| format!("cannot read the weights {name}"))?;
    let shapes: Shapes = file.entries.iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect();
    let parts = Parts::find(&shapes);
    let renamed = shapes.into_iter().map(|(name, shape)| (parts.rename(&name), shape)).collect();
    let found = Found::new(&renamed);
    let config = config(&file, &found, profile, gpt2).with_context(|| format!("cannot use {name}"))?;
    match (profile.with_gpt2, &found.gpt2) {
        (true, None) => bail!("{name} holds no language model: remove `with_gpt2`"),
        (false, Some(_)) => bail!("{name} holds a language model as well: set `with_gpt2 = true` to use it"),
        _ => {}
    }
    let mut tensors = Tensors::of_file(name, file);
    tensors.rename(|name| parts.rename(name));
    let mapper = Mapper::take(&config, &mut tensors, MAPPER_PREFIX)?;
    if !profile.with_gpt2 {
        tensors.finish()?;
        return save_weights(&mapper, None);
    }
    tensors.strip_prefix(GPT_PREFIX);
    let gpt2 = Gpt2::from_tensors(gpt2.clone(), tensors)?;
    save_weights(&mapper, Some(&gpt2))
}

fn config(file: &TensorFile, found: &Found, profile: &Profile, gpt2: &Gpt2Config) -> Result<MapperConfig> {
    if let Some(own) = mapper_config(file)? {
        ensure!(profile.heads.is_none_or(|heads| heads == own.heads), "its own notes say {} heads", own.heads);
        let normalize = profile.normalize.is_none_or(|normalize| normalize == own.normalize);
        ensure!(normalize, "its own notes say normalize = {}", own.normalize);
        let (made, read) = (own.width, gpt2.n_embd);
        ensure!(made == read, "the mapper makes rows of {made}, but the language model reads rows of {read}");
        return Ok(own);
    }
    let shape =
        found.mapper.as_ref().context("it holds no mapper: no tensor of it is named as ClipCap's `clip_project`")?;
    shape.config(gpt2.n_embd, profile.heads, profile.normalize.unwrap_or(false)).map_err(|why| anyhow!(why))
}
