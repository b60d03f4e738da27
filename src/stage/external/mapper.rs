//! `train/<name>` of `[checkpoints.<name>]`: a mapper that another program trained.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow::array::{RecordBatch, StringArray, UInt64Array};
use serde::{Deserialize, Serialize};

use crate::model::checkpoint::{self, Adopted, Inspection, Profile};
use crate::model::gpt2::Gpt2Config;
use crate::stage::{Context, Inputs, Outcome};
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads `file` and the language model `gpt2`'s configuration; writes `tensors`, what the file holds, and `weights`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapper {
    /// What weights do not tell.
    pub profile: Profile,
}

impl Mapper {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, _: &mut Context<'_>) -> Result<Outcome> {
        let name = inputs.path("file")?.display().to_string();
        let content = inputs.content("file")?;
        let report = checkpoint::inspect(&content).with_context(|| format!("cannot read the weights {name}"))?;
        let gpt2 = Gpt2Config::load(&inputs.bundle("gpt2")?)?;
        let weights = Adopted::read(&content, &name, &self.profile, &gpt2)?.save()?;
        let mut outcome = Outcome::default();
        outcome.log.push(report.model.clone());
        outcome.table("tensors", tensors(&report)?);
        outcome.bytes("weights", weights, "safetensors");
        Ok(outcome)
    }
}

fn tensors(report: &Inspection) -> Result<RecordBatch> {
    let rows = &report.tensors;
    let shapes: Vec<Vec<u32>> = rows.iter().map(|row| row.shape.iter().map(|&size| size as u32).collect()).collect();
    let elements = rows.iter().map(|row| row.shape.iter().map(|&size| size as u64).product());
    table::make(
        table::tensors(),
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.name))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.part))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.dtype))),
            table::u32_list_array(&shapes),
            Arc::new(UInt64Array::from_iter_values(elements)),
        ],
    )
}
