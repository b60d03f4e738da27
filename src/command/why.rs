//! `rsic why`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{Global, status};
use crate::pipeline::plan::{Planner, State};
use crate::pipeline::target;
use crate::ui::Ui;

/// Say why targets would run, back to the first cause.
#[derive(Debug, Args)]
pub struct Why {
    /// The targets.
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Why {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.peek()?;
        let targets = target::resolve(&workspace.graph, &self.targets)?;
        let mut plan = Planner::new(&workspace).plan(&targets, &[])?;
        if self.json {
            plan.nodes.retain(|planned| planned.state != State::Fresh || targets.contains(&planned.node));
            status::print(ui, &workspace, &plan, true, true)?;
            return Ok(ExitCode::SUCCESS);
        }
        for planned in &plan.nodes {
            if planned.state == State::Fresh && !targets.contains(&planned.node) {
                continue;
            }
            let why = status::explain(&planned.state);
            let name = workspace.graph.name(planned.node);
            let state = status::name(&planned.state);
            ui.out(&if why.is_empty() { format!("{name}: {state}") } else { format!("{name}: {state}: {why}") });
        }
        Ok(ExitCode::SUCCESS)
    }
}
