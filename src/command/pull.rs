//! `rsic pull`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;

use super::Global;
use super::remote::{self, side_by_side};
use crate::cache::{Record, Remote};
use crate::digest::Digest;
use crate::pipeline::inputs::LostObject;
use crate::pipeline::lockfile::{self, Locked, Lockfile};
use crate::pipeline::run::{Ending, Reporter as _};
use crate::pipeline::target::{self, UsageError};
use crate::pipeline::{NodeId, Workspace, show};
use crate::progress::{Interrupted, Progress, Silent, Unseen};
use crate::ui::Ui;

/// Fetch the results that pipeline.lock names from the remote store, without building and without the sources.
///
/// A result is taken only if it is the very one that pipeline.lock names. Results that are here already are only put at
/// their stable paths.
#[derive(Debug, Args)]
pub struct Pull {
    /// What to fetch, with all that it was made from (default: everything in pipeline.lock).
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

impl Pull {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.open()?;
        let remote = remote::open(&workspace)?;
        let wanted = self.wanted(&workspace)?;
        let progress = ui.progress("pull");
        progress.begin("looks at", wanted.len() as u64, "results");
        let jobs: Vec<(NodeId, &Locked)> = wanted.iter().map(|(node, locked)| (*node, locked)).collect();
        let results = side_by_side(&jobs, |(_, locked)| {
            let result = fetch(&workspace, &remote, locked, &Unseen(progress.as_ref()));
            let result = result.and_then(|own| {
                // What it was made from, as far as it is still known by its key: pins and collections keep it with it.
                locked.needs.iter().try_for_each(|key| need(&workspace, &remote, *key, &Unseen(progress.as_ref())))?;
                Ok(own)
            });
            progress.advance(1);
            result
        });
        drop(progress);
        let mut failures = Vec::new();
        // The order of nodes is that of a build, so that what is read comes before its readers.
        for ((node, locked), result) in jobs.iter().zip(results) {
            let name = workspace.graph.name(*node);
            let shown = result.and_then(|(record, bytes)| {
                let show = |record| show::show(&workspace, *node, record, &locked.needs, ui);
                let news = match show(&record) {
                    // It had the right size and the wrong bytes, and is in quarantine by now.
                    Err(error) if error.is::<LostObject>() => {
                        remote.pull(&workspace.cache, &record, &Silent)?;
                        show(&record)?
                    }
                    shown => shown?,
                };
                Ok(if bytes > 0 {
                    Ending::Pulled { bytes }
                } else if news {
                    Ending::Restored
                } else {
                    Ending::Fresh
                })
            });
            match shown {
                Ok(ending) => ui.end(&name, &ending, Duration::ZERO),
                Err(error) => failures.push((name, error)),
            }
        }
        _ = workspace.facts.save();
        let code = remote::report(ui, &failures);
        ui.say(&format!("{} of {} results are here", jobs.len() - failures.len(), jobs.len()));
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(code) })
    }

    /// What `pipeline.lock` says of the targets and all that they need, in the order of a build.
    fn wanted(&self, workspace: &Workspace) -> Result<Vec<(NodeId, Locked)>> {
        let Some(lock) = Lockfile::load(&workspace.root)? else {
            let text = format!("there is no {} here", lockfile::FILE);
            let hint =
                "`rsic build` writes it where `[store.remote]` is set; commit it. `rsic build` itself fetches what \
                        the remote store has"
                    .to_owned();
            return Err(UsageError { text, hint }.into());
        };
        let targets = if self.targets.is_empty() {
            lock.results.keys().filter_map(|name| workspace.graph.find(name)).collect()
        } else {
            let named = target::resolve(&workspace.graph, &self.targets)?;
            for node in &named {
                let name = workspace.graph.name(*node);
                if !lock.results.contains_key(&name) {
                    let text = format!("{} has no result of {name}", lockfile::FILE);
                    return Err(UsageError { text, hint: format!("`rsic build {name}` makes it") }.into());
                }
            }
            named
        };
        let nodes = workspace.graph.closure(&targets);
        let entry = |node: NodeId| Some((node, lock.results.get(&workspace.graph.name(node))?.clone()));
        Ok(nodes.into_iter().filter_map(entry).collect())
    }
}

/// The result itself, and how many bytes came.
fn fetch(workspace: &Workspace, remote: &Remote, locked: &Locked, progress: &dyn Progress) -> Result<(Record, u64)> {
    let cache = &workspace.cache;
    if progress.cancelled() {
        return Err(Interrupted.into());
    }
    if let Some(record) = cache.record(locked.key)?
        && locked.is(&record)
        && record.outputs.iter().all(|output| cache.has(&output.stored()))
    {
        return Ok((record, 0));
    }
    let Some(record) = remote.record(locked.key)? else {
        let hint = "`rsic push` where it was built sends it";
        return Err(anyhow!("{} has no result under key {}; {hint}", remote.url(), locked.key.short()));
    };
    if !locked.is(&record) {
        let why = "it is not the result that pipeline.lock names";
        return Err(anyhow!("{}: the result under key {}: {why}", remote.url(), locked.key.short()));
    }
    let bytes = remote.pull(cache, &record, progress)?;
    Ok((record, bytes))
}

/// The record under a key with its objects, if it can be had; what is not there is not needed to use the result.
fn need(workspace: &Workspace, remote: &Remote, key: Digest, progress: &dyn Progress) -> Result<()> {
    let cache = &workspace.cache;
    let here = cache.record(key)?.is_some_and(|record| record.outputs.iter().all(|output| cache.has(&output.stored())));
    if !here && let Some(record) = remote.record(key)? {
        remote.pull(cache, &record, progress)?;
    }
    Ok(())
}
