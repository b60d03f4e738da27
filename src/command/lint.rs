//! `rsic lint`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use arrow::array::{Array, RecordBatch};
use clap::Args;
use serde_json::json;

use super::{Global, build, failure, private};
use crate::cache::Record;
use crate::dataset::FindingKind;
use crate::language::Language;
use crate::pipeline::config::near;
use crate::pipeline::run::{self, Options};
use crate::pipeline::target::UnknownTarget;
use crate::pipeline::{NodeId, Workspace};
use crate::table;
use crate::ui::{self, Ui};

/// Count everything odd in a dataset: its edition, leaked captions and images, padding, duplicates, damaged text.
#[derive(Debug, Args)]
pub struct Lint {
    /// Datasets of pipeline.toml, or annotation files.
    #[arg(required = true, value_name = "DATASET|FILE")]
    targets: Vec<String>,
    /// The language of the captions of annotation files.
    #[arg(short, long, value_name = "en|zh", value_parser = private::language, default_value = "en")]
    language: Language,
    /// The image folder of an annotation file, to look for equal pictures.
    #[arg(short, long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// How many examples of each kind to show.
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    examples: usize,
    /// Exit with 1 if there is a finding of these kinds; `all` means any.
    #[arg(short, long, value_name = "KIND,...", value_delimiter = ',')]
    deny: Vec<String>,
    /// Do not look at images.
    #[arg(long)]
    text_only: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One finding, as the tables have it.
struct Finding {
    kind: String,
    image_id: Option<u32>,
    sent_id: Option<u32>,
    detail: String,
}

/// All findings of one dataset.
struct Report {
    name: String,
    edition: String,
    images: u32,
    sentences: u32,
    /// Whether pictures were looked at.
    pixels: bool,
    findings: BTreeMap<String, Vec<Finding>>,
}

impl Lint {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        for kind in self.deny.iter().filter(|kind| *kind != "all") {
            if !FindingKind::ALL.iter().any(|known| known.name() == kind) {
                let hint = near(kind, FindingKind::ALL.iter().map(|known| known.name()));
                let all = || format!("kinds are {}", FindingKind::ALL.map(FindingKind::name).join(", "));
                let (text, hint) = (format!("no kind of finding is called `{kind}`"), hint.unwrap_or_else(all));
                return Err(UnknownTarget { text, hint }.into());
            }
        }
        let mut reports = Vec::new();
        for target in &self.targets {
            match self.one(target, global, ui)? {
                Ok(report) => reports.push(report),
                Err(code) => return Ok(code),
            }
        }
        if self.json {
            let rows: Vec<_> = reports.iter().map(|report| self.as_json(report)).collect();
            ui.out(&serde_json::to_string_pretty(&rows)?);
        } else {
            for report in &reports {
                self.print(report, ui);
            }
        }
        let denied = |kind: &String| self.deny.iter().any(|denied| denied == "all" || denied == kind);
        let fails = reports.iter().any(|report| report.findings.keys().any(denied));
        Ok(if fails { ExitCode::from(failure::FAILED) } else { ExitCode::SUCCESS })
    }

    /// The report on one dataset, or the exit code of the build that failed.
    fn one(&self, target: &str, global: &Global, ui: &Ui) -> Result<Result<Report, ExitCode>> {
        let file = Path::new(target);
        let (workspace, name) = if file.is_file() {
            let (root, config, name) = private::workspace(file, self.images.as_deref(), self.language, global)?;
            (Workspace::with_config(&root, config)?, name)
        } else {
            let workspace = global.open()?;
            if !workspace.config.datasets.contains_key(target) {
                let hint = near(target, workspace.config.datasets.keys().map(String::as_str));
                let other = || "name a dataset of pipeline.toml or an annotation file".to_owned();
                let (text, hint) = (format!("`{target}` is neither a dataset nor a file"), hint.unwrap_or_else(other));
                return Err(UnknownTarget { text, hint }.into());
            }
            (workspace, target.to_owned())
        };
        let node = |kind: &str| workspace.graph.find(&format!("{kind}/{name}"));
        let mut nodes: Vec<NodeId> = node("annotations").into_iter().collect();
        let folder = workspace.root.join(&workspace.config.datasets[&name].images);
        let pixels = !self.text_only && if file.is_file() { self.images.is_some() } else { folder.is_dir() };
        if pixels {
            nodes.extend(node("ingest"));
        }
        let started = Instant::now();
        let options = Options { jobs: 1, forced: Vec::new(), keep_going: false, lock_timeout: None };
        let summary = run::build(&workspace, &nodes, &options, ui)?;
        if !summary.failures.is_empty() {
            return Ok(Err(build::finish(ui, &summary, started.elapsed())));
        }
        let mut report = Report {
            name: target.to_owned(),
            edition: String::new(),
            images: 0,
            sentences: 0,
            pixels,
            findings: BTreeMap::new(),
        };
        for node in nodes {
            let record = summary.records.get(&node).context("a stage was not built")?;
            report.read(&workspace, record)?;
        }
        Ok(Ok(report))
    }

