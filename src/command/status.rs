//! `rsic status`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use comfy_table::Cell;
use rayon::prelude::*;
use serde_json::json;

use super::{Global, failure};
use crate::pipeline::lockfile::Lockfile;
use crate::pipeline::plan::{Plan, Planned, Planner, State};
use crate::pipeline::upstream::Upstream;
use crate::pipeline::{NodeId, Workspace, target};
use crate::ui::{self, Ui};

/// Show what is fresh, what a build would do, and why.
#[derive(Debug, Args)]
pub struct Status {
    /// Look at these targets and what they need (default: what has been built).
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Look at every target that pipeline.toml defines.
    #[arg(short, long, conflicts_with = "targets")]
    all: bool,
    /// Say why.
    #[arg(short, long)]
    why: bool,
    /// Ask the remote store what it has.
    #[arg(long)]
    remote: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Exit with 3 if anything is not fresh.
    #[arg(long)]
    exit_code: bool,
}

impl Status {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.peek()?;
        let targets = self.nodes(&workspace)?;
        let remote = Upstream::new(&workspace, !self.remote);
        let plan = Planner::new(&workspace).asking(&remote).plan(&targets, &[])?;
        remote.remarks().iter().for_each(|remark| ui.warn(remark));
        if workspace.cache.dir().exists() {
            // So that the next look need not hash again; where it cannot be written, it will.
            _ = workspace.facts.save();
        }
        if targets.is_empty() {
            let count = workspace.graph.nodes.len();
            ui.say(&format!("nothing is built yet; `rsic status --all` lists the {count} targets of pipeline.toml"));
        }
        if self.json || !targets.is_empty() {
            print(ui, &workspace, &plan, self.why, self.json)?;
        }
        if !self.json {
            hint_at_pull(&workspace, &plan, ui)?;
        }
        let stale = self.exit_code && (targets.is_empty() || !plan.is_fresh());
        Ok(if stale { ExitCode::from(failure::STALE) } else { ExitCode::SUCCESS })
    }

    fn nodes(&self, workspace: &Workspace) -> Result<Vec<NodeId>> {
        if !self.targets.is_empty() {
            return Ok(target::resolve(&workspace.graph, &self.targets)?);
        }
        if self.all {
            return Ok((0..workspace.graph.nodes.len()).collect());
        }
        let nodes = workspace.graph.nodes.par_iter().enumerate();
        let built = nodes.filter_map(|(id, node)| match workspace.cache.root(&node.instance.to_string()) {
            Ok(root) => root.is_some().then_some(Ok(id)),
            Err(error) => Some(Err(error.into())),
        });
        built.collect()
    }
}

/// Where sources are missing, results may be had all the same.
fn hint_at_pull(workspace: &Workspace, plan: &Plan, ui: &Ui) -> Result<()> {
    let blocked = plan.nodes.iter().filter(|planned| matches!(planned.state, State::Blocked { .. }));
    let blocked: Vec<String> = blocked.map(|planned| workspace.graph.name(planned.node)).collect();
    if blocked.is_empty() || workspace.config.store.remote.is_none() {
        return Ok(());
    }
    let Some(lock) = Lockfile::load(&workspace.root)? else { return Ok(()) };
    if blocked.iter().any(|name| lock.results.contains_key(name)) {
        ui.hint("without their sources `rsic pull` gets the results that pipeline.lock names, and puts them back");
    }
    Ok(())
}

/// Prints a plan as a table or as JSON.
pub fn print(ui: &Ui, workspace: &Workspace, plan: &Plan, why: bool, json: bool) -> Result<()> {
    if json {
        let rows: Vec<_> = plan.nodes.iter().map(|planned| as_json(workspace, planned)).collect();
        ui.out(&serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let rows = plan.nodes.iter().map(|planned| {
        let mut row = vec![Cell::new(workspace.graph.name(planned.node)), ui::state_cell(name(&planned.state))];
        if why {
            row.push(Cell::new(explain(&planned.state)));
        }
        row
    });
    let header: &[&str] = if why { &["target", "state", "why"] } else { &["target", "state"] };
    ui.out(&ui::table(header, rows));
    Ok(())
}

/// The word for a state.
pub fn name(state: &State) -> &'static str {
    match state {
        State::Fresh => "fresh",
        State::Restorable => "restorable",
        State::Modified { .. } => "modified",
        State::Pullable { .. } => "pullable",
        State::Stale { .. } => "stale",
        State::Maybe { .. } => "maybe",
        State::Blocked { .. } => "blocked",
    }
}

/// The reason behind a state, in words.
pub fn explain(state: &State) -> String {
    match state {
        State::Fresh => String::new(),
        State::Restorable => "the result is in the cache, but not what stands at its stable paths".to_owned(),
        State::Modified { files } => {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            format!("edited since it was built: {}", files.join(", "))
        }
        State::Pullable { bytes } => format!("the remote store has it ({})", ui::bytes(*bytes)),
        State::Stale { reasons } => reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        State::Maybe { upstream } => format!("depends on {}, which will be built", upstream.join(", ")),
        State::Blocked { why, hint } => {
            hint.as_ref().map_or_else(|| why.clone(), |hint| format!("{why} (hint: {hint})"))
        }
    }
}

fn as_json(workspace: &Workspace, planned: &Planned) -> serde_json::Value {
    let mut value = json!({
        "target": workspace.graph.name(planned.node),
        "key": planned.key,
        "why": explain(&planned.state),
    });
    if let (Some(object), Ok(serde_json::Value::Object(state))) =
        (value.as_object_mut(), serde_json::to_value(&planned.state))
    {
        object.extend(state);
    }
    if let Some(record) = &planned.record {
        let outputs = record.outputs.iter().map(|output| {
            json!({"name": output.name, "object": output.object, "data": output.data, "rows": output.rows, "bytes": output.bytes})
        });
        value["outputs"] = outputs.collect();
    }
    value
}
