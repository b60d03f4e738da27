//! The trained image encoder in use.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::config::check_network;
use super::encoder::{Encoder, check_shapes};
use super::views::{Album, Light, View};
use crate::model::Bundle;
use crate::model::ops::{Grad, Stored, matmul};
use crate::model::weights::{Weights, load};
use crate::picture::Picture;

/// What config.json calls this kind of model.
pub(super) const MODEL_TYPE: &str = "rsic_scratch_clip";
/// The name of the projection's tensor.
pub(super) const PROJECTION: &str = "vision.projection.weight";
/// Pictures that go through the network together; their vectors do not depend on it.
const TOGETHER: usize = 16;

/// config.json: the structure of the network and how it wants its pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct VisionConfig {
    pub(super) model_type: String,
    /// Side in pixels.
    pub(super) image_size: usize,
    /// Channels per stage.
    pub(super) channels: Vec<usize>,
    /// Residual blocks per stage.
    pub(super) blocks: usize,
    /// Size of the vectors.
    pub(super) projection_dim: usize,
    /// How many symmetries of each picture are averaged over.
    pub(super) views: usize,
    /// Subtracted from the samples of each channel.
    pub(super) image_mean: [f32; 3],
    /// What they are divided by then.
    pub(super) image_std: [f32; 3],
}

/// The image half of a pair trained by [`pretrain_clip`](super::pretrain_clip).
#[derive(Clone, Debug)]
pub struct ScratchVision {
    config: VisionConfig,
    encoder: Encoder,
    weights: Weights,
}

impl ScratchVision {
    /// Reads `config.json` and `model.safetensors`.
    ///
    /// Fails if the model is of another kind or the tensors do not fit its configuration.
    pub fn load(bundle: &Bundle) -> Result<Self> {
        let context = || format!("cannot read `config.json` of model {}", bundle.name);
        let config: VisionConfig = serde_json::from_slice(&bundle.file("config.json")?).with_context(context)?;
        let kind = &config.model_type;
        ensure!(kind == MODEL_TYPE, "model {} has model_type `{kind}`, not `{MODEL_TYPE}`", bundle.name);
        let weights = load(bundle)?;
        let what = || format!("the weights of model {} do not fit its `config.json`", bundle.name);
        Self::new(config, weights).with_context(what)
    }

    fn new(config: VisionConfig, weights: Weights) -> Result<Self> {
        check_network(config.image_size, &config.channels, config.blocks, config.projection_dim)?;
        ensure!([1, 2, 4, 8].contains(&config.views), "views must be 1, 2, 4 or 8, not {}", config.views);
        let encoder = Encoder::new(&config.channels, config.blocks);
        let mut expected = encoder.shapes();
        expected.insert(PROJECTION.to_owned(), vec![encoder.features, config.projection_dim]);
        check_shapes(&weights, &expected)?;
        Ok(Self { config, encoder, weights })
    }

    /// The size of a vector.
    pub fn dim(&self) -> usize {
        self.config.projection_dim
    }

    /// One vector per picture, `f32[pictures, dim]` row by row, not scaled to length 1.
    ///
    /// A picture of any size is scaled so that its shorter side fits, and cut to the middle square. The bits of a row do not depend on the
    /// other pictures.
    pub fn embed(&self, pictures: &[Picture]) -> Result<Vec<f32>> {
        let (config, light) = (&self.config, self.light());
        let mut rows = Vec::with_capacity(pictures.len() * self.dim());
        for some in pictures.chunks(TOGETHER) {
            let album = Album::new(some, config.image_size);
            let features = view_features(&self.encoder, &self.weights, &album, &light, config.views)?;
            let projection = &self.weights[PROJECTION];
            let vectors = matmul(&features, projection, Stored::InOut, Grad::InputOnly)?;
            rows.extend(vectors.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(rows)
    }

    /// Cells along a side of a feature map.
    pub fn map_side(&self) -> usize {
        self.encoder.map_side(self.config.image_size)
    }

    /// Numbers per cell of a feature map.
    pub fn channels(&self) -> usize {
        self.encoder.features / 2
    }

    /// What vectors are pooled from: `f32[pictures, side * side, channels]`, cells row by row, the picture as it stands.
    pub fn maps(&self, pictures: &[Picture]) -> Result<Vec<f32>> {
        let mut maps = Vec::with_capacity(pictures.len() * self.map_side().pow(2) * self.channels());
        for some in pictures.chunks(TOGETHER) {
            let x = looked_at(&Album::new(some, self.config.image_size), &self.light(), 0)?;
            maps.extend(self.encoder.map(&self.weights, &x)?.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(maps)
    }

    fn light(&self) -> Light {
        Light { mean: self.config.image_mean, std: self.config.image_std }
    }
}

/// All pictures of an album through one of the symmetries: `f32[pictures, size, size, 3]`.
fn looked_at(album: &Album, light: &Light, symmetry: usize) -> Result<Tensor> {
    let (count, size) = (album.pictures.len(), album.size);
    let view = View::whole(size, symmetry);
    let mut x = vec![0.0_f32; count * size * size * 3];
    x.par_chunks_mut(size * size * 3).enumerate().for_each(|(picture, out)| album.look(picture, light, &view, out));
    Ok(Tensor::from_vec(x, (count, size, size, 3), &Device::Cpu)?)
}

/// The features of all pictures of an album, averaged over `views` symmetries: `f32[pictures, features]`.
pub(super) fn view_features(
    encoder: &Encoder,
    weights: &BTreeMap<String, Tensor>,
    album: &Album,
    light: &Light,
    views: usize,
) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for symmetry in 0..views {
        let features = encoder.features(weights, &looked_at(album, light, symmetry)?)?;
        sum = Some(match sum {
            Some(sum) => (sum + features)?,
            None => features,
        });
    }
    let sum = sum.context("at least one view is needed")?;
    Ok((sum / views as f64)?)
}
