//! Thousands of mutated files of every kind: each is accepted or refused, in bounded memory; nothing panics or aborts.
//!
//! `RSIC_MUTATIONS` sets how many of each kind are read (10,000 take some minutes). A failure names its kind and seed;
//! `RSIC_KIND=... RSIC_SEED=... RSIC_MUTATIONS=1 cargo test --release hostile::mutated::child -- --nocapture` plays it again.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rsic::pipeline::peak_memory;

use super::kinds::{self, Kind};
use super::mutate::{Dice, mutated};

/// How many of each kind the suite reads.
const MUTATIONS: u64 = 1_000;
/// The address space of the child, in megabytes: a picture may take 3,200 by design.
const ROOM: u64 = 6_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The other side: reads mutated files of one kind in a process of its own, whose death is seen and whose memory is known.
#[test]
fn child() {
    let name = std::env::var("RSIC_KIND").unwrap_or_else(|_| "pipeline.toml".to_owned());
    let kind = kinds::all().into_iter().find(|(kind, _)| *kind == name).unwrap().1();
    // Messages of panics that are caught and counted would only be noise, but when one is played again by hand.
    let place = std::env::var_os("RSIC_AT");
    if place.is_some() {
        std::panic::set_hook(Box::new(|_| ()));
    }
    run(&name, &kind, number("RSIC_SEED", 1), number("RSIC_MUTATIONS", 20), place.as_deref().map(Path::new));
}

/// `place` is a file for the seed that is being read; there is one where the process is that of this run alone.
fn run(name: &str, kind: &Kind, first: u64, count: u64, place: Option<&Path>) {
    let (mut accepted, mut refused, mut panicked, mut slowest) = (0, 0, Vec::new(), (Duration::ZERO, 0));
    let found = if place.is_some() { kind.found } else { &[] };
    for seed in found.iter().copied().chain(first..first + count) {
        if let Some(place) = place {
            fs::write(place, seed.to_string()).unwrap();
        }
        let variant = &kind.variants[(seed % kind.variants.len() as u64) as usize];
        let mut bytes = mutated(&mut Dice::new(seed), &variant.seeds, kind.tokens);
        (variant.mend)(&mut bytes);
        let began = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| (variant.read)(&bytes))) {
            Ok(true) => accepted += 1,
            Ok(false) => refused += 1,
            Err(_) => panicked.push(seed),
        }
        slowest = slowest.max((began.elapsed(), seed));
    }
    let _ = std::panic::take_hook();
    let peak = peak_memory().unwrap_or_default() >> 20;
    println!(
        "{name}: {accepted} accepted, {refused} refused, {} panicked; slowest {} ms (seed {}), peak {peak} MB",
        panicked.len(),
        slowest.0.as_millis(),
        slowest.1
    );
    assert!(panicked.is_empty(), "{name}: seeds {:?} panic", &panicked[..panicked.len().min(20)]);
    assert!(place.is_none() || accepted > 0 && refused > 0, "{name}: {accepted} accepted, {refused} refused");
    assert!(
        place.is_none() || peak <= kind.most_memory,
        "{name}: {peak} MB of memory, {} are allowed",
        kind.most_memory
    );
}

/// Starts the child for one kind, and fails with the last seed if it dies.
#[track_caller]
fn holds(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("at");
    let program = std::env::current_exe().unwrap();
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("ulimit -v {}; ulimit -c 0; exec \"$@\"", ROOM * 1000), "sh"])
        .arg(program)
        .args(["--exact", "hostile::mutated::child", "--nocapture"])
        .envs([("RSIC_KIND", kind), ("RSIC_MUTATIONS", &number("RSIC_MUTATIONS", MUTATIONS).to_string())])
        .env("RSIC_AT", &at)
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    println!("{}", out.lines().find(|line| line.starts_with(kind)).unwrap_or_default());
    let seed = fs::read_to_string(&at).unwrap_or_default();
    assert!(
        output.status.success(),
        "{kind}: seed {seed}, signal {:?}\n{out}\n{}",
        output.status.signal(),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(out.contains("accepted"), "{out}");
}

#[test]
fn annotations() {
    holds("annotations");
}

#[test]
fn pictures() {
    holds("png");
    holds("jpeg");
    holds("tiff");
}

#[test]
fn checkpoints() {
    holds("safetensors");
    holds("torch");
    holds("config.json");
}

#[test]
fn tokenizers() {
    holds("tokenizer");
}

#[test]
fn pipeline_files() {
    holds("pipeline.toml");
}

#[test]
fn files_of_the_store() {
    holds("store");
}

#[test]
fn tables() {
    holds("parquet");
}
