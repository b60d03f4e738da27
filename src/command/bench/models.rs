//! `rsic bench models`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::command::Global;
use crate::command::file::write_bundle;
use crate::language::Language;
use crate::model::captioner::{Captioner, Images};
use crate::model::checkpoint::save_weights;
use crate::model::clip::{self, ClipShape, Family, ImageEncoder};
use crate::model::gpt2::{Gpt2, Gpt2Config};
use crate::model::init::Rng;
use crate::model::mapper::{AmhtInit, Mapper, MapperConfig, MapperKind};
use crate::model::search::{DecodeConfig, Method};
use crate::model::tokenizer::{CaptionTokenizer, train_bpe};
use crate::model::train::{Example, TrainConfig, TrainData, Trainer};
use crate::model::{Bundle, Content};
use crate::picture::{self, Picture};
use crate::progress::Silent;
use crate::sample::{self, SampleConfig};
use crate::ui::{self, Ui};

/// Time embedding, training and captioning with models of the published sizes and random weights.
///
/// CLIP ViT-B/32, GPT-2 small and the paper's mappers; each measurement is a process of its own, so that its memory is
/// known. The peer, PyTorch with transformers, reads the same files and does the same work.
#[derive(Debug, Args)]
pub(super) struct Models {
    /// Take pictures from this folder and those below it instead of the rendered sample's.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// How many pictures are embedded.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    embed: u16,
    /// How many captions are written, in one batch; each has 15 tokens.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    captions: u16,
    /// How many training steps are timed, after one that is not.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// The mappers.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_values = ["mlp", "transformer", "amht"])]
    mappers: Vec<Kind>,
    /// A Python with torch, transformers and Pillow: the peer to time.
    #[arg(long, value_name = "PROGRAM")]
    peer: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// One measurement, in the folder of the models.
    #[arg(long, hide = true, value_names = ["TASK", "DIR"], num_args = 2)]
    task: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Mlp,
    Transformer,
    Amht,
}

/// One measurement.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Measured {
    task: String,
    /// What `count` counts.
    unit: String,
    count: f64,
    /// Without loading the models.
    seconds: f64,
    load_seconds: f64,
    peak_bytes: u64,
}

/// What the peer does.
const PEER: &str = include_str!("peer_models.py");
/// Tokens of every caption.
const TOKENS: usize = 15;
/// Captions of a training step.
const BATCH: usize = 12;
/// Length of ViT-B/32's vectors.
const CLIP_DIM: usize = 512;

