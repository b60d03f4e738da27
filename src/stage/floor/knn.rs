//! Nearest neighbour: the consensus caption of the train image with the most similar CLIP vector.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::unscored::captions_table;
use super::super::{Context, Inputs, Outcome, score};
use super::{of_split, train_images};
use crate::language::{Language, Split};
use crate::metric::floor::consensus;
use crate::table;

/// Reads `images`, `embeddings` and `sentences`; writes `captions`.
///
/// Similarity is the cosine of the vectors; of equally near train images the first in published order is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nearest {
    /// The language of the captions.
    pub language: Language,
    /// The split to caption.
    pub split: Split,
}

impl Nearest {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let vectors = unit_vectors(&images, &inputs.table("embeddings")?)?;
        let train = train_images(&images)?;
        let candidates: Vec<(u32, &[f64])> =
            in_order(&images, &vectors)?.filter(|(id, _)| train.contains(id)).collect();
        let consensus = consensus(&score::references(&inputs.table("sentences")?, &train)?, self.language)?;
        let targets = of_split(&images, self.split)?;
        context.progress.begin("neighbours", targets.len() as u64, "images");
        let captions = targets
            .par_iter()
            .map(|id| {
                let neighbour = nearest(&vectors[id], &candidates).context("there are no train images")?;
                let caption = consensus.get(&neighbour);
                Ok((*id, caption.with_context(|| format!("train image {neighbour} has no caption"))?.clone()))
            })
            .collect::<Result<Vec<_>>>()?;
        context.progress.advance(targets.len() as u64);
        let mut outcome = Outcome::default();
        outcome.table("captions", captions_table(&captions)?);
        Ok(outcome)
    }
}

/// The image whose unit vector has the largest dot product with `vector`; of equals the first.
fn nearest(vector: &[f64], candidates: &[(u32, &[f64])]) -> Option<u32> {
    let mut best = None;
    for (id, other) in candidates {
        let cosine: f64 = vector.iter().zip(*other).map(|(a, b)| a * b).sum();
        if best.is_none_or(|(most, _)| cosine > most) {
            best = Some((cosine, *id));
        }
    }
    best.map(|(_, id)| id)
}

/// The vector of every image, scaled to length 1.
fn unit_vectors(images: &RecordBatch, embeddings: &RecordBatch) -> Result<BTreeMap<u32, Vec<f64>>> {
    let (values, dim) = table::vectors(embeddings, "vector")?;
    let digests = table::strings(embeddings, "digest")?;
    let rows: BTreeMap<&str, &[f32]> = digests.iter().flatten().zip(values.chunks(dim)).collect();
    let ids = table::u32s(images, "image_id")?.values().iter();
    ids.zip(table::strings(images, "digest")?)
        .map(|(id, digest)| {
            let row = rows.get(digest.unwrap_or_default()).with_context(|| format!("image {id} has no vector"))?;
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            Ok((*id, row.iter().map(|&v| f64::from(v) / norm).collect()))
        })
        .collect()
}

/// All images with their vectors, in published order.
fn in_order<'a>(
    images: &'a RecordBatch,
    vectors: &'a BTreeMap<u32, Vec<f64>>,
) -> Result<impl Iterator<Item = (u32, &'a [f64])>> {
    Ok(table::u32s(images, "image_id")?.values().iter().map(|id| (*id, vectors[id].as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_that_with_the_largest_cosine_and_of_equals_the_first() {
        let candidates: Vec<(u32, &[f64])> = vec![(7, &[1.0, 0.0]), (8, &[0.6, 0.8]), (9, &[0.6, 0.8])];
        assert_eq!(nearest(&[0.0, 1.0], &candidates), Some(8));
        assert_eq!(nearest(&[1.0, 0.0], &candidates), Some(7));
        assert_eq!(nearest(&[1.0, 0.0], &[]), None);
    }
}
