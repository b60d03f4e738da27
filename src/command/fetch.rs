//! `rsic fetch`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::fetch::{self, Source};
use crate::pipeline::resources::{MeteorFiles, fetched_meteor};
use crate::progress::Interrupted;
use crate::ui::{self, Ui};

/// Get what metrics need and what is not ours to ship.
///
/// `meteor`: METEOR's synonyms and paraphrases, out of the package `pycocoevalcap` (through pip), into the user's data
/// folder. They are under the licences of METEOR (LGPL) and `WordNet`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// What to get.
    #[arg(value_enum)]
    what: What,
    /// A wheel that is here already, instead of pip.
    #[arg(long, value_name = "FILE.whl")]
    from: Option<PathBuf>,
    /// The Python whose pip is asked.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// Get it again even if it is here.
    #[arg(short, long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// The tables of METEOR 1.5.
    Meteor,
}

impl Fetch {
    /// Runs the command.
    pub fn run(&self, ui: &Ui) -> Result<ExitCode> {
        match self.what {
            What::Meteor => self.meteor(ui),
        }
    }

    fn meteor(&self, ui: &Ui) -> Result<ExitCode> {
        let folder = fetched_meteor().context("there is no home folder; set XDG_DATA_HOME")?;
        if !self.force && MeteorFiles::in_folder(&folder).exist() {
            ui.say(&format!("METEOR's tables are in {} already", folder.display()));
            return Ok(ExitCode::SUCCESS);
        }
        let source = self.from.clone().map_or_else(|| Source::Pip(self.python.clone()), Source::Wheel);
        let fetched = fetch::fetch_meteor(&source, &folder);
        if fetched.is_err() && ui::stopped() {
            return Err(Interrupted.into());
        }
        let unusual = fetched?;
        for name in unusual {
            ui.warn(&format!("{name} is not that of the known version: METEOR may give other numbers"));
        }
        ui.say(&format!("METEOR's tables are in {}; scores have METEOR from the next build on", folder.display()));
        Ok(ExitCode::SUCCESS)
    }
}
