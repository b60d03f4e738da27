//! `rsic export`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use super::Global;
use super::file::write;
use crate::model::checkpoint::{self, Export as Options, ExportFormat};
use crate::pipeline::plan::Planner;
use crate::pipeline::target::{self, UsageError};
use crate::pipeline::{State, Workspace, inputs};
use crate::stage::{Kind, Stage};
use crate::ui::Ui;

/// Write a trained mapper as a file that `ClipCap`'s model loads with `strict=True`.
///
/// Tensors have `ClipCap`'s names: `clip_project.*`, and `gpt.*` for the language model. Old versions of transformers, such as the
/// one that `ClipCap` names, store GPT-2's causal masks with its weights and miss them otherwise: `--masks` writes them.
#[derive(Debug, Args)]
pub struct Export {
    /// What to export, such as `train/ucm_amht`; it must be built.
    #[arg(value_name = "TARGET")]
    target: String,
    /// The file to write: `.pt` for `torch.load`, or `.safetensors`.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Leave the language model out; one that was trained along cannot be left out.
    #[arg(long)]
    mapper_only: bool,
    /// Write GPT-2's causal masks as well.
    #[arg(long, conflicts_with = "mapper_only")]
    masks: bool,
    /// Overwrite the file.
    #[arg(short, long)]
    force: bool,
}

impl Export {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let format = self.format()?;
        if self.to.exists() && !self.force {
            let text = format!("{} is there already", self.to.display());
            return Err(UsageError { text, hint: "`--force` overwrites it".to_owned() }.into());
        }
        let workspace = global.peek()?;
        let inputs = self.inputs(&workspace)?;
        let gpt2 = if self.mapper_only { None } else { Some(inputs.bundle("gpt2")?) };
        let options = Options { format, masks: self.masks };
        write(&self.to, |out| checkpoint::export(&inputs.content("weights")?, gpt2.as_ref(), options, out))?;
        ui.say(&format!("{} is in {}", self.target, self.to.display()));
        Ok(ExitCode::SUCCESS)
    }

    fn format(&self) -> Result<ExportFormat, UsageError> {
        match self.to.extension().and_then(|extension| extension.to_str()) {
            Some("pt" | "pth" | "bin") => Ok(ExportFormat::PyTorch),
            Some("safetensors") => Ok(ExportFormat::SafeTensors),
            _ => Err(UsageError {
                text: format!("{} tells no format by its name", self.to.display()),
                hint: "end it in `.pt` or `.safetensors`".to_owned(),
            }),
        }
    }

    /// The trained weights and the language model, as captioning reads them.
    fn inputs(&self, workspace: &Workspace) -> Result<crate::stage::Inputs> {
        let nodes = target::resolve(&workspace.graph, std::slice::from_ref(&self.target))?;
        let [node] = nodes[..] else { bail!("`{}` names {} targets: export one", self.target, nodes.len()) };
        let instance = &workspace.graph.nodes[node].instance;
        let caption = workspace.graph.find(&format!("{}/{}", Kind::Caption, instance.name));
        let mapper = matches!(workspace.graph.nodes[node].stage, Stage::Train(_) | Stage::ExternalMapper(_));
        let caption = caption.filter(|_| mapper).ok_or_else(|| UsageError {
            text: format!("{instance} is no trained mapper"),
            hint: "name a target of `train`, such as `train/ucm_amht`".to_owned(),
        })?;
        let plan = Planner::new(workspace).plan(&[node], &[])?;
        let state = plan.nodes.iter().find(|planned| planned.node == node).map(|planned| &planned.state);
        if !matches!(state, Some(State::Fresh | State::Restorable | State::Modified { .. })) {
            return Err(anyhow!(
                "{instance} is not built as pipeline.toml describes it now: run `rsic build {instance}`"
            ));
        }
        let records: BTreeMap<_, _> =
            plan.nodes.into_iter().filter_map(|planned| Some((planned.node, planned.record?))).collect();
        let gpt2 = !self.mapper_only;
        inputs::some(workspace, caption, &records, |name| name == "weights" || (gpt2 && name == "gpt2"))
    }
}
