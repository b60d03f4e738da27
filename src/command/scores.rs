//! Score tables as people read them: one row per model, one column per metric; or one model with its intervals.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use arrow::array::{Array, Float64Array};
use serde::Serialize;

use crate::cache::Record;
use crate::pipeline::Workspace;
use crate::table;
use crate::ui;

/// One row of a score table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The dataset.
    pub dataset: String,
    /// The edition of its annotation file.
    pub edition: String,
    /// What wrote the captions.
    pub model: String,
    /// The captioned split.
    pub split: String,
    /// The metric.
    pub metric: String,
    /// The set of definitions it belongs to.
    pub variant: String,
    /// The value; `null` if it was not computed.
    pub value: Option<f64>,
    /// The lower end of the bootstrap interval.
    pub ci_low: Option<f64>,
    /// The upper end of the bootstrap interval.
    pub ci_high: Option<f64>,
    /// How many images.
    pub n: u32,
    /// How many images the split has.
    pub split_images: u32,
    /// How many runs the value is the mean of.
    pub runs: u32,
    /// The standard deviation over the runs.
    pub sd: Option<f64>,
    /// How captions were cut.
    pub words: String,
    /// Digest of the split.
    pub split_digest: String,
    /// Digest of the references.
    pub references_digest: String,
    /// What was measured, for a paper.
    pub signature: String,
    /// Digest of what the metric needs besides.
    pub resource: Option<String>,
    /// Why there is no value.
    pub note: Option<String>,
}

/// Reads the score table of a record.
pub fn read(workspace: &Workspace, record: &Record) -> Result<Vec<Row>> {
    let output = record.output("scores");
    let output = output.ok_or_else(|| anyhow!("the record has no scores"))?;
    let bytes = workspace.cache.get(&output.stored())?.ok_or_else(|| anyhow!("the scores are gone; build again"))?;
    let scores = table::read(bytes)?;
    let text = |name, row| table::strings(&scores, name).map(|column| column.value(row).to_owned());
    let number = |name, row| table::f64s(&scores, name).map(|column| at(column, row));
    let (notes, resources) = (table::strings(&scores, "note")?, table::strings(&scores, "resource")?);
    (0..scores.num_rows())
        .map(|row| {
            Ok(Row {
                dataset: text("dataset", row)?,
                edition: text("edition", row)?,
                model: text("model", row)?,
                split: text("split", row)?,
                metric: text("metric", row)?,
                variant: text("variant", row)?,
                value: number("value", row)?,
                ci_low: number("ci_low", row)?,
                ci_high: number("ci_high", row)?,
                n: table::u32s(&scores, "n")?.value(row),
                split_images: table::u32s(&scores, "split_images")?.value(row),
                runs: table::u32s(&scores, "runs")?.value(row),
                sd: number("sd", row)?,
                words: text("words", row)?,
                split_digest: text("split_digest", row)?,
                references_digest: text("references_digest", row)?,
                signature: text("signature", row)?,
                resource: resources.is_valid(row).then(|| resources.value(row).to_owned()),
                note: notes.is_valid(row).then(|| notes.value(row).to_owned()),
            })
        })
        .collect()
}

fn at(column: &Float64Array, row: usize) -> Option<f64> {
    column.is_valid(row).then(|| column.value(row))
}

/// A value as tables show it.
pub fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

/// A difference as tables show it, with its sign.
pub fn signed(value: f64) -> String {
    // What rounds to nothing has no sign.
    let value = if value.abs() < 0.00005 { 0.0 } else { value };
    format!("{value:+.4}")
}

