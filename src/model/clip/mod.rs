//! CLIP: pictures (and texts) to vectors that can be compared.

mod config;
mod convert;
mod input;
mod openclip;
mod shape;
mod text;
mod tower;
mod vision;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bundle;
use super::scratch::ScratchVision;
use crate::picture::Picture;

pub use convert::{convert, random};
pub use input::{InputSpec, Scale};
pub(super) use openclip::unwrapped_names;
pub(super) use shape::is_buffer;
pub use shape::{ClipShape, Family, TextShape};
pub use text::ClipText;
pub use vision::ClipVision;

/// Any network that turns a picture into one vector.
#[derive(Clone, Debug)]
pub enum ImageEncoder {
    /// A published CLIP, or one fine-tuned from it.
    Clip(Box<ClipVision>),
    /// One that was trained here.
    Scratch(Box<ScratchVision>),
}

impl ImageEncoder {
    /// Reads a model; config.json's `model_type` says of which kind it is.
    pub fn load(bundle: &Bundle) -> Result<Self> {
        let what = || format!("cannot read config.json of model {}", bundle.name);
        let json: Value = serde_json::from_slice(&bundle.file("config.json")?).with_context(what)?;
        match json["model_type"].as_str() {
            Some("clip" | "clip_vision_model" | "chinese_clip") => Ok(Self::Clip(Box::new(ClipVision::load(bundle)?))),
            Some("rsic_scratch_clip") => Ok(Self::Scratch(Box::new(ScratchVision::load(bundle)?))),
            Some("resnet") => bail!(
                "model {} is a ResNet, which gives no vector that captions can be compared with: it can be the `encoder` of an \
                 [attention.NAME] table",
                bundle.name
            ),
            Some(other) => bail!("model {} is of type `{other}`, not an image encoder: use a CLIP model", bundle.name),
            None => bail!("config.json of model {} has no `model_type`: is it a CLIP model?", bundle.name),
        }
    }

    /// The size of a vector.
    pub fn dim(&self) -> usize {
        match self {
            Self::Clip(clip) => clip.dim(),
            Self::Scratch(scratch) => scratch.dim(),
        }
    }

    /// One vector per picture, `f32[pictures, dim]` row by row, not normalised to length 1.
    ///
    /// The bits of a row do not depend on the other pictures.
    pub fn embed(&self, pictures: &[Picture]) -> Result<Vec<f32>> {
        match self {
            Self::Clip(clip) => clip.embed(pictures),
            Self::Scratch(scratch) => scratch.embed(pictures),
        }
    }
}

#[cfg(test)]
mod tests;
