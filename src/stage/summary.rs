//! `score` of several training seeds: mean, standard deviation and all runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use arrow::array::{Array as _, ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use serde::{Deserialize, Serialize};

use super::report::{self, Labels};
use super::score::Scoring;
use super::statistics::Statistics;
use super::{Context, Inputs, Outcome};
use crate::language::{Language, Split};
use crate::metric::Metric;
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads `scores` and `statistics` of every run; writes what [`Score`](super::score::Score) writes, and `runs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What the rows are labelled with.
    pub dataset: String,
    /// What the rows are labelled with.
    pub model: String,
    /// The captioned split.
    pub split: Split,
    /// The language of the captions.
    pub language: Language,
    /// The seed of each run.
    pub seeds: Vec<u64>,
    /// The settings.
    pub score: Scoring,
}

/// The columns that are read of a run's `scores`.
pub const COLUMNS: &[&str] = &[
    "metric",
    "variant",
    "value",
    "edition",
    "split_digest",
    "references_digest",
    "references_least",
    "references_most",
    "split_images",
    "resource",
];

/// The names of a run's two inputs.
pub fn input_names(run: usize) -> [String; 2] {
    [format!("scores{run}"), format!("statistics{run}")]
}

impl Summary {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, _: &mut Context<'_>) -> Result<Outcome> {
        let mut tables = Vec::new();
        let mut all: Option<Statistics> = None;
        for run in 0..self.seeds.len() {
            let [scores, statistics] = input_names(run);
            tables.push(inputs.table(&scores)?);
            let one = Statistics::read(&inputs.table(&statistics)?)?;
            match &mut all {
                None => all = Some(one),
                Some(all) => {
                    ensure!(all.image_ids == one.image_ids, "the runs captioned different images");
                    all.runs.extend(one.runs);
                }
            }
        }
        let (first, statistics) = tables.first().zip(all).context("there are no runs")?;
        let text = |name| table::strings(first, name).map(|column| column.value(0).to_owned());
        let count = |name| table::u32s(first, name).map(|column| column.value(0) as usize);
        let labels = Labels {
            dataset: &self.dataset,
            model: &self.model,
            split: self.split.name(),
            language: self.language,
            edition: &text("edition")?,
            split_digest: &text("split_digest")?,
            references_digest: &text("references_digest")?,
            references: (count("references_least")?, count("references_most")?),
            split_images: count("split_images")?,
            resources: resources(first)?,
            scoring: &self.score,
        };
        let scores = labels.scores(&statistics)?;
        let mut outcome = Outcome::default();
        outcome.bytes("text", report::text(&scores)?.into_bytes(), "txt");
        outcome.table("scores", scores);
        outcome.table("runs", self.runs(&tables)?);
        outcome.table("images", report::per_image(&statistics)?);
        outcome.table("statistics", statistics.table()?);
        Ok(outcome)
    }

    fn runs(&self, tables: &[RecordBatch]) -> Result<RecordBatch> {
        let (mut runs, mut seeds, mut metrics, mut variants, mut values) = (vec![], vec![], vec![], vec![], vec![]);
        for (run, (table, seed)) in tables.iter().zip(&self.seeds).enumerate() {
            runs.extend(std::iter::repeat_n(run as u32, table.num_rows()));
            seeds.extend(std::iter::repeat_n(*seed, table.num_rows()));
            metrics.extend(table::strings(table, "metric")?);
            variants.extend(table::strings(table, "variant")?);
            values.extend(table::f64s(table, "value")?);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(runs)),
            Arc::new(UInt64Array::from(seeds)),
            Arc::new(StringArray::from(metrics)),
            Arc::new(StringArray::from(variants)),
            Arc::new(Float64Array::from(values)),
        ];
        table::make(table::runs(), columns)
    }
}

/// What metrics needed besides captions and references.
fn resources(scores: &RecordBatch) -> Result<BTreeMap<Metric, String>> {
    let (names, resources) = (table::strings(scores, "metric")?, table::strings(scores, "resource")?);
    let of = |metric: &Metric| {
        let row =
            (0..scores.num_rows()).find(|&row| names.value(row) == metric.names()[0] && resources.is_valid(row))?;
        Some((*metric, resources.value(row).to_owned()))
    };
    Ok(Metric::ALL.iter().filter_map(of).collect())
}
