//! A checkpoint of another program -> trained weights as if they were ours.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::infer::{Found, Parts, Shapes};
use super::trained::{GPT_PREFIX, MAPPER_PREFIX, mapper_config, named, save_weights};
use crate::model::Content;
use crate::model::gpt2::{Gpt2, Gpt2Config};
use crate::model::mapper::{Mapper, MapperConfig};
use crate::model::ops::values;
use crate::model::weights::{TensorFile, Tensors};

/// What weights do not tell about the network that they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Attention heads of a transformer mapper; amht's weights tell theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Whether image vectors are scaled to length 1 first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub normalize: bool,
    /// Whether the file's language model is used; without one in the file, the frozen one is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub with_gpt2: bool,
}

/// A mapper of another program, with the language model that was trained along if there is one.
pub struct Adopted {
    mapper: Mapper,
    gpt2: Option<Gpt2>,
}

impl Adopted {
    /// Reads a checkpoint.
    ///
    /// - `name`: what messages call the file.
    /// - `gpt2`: the configuration of the language model that reads the prefix.
    ///
    /// Fails, listing every tensor that is missing, misshapen or of no use, unless all of them fit.
    pub fn read(content: &Content, name: &str, profile: &Profile, gpt2: &Gpt2Config) -> Result<Self> {
        let file = TensorFile::open(content).with_context(|| format!("cannot read the weights {name}"))?;
        let what = || format!("cannot use {name}");
        let shapes: Shapes = file.entries.iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect();
        let read = |name: &str| name.starts_with(MAPPER_PREFIX) || name.starts_with(GPT_PREFIX);
        if let Some(odd) = file.beside.iter().find(|odd| read(&odd.name)) {
            bail!("cannot use {name}: `{}` is no plain tensor, but {}", odd.name, odd.what);
        }
        let parts = Parts::find(&shapes).map_err(|why| anyhow!(why)).with_context(what)?;
        let found = Found::new(&shapes.into_iter().map(|(name, shape)| (parts.rename(&name), shape)).collect());
        let config = config(&file, &found, profile, gpt2).with_context(what)?;
        match (profile.with_gpt2, &found.gpt2) {
            (true, None) => bail!("{name} holds no language model: remove `with_gpt2`"),
            (false, Some(_)) => bail!("{name} holds a language model as well: set `with_gpt2 = true` to use it"),
            _ => {}
        }
        let mut tensors = Tensors::of_file(name, file);
        tensors.rename(|name| parts.rename(name));
        let mapper = Mapper::take(&config, &mut tensors, MAPPER_PREFIX)?;
        let gpt2 = if profile.with_gpt2 {
            tensors.strip_prefix(GPT_PREFIX);
            Some(Gpt2::from_tensors(gpt2.clone(), tensors)?)
        } else {
            tensors.finish()?;
            None
        };
        let adopted = Self { mapper: Mapper::with(&config, mapper)?, gpt2 };
        for (tensor, var) in named(&adopted.mapper, adopted.gpt2.as_ref()) {
            ensure!(
                values(&var)?.iter().all(|value| value.is_finite()),
                "cannot use {name}: tensor `{tensor}` holds NaN or infinity: the training that wrote it diverged"
            );
        }
        Ok(adopted)
    }

    /// The mapper's configuration.
    pub fn mapper(&self) -> &MapperConfig {
        self.mapper.config()
    }

    /// The file that training here would have written; see [`super::read_weights`].
    pub fn save(&self) -> Result<Vec<u8>> {
        save_weights(&self.mapper, self.gpt2.as_ref())
    }
}

fn config(file: &TensorFile, found: &Found, profile: &Profile, gpt2: &Gpt2Config) -> Result<MapperConfig> {
    let shape =
        found.mapper.as_ref().context("it holds no mapper: no tensor of it is named as ClipCap's `clip_project`")?;
    let Some(own) = mapper_config(file)? else {
        return shape.config(gpt2.n_embd, profile.heads, profile.normalize).map_err(|why| anyhow!(why));
    };
    ensure!(profile.heads.is_none_or(|heads| heads == own.heads), "its own notes say {} heads", own.heads);
    ensure!(own.normalize || !profile.normalize, "its own notes say normalize = false");
    let heads = own.kind.has_layers().then_some(own.heads);
    let told = shape.config(gpt2.n_embd, heads, own.normalize).map_err(|why| anyhow!(why))?;
    // What a kind has no use for may be anything.
    let layered = |config: &MapperConfig| (config.clip_length, config.layers, config.heads);
    let same = (own.kind, own.clip_dim, own.prefix_length, own.width)
        == (told.kind, told.clip_dim, told.prefix_length, told.width)
        && (!own.kind.has_layers() || layered(&own) == layered(&told));
    ensure!(same, "its own notes say {own:?}, but its tensors are those of {told:?}");
    Ok(own)
}
