//! `rsic score`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;

use super::{Global, build, failure, private, scores};
use crate::language::{Language, Split};
use crate::pipeline::config::{CaptionsConfig, near};
use crate::pipeline::run::{self, Options};
use crate::pipeline::target::UnknownTarget;
use crate::pipeline::{Config, Workspace};
use crate::ui::Ui;

/// Score captions made elsewhere, against a dataset of the workspace or any annotation file.
///
/// FILE holds one caption per image: {"imgid": caption}, COCO results, JSONL, CSV, TSV or Parquet. Images are named by
/// their id or their file name. To keep such captions in the pipeline, write a `[captions.NAME]` table in pipeline.toml.
#[derive(Debug, Args)]
pub struct Score {
    /// The caption file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The dataset of pipeline.toml that the captions are of.
    #[arg(short, long, value_name = "NAME", required_unless_present = "annotations")]
    dataset: Option<String>,
    /// An annotation file to score against; no workspace is needed then.
    #[arg(short, long, value_name = "FILE", conflicts_with = "dataset")]
    annotations: Option<PathBuf>,
    /// The language of the captions, with `--annotations`.
    #[arg(short, long, value_name = "en|zh", value_parser = private::language, default_value = "en")]
    language: Language,
    /// What to call the model (default: the file's name).
    #[arg(short, long)]
    name: Option<String>,
    /// The split that the captions are of (default: that of pipeline.toml, or test).
    #[arg(short, long, value_name = "train|val|test", value_parser = private::split)]
    split: Option<Split>,
    /// Leave out images without a caption instead of refusing the file.
    #[arg(long)]
    allow_missing: bool,
    /// Print the scores as JSON.
    #[arg(long)]
    json: bool,
}

impl Score {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let (workspace, dataset) = self.workspace(global)?;
        let name = format!("score/{dataset}_{}", self.model_name());
        let node = workspace.graph.find(&name).ok_or_else(|| anyhow!("no target {name}"))?;
        let started = Instant::now();
        let options = Options { jobs: 1, forced: Vec::new(), keep_going: false, lock_timeout: None };
        let summary = run::build(&workspace, &[node], &options, ui)?;
        if !summary.failures.is_empty() {
            return Ok(build::finish(ui, &summary, started.elapsed()));
        }
        let record = summary.records.get(&node).ok_or_else(|| anyhow!("{name} was not built"))?;
        let rows = scores::read(&workspace, record)?;
        if self.json {
            ui.out(&serde_json::to_string_pretty(&rows)?);
            return Ok(ExitCode::SUCCESS);
        }
        ui.out(&scores::detailed(&rows));
        if let Some(row) = rows.first() {
            ui.out(&format!("\n{} images of {}, {} split", row.n, row.edition, row.split));
            ui.out(&format!("signature: {}", row.signature));
        }
        for note in scores::notes(&rows) {
            ui.hint(note);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The workspace with the captions in it, and the dataset's name.
    fn workspace(&self, global: &Global) -> Result<(Workspace, String)> {
        let file = std::path::absolute(&self.file).with_context(|| format!("cannot name {}", self.file.display()))?;
        let (root, mut config, dataset) = match (&self.annotations, &self.dataset) {
            (Some(annotations), _) => private::workspace(annotations, None, self.language, global)?,
            (None, Some(dataset)) => {
                let config = Config::load(&global.directory, &global.parameters)?;
                if !config.datasets.contains_key(dataset) {
                    let hint = near(dataset, config.datasets.keys().map(String::as_str));
                    let names: Vec<&str> = config.datasets.keys().map(String::as_str).collect();
                    let hint = hint.unwrap_or_else(|| format!("pipeline.toml has {}", names.join(", ")));
                    return Err(UnknownTarget { text: format!("no dataset `{dataset}`"), hint }.into());
                }
                (global.directory.clone(), config, dataset.clone())
            }
            (None, None) => return Err(anyhow!("name a dataset or an annotation file")),
        };
        if let Some(split) = self.split {
            config.caption.split = split;
        }
        let captions =
            CaptionsConfig { files: BTreeMap::from([(dataset.clone(), file)]), allow_missing: self.allow_missing };
        let name = self.model_name();
        if config.captions.insert(name.clone(), captions).is_some() {
            let text = format!("pipeline.toml has captions `{name}` already");
            let hint = format!("name these otherwise with `--name`, or run `rsic build score/{dataset}_{name}`");
            return Err(UnknownTarget { text, hint }.into());
        }
        let workspace = Workspace::with_config(&root, config);
        Ok((workspace.map_err(|error| name_hint(error, &name))?, dataset))
    }

    fn model_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| private::name_of(&self.file))
    }
}

/// A clash of names is the user's to solve with `--name`.
fn name_hint(error: anyhow::Error, name: &str) -> anyhow::Error {
    if error.to_string().contains(name) && failure::code(&error) == failure::USAGE {
        let hint = "give the captions another name with `--name`".to_owned();
        return UnknownTarget { text: format!("{error:#}"), hint }.into();
    }
    error
}
