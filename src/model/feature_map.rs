//! Pictures to maps of features, which the attention baseline looks at cell by cell.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bundle;
use super::resnet::ResNet;
use super::scratch::ScratchVision;
use crate::picture::Picture;

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
        let what = || format!("cannot read config.json of model {}", bundle.name);
        let json: Value = serde_json::from_slice(&bundle.file("config.json")?).with_context(what)?;
        match json["model_type"].as_str() {
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
