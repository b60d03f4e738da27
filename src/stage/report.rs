//! The tables of scores that people and scripts read, from the statistics of one or several runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};

use super::score::Scoring;
use super::statistics::Statistics;
use crate::language::Language;
use crate::metric::resample::{self, Interval, Plan, System};
use crate::metric::signature::Signature;
use crate::metric::{Metric, Variant, Words, measures, seed_format};
use crate::table;

/// What all rows of a report share.
pub(super) struct Labels<'a> {
    pub(super) dataset: &'a str,
    pub(super) model: &'a str,
    pub(super) split: &'a str,
    pub(super) language: Language,
    pub(super) edition: &'a str,
    pub(super) split_digest: &'a str,
    pub(super) references_digest: &'a str,
    /// The least and the largest number of references of an image.
    pub(super) references: (usize, usize),
    /// Digests of the tables that metrics need besides.
    pub(super) resources: BTreeMap<Metric, String>,
    /// The number of images of the split.
    pub(super) split_images: usize,
    pub(super) scoring: &'a Scoring,
}

/// One metric over the split.
struct Row<'a> {
    metric: &'static str,
    variant: Variant,
    value: Option<f64>,
    interval: Option<Interval>,
    sd: Option<f64>,
    words: Words,
    resource: Option<&'a str>,
    signature: String,
    note: Option<&'static str>,
}

/// What a metric that was not computed would need.
fn needs(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Meteor => Some("METEOR needs its tables: `rsic fetch meteor` gets them"),
        Metric::Spice => Some("SPICE needs Java and a SPICE folder: see `[score] spice` in the README"),
        _ => None,
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl Labels<'_> {
    /// The `scores` table: one row per metric and variant, those that were not computed with the reason.
    pub(super) fn scores(&self, statistics: &Statistics) -> Result<RecordBatch> {
        let rows = self.rows(statistics)?;
        let n = statistics.image_ids.len() as u32;
        let all = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows.len()])) };
        let count = |count: u32| -> ArrayRef { Arc::new(UInt32Array::from(vec![count; rows.len()])) };
        let texts = |f: for<'r> fn(&'r Row<'_>) -> &'r str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(f)))
        };
        let numbers =
            |f: fn(&Row<'_>) -> Option<f64>| -> ArrayRef { Arc::new(rows.iter().map(f).collect::<Float64Array>()) };
        table::make(
            table::scores(),
            vec![
                all(self.dataset),
                all(self.edition),
                all(self.model),
                all(self.split),
                all(self.language.code()),
                texts(|row| row.metric),
                texts(|row| row.variant.name()),
                numbers(|row| row.value),
                numbers(|row| row.interval.and_then(|interval| finite(interval.low))),
                numbers(|row| row.interval.and_then(|interval| finite(interval.high))),
                count(n),
                count(statistics.runs.len() as u32),
                numbers(|row| row.sd),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.words.signature()))),
                all(self.split_digest),
                all(self.references_digest),
                count(self.references.0 as u32),
                count(self.references.1 as u32),
                count(self.split_images as u32),
                Arc::new(rows.iter().map(|row| row.resource).collect::<StringArray>()),
                all(env!("CARGO_PKG_VERSION")),
                texts(|row| &row.signature),
                Arc::new(rows.iter().map(|row| row.note).collect::<StringArray>()),
            ],
        )
    }

    fn rows(&self, statistics: &Statistics) -> Result<Vec<Row<'_>>> {
        let plan = Plan::new(self.scoring.resamples, self.scoring.seed, self.scoring.confidence)?;
        let families = &statistics.runs[0];
        let intervals = resample::bootstrap(&System::new(&statistics.runs)?, &plan);
        let mut rows = Vec::new();
        for &(variant, words, metrics) in measures(self.language) {
            for &metric in metrics {
                let place = families.iter().position(|family| (family.metric, family.variant) == (metric, variant));
                for (k, name) in metric.names().iter().enumerate() {
                    let values: Vec<f64> = place.map_or_else(Vec::new, |place| {
                        statistics.runs.iter().map(|families| families[place].corpus()[k]).collect()
                    });
                    let spread = resample::spread(&values);
                    let value = place.and_then(|_| finite(spread.mean));
                    rows.push(Row {
                        metric: name,
                        variant,
                        value,
                        interval: place.map(|place| intervals[place][k]),
                        sd: (values.len() > 1).then_some(spread.deviation).and_then(finite),
                        words,
                        resource: self.resources.get(&metric).map(String::as_str),
                        signature: self.signature(name, metric, variant, words, statistics).to_string(),
                        note: match (place, value) {
                            (None, _) => needs(metric),
                            (Some(_), None) => Some("not defined for every image: a text is empty"),
                            (Some(_), Some(_)) => None,
                        },
                    });
                }
            }
        }
        Ok(rows)
    }

    fn signature<'a>(
        &'a self,
        name: &'a str,
        metric: Metric,
        variant: Variant,
        words: Words,
        statistics: &Statistics,
    ) -> Signature<'a> {
        Signature {
            name,
            variant,
            words,
            edition: self.edition,
            split: self.split,
            split_digest: self.split_digest,
            references_digest: self.references_digest,
            references: self.references,
            n: statistics.image_ids.len(),
            of: self.split_images,
            runs: statistics.runs.len(),
            resource: self.resources.get(&metric).map(String::as_str),
        }
    }
}

/// The `images` table: every metric of every image, the mean over the runs.
pub(super) fn per_image(statistics: &Statistics) -> Result<RecordBatch> {
    let (mut ids, mut names, mut variants, mut values) = (vec![], vec![], vec![], vec![]);
    for (image, id) in statistics.image_ids.iter().enumerate() {
        for place in 0..statistics.runs[0].len() {
            let runs: Vec<Vec<f64>> = statistics.runs.iter().map(|families| families[place].image(image)).collect();
            let family = &statistics.runs[0][place];
            for (k, name) in family.metric.names().iter().enumerate() {
                ids.push(*id);
                names.push(*name);
                variants.push(family.variant.name());
                values.push(finite(runs.iter().map(|values| values[k]).sum::<f64>() / runs.len() as f64));
            }
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(ids)),
        Arc::new(StringArray::from(names)),
        Arc::new(StringArray::from(variants)),
        Arc::new(Float64Array::from(values)),
    ];
    table::make(table::image_scores(), columns)
}

/// The original's text file, from a `scores` table.
pub(super) fn text(scores: &RecordBatch) -> Result<String> {
    let (metrics, variants) = (table::strings(scores, "metric")?, table::strings(scores, "variant")?);
    let values = table::f64s(scores, "value")?;
    let value = |metric: &str| {
        let standard = [Variant::Ptb, Variant::Jieba].map(Variant::name);
        let row = (0..scores.num_rows())
            .find(|&row| metrics.value(row) == metric && standard.contains(&variants.value(row)))?;
        values.iter().nth(row).flatten()
    };
    Ok(seed_format::text(value))
}
