//! One file per subcommand: its arguments, whose docs are the help text, and one function.

pub mod bench;
pub mod build;
pub mod clean;
pub mod compare;
pub mod completions;
pub mod dag;
pub mod demo;
pub mod draw;
pub mod export;
pub mod failure;
pub mod fetch;
mod file;
pub mod gc;
pub mod import;
pub mod lint;
pub mod log;
pub mod loose;
pub mod pin;
pub mod pull;
pub mod push;
mod remote;
pub mod score;
pub mod scores;
pub mod show;
pub mod status;
pub mod verify;
pub mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::pipeline::Workspace;
use crate::ui::{self, Ui};

/// Remote sensing image captioning: annotation files and images to captions and scores.
///
/// A workspace is a folder with a pipeline.toml. Targets are named STAGE/INSTANCE, such as `score/ucm_amht`; quote globs
/// such as `'score/*_amht'`.
#[derive(Debug, Parser)]
#[command(name = "rsic", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Work in DIR instead of the current folder.
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".", global = true)]
    directory: PathBuf,
    /// Override a setting of pipeline.toml, such as `train.epochs=3`.
    #[arg(short = 'p', long = "parameter", value_name = "KEY=VALUE", global = true)]
    parameters: Vec<String>,
    /// How many threads to compute with (default: all cores). Results do not depend on it.
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
    /// Say nothing but results, warnings and errors.
    #[arg(short, long, global = true)]
    quiet: bool,
}

impl Global {
    /// The workspace, for building.
    pub fn open(&self) -> Result<Workspace> {
        Workspace::open(&self.directory, &self.parameters)
    }

    /// The workspace, for looking.
    pub fn peek(&self) -> Result<Workspace> {
        Workspace::peek(&self.directory, &self.parameters)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Build),
    Score(score::Score),
    Compare(compare::Compare),
    Lint(lint::Lint),
    Status(status::Status),
    Why(why::Why),
    Dag(dag::Dag),
    Show(show::Show),
    Draw(draw::Draw),
    Log(log::Log),
    Clean(clean::Clean),
    Gc(gc::Gc),
    Pin(pin::Pin),
    Push(push::Push),
    Pull(pull::Pull),
    Verify(verify::Verify),
    Fetch(fetch::Fetch),
    Import(import::Import),
    Export(export::Export),
    Bench(bench::Bench),
    Demo(demo::Demo),
    Completions(completions::Completions),
}

impl Cli {
    /// Runs the subcommand and turns what it says into an exit code.
    pub fn run(self) -> ExitCode {
        let ui = Ui::new(self.global.quiet);
        match self.dispatch(&ui) {
            Ok(code) => match ui.lost_output() {
                None => code,
                Some(why) => {
                    ui.error(&format!("cannot write to stdout: {why}"), None);
                    ExitCode::from(failure::IO)
                }
            },
            Err(error) => failure::report(&ui, &error),
        }
    }

    fn dispatch(&self, ui: &Ui) -> Result<ExitCode> {
        ui::watch_signals()?;
        if let Some(threads) = self.global.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
            pool.build_global().context("cannot start the threads")?;
        }
        match &self.command {
            Command::Build(command) => command.run(&self.global, ui),
            Command::Score(command) => command.run(&self.global, ui),
            Command::Compare(command) => command.run(&self.global, ui),
            Command::Lint(command) => command.run(&self.global, ui),
            Command::Status(command) => command.run(&self.global, ui),
            Command::Why(command) => command.run(&self.global, ui),
            Command::Dag(command) => command.run(&self.global, ui),
            Command::Show(command) => command.run(&self.global, ui),
            Command::Draw(command) => command.run(&self.global, ui),
            Command::Log(command) => command.run(&self.global, ui),
            Command::Clean(command) => command.run(&self.global, ui),
            Command::Gc(command) => command.run(&self.global, ui),
            Command::Pin(command) => command.run(&self.global, ui),
            Command::Push(command) => command.run(&self.global, ui),
            Command::Pull(command) => command.run(&self.global, ui),
            Command::Verify(command) => command.run(&self.global, ui),
            Command::Fetch(command) => command.run(&self.global, ui),
            Command::Import(command) => command.run(&self.global, ui),
            Command::Export(command) => command.run(&self.global, ui),
            Command::Bench(command) => command.run(&self.global, ui),
            Command::Demo(command) => command.run(&self.global, ui),
            Command::Completions(command) => command.run(ui),
        }
    }
}
