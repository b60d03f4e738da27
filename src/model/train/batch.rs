//! Some captions as one rectangular input, and what is to be predicted where.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};

use super::TrainData;
use crate::model::ops::tensor;

/// The row of an image's vector, and the token ids of one caption, the one that ends it included.
pub type Example = (u32, Vec<u32>);

/// One batch. Rows are padded on the right, where causality hides the padding from everything that counts.
pub(super) struct Batch {
    /// The vectors of the distinct images, `f32[n, dim]`, in the order in which captions name them.
    pub(super) clip: Tensor,
    /// For every caption, its image among them.
    pub(super) which: Vec<u32>,
    /// What stands after the prefix: `u32[b, t]`.
    pub(super) text: Tensor,
    /// Positions of `[b, k + t]`, counted through, whose output predicts a target.
    pub(super) positions: Vec<u32>,
    /// The targets.
    pub(super) targets: Vec<u32>,
}

impl Batch {
    /// `prefix` is the number of rows before the text.
    pub(super) fn new(data: &TrainData, examples: &[&Example], prefix: usize, ignore_zero: bool) -> Result<Self> {
        let captions: Vec<&[u32]> = examples.iter().map(|(_, ids)| counted(ids, ignore_zero)).collect();
        let lead = usize::from(data.bos.is_some());
        let length = captions.iter().map(|ids| lead + ids.len().saturating_sub(1)).max().unwrap_or(0);
        let mut text = vec![0; captions.len() * length];
        let (mut positions, mut targets) = (Vec::new(), Vec::new());
        for (row, ids) in captions.iter().enumerate() {
            let inputs = data.bos.iter().chain(ids.iter().take(ids.len().saturating_sub(1)));
            for (out, &id) in text[row * length..].iter_mut().zip(inputs) {
                *out = id;
            }
            let first = row * (prefix + length) + prefix - 1 + lead;
            for (i, &id) in ids.iter().enumerate().filter(|(_, id)| !(ignore_zero && **id == 0)) {
                positions.push((first + i) as u32);
                targets.push(id);
            }
        }
        let (clip, which) = distinct(data, examples)?;
        let text = Tensor::from_vec(text, (captions.len(), length), &Device::Cpu)?;
        Ok(Self { clip, which, text, positions, targets })
    }
}

/// The ids that are targets: all of them, or, as in the original, all but the one that ends the caption.
pub(super) fn counted(ids: &[u32], ignore_zero: bool) -> &[u32] {
    if ignore_zero { &ids[..ids.len().saturating_sub(1)] } else { ids }
}

/// The vectors of the images that the examples name, each once, and for every example which it is.
fn distinct(data: &TrainData, examples: &[&Example]) -> Result<(Tensor, Vec<u32>)> {
    let mut rows: Vec<u32> = Vec::new();
    let mut vectors = Vec::new();
    let mut which = Vec::new();
    for (row, _) in examples {
        let known = rows.iter().position(|known| known == row);
        which.push(known.unwrap_or(rows.len()) as u32);
        if known.is_none() {
            let start = *row as usize * data.dim;
            ensure!(start + data.dim <= data.vectors.len(), "there is no vector {row}");
            vectors.extend_from_slice(&data.vectors[start..start + data.dim]);
            rows.push(*row);
        }
    }
    Ok((tensor(vectors, (rows.len(), data.dim))?, which))
}
