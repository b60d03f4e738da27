//! Pictures to maps of features, which the attention baseline looks at cell by cell.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bundle;
use super::resnet::ResNet;
use super::scratch::ScratchVision;
use crate::picture::{self, CropRule, Picture};

/// The part of a picture that a model's map covers, scaled to a square: a `ResNet` sees all of it, whatever its proportions, the encoder that
/// was trained here the middle square.
pub fn as_seen(picture: &Picture, bundle: &Bundle, side: u32) -> Result<Picture> {
    if kind(bundle)?.as_deref() == Some("resnet") {
        return Ok(picture::resize_bicubic(picture, side, side));
    }
    Ok(picture::square(picture, side, CropRule::Floor))
}

/// The `model_type` of config.json.
fn kind(bundle: &Bundle) -> Result<Option<String>> {
    let what = || format!("cannot read config.json of model {}", bundle.name);
    let json: Value = serde_json::from_slice(&bundle.file("config.json")?).with_context(what)?;
    Ok(json["model_type"].as_str().map(str::to_owned))
}

/// Any network that turns a picture into a map.
#[derive(Clone, Debug)]
pub enum MapEncoder {
    /// A published `ResNet`.
    ResNet(Box<ResNet>),
    /// The image encoder that was trained here: the map from which its vectors are pooled.
    Scratch(Box<ScratchVision>),
}

impl MapEncoder {
    /// Reads a model; config.json's `model_type` says of which kind it is.
    pub fn load(bundle: &Bundle) -> Result<Self> {
        match kind(bundle)?.as_deref() {
            Some("resnet") => Ok(Self::ResNet(Box::new(ResNet::load(bundle)?))),
            Some("rsic_scratch_clip") => Ok(Self::Scratch(Box::new(ScratchVision::load(bundle)?))),
            Some(other) => {
                bail!("model {} is of type `{other}`, which gives no feature map: use a ResNet", bundle.name)
            }
            None => bail!("config.json of model {} has no `model_type`: is it a ResNet?", bundle.name),
        }
    }

    /// Cells along a side of a map.
    pub fn side(&self) -> usize {
        match self {
            Self::ResNet(resnet) => resnet.side(),
            Self::Scratch(scratch) => scratch.map_side(),
        }
    }

    /// Numbers per cell.
    pub fn channels(&self) -> usize {
        match self {
            Self::ResNet(resnet) => resnet.channels(),
            Self::Scratch(scratch) => scratch.channels(),
        }
    }

    /// One map per picture, `f32[pictures, side * side, channels]`, cells row by row.
    ///
    /// The bits of a map do not depend on the other pictures.
    pub fn maps(&self, pictures: &[Picture]) -> Result<Vec<f32>> {
        match self {
            Self::ResNet(resnet) => resnet.maps(pictures),
            Self::Scratch(scratch) => scratch.maps(pictures),
        }
    }
}
