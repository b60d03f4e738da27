//! `rsic bench`: what speed claims rest on, beside a peer in one run.

mod models;
mod scores;
mod store;
mod training;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Global;
use crate::ui::Ui;

/// Measure speed and memory, beside the programs that others use.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Scores(scores::Scores),
    Models(models::Models),
    Store(store::Store),
    Training(training::Training),
}

impl Bench {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        match &self.what {
            What::Scores(command) => command.run(global, ui),
            What::Models(command) => command.run(global, ui),
            What::Store(command) => command.run(global, ui),
            What::Training(command) => command.run(global, ui),
        }
    }
}

/// Prints what was measured, as JSON or as `table` shows it.
fn tell<T: Serialize>(ui: &Ui, json: bool, all: &[T], table: impl Fn(&Ui, &[T])) -> Result<ExitCode> {
    if json {
        ui.out(&serde_json::to_string_pretty(all)?);
    } else {
        table(ui, all);
    }
    Ok(ExitCode::SUCCESS)
}

/// The processor time of this process and of its children that have ended, where the system tells.
fn processor_seconds() -> Option<[f64; 2]> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Linux counts 100 ticks a second on all machines that this program runs on.
    let seconds = |place: usize| {
        Some((fields.get(place)?.parse::<f64>().ok()? + fields.get(place + 1)?.parse::<f64>().ok()?) / 100.0)
    };
    Some([seconds(11)?, seconds(13)?])
}
