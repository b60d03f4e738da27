//! `caption`: vectors and a trained mapper -> captions of one split.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arrow::array::{Float64Array, RecordBatch, StringArray, UInt32Array};
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};

use super::{Context, Inputs, Outcome};
use crate::language::{Language, Split};
use crate::model::captioner::{Caption as Made, Captioner};
use crate::model::search::{DecodeConfig, Method};
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// How many images are decoded together. The result does not depend on it.
const BATCH: usize = 64;

/// Reads `images`, `embeddings`, the trained `weights` and the language model `gpt2`; writes `captions` and
/// `eval`, the seed's `{"imgid": caption}` file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caption {
    /// The language of the captions.
    pub language: Language,
    /// The split to caption.
    pub split: Split,
    /// The longest caption in tokens.
    pub max_tokens: usize,
    /// How to search.
    pub decoding: Decoding,
}

/// `[caption.decoding]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decoding {
    /// `greedy`, `beam`, or `beam_clipcap` (`ClipCap`'s rule: one pool in which finished beams stay).
    pub method: Method,
    /// How many beams are kept.
    pub width: usize,
    /// Beams are compared by sum of log-probabilities / length ^ this.
    pub length_penalty: f64,
    /// Whether end-of-text ends a caption; the original, which never learnt it, stops only at the ids or texts below.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub end_token: bool,
    /// Further token ids that end a caption, besides end-of-text (the original's are 13 and 764).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_ids: Vec<u32>,
    /// Texts of one token each that end a caption, such as "." and " ." (as in the original).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_texts: Vec<String>,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            method: Method::Beam,
            width: 5,
            length_penalty: 1.0,
            end_token: true,
            stop_ids: Vec::new(),
            stop_texts: Vec::new(),
        }
    }
}

impl Decoding {
    /// What types cannot say.
    pub fn check(&self) -> Result<(), String> {
        if self.width == 0 {
            return Err("`decoding.width` must be at least 1".to_owned());
        }
        if !self.length_penalty.is_finite() {
            return Err("`decoding.length_penalty` must be a finite number".to_owned());
        }
        Ok(())
    }
}

impl Caption {
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
        context.progress.begin("captions", ids.len() as u64, "images");
        let made = captioner.caption(&vectors, dim, &self.config(), BATCH, context.progress)?;
        let mut outcome = Outcome::default();
        outcome.table("captions", captions(&ids, &made)?);
        outcome.bytes("eval", eval_file(&ids, &made)?, "json");
        Ok(outcome)
    }

    fn config(&self) -> DecodeConfig {
        DecodeConfig {
            method: self.decoding.method,
            width: self.decoding.width,
            max_tokens: self.max_tokens,
            length_penalty: self.decoding.length_penalty,
            end_token: self.decoding.end_token,
            stop_ids: self.decoding.stop_ids.clone(),
            stop_texts: self.decoding.stop_texts.clone(),
        }
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

fn captions(ids: &[u32], made: &[Made]) -> Result<RecordBatch> {
    let tokens: Vec<Vec<u32>> = made.iter().map(|caption| caption.ids.clone()).collect();
    table::make(
        table::captions(),
        vec![
            Arc::new(UInt32Array::from(ids.to_vec())),
            Arc::new(StringArray::from_iter_values(made.iter().map(|caption| &caption.text))),
            table::u32_list_array(&tokens),
            Arc::new(Float64Array::from_iter_values(made.iter().map(|caption| caption.log_prob))),
        ],
    )
}

/// The seed's file for evaluation: `{"imgid": caption}`, UTF-8 unescaped, indent 4.
fn eval_file(ids: &[u32], made: &[Made]) -> Result<Vec<u8>> {
    let pairs: BTreeMap<u32, &str> =
        ids.iter().copied().zip(made.iter().map(|caption| caption.text.as_str())).collect();
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    pairs.serialize(&mut serializer).context("cannot write the evaluation file")?;
    Ok(bytes)
}
