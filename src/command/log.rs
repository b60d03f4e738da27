//! `rsic log`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::Global;
use crate::ui::{self, Ui};

/// Show what ran, newest first, with reason, time and memory.
#[derive(Debug, Args)]
pub struct Log {
    /// Only instances whose name contains this.
    #[arg(value_name = "NAME")]
    filter: Option<String>,
    /// How many runs; 0 means all.
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Print one JSON object per run.
    #[arg(long)]
    json: bool,
}

impl Log {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.peek()?;
        let filter = self.filter.as_deref().unwrap_or_default();
        let most = if self.lines == 0 { usize::MAX } else { self.lines };
        let events = workspace.cache.history()?.filter(|event| event.instance.contains(filter)).take(most);
        if self.json {
            for event in events {
                ui.out(&serde_json::to_string(&event)?);
            }
            return Ok(ExitCode::SUCCESS);
        }
        let rows = events.map(|event| {
            let reasons: Vec<String> = event.reasons.iter().map(ToString::to_string).collect();
            vec![
                event.at.clone(),
                event.instance.clone(),
                format!("{:?}", event.outcome).to_lowercase(),
                ui::seconds(Duration::from_secs_f64(event.seconds.max(0.0))),
                event.peak_memory.map_or_else(String::new, |bytes| format!("{} MB", bytes / 1_000_000)),
                reasons.join(", "),
            ]
        });
        ui.out(&ui::table(&["when", "target", "outcome", "time", "peak", "why"], rows));
        Ok(ExitCode::SUCCESS)
    }
}
