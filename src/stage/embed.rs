//! `embed`: every distinct image -> one projected, un-normalised CLIP vector.

use std::sync::Arc;

use anyhow::Result;
use arrow::datatypes::Float32Type;
use serde::{Deserialize, Serialize};

use super::per_image::{PerImage, all_finite};
use super::{Context, Inputs, Outcome};
use crate::model::clip::ImageEncoder;
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// After how many images the rows so far are saved.
const SAVE_EVERY: usize = 256;

/// Reads `images`, the image files and the image encoder `clip`; writes `embeddings`, one row per distinct image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Embed {
    /// Scale each vector to length 1.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unit_length: bool,
}

impl Embed {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let encoder = ImageEncoder::load(&inputs.bundle("clip")?)?;
        let dim = encoder.dim();
        let per_image = PerImage { column: "vector", width: dim, save_every: SAVE_EVERY };
        let rows = per_image.rows::<Float32Type>(inputs, context, |pictures, names| {
            let mut vectors = encoder.embed(pictures)?;
            all_finite(&vectors, dim, names)?;
            if self.unit_length {
                for vector in vectors.chunks_mut(dim) {
                    to_unit_length(vector);
                }
            }
            Ok(vectors)
        })?;
        let mut outcome = Outcome::default();
        outcome.log.push(rows.remark);
        let vectors = table::vector_array::<Float32Type>(rows.values, dim)?;
        outcome.table("embeddings", table::make(table::embeddings(dim), vec![Arc::new(rows.digests), vectors])?);
        Ok(outcome)
    }
}

fn to_unit_length(vector: &mut [f32]) {
    let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().max(1e-12);
    for x in vector {
        *x = (f64::from(*x) / norm) as f32;
    }
}
