//! CLIP's config.json.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::model::Bundle;
use crate::model::ops::Activation;

/// No published network comes near these; without a limit, a damaged config.json asks for all the memory there is.
const WIDEST: usize = 1 << 16;
const DEEPEST: usize = 1 << 10;
const MOST_TOKENS: usize = 1 << 24;

/// The sizes of one tower's layers; what is absent from config.json has `CLIPModel`'s default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct TowerConfig {
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) layer_norm_eps: f64,
    hidden_act: String,
}

impl Default for TowerConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            layer_norm_eps: 1e-5,
            hidden_act: "quick_gelu".to_owned(),
        }
    }
}

impl TowerConfig {
    /// The function inside the feed-forward layers.
    ///
    /// Taking GELU for `QuickGELU` gives wrong vectors without any error, so an unknown name is refused.
    pub(super) fn activation(&self) -> Result<Activation> {
        Ok(match self.hidden_act.as_str() {
            "quick_gelu" => Activation::QuickGelu,
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluNew,
            other => bail!("hidden_act `{other}` is not supported: use quick_gelu, gelu or gelu_new"),
        })
    }

    fn check(&self) -> Result<()> {
        self.activation()?;
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            bail!(
                "hidden_size {} is not a multiple of num_attention_heads {}",
                self.hidden_size,
                self.num_attention_heads
            );
        }
        let sizes = [self.hidden_size, self.intermediate_size];
        if !sizes.iter().all(|size| (1..=WIDEST).contains(size)) || self.num_hidden_layers > DEEPEST {
            bail!(
                "hidden_size {}, intermediate_size {} and num_hidden_layers {} are not 1 to {WIDEST} and at most {DEEPEST}",
                self.hidden_size,
                self.intermediate_size,
                self.num_hidden_layers
            );
        }
        Ok(())
    }
}

/// The vision tower.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VisionConfig {
    pub(super) tower: TowerConfig,
    pub(super) image_size: usize,
    pub(super) patch_size: usize,
    /// Size of the vectors that pictures and texts share.
    pub(super) projection_dim: usize,
}

impl VisionConfig {
    /// Reads a `CLIPModel`'s or a `CLIPVisionModelWithProjection`'s config.json.
    pub(super) fn load(bundle: &Bundle) -> Result<Self> {
        let what = || format!("cannot use config.json of model {} as CLIP", bundle.name);
        let json: Value = serde_json::from_slice(&bundle.file("config.json")?).with_context(what)?;
        Self::parse(&json).with_context(what)
    }

    fn parse(json: &Value) -> Result<Self> {
        let own = if json["model_type"] == "clip_vision_model" { json } else { section(json, "vision_config")? };
        let config = Self {
            tower: TowerConfig::deserialize(own).context("in the vision tower")?,
            image_size: number(own, "image_size", 224)?,
            patch_size: number(own, "patch_size", 32)?,
            projection_dim: number(json, "projection_dim", 512)?,
        };
        config.tower.check().context("in the vision tower")?;
        if number(own, "num_channels", 3)? != 3 {
            bail!("num_channels is not 3: only RGB models are supported");
        }
        let sizes = [config.image_size, config.projection_dim];
        if let Some(size) = sizes.iter().find(|size| !(1..=WIDEST).contains(*size)) {
            bail!("image_size and projection_dim must be 1 to {WIDEST}, not {size}");
        }
        if config.patch_size == 0 || config.image_size < config.patch_size {
            bail!("an image_size of {} has no patch of {} pixels", config.image_size, config.patch_size);
        }
        Ok(config)
    }

    /// Patches along one side; what is left over at the right and bottom is not looked at.
    pub(super) fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }
}

/// The text tower.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextConfig {
    pub(super) tower: TowerConfig,
    pub(super) vocab_size: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) eos_token_id: u32,
    pub(super) projection_dim: usize,
}

impl TextConfig {
    /// Reads a `CLIPModel`'s config.json.
    pub(super) fn load(bundle: &Bundle) -> Result<Self> {
        let what = || format!("cannot use config.json of model {} as CLIP", bundle.name);
        let json: Value = serde_json::from_slice(&bundle.file("config.json")?).with_context(what)?;
        Self::parse(&json).with_context(what)
    }

    fn parse(json: &Value) -> Result<Self> {
        let own = section(json, "text_config")?;
        let mut own = own.clone();
        // The text tower's defaults are narrower than those of the vision tower.
        for (field, default) in [("hidden_size", 512), ("intermediate_size", 2048), ("num_attention_heads", 8)] {
            if own[field].is_null() {
                own[field] = default.into();
            }
        }
        let config = Self {
            tower: TowerConfig::deserialize(&own).context("in the text tower")?,
            vocab_size: number(&own, "vocab_size", 49408)?,
            max_position_embeddings: number(&own, "max_position_embeddings", 77)?,
            eos_token_id: number(&own, "eos_token_id", 49407)? as u32,
            projection_dim: number(json, "projection_dim", 512)?,
        };
        config.tower.check().context("in the text tower")?;
        let sizes = [config.vocab_size, config.max_position_embeddings, config.projection_dim];
        if let Some(size) = sizes.iter().find(|size| !(1..=MOST_TOKENS).contains(*size)) {
            bail!("vocab_size, max_position_embeddings and projection_dim must be 1 to {MOST_TOKENS}, not {size}");
        }
        Ok(config)
    }
}

/// A part of config.json that must be there.
fn section<'a>(json: &'a Value, name: &str) -> Result<&'a Value> {
    json.get(name).filter(|value| value.is_object()).with_context(|| format!("the field `{name}` is missing"))
}

/// A whole number of config.json.
fn number(json: &Value, name: &str, default: usize) -> Result<usize> {
    match &json[name] {
        Value::Null => Ok(default),
        value => {
            value.as_u64().map(|n| n as usize).with_context(|| format!("the field `{name}` is {value}, not a number"))
        }
    }
}