impl Models {
    /// Runs the command.
    pub(super) fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        if let Some([task, folder]) = self.task.as_deref() {
            let measured = self.measure(task, Path::new(folder))?;
            ui.out(&serde_json::to_string(&measured)?);
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(python) = &self.peer {
            check_peer(python)?;
        }
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let mut tasks = vec!["embed".to_owned()];
        for (what, method) in [("train", ""), ("caption", ".greedy"), ("caption", ".beam")] {
            tasks.extend(self.mappers.iter().map(|kind| format!("{what}.{}{method}", name(*kind))));
        }
        let progress = ui.progress("bench");
        progress.begin("measurements", tasks.len() as u64 + 1, "measurements");
        self.make(folder.path())?;
        progress.advance(1);
        let mut all = Vec::new();
        for task in &tasks {
            all.push(self.child(global, task, folder.path())?);
            progress.advance(1);
        }
        drop(progress);
        let peer = match &self.peer {
            Some(python) => self.peer(global, python, folder.path(), &tasks)?,
            None => Vec::new(),
        };
        if self.json {
            ui.out(&serde_json::to_string_pretty(&json!({"rsic": all, "peer": peer}))?);
        } else {
            print(ui, &all, &peer);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Writes models, pictures' names and tokens for the measurements.
    fn make(&self, folder: &Path) -> Result<()> {
        let shape = ClipShape {
            family: Family::Clip,
            width: 768,
            layers: 12,
            inner: 3072,
            patch_size: 32,
            image_size: 224,
            projection_dim: CLIP_DIM,
            text: None,
        };
        make_folder(&clip::random(&shape, 1)?, &folder.join("clip"))?;
        let captions = sample::captions(Language::En)?.concat();
        let mut bundle = Gpt2::init(Gpt2Config::default(), 1)?.to_bundle("gpt2")?;
        bundle
            .files
            .insert("tokenizer.json".to_owned(), train_bpe(&captions, Gpt2Config::default().vocab_size)?.into());
        make_folder(&bundle, &folder.join("gpt2"))?;
        for kind in &self.mappers {
            let weights = save_weights(&Mapper::init(&paper(*kind), 1)?, None)?;
            std::fs::write(folder.join(format!("{}.safetensors", name(*kind))), weights)?;
        }
        let pictures = if let Some(images) = &self.images {
            pictures_below(images)?
        } else {
            let config = SampleConfig { size: 256, ..SampleConfig::default() };
            sample::write(&folder.join("sample"), &config, &Silent)?;
            pictures_below(&folder.join("sample"))?
        };
        ensure!(!pictures.is_empty(), "there are no pictures");
        let pictures: Vec<&PathBuf> = pictures.iter().cycle().take(self.embed.into()).collect();
        std::fs::write(folder.join("pictures.json"), serde_json::to_vec(&pictures)?)?;
        let tokenizer = CaptionTokenizer::load(&bundle, Language::En)?;
        let ids: Vec<Vec<u32>> =
            captions.iter().take(64 * BATCH).map(|caption| tokenizer.encode(caption)).collect::<Result<_>>()?;
        Ok(std::fs::write(folder.join("tokens.json"), serde_json::to_vec(&ids)?)?)
    }

    fn child(&self, global: &Global, task: &str, folder: &Path) -> Result<Measured> {
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        command.args(["bench", "models", "--quiet", "--steps", &self.steps.to_string()]);
        command.args(["--captions", &self.captions.to_string(), "--task", task]).arg(folder);
        if let Some(threads) = global.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        let output = command.output().context("cannot run this program")?;
        if !output.status.success() {
            bail!("{task} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("the answer of {task}"))
    }

    fn measure(&self, task: &str, folder: &Path) -> Result<Measured> {
        let parts: Vec<&str> = task.split('.').collect();
        let started = Instant::now();
        let (unit, count, load, whole) = match parts[..] {
            ["embed"] => {
                let encoder = ImageEncoder::load(&read(&folder.join("clip"))?)?;
                let load = started.elapsed();
                let paths: Vec<PathBuf> = serde_json::from_slice(&std::fs::read(folder.join("pictures.json"))?)?;
                for paths in paths.chunks(32) {
                    let open = |path: &PathBuf| -> Result<Picture> { Ok(picture::decode(&std::fs::read(path)?)?) };
                    encoder.embed(&paths.iter().map(open).collect::<Result<Vec<_>>>()?)?;
                }
                ("images", paths.len(), load, started.elapsed())
            }
            ["train", mapper] => {
                let gpt2 = Gpt2::load(&read(&folder.join("gpt2"))?)?;
                let ids: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(folder.join("tokens.json"))?)?;
                let train: Vec<Example> = ids.into_iter().enumerate().map(|(i, ids)| (i as u32 / 5, ids)).collect();
                let images = train.len().div_ceil(5);
                let data = TrainData { vectors: vectors(images), dim: CLIP_DIM, train, ..TrainData::default() };
                let config = TrainConfig { batch_size: BATCH, ..TrainConfig::default() };
                let mapper = Mapper::init(&paper(kind(mapper)?), 1)?;
                let mut trainer = Trainer::new(&config, mapper, &gpt2, &data, 100)?;
                let mut batches = data.train.chunks_exact(BATCH).cycle();
                let mut step = || -> Result<()> {
                    let batch: Vec<&Example> = batches.next().context("too few captions")?.iter().collect();
                    trainer.step(&batch)?;
                    Ok(())
                };
                step()?;
                let load = started.elapsed();
                for _ in 0..self.steps {
                    step()?;
                }
                ("steps", usize::from(self.steps), load, started.elapsed())
            }
            ["caption", mapper, method] => {
                let weights = Content::File(folder.join(format!("{mapper}.safetensors")));
                let captioner = Captioner::load(&weights, &read(&folder.join("gpt2"))?, Language::En)?;
                let load = started.elapsed();
                let count = usize::from(self.captions);
                let method = if method == "beam" { Method::Beam } else { Method::Greedy };
                let config = DecodeConfig { method, end_token: false, ..DecodeConfig::default() };
                let ids: Vec<u32> = (0..count as u32).collect();
                let images = Images { ids: &ids, vectors: &vectors(count), dim: CLIP_DIM };
                captioner.caption(images, &config, TOKENS, count, &Silent)?;
                ("captions", count, load, started.elapsed())
            }
            _ => bail!("no measurement is called {task}"),
        };
        Ok(Measured {
            task: task.to_owned(),
            unit: unit.to_owned(),
            count: count as f64,
            seconds: whole.as_secs_f64() - load.as_secs_f64(),
            load_seconds: load.as_secs_f64(),
            peak_bytes: crate::pipeline::peak_memory().unwrap_or(0),
        })
    }

    fn peer(&self, global: &Global, python: &Path, folder: &Path, tasks: &[String]) -> Result<Vec<Measured>> {
        let mut all = Vec::new();
        let threads = global.threads.map_or_else(String::new, |threads| threads.to_string());
        for task in tasks {
            let output = Command::new(python)
                .args(["-c", PEER, task.as_str()])
                .arg(folder)
                .args([self.captions.to_string(), self.steps.to_string(), threads.clone()])
                .stdin(Stdio::null())
                .output()
                .with_context(|| format!("cannot run {}", python.display()))?;
            let text = String::from_utf8_lossy(&output.stdout);
            let Some(result) = text.lines().find_map(|line| line.strip_prefix("RESULT ")) else {
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                bail!("the peer failed in {task}: {}", errors.lines().last().unwrap_or_default())
            };
            all.push(serde_json::from_str(result).context("the peer's answer")?);
        }
        Ok(all)
    }
}

/// Fails early if the peer lacks what it needs.
fn check_peer(python: &Path) -> Result<()> {
    let needed = "import numpy, safetensors.torch, torch, transformers, PIL";
    let output = Command::new(python).args(["-c", needed]).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", python.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let why = errors.lines().last().map_or_else(|| output.status.to_string(), str::to_owned);
    ensure!(output.status.success(), "the peer cannot be used: {why}");
    Ok(())
}

/// The paper's mappers.
fn paper(kind: Kind) -> MapperConfig {
    let kind = match kind {
        Kind::Mlp => MapperKind::Mlp,
        Kind::Transformer => MapperKind::Transformer,
        Kind::Amht => MapperKind::Amht,
    };
    MapperConfig {
        kind,
        clip_dim: CLIP_DIM,
        prefix_length: 20,
        clip_length: 20,
        width: Gpt2Config::default().n_embd,
        layers: 16,
        heads: 16,
        init: AmhtInit::Identity,
        normalize: false,
    }
}

fn name(kind: Kind) -> String {
    kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn kind(name: &str) -> Result<Kind> {
    Kind::from_str(name, false).map_err(anyhow::Error::msg)
}

/// Image vectors of CLIP's usual size, row by row.
fn vectors(images: usize) -> Vec<f32> {
    let mut rng = Rng::new(1, "bench.vectors");
    (0..images * CLIP_DIM).map(|_| 0.4 * rng.normal()).collect()
}

fn make_folder(bundle: &Bundle, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    write_bundle(bundle, folder)
}

fn read(folder: &Path) -> Result<Bundle> {
    let mut bundle = Bundle { files: BTreeMap::new(), name: folder.display().to_string() };
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        bundle.files.insert(name, Content::File(path));
    }
    Ok(bundle)
}

/// The pictures in a folder and those below it, by name.
fn pictures_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(pictures_below(&path)?);
        } else if path.extension().is_some_and(|end| ["jpg", "png", "tif"].iter().any(|known| end == *known)) {
            found.push(path.canonicalize()?);
        }
    }
    found.sort();
    Ok(found)
}

fn print(ui: &Ui, all: &[Measured], peer: &[Measured]) {
    let megabytes = |bytes: u64| format!("{} MB", bytes / 1_000_000);
    let speed = |one: &Measured| {
        if one.unit == "steps" {
            format!("{:.2} s/step", one.seconds / one.count)
        } else {
            format!("{:.2} {}/s", one.count / one.seconds, one.unit)
        }
    };
    let rows = all.iter().map(|one| {
        let other = peer.iter().find(|other| other.task == one.task);
        let dash = || "-".to_owned();
        vec![
            one.task.replace('.', " "),
            speed(one),
            format!("{:.1} s", one.load_seconds),
            megabytes(one.peak_bytes),
            other.map_or_else(dash, speed),
            other.map_or_else(dash, |other| megabytes(other.peak_bytes)),
            other.map_or_else(dash, |other| {
                format!("{:.1} x", (one.count / one.seconds) / (other.count / other.seconds))
            }),
        ]
    });
    let header = ["task", "rsic", "loading", "peak", "PyTorch", "its peak", "ratio"];
    ui.out(&ui::table(&header, rows));
}
