//! `rsic fetch`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;

use super::Global;
use crate::fetch::hub::{self, Files, Settings, Wanted};
use crate::fetch::{self, Source};
use crate::pipeline::Config;
use crate::pipeline::models;
use crate::pipeline::resources::{MeteorFiles, fetched_meteor};
use crate::progress::Interrupted;
use crate::ui::{self, Ui};

/// Get models and what metrics need; other commands use the network only for a remote store.
///
/// Models are named by hub id and revision, such as `gpt2` or `openai/clip-vit-base-patch32@refs/pr/15`, and come into the
/// Hugging Face cache, where Python finds them too. Without a name, all hub models of pipeline.toml are fetched.
/// `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are respected.
///
/// `meteor`: METEOR's synonyms and paraphrases, out of the package `pycocoevalcap` (through pip), into the user's data
/// folder. They are under the licences of METEOR (LGPL) and `WordNet`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// Models, or `meteor` (default: the models of pipeline.toml).
    #[arg(value_name = "MODEL|meteor")]
    what: Vec<String>,
    /// Of a model only this file, such as `RemoteCLIP-ViT-B-32.pt`; may be repeated.
    #[arg(long = "file", value_name = "NAME", requires = "what")]
    files: Vec<String>,
    /// METEOR: a wheel that is here already, instead of pip.
    #[arg(long, value_name = "FILE.whl")]
    from: Option<PathBuf>,
    /// METEOR: the Python whose pip is asked.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// METEOR: get it again even if it is here.
    #[arg(short, long)]
    force: bool,
}

/// The name that means METEOR's tables, not a model.
const METEOR: &str = "meteor";

impl Fetch {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let what = if self.what.is_empty() { of_pipeline(global)? } else { self.what.clone() };
        if what.is_empty() {
            ui.say("pipeline.toml names no model of the hub: nothing to fetch");
        }
        let settings = Settings::from_env();
        for name in &what {
            if name == METEOR && !self.files.is_empty() {
                return Err(anyhow!("`--file` is of models: METEOR's tables are fetched as a whole"));
            }
            if name == METEOR {
                self.meteor(ui)?;
            } else {
                self.model(ui, &settings, name)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn model(&self, ui: &Ui, settings: &Settings, name: &str) -> Result<()> {
        if !models::is_on_hub(name) {
            return Err(anyhow!("`{name}` is no hub id: folders and `scratch` need not be fetched"));
        }
        let (id, revision) = models::id_and_revision(name);
        let named: Vec<&str> = self.files.iter().map(String::as_str).collect();
        let files = if named.is_empty() { Files::Model } else { Files::Named(&named) };
        let progress = ui.progress(name);
        let fetched = hub::fetch(settings, &Wanted { id, revision, files }, progress.as_ref())?;
        drop(progress);
        let megabytes = fetched.downloaded_bytes as f64 / 1e6;
        ui.say(&format!("{name}: {} files, {megabytes:.1} MB downloaded", fetched.files.len()));
        if named.is_empty() {
            ui.out(&fetched.folder.display().to_string());
        }
        for name in named {
            ui.out(&fetched.folder.join(name).display().to_string());
        }
        Ok(())
    }

    fn meteor(&self, ui: &Ui) -> Result<()> {
        let folder = fetched_meteor().context("there is no home folder; set XDG_DATA_HOME")?;
        if !self.force && MeteorFiles::in_folder(&folder).exist() {
            ui.say(&format!("METEOR's tables are in {} already", folder.display()));
            return Ok(());
        }
        let source = self.from.clone().map_or_else(|| Source::Pip(self.python.clone()), Source::Wheel);
        let fetched = fetch::fetch_meteor(&source, &folder);
        if fetched.is_err() && ui::stopped() {
            return Err(Interrupted.into());
        }
        for name in fetched? {
            ui.warn(&format!("{name} is not that of the known version: METEOR may give other numbers"));
        }
        ui.say(&format!("METEOR's tables are in {}; scores have METEOR from the next build on", folder.display()));
        Ok(())
    }
}

/// The models of pipeline.toml that come from the hub, each once.
fn of_pipeline(global: &Global) -> Result<Vec<String>> {
    let config = Config::load(&global.directory, &global.parameters)?;
    let mut names: Vec<String> = Vec::new();
    let of_checkpoints = config.checkpoints.into_values().flat_map(|checkpoint| [checkpoint.clip, checkpoint.gpt2]);
    let frozen = std::iter::once(config.models.clip).chain(config.models.gpt2.into_values());
    let of_attention = config.attention.into_values().map(|attention| attention.encoder);
    for source in frozen.chain(of_checkpoints.flatten()).chain(of_attention) {
        if models::is_on_hub(&source) && !names.contains(&source) {
            names.push(source);
        }
    }
    Ok(names)
}
