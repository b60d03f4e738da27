//! `rsic score`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use clap::{ArgGroup, Args};

use super::{Global, build, loose, scores};
use crate::language::{Language, Split};
use crate::pipeline::config::{CaptionsConfig, near};
use crate::pipeline::run::{self, Options};
use crate::pipeline::target::UsageError;
use crate::pipeline::{Config, Workspace};
use crate::ui::Ui;

/// Score captions made elsewhere, against a dataset of the workspace or any annotation file.
///
/// FILE holds one caption per image: {"imgid": caption}, COCO results, JSONL, CSV, TSV or Parquet. Images are named by
/// their id or their file name. To keep such captions in the pipeline, write a `[captions.NAME]` table in pipeline.toml.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("against").required(true))]
pub struct Score {
    /// The caption file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The dataset of pipeline.toml that the captions are of.
    #[arg(short, long, value_name = "NAME", group = "against")]
    dataset: Option<String>,
    /// An annotation file to score against; no workspace is needed then.
    #[arg(short, long, value_name = "FILE", group = "against")]
    annotations: Option<PathBuf>,
    /// The language of the captions, with `--annotations` (default: en).
    #[arg(short, long, value_name = "en|zh", value_parser = str::parse::<Language>, requires = "annotations")]
    language: Option<Language>,
    /// What to call the model (default: the file's name).
    #[arg(short, long)]
    name: Option<String>,
    /// The split that the captions are of (default: that of pipeline.toml, or test).
    #[arg(short, long, value_name = "train|val|test", value_parser = str::parse::<Split>)]
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
        self.check_file()?;
        let (workspace, dataset) = self.workspace(global)?;
        let name = format!("score/{dataset}_{}", self.model_name());
        let node = workspace.graph.find(&name).ok_or_else(|| anyhow!("no target {name}"))?;
        let started = Instant::now();
        let options = Options { jobs: 1, forced: Vec::new(), keep_going: false, lock_timeout: None, offline: true };
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
            let all = if row.n < row.split_images { format!(" of {}", row.split_images) } else { String::new() };
            ui.out(&format!("\n{}{all} images of {}, {} split", row.n, row.edition, row.split));
            ui.out(&format!("signature: {}", row.signature));
        }
        for note in scores::notes(&rows) {
            ui.hint(note);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Refuses what is no file before anything is built.
    fn check_file(&self) -> Result<()> {
        let shown = self.file.display();
        let text = match std::fs::metadata(&self.file) {
            Ok(metadata) if metadata.is_file() => return Ok(()),
            Ok(metadata) if metadata.is_dir() => format!("{shown} is a folder"),
            Ok(_) => format!("{shown} is no regular file; save the captions to one first"),
            Err(error) => format!("cannot read {shown}: {error}"),
        };
        Err(UsageError { text, hint: "name a file of captions: JSON, JSONL, CSV, TSV or Parquet".to_owned() }.into())
    }

    /// The workspace with the captions in it, and the dataset's name.
    fn workspace(&self, global: &Global) -> Result<(Workspace, String)> {
        let file = std::path::absolute(&self.file).with_context(|| format!("cannot name {}", self.file.display()))?;
        let (root, mut config, dataset) = match (&self.annotations, &self.dataset) {
            (Some(annotations), _) => {
                loose::workspace(annotations, None, self.language.unwrap_or(Language::En), global)?
            }
            (None, Some(dataset)) => {
                let config = Config::load(&global.directory, &global.parameters)?;
                if !config.datasets.contains_key(dataset) {
                    let hint = near(dataset, config.datasets.keys().map(String::as_str));
                    let names: Vec<&str> = config.datasets.keys().map(String::as_str).collect();
                    let hint = hint.unwrap_or_else(|| format!("pipeline.toml has {}", names.join(", ")));
                    return Err(UsageError { text: format!("no dataset `{dataset}`"), hint }.into());
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
        if let Some((_, key)) = config.models(&dataset).into_iter().find(|(model, _)| *model == name) {
            let text = format!("`{dataset}_{name}` is defined by [{key}] in pipeline.toml already");
            let hint = "give the captions another name with `--name`".to_owned();
            return Err(UsageError { text, hint }.into());
        }
        config.captions.insert(name, captions);
        Ok((Workspace::with_config(&root, config)?, dataset))
    }

    fn model_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| loose::name_of(&self.file))
    }
}
