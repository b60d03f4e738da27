//! Score tables as people read them: one row per model, one column per metric.

use anyhow::{Result, anyhow};
use serde::Serialize;

use crate::cache::Record;
use crate::pipeline::Workspace;
use crate::table;
use crate::ui;

/// One value of a score table.
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
    /// How captions were cut into words.
    pub variant: String,
    /// The value.
    pub value: f64,
    /// How many images.
    pub n: u32,
}

/// Reads the score table of a record.
pub fn read(workspace: &Workspace, record: &Record) -> Result<Vec<Row>> {
    let output = record.output("scores");
    let output = output.ok_or_else(|| anyhow!("the record has no scores"))?;
    let bytes = workspace.cache.get(&output.stored())?.ok_or_else(|| anyhow!("the scores are gone; build again"))?;
    let scores = table::read(bytes)?;
    let text = |name, row| table::strings(&scores, name).map(|column| column.value(row).to_owned());
    (0..scores.num_rows())
        .map(|row| {
            Ok(Row {
                dataset: text("dataset", row)?,
                edition: text("edition", row)?,
                model: text("model", row)?,
                split: text("split", row)?,
                metric: text("metric", row)?,
                variant: text("variant", row)?,
                value: table::f64s(&scores, "value")?.value(row),
                n: table::u32s(&scores, "n")?.value(row),
            })
        })
        .collect()
}

/// Sets the models side by side.
pub fn table(rows: &[Row]) -> String {
    let mut metrics: Vec<&str> = Vec::new();
    let mut models: Vec<[&str; 5]> = Vec::new();
    for row in rows {
        let model = [&row.dataset, &row.edition, &row.split, &row.variant, &row.model].map(String::as_str);
        if !models.contains(&model) {
            models.push(model);
        }
        if !metrics.contains(&row.metric.as_str()) {
            metrics.push(&row.metric);
        }
    }
    let mut header = vec!["dataset", "edition", "split", "words", "model"];
    header.extend(&metrics);
    let lines = models.iter().map(|model| {
        let value = |metric: &&str| {
            let found = rows.iter().find(|row| {
                [&row.dataset, &row.edition, &row.split, &row.variant, &row.model].map(String::as_str) == *model
                    && row.metric == **metric
            });
            found.map_or_else(|| "-".to_owned(), |row| format!("{:.4}", row.value))
        };
        model.iter().map(|text| (*text).to_owned()).chain(metrics.iter().map(value)).collect::<Vec<String>>()
    });
    ui::table(&header, lines)
}
