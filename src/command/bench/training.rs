//! `rsic bench training`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use serde::Serialize;

use crate::command::Global;
use crate::command::build::finish;
use crate::pipeline::run::{self, Options};
use crate::pipeline::target::{self, UsageError};
use crate::pipeline::{NodeId, Workspace, inputs};
use crate::progress::Checkpoint;
use crate::stage::{Content, Context, Kind, Outcome, Stage};
use crate::table;
use crate::ui::{self, Ui};

/// Train models anew and say how long each took to its best epoch on the validation images.
///
/// What training reads is built first and not counted; images are encoded once for all models that share an encoder. Training itself
/// runs whatever the cache holds, and its result is thrown away. Models run one after the other, each with all threads.
#[derive(Debug, Args)]
pub(super) struct Training {
    /// The models, such as `score/ucm_amht` or `train/ucm_r50`.
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How long a model took.
#[derive(Debug, Serialize)]
struct Took {
    target: String,
    epochs: usize,
    best_epoch: usize,
    /// Until the end of the best epoch, its validation included.
    best: Spent,
    /// Until training ended.
    all: Spent,
}

/// Time since a beginning.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Spent {
    wall_seconds: f64,
    /// Of this process, user and system, over all threads.
    cpu_seconds: Option<f64>,
}

impl Training {
    /// Runs the command.
    pub(super) fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.open()?;
        let nodes = self.trained(&workspace)?;
        let mut upstream: Vec<NodeId> = nodes.iter().flat_map(|node| workspace.graph.nodes[*node].upstream()).collect();
        upstream.sort_unstable();
        upstream.dedup();
        let options = Options { jobs: 1, forced: Vec::new(), keep_going: false, lock_timeout: None };
        let started = Instant::now();
        let summary = run::build(&workspace, &upstream, &options, ui)?;
        if !summary.failures.is_empty() {
            return Ok(finish(ui, &summary, started.elapsed()));
        }
        let mut all = Vec::new();
        for node in nodes {
            let spec = &workspace.graph.nodes[node];
            let name = spec.instance.to_string();
            let inputs = inputs::some(&workspace, node, &summary.records, |_| true)?;
            let progress = ui.progress(&name);
            let mut clock = Clock::start();
            let mut context = Context {
                progress: progress.as_ref(),
                checkpoint: &mut clock,
                facts: &workspace.facts,
                previous: None,
            };
            let outcome = spec.stage.run(&inputs, &mut context).with_context(|| name.clone())?;
            let all_of_it = clock.spent();
            drop(progress);
            let best_epoch = best_epoch(&outcome)?;
            let best = clock.epochs.get(best_epoch - 1).copied().context("the best epoch left no trace")?;
            all.push(Took { target: name, epochs: clock.epochs.len(), best_epoch, best, all: all_of_it });
        }
        if self.json {
            ui.out(&serde_json::to_string_pretty(&all)?);
        } else {
            print(ui, &all);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The nodes that train the targets.
    fn trained(&self, workspace: &Workspace) -> Result<Vec<NodeId>> {
        let train = |node: NodeId| {
            let instance = &workspace.graph.nodes[node].instance;
            let node = workspace.graph.find(&format!("{}/{}", Kind::Train, instance.name));
            let node = node.filter(|node| !matches!(workspace.graph.nodes[*node].stage, Stage::ExternalMapper(_)));
            node.ok_or_else(|| UsageError {
                text: format!("{instance} is not trained here"),
                hint: "name a mapper or an attention model, such as `score/ucm_amht`".to_owned(),
            })
        };
        let nodes = target::resolve(&workspace.graph, &self.targets)?;
        Ok(nodes.into_iter().map(train).collect::<Result<_, UsageError>>()?)
    }
}

/// Keeps no state, but notes when one is saved: at the end of every epoch.
struct Clock {
    started: Instant,
    cpu: Option<f64>,
    epochs: Vec<Spent>,
}

impl Clock {
    fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu_seconds(), epochs: Vec::new() }
    }

    fn spent(&self) -> Spent {
        let cpu_seconds = cpu_seconds().zip(self.cpu).map(|(now, then)| now - then);
        Spent { wall_seconds: self.started.elapsed().as_secs_f64(), cpu_seconds }
    }
}

impl Checkpoint for Clock {
    fn load(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn save(&mut self, _: &[u8]) -> Result<()> {
        self.epochs.push(self.spent());
        Ok(())
    }
}

/// The number of the epoch whose weights are kept.
fn best_epoch(outcome: &Outcome) -> Result<usize> {
    let history = outcome.outputs.iter().find_map(|made| match &made.content {
        Content::Table(table) if made.name == "history" => Some(table),
        _ => None,
    });
    let best = table::bools(history.context("training made no history")?, "best")?.iter();
    best.into_iter()
        .position(|best| best == Some(true))
        .map(|at| at + 1)
        .ok_or_else(|| anyhow!("no epoch was the best"))
}

/// The processor time of this process, where the system tells.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    // Linux counts 100 ticks a second on all machines that this program runs on.
    Some(ticks / 100.0)
}

fn print(ui: &Ui, all: &[Took]) {
    let cpu =
        |spent: Spent| spent.cpu_seconds.map_or_else(|| "-".to_owned(), |s| ui::seconds(Duration::from_secs_f64(s)));
    let wall = |spent: Spent| ui::seconds(Duration::from_secs_f64(spent.wall_seconds));
    let slowest = all.iter().map(|took| took.best.wall_seconds).fold(0.0, f64::max);
    let rows = all.iter().map(|took| {
        vec![
            took.target.clone(),
            format!("{} of {}", took.best_epoch, took.epochs),
            wall(took.best),
            cpu(took.best),
            format!("{:.2}", took.best.wall_seconds / slowest),
            wall(took.all),
            cpu(took.all),
        ]
    });
    let header = ["target", "best epoch", "wall to best", "CPU to best", "of the slowest", "wall", "CPU"];
    ui.out(&ui::table(&header, rows));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_work_and_every_saved_state() {
        let mut clock = Clock::start();
        let started = Instant::now();
        // Work of a quarter of a second shows in the processor's time.
        while started.elapsed() < Duration::from_millis(250) {}
        clock.save(b"state").unwrap();
        clock.save(b"state").unwrap();
        assert_eq!(clock.epochs.len(), 2);
        assert!(clock.epochs[0].wall_seconds >= 0.25 && clock.epochs[0].wall_seconds <= clock.epochs[1].wall_seconds);
        assert!(clock.epochs[0].cpu_seconds.is_none_or(|cpu| cpu > 0.0));
        assert!(clock.load().unwrap().is_none());
    }
}
