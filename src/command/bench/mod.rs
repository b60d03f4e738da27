//! `rsic bench`: what speed claims rest on, beside a peer in one run.

mod models;
mod scores;
mod training;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

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
    Training(training::Training),
}

impl Bench {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        match &self.what {
            What::Scores(command) => command.run(global, ui),
            What::Models(command) => command.run(global, ui),
            What::Training(command) => command.run(global, ui),
        }
    }
}