/// Sets models side by side, one line per model and variant.
pub fn table(rows: &[Row]) -> String {
    let mut metrics: Vec<&str> = Vec::new();
    let mut models: Vec<[&str; 5]> = Vec::new();
    let mut values: BTreeMap<[&str; 5], BTreeMap<&str, Option<f64>>> = BTreeMap::new();
    for row in rows {
        let model = [&row.dataset, &row.edition, &row.split, &row.variant, &row.model].map(String::as_str);
        let of_model = values.entry(model).or_insert_with(|| {
            models.push(model);
            BTreeMap::new()
        });
        of_model.entry(&row.metric).or_insert(row.value);
        if row.value.is_some() && !metrics.contains(&row.metric.as_str()) {
            metrics.push(&row.metric);
        }
    }
    // What a reader looks for stands first; what the original printed comes last.
    models.sort_by_key(|[dataset, edition, split, variant, _]| {
        (*variant == "seed", *dataset, *edition, *split, *variant)
    });
    let mut header = vec!["dataset", "edition", "split", "variant", "model"];
    header.extend(&metrics);
    let lines = models.iter().map(|model| {
        let value = |metric: &&str| shown(values[model].get(metric).copied().flatten());
        model.iter().map(|text| (*text).to_owned()).chain(metrics.iter().map(value)).collect::<Vec<String>>()
    });
    ui::table(&header, lines)
}

/// One model, a line per metric with its interval.
pub fn detailed(rows: &[Row]) -> String {
    let several = rows.iter().any(|row| row.runs > 1);
    let mut header = vec!["metric", "variant", "value", "interval"];
    if several {
        header.push("sd");
    }
    let known = rows.iter().filter(|row| row.value.is_some());
    let lines = known.map(|row| {
        let interval = row.ci_low.zip(row.ci_high).map(|(low, high)| format!("{low:.4} - {high:.4}"));
        let mut cells =
            vec![row.metric.clone(), row.variant.clone(), shown(row.value), interval.unwrap_or_else(|| "-".to_owned())];
        if several {
            cells.push(shown(row.sd));
        }
        cells
    });
    ui::table(&header, lines)
}

/// Each reason for which a value is missing, once.
pub fn notes(rows: &[Row]) -> Vec<&str> {
    let mut notes: Vec<&str> = Vec::new();
    for note in rows.iter().filter_map(|row| row.note.as_deref()) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row((dataset, model, metric, variant, value): (usize, usize, usize, usize, Option<i8>)) -> Row {
        let text = |prefix: &str, n: usize| format!("{prefix}{n}");
        Row {
            dataset: text("d", dataset),
            edition: "e".to_owned(),
            model: text("m", model),
            split: "test".to_owned(),
            metric: text("metric", metric),
            variant: ["ptb", "seed"][variant].to_owned(),
            value: value.map(f64::from),
            ci_low: None,
            ci_high: None,
            n: 1,
            split_images: 1,
            runs: 1,
            sd: None,
            words: String::new(),
            split_digest: String::new(),
            references_digest: String::new(),
            signature: String::new(),
            resource: None,
            note: None,
        }
    }

    /// The definition: for every model and metric the first row that fits.
    fn naive(rows: &[Row]) -> String {
        let model = |row: &Row| [&row.dataset, &row.edition, &row.split, &row.variant, &row.model].map(Clone::clone);
        let (mut models, mut header): (Vec<[String; 5]>, Vec<String>) = Default::default();
        for row in rows {
            if !models.contains(&model(row)) {
                models.push(model(row));
            }
            if row.value.is_some() && !header.contains(&row.metric) {
                header.push(row.metric.clone());
            }
        }
        models.sort_by_key(|m| (m[3] == "seed", m[0].clone(), m[1].clone(), m[2].clone(), m[3].clone()));
        let lines: Vec<Vec<String>> = models
            .iter()
            .map(|of| {
                let value = |metric: &String| rows.iter().find(|row| model(row) == *of && row.metric == *metric);
                let values = header.iter().map(|metric| shown(value(metric).and_then(|row| row.value)));
                of.iter().cloned().chain(values).collect()
            })
            .collect();
        let fixed = ["dataset", "edition", "split", "variant", "model"];
        let header: Vec<&str> = fixed.into_iter().chain(header.iter().map(String::as_str)).collect();
        ui::table(&header, lines)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_table_has_the_first_value_of_each_model(
            rows in prop::collection::vec((0_usize..3, 0_usize..3, 0_usize..4, 0_usize..2, any::<Option<i8>>()), 0..30),
        ) {
            let rows: Vec<Row> = rows.into_iter().map(row).collect();
            prop_assert_eq!(table(&rows), naive(&rows));
        }
    }
}
