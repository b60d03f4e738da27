//! The text tower.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};

use super::config::TextConfig;
use super::openclip;
use super::shape::is_buffer;
use super::tower::{Norm, Tower};
use crate::model::Bundle;
use crate::model::ops::{Grad, Masking, Stored, embedding, matmul, values};
use crate::model::weights::Tensors;

/// The `eos_token_id` of old config files, which is not the end token's id.
const OLD_END: u32 = 2;

/// CLIP's text transformer with its projection.
#[derive(Clone, Debug)]
pub struct ClipText {
    config: TextConfig,
    token_embedding: Tensor,
    position_embedding: Tensor,
    tower: Tower,
    final_layer_norm: Norm,
    text_projection: Tensor,
}

impl ClipText {
    /// Reads the text half of a `CLIPModel`; the vision tower's tensors are passed over.
    pub fn load(bundle: &Bundle) -> Result<Self> {
        let config = TextConfig::load(bundle)?;
        let mut tensors = openclip::translated(Tensors::open(bundle)?)?;
        tensors.ignore(|name| name.starts_with("vision_") || name.starts_with("visual_") || is_buffer(name));
        let d = config.tower.hidden_size;
        let table = |name: &str| format!("text_model.embeddings.{name}_embedding.weight");
        let token_embedding = tensors.take(&table("token"), &[config.vocab_size, d])?;
        let position_embedding = tensors.take(&table("position"), &[config.max_position_embeddings, d])?;
        let tower = Tower::take(&mut tensors, "text_model", &config.tower)?;
        let final_layer_norm = Norm::take(&mut tensors, "text_model.final_layer_norm", &config.tower)?;
        let text_projection = tensors.take("text_projection.weight", &[config.projection_dim, d])?;
        tensors.finish()?;
        Ok(Self { config, token_embedding, position_embedding, tower, final_layer_norm, text_projection })
    }

    /// The size of a vector.
    pub fn dim(&self) -> usize {
        self.config.projection_dim
    }

    /// One vector per text, `f32[texts, dim]` row by row: projected, not normalised to length 1.
    ///
    /// `ids`: the tokens of each text, start and end among them, all filled up to the same length.
    pub fn embed(&self, ids: &[Vec<u32>]) -> Result<Vec<f32>> {
        let Some(length) = ids.first().map(Vec::len) else { return Ok(Vec::new()) };
        let fits = length > 0 && length <= self.config.max_position_embeddings;
        ensure!(fits && ids.iter().all(|row| row.len() == length), "texts must have one length and fit the positions");
        let d = self.config.tower.hidden_size;
        let x = embedding(&self.token_embedding, &ids.concat())?.reshape((ids.len(), length, d))?;
        let x = x.broadcast_add(&self.position_embedding.narrow(0, 0, length)?)?;
        let hidden = self.final_layer_norm.apply(&self.tower.forward(x, &Masking::causal())?)?;
        let ends = ids.iter().enumerate().map(|(row, ids)| (row * length + self.end(ids)) as u32);
        let ends = Tensor::new(ends.collect::<Vec<_>>(), &Device::Cpu)?;
        let pooled = hidden.reshape((ids.len() * length, d))?.index_select(&ends, 0)?;
        let projected = matmul(&pooled, &self.text_projection, Stored::OutIn, Grad::InputOnly)?;
        Ok(values(&projected)?.to_vec())
    }

    /// Where a text ends: at the first end token; with old config files, at the first largest id.
    fn end(&self, ids: &[u32]) -> usize {
        let end = match self.config.eos_token_id {
            OLD_END => ids.iter().max().copied().unwrap_or(0),
            end => end,
        };
        ids.iter().position(|&id| id == end).unwrap_or(0)
    }
}
