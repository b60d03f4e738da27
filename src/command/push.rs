//! `rsic push`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::Global;
use super::remote::{self, side_by_side};
use crate::cache::{CacheError, Record, Sent};
use crate::digest::Digest;
use crate::pipeline::{Workspace, target};
use crate::progress::Interrupted;
use crate::ui::{self, Ui};

/// Send the last results of targets to the remote store, with all that they were made from.
///
/// The remote store is `[store.remote]` of pipeline.toml. What is there is not sent again; every upload is read back and
/// compared. A result that is there stays: if it differs from the one here, that is said, with exit code 1.
#[derive(Debug, Args)]
pub struct Push {
    /// What to send (default: all that was built).
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Read what is there already, too, and replace what is damaged.
    #[arg(long)]
    verify: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Push {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.open()?;
        let remote = remote::open(&workspace)?;
        let records = self.records(&workspace)?;
        if !remote.is_founded()? {
            ui.say(&format!("{} holds no remote store yet: one is made there", remote.url()));
        }
        let progress = ui.progress("push");
        progress.begin("at most", records.values().flat_map(|(_, r)| &r.outputs).map(|o| o.bytes).sum(), "bytes");
        let keys: Vec<Digest> = records.keys().copied().collect();
        let sent = side_by_side(&keys, |key| {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            remote.push(&workspace.cache, *key, self.verify, progress.as_ref())
        });
        drop(progress);
        if sent.iter().any(Result::is_ok) {
            workspace.cache.set_remote_rests(remote.url(), false);
        }
        let (mut new, mut there, mut mended, mut objects, mut bytes) = (0, 0, 0, 0, 0);
        let mut failures = Vec::new();
        for (key, result) in keys.iter().zip(sent) {
            match result {
                Ok(pushed) => {
                    match pushed.record {
                        Sent::New => new += 1,
                        Sent::There => there += 1,
                        Sent::Mended => mended += 1,
                    }
                    objects += pushed.objects;
                    bytes += pushed.bytes;
                }
                Err(error) => failures.push((records[key].0.clone(), anyhow::Error::from(error))),
            }
        }
        let code = remote::report(ui, &failures);
        if self.json {
            let failed: Vec<_> =
                failures.iter().map(|(name, error)| json!({"target": name, "error": format!("{error:#}")})).collect();
            ui.out(&serde_json::to_string_pretty(&json!({
                "url": remote.url(), "new": new, "there": there, "mended": mended, "objects": objects, "bytes": bytes,
                "failed": failed,
            }))?);
        } else {
            let mended = if mended > 0 { format!(", {mended} mended") } else { String::new() };
            ui.say(&format!(
                "{} results: {new} new, {there} there{mended}; {objects} objects, {} sent to {}",
                records.len(),
                ui::bytes(bytes),
                remote.url()
            ));
        }
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(code) })
    }

    /// The last records of the targets and of all that they need, with a name for each.
    fn records(&self, workspace: &Workspace) -> Result<BTreeMap<Digest, (String, Record)>> {
        let cache = &workspace.cache;
        let names: Vec<String> = if self.targets.is_empty() {
            cache.roots()?.into_iter().map(|root| root.instance).collect()
        } else {
            let nodes = target::resolve(&workspace.graph, &self.targets)?;
            nodes.into_iter().map(|node| workspace.graph.name(node)).collect()
        };
        let mut records: BTreeMap<Digest, (String, Record)> = BTreeMap::new();
        for name in names {
            let Some(build) = cache.builds(&name)?.into_iter().next() else {
                return Err(CacheError::NoResult(name).into());
            };
            for key in build.needs.iter().chain([&build.key]) {
                if let Some((known, _)) = records.get_mut(key) {
                    if *key == build.key {
                        known.clone_from(&name);
                    }
                    continue;
                }
                let Some(record) = cache.record(*key)? else { return Err(CacheError::NoResult(name).into()) };
                let own = *key == build.key;
                let known = if own { name.clone() } else { format!("{} for {name}", record.ingredients.stage) };
                records.insert(*key, (known, record));
            }
        }
        Ok(records)
    }
}
