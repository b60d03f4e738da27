//! The vision tower.

use std::sync::Arc;

use anyhow::{Result, ensure};
use candle_core::Tensor;
use rayon::prelude::*;

use super::config::VisionConfig;
use super::input::InputSpec;
use super::openclip;
use super::shape::is_buffer;
use super::tower::{Norm, Tower, pack};
use crate::model::Bundle;
use crate::model::kernel::Packed;
use crate::model::ops::{Grad, Masking, Stored, linear_packed, matmul, tensor, values};
use crate::model::weights::Tensors;
use crate::picture::Picture;

/// Pictures that run through the network together; more would only need more memory.
const TOGETHER: usize = 16;

/// CLIP's vision transformer with its projection.
#[derive(Clone, Debug)]
pub struct ClipVision {
    config: VisionConfig,
    input: InputSpec,
    class_embedding: Tensor,
    /// The convolution as a matrix from `3 * patch * patch` samples.
    patch_embedding: Arc<Packed>,
    position_embedding: Tensor,
    pre_layrnorm: Norm,
    tower: Tower,
    post_layernorm: Norm,
    visual_projection: Tensor,
}

impl ClipVision {
    /// Reads the vision half of a `CLIPModel`, or a `CLIPVisionModelWithProjection`.
    ///
    /// Fails with the list of all tensors that are missing, misshapen or unknown; the text tower's are passed over.
    pub fn load(bundle: &Bundle) -> Result<Self> {
        let config = VisionConfig::load(bundle)?;
        let input = InputSpec::load(bundle, config.image_size)?;
        let mut tensors = openclip::translated(Tensors::open(bundle)?)?;
        tensors.ignore(|name| name.starts_with("text_") || is_buffer(name));
        let (d, patch) = (config.tower.hidden_size, config.patch_size);
        let embeddings = "vision_model.embeddings";
        let class_embedding = tensors.take(&format!("{embeddings}.class_embedding"), &[d])?;
        let patches = tensors.take(&format!("{embeddings}.patch_embedding.weight"), &[d, 3, patch, patch])?;
        tensors.check_zeros()?;
        let vision = Self {
            class_embedding,
            patch_embedding: pack(&patches.reshape((d, 3 * patch * patch))?)?,
            position_embedding: tensors
                .take(&format!("{embeddings}.position_embedding.weight"), &[config.grid() * config.grid() + 1, d])?,
            pre_layrnorm: Norm::take(&mut tensors, "vision_model.pre_layrnorm", &config.tower)?,
            tower: Tower::take(&mut tensors, "vision_model", &config.tower)?,
            post_layernorm: Norm::take(&mut tensors, "vision_model.post_layernorm", &config.tower)?,
            visual_projection: tensors.take("visual_projection.weight", &[config.projection_dim, d])?,
            input,
            config,
        };
        tensors.finish()?;
        Ok(vision)
    }

    /// The size of a vector.
    pub fn dim(&self) -> usize {
        self.config.projection_dim
    }

    /// What is done to a picture first.
    pub fn input_spec(&self) -> &InputSpec {
        &self.input
    }

    /// One vector per picture, `f32[pictures, dim]` row by row: projected, not normalised to length 1.
    pub fn embed(&self, pictures: &[Picture]) -> Result<Vec<f32>> {
        let mut vectors = Vec::with_capacity(pictures.len() * self.dim());
        for some in pictures.chunks(TOGETHER) {
            let pixels: Vec<Vec<f32>> = some.par_iter().map(|picture| self.input.apply(picture)).collect();
            vectors.extend(self.embed_pixels(&pixels)?);
        }
        Ok(vectors)
    }

    /// As [`Self::embed`], from the floats of [`InputSpec::apply`]; at least one picture.
    fn embed_pixels(&self, pixels: &[Vec<f32>]) -> Result<Vec<f32>> {
        let rows = (pixels.len(), self.config.tower.hidden_size);
        let class = self.hidden(pixels)?.narrow(1, 0, 1)?.contiguous()?.reshape(rows)?;
        let pooled = self.post_layernorm.apply(&class)?;
        let projected = matmul(&pooled, &self.visual_projection, Stored::OutIn, Grad::InputOnly)?;
        Ok(values(&projected)?.to_vec())
    }

    /// What the layers make of some pictures: `f32[pictures, 1 + patches, d]`.
    pub(super) fn hidden(&self, pixels: &[Vec<f32>]) -> Result<Tensor> {
        let (side, patch) = (self.config.image_size, self.config.patch_size);
        ensure!(pixels.iter().all(|pixels| pixels.len() == 3 * side * side), "a picture is not {side} x {side}");
        let (count, d, patches) = (pixels.len(), self.config.tower.hidden_size, self.config.grid().pow(2));
        let mut unfolded = vec![0.0; count * patches * 3 * patch * patch];
        let one = unfolded.len() / count;
        unfolded.par_chunks_mut(one).zip(pixels).for_each(|(out, pixels)| unfold(pixels, side, patch, out));
        let unfolded = tensor(unfolded, (count * patches, 3 * patch * patch))?;
        let x = linear_packed(&unfolded, &self.patch_embedding, None)?.reshape((count, patches, d))?;
        let class = self.class_embedding.reshape((1, 1, d))?.broadcast_as((count, 1, d))?;
        let x = Tensor::cat(&[class.contiguous()?, x], 1)?.broadcast_add(&self.position_embedding)?;
        self.tower.forward(self.pre_layrnorm.apply(&x)?, &Masking::none())
    }
}

/// Cuts `f32[3, side, side]` into patches, row by row, each `f32[3, patch, patch]`.
fn unfold(pixels: &[f32], side: usize, patch: usize, out: &mut [f32]) {
    let grid = side / patch;
    for (line, out) in out.chunks_exact_mut(patch).enumerate() {
        let (y, channel, place) = (line % patch, line / patch % 3, line / patch / 3);
        let (row, column) = (place / grid * patch + y, place % grid * patch);
        out.copy_from_slice(&pixels[(channel * side + row) * side + column..][..patch]);
    }
}
