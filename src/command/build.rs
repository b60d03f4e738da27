//! `rsic build`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::{Global, failure, scores, status};
use crate::pipeline::plan::{Planner, State};
use crate::pipeline::run::{self, Ending, Options, Summary};
use crate::pipeline::upstream::Upstream;
use crate::pipeline::{NodeId, Workspace, target};
use crate::stage::Kind;
use crate::ui::{self, Ui};

/// Build targets and everything that they need; only what changed runs.
#[derive(Debug, Args)]
pub struct Build {
    /// What to build: names or globs, such as `score/ucm_amht` or `'score/*_amht'`.
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// How many stages may run at once; each uses all threads.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Say what would be done and why, and do nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Run the named targets whatever the cache holds.
    #[arg(short, long)]
    force: bool,
    /// After a failure, go on with what does not depend on it.
    #[arg(short, long)]
    keep_going: bool,
    /// Give up when another build holds a stage for longer than this (default: wait).
    #[arg(long, value_name = "SECONDS")]
    lock_timeout: Option<u64>,
    /// Do not ask the remote store.
    #[arg(long)]
    offline: bool,
    /// Print the scores as JSON.
    #[arg(long)]
    json: bool,
}

impl Build {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        if self.dry_run {
            let workspace = global.peek()?;
            let targets = target::resolve(&workspace.graph, &self.targets)?;
            let forced = if self.force { targets.clone() } else { Vec::new() };
            let remote = Upstream::new(&workspace, self.offline);
            let plan = Planner::new(&workspace).asking(&remote).plan(&targets, &forced)?;
            remote.remarks().iter().for_each(|remark| ui.warn(remark));
            status::print(ui, &workspace, &plan, true, self.json)?;
            let blocked = plan.nodes.iter().any(|planned| matches!(planned.state, State::Blocked { .. }));
            return Ok(if blocked { ExitCode::from(failure::FAILED) } else { ExitCode::SUCCESS });
        }
        let workspace = global.open()?;
        let targets = target::resolve(&workspace.graph, &self.targets)?;
        let started = Instant::now();
        let options = Options {
            jobs: self.jobs.into(),
            forced: if self.force { targets.clone() } else { Vec::new() },
            keep_going: self.keep_going,
            lock_timeout: self.lock_timeout.map(Duration::from_secs),
            offline: self.offline,
        };
        let summary = run::build(&workspace, &targets, &options, ui)?;
        let code = finish(ui, &summary, started.elapsed());
        print_scores(ui, &workspace, &summary, &targets, self.json)?;
        Ok(code)
    }
}

/// Prints the failures and one line that sums the build up; returns the exit code.
pub fn finish(ui: &Ui, summary: &Summary, spent: Duration) -> ExitCode {
    for (name, error) in &summary.failures {
        ui.error(&format!("{name}: {error:#}"), failure::hint(error).as_deref());
    }
    let count = |wanted: fn(&Ending) -> bool| summary.endings.iter().filter(|(_, ending)| wanted(ending)).count();
    let parts = [
        (count(|e| matches!(e, Ending::Built { .. })), "built"),
        (count(|e| matches!(e, Ending::Pulled { .. })), "pulled"),
        (count(|e| *e == Ending::Restored), "restored"),
        (count(|e| *e == Ending::Fresh), "fresh"),
        (count(|e| *e == Ending::Interrupted), "stopped"),
        (count(|e| *e == Ending::Failed), "failed"),
        (count(|e| *e == Ending::Skipped), "skipped"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let stages = if summary.endings.len() == 1 { "stage" } else { "stages" };
    ui.say(&format!("{} {stages}: {} in {}", summary.endings.len(), parts.join(", "), ui::seconds(spent)));
    summary.failures.first().map_or(ExitCode::SUCCESS, |(_, error)| ExitCode::from(failure::code(error)))
}

fn print_scores(ui: &Ui, workspace: &Workspace, summary: &Summary, targets: &[NodeId], json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for node in targets.iter().filter(|node| workspace.graph.nodes[**node].instance.kind == Kind::Score) {
        if let Some(record) = summary.records.get(node) {
            rows.extend(scores::read(workspace, record)?);
        }
    }
    if json {
        ui.out(&serde_json::to_string_pretty(&rows)?);
    } else if !rows.is_empty() {
        ui.out(&scores::table(&rows));
        // Who has SPICE has said so; METEOR is one command away.
        if workspace.config.score.meteor != "off" {
            scores::notes(&rows).into_iter().filter(|note| note.contains("fetch")).for_each(|note| ui.hint(note));
        }
    }
    Ok(())
}
