//! `rsic clean`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use super::Global;
use crate::cache::{Cache, Patience, View};
use crate::digest::Digest;
use crate::pipeline::plan::view_path;
use crate::pipeline::{NodeId, Workspace, target};
use crate::ui::{self, Ui};

/// Remove outputs; the cache keeps them, so a build puts them back at once.
#[derive(Debug, Args)]
pub struct Clean {
    /// The targets (default: all).
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Forget the cached results too, so that a build computes them again, or fetches them from the remote store; their
    /// bytes stay in cache/objects. What a pin or another workspace has stays.
    #[arg(long)]
    cache: bool,
    /// Remove outputs even if they were edited since they were built.
    #[arg(short, long)]
    force: bool,
    /// Say what would be removed, and remove nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Clean {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.open()?;
        let targets = if self.targets.is_empty() {
            (0..workspace.graph.nodes.len()).collect()
        } else {
            target::resolve(&workspace.graph, &self.targets)?
        };
        let kept = if self.cache { workspace.cache.kept_by_others()? } else { BTreeMap::new() };
        let (mut removed, mut forgotten) = (0, 0);
        for node in targets {
            let (files, records) = self.one(&workspace, node, &kept, ui)?;
            removed += files;
            forgotten += records;
        }
        let would = if self.dry_run { "would remove" } else { "removed" };
        let also = if self.cache { format!(" and {forgotten} cached results") } else { String::new() };
        ui.say(&format!("{would} {removed} outputs{also}"));
        Ok(ExitCode::SUCCESS)
    }

    fn one(
        &self,
        workspace: &Workspace,
        node: NodeId,
        kept: &BTreeMap<Digest, String>,
        ui: &Ui,
    ) -> Result<(usize, usize)> {
        let spec = &workspace.graph.nodes[node];
        let name = spec.instance.to_string();
        let Some(root) = workspace.cache.root(&name)? else { return Ok((0, 0)) };
        let mut removed = 0;
        if let Some(record) = workspace.cache.record(root.key)? {
            for output in &record.outputs {
                let relative = view_path(spec, output);
                let path = Cache::target(&workspace.root, &relative)?;
                match workspace.cache.view(&output.stored(), &path, &workspace.facts)? {
                    View::Missing => continue,
                    View::Modified if !self.force => {
                        ui.warn(&format!("kept {}: it was edited (`--force` removes it)", relative.display()));
                        continue;
                    }
                    View::Fresh | View::Modified => {}
                }
                removed += 1;
                if self.dry_run {
                    ui.out(&relative.display().to_string());
                } else {
                    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
                }
            }
        }
        if !self.cache {
            return Ok((removed, 0));
        }
        let keeper = kept.get(&root.key);
        if let Some(keeper) = keeper {
            ui.warn(&format!("kept the result of {name} in the cache: {keeper} has it, too"));
        }
        if !self.dry_run {
            let patience = Patience { command: "rsic clean", instance: &name, timeout: None, cancelled: &ui::stopped };
            let wait = &mut |holder: &str| ui.say(&format!("wait for {name}: held by {holder}"));
            let _guard = workspace.cache.lock(root.key, &patience, wait)?;
            if keeper.is_none() {
                workspace.cache.forget(root.key)?;
                workspace.cache.partial(root.key).remove()?;
            }
            workspace.cache.remove_root(&name)?;
        }
        Ok((removed, usize::from(keeper.is_none())))
    }
}
