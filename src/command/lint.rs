//! `rsic lint`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use arrow::array::{Array, RecordBatch};
use clap::Args;
use serde_json::json;

use super::{Global, build, failure, loose};
use crate::cache::Record;
use crate::dataset::FindingKind;
use crate::language::Language;
use crate::pipeline::config::near;
use crate::pipeline::run::{self, Options};
use crate::pipeline::target::UsageError;
use crate::pipeline::{Config, NodeId, Workspace};
use crate::table;
use crate::ui::{self, Ui};

/// Count everything odd in a dataset: its edition, leaked captions and images, padding, duplicates, damaged text.
#[derive(Debug, Args)]
pub struct Lint {
    /// Datasets of pipeline.toml, or annotation files.
    #[arg(required = true, value_name = "DATASET|FILE")]
    targets: Vec<String>,
    /// The language of the captions of annotation files.
    #[arg(short, long, value_name = "en|zh", value_parser = str::parse::<Language>, default_value = "en")]
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
                return Err(UsageError { text, hint }.into());
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
        let known = Config::load(&global.directory, &global.parameters);
        let is_dataset = known.as_ref().is_ok_and(|config| config.datasets.contains_key(target));
        let (workspace, name) = if is_dataset {
            (global.open()?, target.to_owned())
        } else if file.is_file() {
            let (root, config, name) = loose::workspace(file, self.images.as_deref(), self.language, global)?;
            (Workspace::with_config(&root, config)?, name)
        } else {
            let text = match file.metadata() {
                Ok(_) => format!("{target} is no file"),
                Err(error) if target.contains(['/', '.']) => format!("cannot read {target}: {error}"),
                Err(_) => {
                    let config = known?;
                    let hint = near(target, config.datasets.keys().map(String::as_str));
                    let other = || "name a dataset of pipeline.toml or an annotation file".to_owned();
                    let text = format!("`{target}` is neither a dataset nor a file");
                    return Err(UsageError { text, hint: hint.unwrap_or_else(other) }.into());
                }
            };
            return Err(UsageError { text, hint: "name an annotation file".to_owned() }.into());
        };
        let started = Instant::now();
        let options = Options { jobs: 1, forced: Vec::new(), keep_going: false, lock_timeout: None, offline: true };
        let build = |kind: &str| {
            let nodes: Vec<NodeId> = workspace.graph.find(&format!("{kind}/{name}")).into_iter().collect();
            run::build(&workspace, &nodes, &options, ui)
        };
        let text = build("annotations")?;
        if !text.failures.is_empty() {
            return Ok(Err(build::finish(ui, &text, started.elapsed())));
        }
        let folder = workspace.root.join(&workspace.config.datasets[&name].images);
        let looks = !self.text_only && if is_dataset { folder.is_dir() } else { self.images.is_some() };
        let pictures = if looks { Some(build("ingest")?) } else { None };
        // The findings in the text are worth having even if pictures are missing.
        let failed = pictures.as_ref().and_then(|pictures| pictures.failures.first());
        if let Some((_, error)) = failed {
            ui.warn(&format!("pictures cannot be looked at: {error:#} (`--text-only` leaves them out)"));
        }
        let pixels = looks && failed.is_none();
        let records = [Some(text), pictures.filter(|_| pixels)];
        let records = records.into_iter().flatten().flat_map(|summary| summary.records.into_values());
        let mut report = Report {
            name: target.to_owned(),
            edition: String::new(),
            images: 0,
            sentences: 0,
            pixels,
            findings: BTreeMap::new(),
        };
        let mut seen = BTreeSet::new();
        for record in records.filter(|record| seen.insert(record.key)) {
            report.read(&workspace, &record)?;
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
