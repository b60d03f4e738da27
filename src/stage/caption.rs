//! `caption`: vectors and a trained mapper -> captions of one split.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};

use super::per_image::rows_by_id;
use super::{Context, Inputs, Outcome};
use crate::language::{Language, Split};
use crate::model::captioner::{Caption as Made, Captioner, Images};
use crate::model::search::{DecodeConfig, Method};
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// How many sequences are decoded together, at most, unless one image has more. The result does not depend on it.
const ROWS: usize = 128;
/// How many images are decoded together, at most.
const IMAGES: usize = 64;

/// Reads `images`, `embeddings`, the trained `weights` and the language model `gpt2`; writes `captions`, `eval`, the
/// seed's `{"imgid": caption}` file, and, where several captions per image are asked for, `nbest` with all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caption {
    /// The language of the captions.
    pub language: Language,
    /// The split to caption.
    pub split: Split,
    /// The longest caption in tokens.
    pub max_tokens: usize,
    /// How to search.
    pub decoding: DecodeConfig,
}

/// How many images are decoded together.
pub(super) fn images_at_once(decoding: &DecodeConfig) -> usize {
    let rows = match decoding.method {
        Method::Greedy => 1,
        Method::Beam | Method::BeamClipcap | Method::BeamSetAside => decoding.width,
        Method::Sample => decoding.n,
    };
    (ROWS / rows.max(1)).clamp(1, IMAGES)
}

impl Caption {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let embeddings = inputs.table("embeddings")?;
        let rows = rows_by_id(&images, &embeddings, "embedding")?;
        let (values, dim) = table::vectors(&embeddings, "vector")?;
        let ids = image_ids(&images, self.split)?;
        let mut vectors = Vec::with_capacity(ids.len() * dim);
        for id in &ids {
            let row = rows[id] as usize;
            vectors.extend_from_slice(&values[row * dim..(row + 1) * dim]);
        }
        let captioner = Captioner::load(&inputs.content("weights")?, &inputs.bundle("gpt2")?, self.language)?;
        let images = Images { ids: &ids, vectors: &vectors, dim };
        let batch = images_at_once(&self.decoding);
        let made = captioner.caption(images, &self.decoding, self.max_tokens, batch, context.progress)?;
        outcome(&ids, &made, self.decoding.n)
    }
}

/// The tables of some captions, the best of each image first, and the seed's file; `n` captions were asked for.
pub(super) fn outcome(ids: &[u32], made: &[Vec<Made>], n: usize) -> Result<Outcome> {
    let first = made.iter().map(|captions| captions.first()).collect::<Option<Vec<&Made>>>();
    let first = first.context("the search found no caption")?;
    let mut outcome = Outcome::default();
    outcome.table("captions", table::make(table::captions(), caption_columns(ids, &first))?);
    outcome.bytes("eval", eval_file(ids, &first)?, "json");
    if n > 1 {
        outcome.table("nbest", nbest(ids, made)?);
    }
    Ok(outcome)
}

/// The images of a split, in published order. Fails if there are none.
pub(super) fn image_ids(images: &RecordBatch, split: Split) -> Result<Vec<u32>> {
    let pairs = table::u32s(images, "image_id")?.values().iter().zip(table::strings(images, "split")?);
    let ids: Vec<u32> = pairs.filter(|(_, of)| *of == Some(split.name())).map(|(id, _)| *id).collect();
    if ids.is_empty() {
        bail!("the {} split has no images", split.name());
    }
    Ok(ids)
}

/// The columns of the `captions` table.
pub(super) fn caption_columns(ids: &[u32], made: &[&Made]) -> Vec<ArrayRef> {
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(ids.to_vec()))];
    columns.extend(of_captions(made));
    columns
}

/// All captions of every image, by rank from 1.
fn nbest(ids: &[u32], made: &[Vec<Made>]) -> Result<RecordBatch> {
    let rows =
        ids.iter().zip(made).flat_map(|(id, captions)| captions.iter().zip(1..).map(|(one, rank)| (*id, rank, one)));
    let rows: Vec<(u32, u32, &Made)> = rows.collect();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.1))),
    ];
    columns.extend(of_captions(&rows.iter().map(|row| row.2).collect::<Vec<_>>()));
    table::make(table::nbest(), columns)
}

/// Text, tokens and log-probability.
fn of_captions(made: &[&Made]) -> [ArrayRef; 3] {
    let tokens: Vec<Vec<u32>> = made.iter().map(|caption| caption.ids.clone()).collect();
    [
        Arc::new(StringArray::from_iter_values(made.iter().map(|caption| &caption.text))),
        table::u32_list_array(&tokens),
        Arc::new(Float64Array::from_iter_values(made.iter().map(|caption| caption.log_prob))),
    ]
}

/// The seed's file for evaluation: `{"imgid": caption}`, UTF-8 unescaped, indent 4.
fn eval_file(ids: &[u32], made: &[&Made]) -> Result<Vec<u8>> {
    let pairs: BTreeMap<u32, &str> =
        ids.iter().copied().zip(made.iter().map(|caption| caption.text.as_str())).collect();
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    pairs.serialize(&mut serializer).context("cannot write the evaluation file")?;
    Ok(bytes)
}
