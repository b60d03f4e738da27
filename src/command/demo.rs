//! `rsic demo`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use arrow::array::RecordBatch;
use clap::Args;

use super::{Global, build, scores};
use crate::cache::Record;
use crate::language::Language;
use crate::pipeline::run::{self, Options, Summary};
use crate::pipeline::{Config, Workspace, config, target};
use crate::sample::{self, SampleConfig};
use crate::table;
use crate::ui::{self, Ui};

/// Make a workspace with a small rendered dataset, train small models on it, caption and score in English and Chinese.
///
/// Needs no download. Running it again reuses everything.
#[derive(Debug, Args)]
pub struct Demo {
    /// Where to make the workspace.
    #[arg(value_name = "DIR", default_value = "demo")]
    dir: PathBuf,
}

/// What the demo builds: the mapper and the floor that it has to beat, in both languages.
const TARGETS: [&str; 4] = ["score/ucm_amht", "score/ucm_constant", "score/ucm_cn_amht", "score/ucm_cn_constant"];

/// How many image and caption pairs are shown.
const PAIRS: usize = 8;

impl Demo {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let root = global.directory.join(&self.dir);
        std::fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        let file = root.join(config::FILE);
        let datasets = root.join("datasets");
        if !file.exists() {
            std::fs::write(&file, sample::PIPELINE).with_context(|| format!("cannot write {}", file.display()))?;
        } else if !sample::is_written(&datasets)
            && std::fs::read_to_string(&file).ok().as_deref() != Some(sample::PIPELINE)
        {
            bail!("{} is a workspace already, and not the demo's: name another folder", root.display());
        }
        Config::load(&root, &global.parameters)?;
        ui.say(&format!("workspace {}", root.display()));
        let started = Instant::now();
        if !sample::is_written(&datasets) {
            sample::write(&datasets, &SampleConfig::default(), ui.progress("sample").as_ref())?;
        }
        let workspace = Workspace::open(&root, &global.parameters)?;
        let targets = target::resolve(&workspace.graph, &TARGETS.map(str::to_owned))?;
        let options = Options { jobs: 1, forced: Vec::new(), keep_going: false, lock_timeout: None, offline: true };
        let summary = run::build(&workspace, &targets, &options, ui)?;
        let code = build::finish(ui, &summary, started.elapsed());
        if code == ExitCode::SUCCESS {
            report(ui, &workspace, &summary)?;
            let shown = self.dir.display();
            ui.out(&format!(
                "\nLook around: `rsic -C {shown} status`, `rsic -C {shown} show caption/ucm_amht`, \
                 tables in {shown}/output/**/*.parquet"
            ));
        }
        Ok(code)
    }
}

fn report(ui: &Ui, workspace: &Workspace, summary: &Summary) -> Result<()> {
    let mut rows = Vec::new();
    for name in TARGETS {
        rows.extend(scores::read(workspace, record(workspace, summary, name)?)?);
    }
    ui.out(&scores::table(&rows));
    let classes = classes(&workspace.root)?;
    for (dataset, language) in [("ucm", Language::En), ("ucm_cn", Language::Zh)] {
        let images = read(workspace, record(workspace, summary, &format!("ingest/{dataset}"))?, "images")?;
        let captions = read(workspace, record(workspace, summary, &format!("caption/{dataset}_amht"))?, "captions")?;
        let pairs = pairs(&images, &captions)?;
        let right = pairs
            .iter()
            .filter(|(file, text)| classes.get(file).is_some_and(|class| sample::names_class(text, language, class)));
        let right = right.count();
        let share = 100.0 * right as f64 / pairs.len().max(1) as f64;
        ui.out(&format!("\n{dataset}: {right} of {} captions ({share:.0} %) name the right class", pairs.len()));
        let step = (pairs.len() / PAIRS).max(1);
        let shown = pairs.iter().step_by(step).take(PAIRS);
        let shown = shown.map(|(file, text)| {
            vec![format!("imgs/{file}"), classes.get(file).cloned().unwrap_or_default(), text.clone()]
        });
        ui.out(&ui::table(&["image", "class", "caption"], shown));
    }
    Ok(())
}

fn record<'a>(workspace: &Workspace, summary: &'a Summary, name: &str) -> Result<&'a Record> {
    let node = workspace.graph.find(name).ok_or_else(|| anyhow!("no target {name}"))?;
    summary.records.get(&node).ok_or_else(|| anyhow!("{name} was not built"))
}

fn read(workspace: &Workspace, record: &Record, output: &str) -> Result<RecordBatch> {
    let output = record.output(output).ok_or_else(|| anyhow!("no {output}"))?;
    let bytes = workspace.cache.get(&output.stored())?.ok_or_else(|| anyhow!("{} is gone", output.name))?;
    table::read(bytes)
}

/// The class of each file, as the renderer wrote it down.
fn classes(root: &Path) -> Result<BTreeMap<String, String>> {
    let path = root.join("datasets/UCM_captions/classes.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not as it was written", path.display()))
}

/// File name and caption of every captioned image.
fn pairs(images: &RecordBatch, captions: &RecordBatch) -> Result<Vec<(String, String)>> {
    let names = table::strings(images, "filename")?;
    let ids = table::u32s(images, "image_id")?.values().iter().enumerate();
    let name_of: BTreeMap<u32, &str> = ids.map(|(row, id)| (*id, names.value(row))).collect();
    let texts = table::strings(captions, "caption")?;
    let ids = table::u32s(captions, "image_id")?.values().iter().enumerate();
    Ok(ids
        .map(|(row, id)| (name_of.get(id).copied().unwrap_or_default().to_owned(), texts.value(row).to_owned()))
        .collect())
}
