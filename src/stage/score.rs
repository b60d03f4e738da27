//! `score`: captions and references -> metrics per image and over the split.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use super::{Context, Inputs, Outcome};
use crate::language::{Language, Split};
use crate::metric::{self, Scores, seed_format};
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads `captions`, `sentences` and `edition`; writes `scores`, `images` (per image) and `text`, the seed's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// What the rows are labelled with.
    pub dataset: String,
    /// What the rows are labelled with.
    pub model: String,
    /// The captioned split.
    pub split: Split,
    /// The language, which decides how captions are cut into words.
    pub language: Language,
    /// The settings.
    pub score: Scoring,
}

/// `[score]`: nothing to set yet but the order of the metrics' arithmetic, which is fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scoring {}

impl Score {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let captions = inputs.table("captions")?;
        let sentences = inputs.table("sentences")?;
        let edition = inputs.table("edition")?;
        context.progress.begin("metrics", 1, "passes");
        let captioned: BTreeSet<u32> = table::u32s(&captions, "image_id")?.values().iter().copied().collect();
        let references = references(&sentences, &captioned)?;
        let scores = metric::score(&references, &candidate(&captions)?, self.language)?;
        context.progress.advance(1);
        let edition = table::strings(&edition, "edition")?.value(0).to_owned();
        let mut outcome = Outcome::default();
        outcome.table("scores", self.corpus(&scores, &edition)?);
        outcome.table("images", per_image(&scores)?);
        outcome.bytes("text", seed_format::text(&scores).into_bytes(), "txt");
        Ok(outcome)
    }

    fn corpus(&self, scores: &Scores, edition: &str) -> Result<RecordBatch> {
        let rows = scores.corpus.len();
        let label = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
        let unknown = || -> ArrayRef { Arc::new(Float64Array::new_null(rows)) };
        table::make(
            table::scores(),
            vec![
                label(&self.dataset),
                label(edition),
                label(&self.model),
                label(self.split.name()),
                label(self.language.code()),
                Arc::new(StringArray::from_iter_values(scores.corpus.iter().map(|row| row.metric))),
                Arc::new(StringArray::from_iter_values(scores.corpus.iter().map(|row| row.variant))),
                Arc::new(Float64Array::from_iter_values(scores.corpus.iter().map(|row| row.value))),
                unknown(),
                unknown(),
                Arc::new(UInt32Array::from(vec![scores.n as u32; rows])),
            ],
        )
    }
}

fn per_image(scores: &Scores) -> Result<RecordBatch> {
    let rows = &scores.images;
    table::make(
        table::image_scores(),
        vec![
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.image_id))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.metric))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.variant))),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.value))),
        ],
    )
}

/// The reference sentences of some images, as the metrics want them.
pub(super) fn references(sentences: &RecordBatch, images: &BTreeSet<u32>) -> Result<DataFrame> {
    let ids = table::u32s(sentences, "image_id")?.values();
    let kept: Vec<usize> = (0..ids.len()).filter(|&row| images.contains(&ids[row])).collect();
    let sent = table::u32s(sentences, "sent_id")?.values();
    let raw = table::strings(sentences, "raw")?;
    let pick = |values: &[u32]| kept.iter().map(|&row| values[row]).collect::<Vec<u32>>();
    metric::references(pick(ids), pick(sent), kept.iter().map(|&row| raw.value(row)).collect())
}

fn candidate(captions: &RecordBatch) -> Result<DataFrame> {
    let texts = table::strings(captions, "caption")?.iter().map(Option::unwrap_or_default).collect();
    metric::captions(table::u32s(captions, "image_id")?.values().to_vec(), texts)
}
