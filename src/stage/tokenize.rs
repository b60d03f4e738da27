//! `tokenize`: reference sentences -> token ids of the language model.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Context, Inputs, Outcome};
use crate::language::{Language, Split};
use crate::model::tokenizer::CaptionTokenizer;
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads `sentences`, `images` and the tokenizer files of `gpt2`; writes `tokens` and `lengths`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokenize {
    /// The language, which decides how tokenizers without a `tokenizer.json` are built.
    pub language: Language,
}

impl Tokenize {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let sentences = inputs.table("sentences")?;
        let images = inputs.table("images")?;
        let tokenizer = CaptionTokenizer::load(&inputs.bundle("gpt2")?, self.language)?;
        let raw: Vec<&str> = table::strings(&sentences, "raw")?.iter().map(Option::unwrap_or_default).collect();
        context.progress.begin("sentences", raw.len() as u64, "sentences");
        let ids: Vec<Vec<u32>> = raw
            .par_iter()
            .map(|text| tokenizer.encode(text).with_context(|| format!("cannot tokenize {text:?}")))
            .collect::<Result<_>>()?;
        context.progress.advance(raw.len() as u64);
        let mut outcome = Outcome::default();
        outcome.table("lengths", lengths(&images, &sentences, &ids)?);
        let column = |name| table::u32s(&sentences, name).map(|array| Arc::new(array.clone()) as ArrayRef);
        let columns = vec![column("image_id")?, column("sent_id")?, table::u32_list_array(&ids)];
        outcome.table("tokens", table::make(table::tokens(), columns)?);
        Ok(outcome)
    }
}

/// Token counts per split; quantiles by nearest rank.
fn lengths(images: &RecordBatch, sentences: &RecordBatch, ids: &[Vec<u32>]) -> Result<RecordBatch> {
    let splits: BTreeMap<u32, &str> = table::u32s(images, "image_id")?
        .values()
        .iter()
        .copied()
        .zip(table::strings(images, "split")?.iter().map(Option::unwrap_or_default))
        .collect();
    let owners = table::u32s(sentences, "image_id")?;
    let mut rows: Vec<(&str, Vec<u32>)> = Vec::new();
    for split in Split::ALL {
        let of_split = owners.values().iter().zip(ids).filter(|(owner, _)| splits.get(owner) == Some(&split.name()));
        let mut counts: Vec<u32> = of_split.map(|(_, ids)| ids.len() as u32).collect();
        counts.sort_unstable();
        if !counts.is_empty() {
            rows.push((split.name(), counts));
        }
    }
    let rank = |counts: &[u32], percent: usize| counts[(counts.len() * percent).div_ceil(100).max(1) - 1];
    let ints = |f: &dyn Fn(&[u32]) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(_, counts)| f(counts))))
    };
    let mean = |counts: &[u32]| counts.iter().map(|&n| u64::from(n)).sum::<u64>() as f64 / counts.len() as f64;
    table::make(
        table::lengths(),
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(name, _)| name))),
            ints(&|counts| counts.len() as u32),
            ints(&|counts| counts[0]),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|(_, counts)| mean(counts)))),
            ints(&|counts| rank(counts, 50)),
            ints(&|counts| rank(counts, 95)),
            ints(&|counts| counts[counts.len() - 1]),
        ],
    )
}
