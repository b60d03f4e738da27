//! `rsic bench store`.

mod files;
mod peer;
mod timed;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use rayon::prelude::*;
use serde::Serialize;

use crate::command::Global;
use crate::ui::{self, Ui};

use peer::Dvc;
use timed::{Timed, best, timed};

/// Time `build` and `status` on many images and on many instances, beside DVC in one run.
///
/// Made-up files in a temporary folder: small distinct pictures with five captions each, and a pipeline of many small
/// datasets. Every measurement is a process of its own. `cold` is without what is remembered of unchanged files, which are
/// in the system's page cache all the same.
#[derive(Debug, Args)]
pub(super) struct Store {
    /// How many images.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(4..))]
    images: u32,
    /// About how many instances are built.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    instances: u32,
    /// DVC's program: the peer to time.
    #[arg(long, value_name = "PROGRAM")]
    dvc: Option<PathBuf>,
    /// How many stages the peer is given, at most.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    peer_most: u32,
    /// How often each measurement is made; the fastest counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What both did.
#[derive(Debug, Serialize)]
struct Measured {
    /// Images or instances.
    of: String,
    task: String,
    rsic: Timed,
    dvc: Option<Timed>,
}

impl Store {
    /// Runs the command.
    pub(super) fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let progress = ui.progress("bench");
        progress.begin("images and instances", 2, "parts");
        let mut all = self.images(global, &folder.path().join("images"))?;
        progress.advance(1);
        all.extend(self.instances(global, &folder.path().join("instances"))?);
        drop(progress);
        super::tell(ui, self.json, &all, print)
    }

    fn images(&self, global: &Global, folder: &Path) -> Result<Vec<Measured>> {
        files::images(folder, self.images)?;
        files::settle();
        let dvc = self.dvc.as_deref().map(|program| Dvc::of_images(program, folder)).transpose()?;
        let of = format!("{} images", self.images);
        let read = self.repeat(|| {
            let started = Instant::now();
            let paths: Vec<PathBuf> = std::fs::read_dir(folder.join(files::IMAGES))?
                .map(|entry| Ok(entry?.path()))
                .collect::<std::io::Result<_>>()?;
            paths.par_iter().try_for_each(|path| std::fs::read(path).map(drop))?;
            Ok(Timed { seconds: started.elapsed().as_secs_f64(), ..Timed::default() })
        })?;
        let mut all = vec![Measured { of: of.clone(), task: "only read the files".to_owned(), rsic: read, dvc: None }];
        let mut both = |task: &str, rsic: Timed, dvc: Option<Timed>| {
            all.push(Measured { of: of.clone(), task: task.to_owned(), rsic, dvc });
        };
        let first = rsic(global, folder, &["build", "ingest/x"])?;
        both("first build of ingest", first, dvc.as_ref().map(Dvc::reproduce).transpose()?);
        let (mut cold, mut warm, mut peer_cold, mut peer_warm) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.repeats {
            forget_facts(folder)?;
            cold.push(rsic(global, folder, &["status", "ingest/x"])?);
            warm.push(rsic(global, folder, &["status", "ingest/x"])?);
            if let Some(dvc) = &dvc {
                dvc.forget()?;
                peer_cold.push(dvc.status()?);
                peer_warm.push(dvc.status()?);
            }
        }
        both("status, cold", best(cold)?, best(peer_cold).ok());
        both("status, warm", best(warm)?, best(peer_warm).ok());
        both("build of what is fresh", self.repeat(|| rsic(global, folder, &["build", "ingest/x"]))?, None);
        for target in ["score/x_constant", "score/x_human"] {
            both(&format!("first build of {target}"), rsic(global, folder, &["build", target])?, None);
        }
        Ok(all)
    }

    fn instances(&self, global: &Global, folder: &Path) -> Result<Vec<Measured>> {
        let count = files::instances(folder, self.instances)?;
        let dvc = self.dvc.as_deref().filter(|_| self.instances <= self.peer_most);
        let dvc = dvc.map(|program| Dvc::of_stages(program, &folder.join("peer"), count)).transpose()?;
        let of = format!("{count} instances");
        let mut all = Vec::new();
        let mut both = |task: &str, rsic: Timed, dvc: Option<Timed>| {
            all.push(Measured { of: of.clone(), task: task.to_owned(), rsic, dvc });
        };
        let build: Vec<&str> = [&["build"][..], &files::TARGETS[..]].concat();
        both("first build", rsic(global, folder, &build)?, None);
        let (mut warm, mut peer) = (Vec::new(), Vec::new());
        files::settle();
        rsic(global, folder, &["status"])?;
        for _ in 0..self.repeats {
            warm.push(rsic(global, folder, &["status"])?);
            if let Some(dvc) = &dvc {
                peer.push(dvc.status()?);
            }
        }
        both("status, warm", best(warm)?, best(peer).ok());
        for args in [&build[..], &["gc"], &["verify", "--quick"], &["verify"]] {
            let task = if args[0] == "build" { "build of what is fresh".to_owned() } else { args.join(" ") };
            both(&task, self.repeat(|| rsic(global, folder, args))?, None);
        }
        Ok(all)
    }

    fn repeat(&self, measure: impl Fn() -> Result<Timed>) -> Result<Timed> {
        best((0..self.repeats).map(|_| measure()).collect::<Result<_>>()?)
    }
}

/// Times this program in the workspace `folder`.
fn rsic(global: &Global, folder: &Path, args: &[&str]) -> Result<Timed> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.args(args).arg("-C").arg(folder).env_remove("RSIC_STORE");
    if let Some(threads) = global.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    timed(&mut command)
}

/// Forgets what is known of unchanged files.
fn forget_facts(folder: &Path) -> Result<()> {
    std::fs::remove_file(folder.join("cache/stat.txt")).context("nothing was remembered of unchanged files")
}

fn print(ui: &Ui, all: &[Measured]) {
    let wall = |timed: &Timed| format!("{:.2} s", timed.seconds);
    let cpu = |timed: &Timed| timed.cpu_seconds.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.2} s"));
    let peak = |timed: &Timed| match timed.peak_bytes {
        0 => "-".to_owned(),
        bytes => format!("{} MB", bytes / 1_000_000),
    };
    let rows = all.iter().map(|one| {
        let of_peer = |show: &dyn Fn(&Timed) -> String| one.dvc.as_ref().map_or_else(|| "-".to_owned(), show);
        vec![
            one.of.clone(),
            one.task.clone(),
            wall(&one.rsic),
            cpu(&one.rsic),
            peak(&one.rsic),
            of_peer(&wall),
            of_peer(&cpu),
            of_peer(&peak),
            of_peer(&|dvc| format!("{:.1} x", dvc.seconds / one.rsic.seconds)),
        ]
    });
    let header = ["of", "task", "rsic", "CPU", "peak", "DVC", "its CPU", "its peak", "ratio"];
    ui.out(&ui::table(&header, rows));
}
