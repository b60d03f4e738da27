//! `rsic bench training`.

use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use serde::Serialize;

use super::processor_seconds;
use crate::command::Global;
use crate::command::build::finish;
use crate::pipeline::run::{self, Options};
use crate::pipeline::target::{self, UsageError};
use crate::pipeline::{NodeId, Workspace, inputs};
use crate::progress::{Checkpoint, Progress};
use crate::stage::{Content, Context, Kind, Outcome, Stage};
use crate::table;
use crate::ui::{self, Ui};

/// Train models anew and say how long each took to its best epoch on the validation images.
///
/// What training reads is built first and not counted; images are encoded once for all models that share an encoder. Training itself
/// runs whatever the cache holds, and its result is thrown away. Models run one after the other, each with all threads. An epoch counts with
/// its validation: of a mapper the loss on given captions, of an attention model that and the scores of captions that it writes.
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
    /// Reading, verifying and decoding what training reads.
    loading: Spent,
    epochs: usize,
    best_epoch: usize,
    /// From the first epoch to the end of the best one, validation included.
    best: Spent,
    /// From the first epoch to the end of the last one.
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
        let options = Options { jobs: 1, forced: Vec::new(), keep_going: false, lock_timeout: None, offline: true };
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
            let watch = Watch { progress: progress.as_ref(), begun: OnceLock::new() };
            let mut clock = Clock::default();
            let started = Moment::now();
            let mut context =
                Context { progress: &watch, checkpoint: &mut clock, facts: &workspace.facts, previous: None };
            let outcome = spec.stage.run(&inputs, &mut context).with_context(|| name.clone())?;
            let begun = watch.begun.get().copied().context("training reported no epoch")?;
            drop(progress);
            let best_epoch = best_epoch(&outcome)?;
            let (best, last) = (clock.epochs.get(best_epoch - 1), clock.epochs.last());
            let (best, last) = best.zip(last).context("the best epoch left no trace")?;
            all.push(Took {
                target: name,
                loading: started.to(begun),
                epochs: clock.epochs.len(),
                best_epoch,
                best: begun.to(*best),
                all: begun.to(*last),
            });
        }
        super::tell(ui, self.json, &all, print)
    }

    /// The nodes that train the targets, each once; with several seeds all runs.
    fn trained(&self, workspace: &Workspace) -> Result<Vec<NodeId>> {
        let mut trained = Vec::new();
        for node in target::resolve(&workspace.graph, &self.targets)? {
            let instance = &workspace.graph.nodes[node].instance;
            let find = |name: &str| workspace.graph.find(&format!("{}/{name}", Kind::Train));
            let runs = workspace.config.train.seeds.iter().map(|seed| find(&format!("{}_seed{seed}", instance.name)));
            let nodes: Vec<NodeId> = [find(&instance.name)].into_iter().chain(runs).flatten().collect();
            let here = |node: &&NodeId| !matches!(workspace.graph.nodes[**node].stage, Stage::ExternalMapper(_));
            let nodes: Vec<NodeId> = nodes.iter().filter(here).copied().collect();
            if nodes.is_empty() {
                let text = format!("{instance} is not trained here");
                let hint = "name a mapper or an attention model, such as `score/ucm_amht`".to_owned();
                return Err(UsageError { text, hint }.into());
            }
            trained.extend(nodes.into_iter().filter(|node| !trained.contains(node)).collect::<Vec<_>>());
        }
        Ok(trained)
    }
}

/// A moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: Instant,
    cpu: Option<f64>,
}

impl Moment {
    fn now() -> Self {
        Self { wall: Instant::now(), cpu: processor_seconds().map(|[own, _]| own) }
    }

    fn to(self, later: Self) -> Spent {
        let cpu_seconds = later.cpu.zip(self.cpu).map(|(later, now)| later - now);
        Spent { wall_seconds: later.wall.duration_since(self.wall).as_secs_f64(), cpu_seconds }
    }
}

/// Passes progress on, and notes when the first epoch begins: what a stage reads is there by then.
struct Watch<'a> {
    progress: &'a dyn Progress,
    begun: OnceLock<Moment>,
}

impl Progress for Watch<'_> {
    fn begin(&self, what: &str, total: u64, unit: &str) {
        self.begun.get_or_init(Moment::now);
        self.progress.begin(what, total, unit);
    }

    fn advance(&self, steps: u64) {
        self.progress.advance(steps);
    }

    fn note(&self, text: &str) {
        self.progress.note(text);
    }

    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}

/// Keeps no state, but notes when one is saved: at the end of every epoch.
#[derive(Default)]
struct Clock {
    epochs: Vec<Moment>,
}

impl Checkpoint for Clock {
    fn load(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn save(&mut self, _: &[u8]) -> Result<()> {
        self.epochs.push(Moment::now());
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

fn print(ui: &Ui, all: &[Took]) {
    let cpu =
        |spent: Spent| spent.cpu_seconds.map_or_else(|| "-".to_owned(), |s| ui::seconds(Duration::from_secs_f64(s)));
    let wall = |spent: Spent| ui::seconds(Duration::from_secs_f64(spent.wall_seconds));
    let slowest = all.iter().map(|took| took.best.wall_seconds).fold(0.0, f64::max);
    let rows = all.iter().map(|took| {
        vec![
            took.target.clone(),
            format!("{} of {}", took.best_epoch, took.epochs),
            wall(took.loading),
            wall(took.best),
            cpu(took.best),
            format!("{:.2}", took.best.wall_seconds / slowest),
            wall(took.all),
            cpu(took.all),
        ]
    });
    let header = ["target", "best epoch", "loading", "wall to best", "CPU to best", "of the slowest", "wall", "CPU"];
    ui.out(&ui::table(&header, rows));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn the_clock_counts_work_from_the_first_epoch_on() {
        let watch = Watch { progress: &Silent, begun: OnceLock::new() };
        let mut clock = Clock::default();
        watch.begin("epoch 1/2", 3, "batches");
        let begun = *watch.begun.get().unwrap();
        // Work of a quarter of a second shows in the processor's time.
        while begun.wall.elapsed() < Duration::from_millis(250) {}
        clock.save(b"state").unwrap();
        watch.begin("epoch 2/2", 3, "batches");
        clock.save(b"state").unwrap();
        assert_eq!(watch.begun.get().unwrap().wall, begun.wall, "the first epoch begins once");
        let [first, second] = [0, 1].map(|epoch: usize| begun.to(clock.epochs[epoch]));
        assert!(first.wall_seconds >= 0.25 && first.wall_seconds <= second.wall_seconds);
        assert!(first.cpu_seconds.is_none_or(|cpu| cpu > 0.0));
        assert!(clock.load().unwrap().is_none());
    }
}
