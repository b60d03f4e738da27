//! `caption`: vectors and a trained mapper -> captions of one split.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};

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

impl Caption {
    /// How many images are decoded together.
    fn batch(&self) -> usize {
        let rows = match self.decoding.method {
            Method::Greedy => 1,
            Method::Beam | Method::BeamClipcap | Method::BeamSetAside => self.decoding.width,
            Method::Sample => self.decoding.n,
        };
        (ROWS / rows.max(1)).clamp(1, IMAGES)
    }

    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let embeddings = inputs.table("embeddings")?;
        let rows = super::train::vector_rows(&images, &embeddings)?;
        let (values, dim) = table::vectors(&embeddings, "vector")?;
        let ids = image_ids(&images, self.split)?;
        let mut vectors = Vec::with_capacity(ids.len() * dim);
        for id in &ids {
            let row = rows[id] as usize;
            vectors.extend_from_slice(&values[row * dim..(row + 1) * dim]);
        }
        let captioner = Captioner::load(&inputs.content("weights")?, &inputs.bundle("gpt2")?, self.language)?;
        let images = Images { ids: &ids, vectors: &vectors, dim };
        let made = captioner.caption(images, &self.decoding, self.max_tokens, self.batch(), context.progress)?;
        let first = made.iter().map(|captions| captions.first()).collect::<Option<Vec<&Made>>>();
        let first = first.context("the search found no caption")?;
        let mut outcome = Outcome::default();
        outcome.table("captions", captions(&ids, &first)?);
        outcome.bytes("eval", eval_file(&ids, &first)?, "json");
        if self.decoding.n > 1 {
            outcome.table("nbest", nbest(&ids, &made)?);
        }
        Ok(outcome)
    }
}

fn image_ids(images: &RecordBatch, split: Split) -> Result<Vec<u32>> {
    let pairs = table::u32s(images, "image_id")?.values().iter().zip(table::strings(images, "split")?);
    let ids: Vec<u32> = pairs.filter(|(_, of)| *of == Some(split.name())).map(|(id, _)| *id).collect();
    if ids.is_empty() {
        bail!("the {} split has no images", split.name());
    }
    Ok(ids)
}

fn captions(ids: &[u32], made: &[&Made]) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(ids.to_vec()))];
    columns.extend(of_captions(made));
    table::make(table::captions(), columns)
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
