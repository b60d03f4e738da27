//! `score` of several training seeds: mean, standard deviation and all runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
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
        let labels = Labels {
            dataset: &self.dataset,
            model: &self.model,
            split: self.split.name(),
            language: self.language,
            edition: &text("edition")?,
            split_digest: &text("split_digest")?,
            references_digest: &text("references_digest")?,
            references: references(&text("signature")?)?,
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

/// The part of a signature that begins with `key:`.
fn part<'a>(signature: &'a str, key: &str) -> Option<&'a str> {
    signature.split('|').find_map(|part| part.strip_prefix(key)?.strip_prefix(':'))
}

/// The numbers of references that a signature tells, `5x210.digest` or `4-5x210.digest`.
fn references(signature: &str) -> Result<(usize, usize)> {
    let counts = part(signature, "refs").and_then(|refs| refs.split('x').next());
    let (least, most) = counts.map(|counts| counts.split_once('-').unwrap_or((counts, counts))).unwrap_or_default();
    least.parse().ok().zip(most.parse().ok()).with_context(|| format!("`{signature}` is no signature"))
}

/// The digests of METEOR's tables that signatures tell.
fn resources(scores: &RecordBatch) -> Result<BTreeMap<Metric, String>> {
    let mut signatures = table::strings(scores, "signature")?.iter().flatten();
    let tables = signatures.find_map(|signature| part(signature, "tables"));
    Ok(tables.map(|digest| (Metric::Meteor, digest.to_owned())).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_references_are_read_from_signatures() {
        assert_eq!(references("BLEU-1|set:ucm|refs:5x210.06e25117|rsic:1").unwrap(), (5, 5));
        assert_eq!(references("BLEU-1|refs:4-5x7.06e25117").unwrap(), (4, 5));
        assert!(references("BLEU-1|set:ucm").is_err());
    }
}
