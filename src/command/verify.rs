//! `rsic verify`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{Global, failure};
use crate::cache::{Cache, Depth};
use crate::pipeline::store;
use crate::ui::{self, Ui};

/// Check that everything in the cache is what it should be.
///
/// Without an option every byte of every object is read. Exits with 4 if a result is damaged, lost or in doubt. The next build makes anew what
/// is damaged, as it does by itself when it comes across it; `--repair` takes it out of the way now. Builds may run meanwhile.
#[derive(Debug, Args)]
pub struct Verify {
    /// Look at names, sizes, records and what they name only; read no object.
    #[arg(long, conflicts_with = "all")]
    quick: bool,
    /// Read everything (the default).
    #[arg(long)]
    all: bool,
    /// Move what is damaged to the quarantine, and remove what killed programs left.
    #[arg(long)]
    repair: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let folder = store(&global.directory);
        let cache = if self.repair { Cache::open(&folder)? } else { Cache::peek(&folder)? };
        let progress = ui.progress("verify");
        let depth = if self.quick { Depth::Quick } else { Depth::Full };
        let report = cache.inspect(depth, progress.as_ref())?;
        drop(progress);
        let repaired = if self.repair { cache.repair(&report)? } else { Vec::new() };
        let left: Vec<_> = report.findings.iter().filter(|finding| !repaired.contains(finding)).collect();
        let sound = !report.interrupted && left.iter().all(|finding| !finding.fault.is_damage());
        if self.json {
            let rows = report.findings.iter().map(|finding| {
                json!({
                    "path": finding.path.to_string_lossy(),
                    "fault": finding.fault.to_string(),
                    "damage": finding.fault.is_damage(),
                    "repaired": repaired.contains(finding),
                })
            });
            let all = json!({
                "records": report.records,
                "objects": report.objects,
                "bytes": report.bytes,
                "sound": sound,
                "findings": rows.collect::<Vec<_>>(),
            });
            ui.out(&serde_json::to_string_pretty(&all)?);
        } else {
            for finding in &report.findings {
                let done = if repaired.contains(finding) { " (repaired)" } else { "" };
                ui.out(&format!("{}: {}{done}", finding.path.display(), finding.fault));
            }
            let read = if self.quick { String::new() } else { format!(", {} read", ui::bytes(report.bytes)) };
            let found = match (left.len(), repaired.len()) {
                (0, 0) => "all sound".to_owned(),
                (left, 0) => format!("{left} findings"),
                (left, done) => format!("{left} findings left, {done} repaired"),
            };
            ui.say(&format!("{} records, {} objects{read}: {found}", report.records, report.objects));
        }
        if report.interrupted {
            return Ok(ExitCode::from(failure::INTERRUPTED));
        }
        if !sound && !self.repair {
            ui.hint("`rsic verify --repair` takes what is damaged out of the way; the next build makes it anew");
        }
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(failure::CORRUPT) })
    }
}
