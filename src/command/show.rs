//! `rsic show`.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;

use super::Global;
use crate::cache::Record;
use crate::pipeline::{Workspace, target};
use crate::stage::{ForeignTable, Origin};
use crate::ui::{self, Ui};

/// Print an output table of a target.
#[derive(Debug, Args)]
pub struct Show {
    /// The target.
    #[arg(value_name = "TARGET")]
    target: String,
    /// Which output (default: the main table).
    #[arg(short, long, value_name = "NAME")]
    output: Option<String>,
    /// How many rows; 0 means all.
    #[arg(short = 'r', long, value_name = "N", default_value_t = 20)]
    rows: usize,
    /// Print one JSON object per row.
    #[arg(long)]
    json: bool,
}

/// Cells longer than this are cut.
const WIDEST: usize = 80;

impl Show {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.peek()?;
        for node in target::resolve(&workspace.graph, std::slice::from_ref(&self.target))? {
            let name = workspace.graph.name(node);
            let build = || anyhow!("{name} is not built; run `rsic build {name}`");
            let root = workspace.cache.root(&name)?.ok_or_else(build)?;
            let record = workspace.cache.record(root.key)?.ok_or_else(build)?;
            let main = workspace.graph.nodes[node].stage.primary();
            let wanted = self.output.as_deref().unwrap_or(main);
            ui.say(&format!("{name} `{wanted}`"));
            self.print(ui, &workspace, &record, &name, wanted)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, ui: &Ui, workspace: &Workspace, record: &Record, name: &str, wanted: &str) -> Result<()> {
        let output = record.output(wanted).ok_or_else(|| {
            let names: Vec<&str> = record.outputs.iter().map(|output| output.name.as_str()).collect();
            anyhow!("no output `{wanted}`; there are {}", names.join(", "))
        })?;
        let bytes = workspace.cache.get(&output.stored())?;
        let bytes = bytes.ok_or_else(|| anyhow!("output `{wanted}` is damaged or gone; build again"))?;
        if output.extension != "parquet" {
            match String::from_utf8(bytes) {
                Ok(text) => ui.out(text.trim_end()),
                Err(error) => ui.out(&format!("{} bytes of {}", error.as_bytes().len(), output.extension)),
            }
            return Ok(());
        }
        let path = workspace.cache.path(&output.stored());
        let table = ForeignTable::read(bytes, &Origin { instance: name.to_owned(), output: wanted.to_owned(), path })?;
        let rows = if self.rows == 0 { table.num_rows() } else { self.rows.min(table.num_rows()) };
        if self.json {
            return json_rows(ui, &table, rows);
        }
        let header: Vec<String> = table.schema().fields().iter().map(|field| field.name().clone()).collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let cut = |text: String| {
            let short: String = text.chars().take(WIDEST).collect();
            if short.len() < text.len() { format!("{short}...") } else { short }
        };
        let cells = cells(&table, rows)?.into_iter().map(|row| row.into_iter().map(cut).collect::<Vec<String>>());
        ui.out(&ui::table(&header, cells));
        if rows < table.num_rows() {
            ui.say(&format!("{rows} of {} rows; `--rows 0` prints all", table.num_rows()));
        }
        Ok(())
    }
}

fn cells(table: &RecordBatch, rows: usize) -> Result<Vec<Vec<String>>> {
    let options = FormatOptions::default().with_null("null");
    let formatters = table.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let formatters = formatters.collect::<Result<Vec<_>, _>>()?;
    Ok((0..rows).map(|row| formatters.iter().map(|column| column.value(row).to_string()).collect()).collect())
}

fn json_rows(ui: &Ui, table: &RecordBatch, rows: usize) -> Result<()> {
    let schema = table.schema();
    for row in cells(table, rows)? {
        let mut object = serde_json::Map::new();
        for ((field, column), text) in schema.fields().iter().zip(table.columns()).zip(row) {
            let quoted = column.data_type() == &arrow::datatypes::DataType::Utf8;
            let value = match (quoted, text.as_str()) {
                (_, "null") if field.is_nullable() => serde_json::Value::Null,
                (true, _) => text.into(),
                (false, _) => serde_json::from_str(&text).unwrap_or_else(|_| text.into()),
            };
            object.insert(field.name().clone(), value);
        }
        ui.out(&serde_json::Value::Object(object).to_string());
    }
    Ok(())
}