    fn print(&self, report: &Report, ui: &Ui) {
        let total: usize = report.findings.values().map(Vec::len).sum();
        let pixels = if report.pixels { "" } else { "; pictures were not looked at" };
        ui.out(&format!(
            "{}: edition {}, {} images, {} captions, {total} findings{pixels}",
            report.name, report.edition, report.images, report.sentences
        ));
        let rows = FindingKind::ALL.iter().filter_map(|kind| {
            let found = report.findings.get(kind.name())?;
            let examples: Vec<String> = found.iter().take(self.examples).map(Finding::text).collect();
            Some(vec![kind.name().to_owned(), found.len().to_string(), examples.join("\n")])
        });
        ui.out(&ui::table(&["kind", "count", "example"], rows));
    }

    fn as_json(&self, report: &Report) -> serde_json::Value {
        let findings: serde_json::Map<String, serde_json::Value> = report
            .findings
            .iter()
            .map(|(kind, found)| {
                let examples = found.iter().take(self.examples).map(|finding| {
                    json!({"image_id": finding.image_id, "sent_id": finding.sent_id, "detail": finding.detail})
                });
                (kind.clone(), json!({"count": found.len(), "examples": examples.collect::<Vec<_>>()}))
            })
            .collect();
        json!({
            "dataset": report.name,
            "edition": report.edition,
            "images": report.images,
            "captions": report.sentences,
            "pictures": report.pixels,
            "findings": findings,
        })
    }
}

impl Report {
    /// Adds what the tables of a stage say.
    fn read(&mut self, workspace: &Workspace, record: &Record) -> Result<()> {
        let table = |name: &str| -> Result<Option<RecordBatch>> {
            let Some(output) = record.output(name) else { return Ok(None) };
            let bytes = workspace.cache.get(&output.stored())?;
            table::read(bytes.with_context(|| format!("`{name}` is damaged or gone; run the command again"))?).map(Some)
        };
        if let Some(edition) = table("edition")? {
            table::strings(&edition, "edition")?.value(0).clone_into(&mut self.edition);
            self.images = table::u32s(&edition, "images")?.value(0);
            self.sentences = table::u32s(&edition, "sentences")?.value(0);
        }
        let Some(lint) = table("lint")? else { return Ok(()) };
        let (kinds, details) = (table::strings(&lint, "kind")?, table::strings(&lint, "detail")?);
        let (images, sentences) = (table::u32s(&lint, "image_id")?, table::u32s(&lint, "sent_id")?);
        for row in 0..lint.num_rows() {
            let finding = Finding {
                kind: kinds.value(row).to_owned(),
                image_id: images.is_valid(row).then(|| images.value(row)),
                sent_id: sentences.is_valid(row).then(|| sentences.value(row)),
                detail: details.value(row).to_owned(),
            };
            self.findings.entry(finding.kind.clone()).or_default().push(finding);
        }
        Ok(())
    }
}

impl Finding {
    fn text(&self) -> String {
        let place = match (self.image_id, self.sent_id) {
            (Some(image), Some(sentence)) => format!("image {image}, sentence {sentence}: "),
            (Some(image), None) => format!("image {image}: "),
            _ => String::new(),
        };
        format!("{place}{}", self.detail)
    }
}
