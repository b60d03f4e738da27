//! How long a process takes, and how much memory.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::command::bench::processor_seconds;
use crate::pipeline::peak_memory_of;

/// How often to look at the memory of a process; what it takes after the last look is not seen.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a process took.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Timed {
    /// Wall time.
    pub(super) seconds: f64,
    /// User and system time, over all threads.
    pub(super) cpu_seconds: Option<f64>,
    /// The most memory that was seen; 0 where the system does not tell.
    pub(super) peak_bytes: u64,
}

/// The fastest.
pub(super) fn best(all: Vec<Timed>) -> Result<Timed> {
    all.into_iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds)).context("nothing was measured")
}

/// Runs a command to its end; fails with what it said if it fails.
pub(super) fn timed(command: &mut Command) -> Result<Timed> {
    let program = command.get_program().to_string_lossy().into_owned();
    let cannot_run = || format!("cannot run {program}");
    let cpu = |[_, children]: [f64; 2]| children;
    let before = processor_seconds().map(cpu);
    let started = Instant::now();
    // What it prints goes into files, which never make it wait.
    let (said, complained) = (tempfile::tempfile()?, tempfile::NamedTempFile::new()?);
    command.stdin(Stdio::null()).stdout(said).stderr(complained.reopen()?);
    let mut child = command.spawn().with_context(cannot_run)?;
    let mut peak_bytes = 0;
    let status = loop {
        peak_bytes = peak_bytes.max(peak_memory_of(&child.id().to_string()).unwrap_or(0));
        if let Some(status) = child.try_wait().with_context(cannot_run)? {
            break status;
        }
        thread::sleep(LOOK_EVERY);
    };
    let seconds = started.elapsed().as_secs_f64();
    if !status.success() {
        let why = String::from_utf8_lossy(&std::fs::read(complained.path())?).into_owned();
        bail!("{program} failed: {}", why.lines().last().unwrap_or_default());
    }
    let cpu_seconds = processor_seconds().map(cpu).zip(before).map(|(after, before)| after - before);
    Ok(Timed { seconds, cpu_seconds, peak_bytes })
}
