//! `rsic pin`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::Global;
use crate::cache::Cache;
use crate::pipeline::target::{self, UsageError};
use crate::pipeline::{Workspace, store};
use crate::ui::{self, Ui};

/// Keep a result, with all that it was made from, until it is unpinned; without arguments, list what is pinned.
#[derive(Debug, Args)]
pub struct Pin {
    /// What to call it, such as `paper`.
    #[arg(value_name = "NAME", requires = "target")]
    name: Option<String>,
    /// The target, as it was built last.
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// Let go of this pin.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    remove: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Pin {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        if let Some(name) = &self.remove {
            if !Cache::open(&store(&global.directory))?.unpin(name)? {
                let text = format!("nothing is pinned as `{name}`");
                return Err(UsageError { text, hint: "`rsic pin` lists the pins".to_owned() }.into());
            }
            ui.say(&format!("`{name}` is not pinned any more"));
            return Ok(ExitCode::SUCCESS);
        }
        let (Some(name), Some(target)) = (&self.name, &self.target) else { return self.list(global, ui) };
        let workspace: Workspace = global.open()?;
        let nodes = target::resolve(&workspace.graph, std::slice::from_ref(target))?;
        let [node] = nodes[..] else { bail!("`{target}` names {} targets: pin one", nodes.len()) };
        let pin = workspace.cache.pin(name, &workspace.graph.name(node))?;
        ui.say(&format!("{} is pinned as `{name}`, with {} results", pin.instance, pin.keys.len()));
        Ok(ExitCode::SUCCESS)
    }

    fn list(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let pins = Cache::peek(&store(&global.directory))?.pins()?;
        if self.json {
            let row = |pin: &crate::cache::Pin| json!({"name": pin.name, "target": pin.instance, "keys": pin.keys, "at": pin.at});
            ui.out(&serde_json::to_string_pretty(&pins.iter().map(row).collect::<Vec<_>>())?);
        } else if pins.is_empty() {
            ui.say("nothing is pinned");
        } else {
            let rows = pins.iter().map(|pin| vec![pin.name.clone(), pin.instance.clone(), pin.keys.len().to_string()]);
            ui.out(&ui::table(&["name", "target", "results"], rows));
        }
        Ok(ExitCode::SUCCESS)
    }
}
