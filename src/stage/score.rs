//! `score`: captions and references -> metrics per image and over the split, with intervals.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use super::report::{self, Labels};
use super::statistics::Statistics;
use super::{Context, Inputs, Outcome};
use crate::digest::Digest;
use crate::language::{Language, Split};
use crate::metric::resample::Plan;
use crate::metric::{self, Metric, Resources, Words, meteor, signature};
use crate::table;

/// History: 1, the first; 2, more metrics, intervals, signatures.
pub const VERSION: u32 = 2;

/// Reads `captions`, `sentences`, `entries` and `edition`, and where they are there `held_out`, `meteor` and `spice`.
///
/// Writes `scores`, `images` (per image), `statistics` (what intervals and tests are made of) and `text`, the original's
/// file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What the rows are labelled with.
    pub dataset: String,
    /// What the rows are labelled with.
    pub model: String,
    /// The captioned split.
    pub split: Split,
    /// The language, which decides how captions are cut into words.
    pub language: Language,
    /// The settings.
    pub score: Scoring,
}

/// What of the program is in the key of scores: rows name it, and it decides their numbers.
pub fn environment() -> BTreeMap<String, String> {
    let words = Words::ALL.map(Words::signature).join(" ");
    let (metrics, release) = (signature::VERSION.to_string(), env!("CARGO_PKG_VERSION").to_owned());
    BTreeMap::from([("metrics".to_owned(), metrics), ("words".to_owned(), words), ("rsic".to_owned(), release)])
}

/// How intervals are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scoring {
    /// How many bootstrap resamples an interval is made of.
    pub resamples: usize,
    /// The seed of the resamples.
    pub seed: u64,
    /// The share of resamples that an interval holds.
    pub confidence: f64,
}

impl Default for Scoring {
    fn default() -> Self {
        Self { resamples: 1000, seed: 1, confidence: 0.95 }
    }
}

impl Scoring {
    /// What types cannot say.
    pub fn check(&self) -> Result<(), String> {
        Plan::new(self.resamples, self.seed, self.confidence).map(|_| ()).map_err(|error| format!("[score]: {error}"))
    }
}

impl Score {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let captions = inputs.table("captions")?;
        let entries = inputs.table("entries")?;
        context.progress.begin("metrics", 2, "passes");
        let captioned: BTreeSet<u32> = table::u32s(&captions, "image_id")?.values().iter().copied().collect();
        let out = if inputs.has("held_out") { held_out(&inputs.table("held_out")?)? } else { BTreeSet::new() };
        let sentences = inputs.table("sentences")?;
        let references = Referenced::new(&sentences, &entries, &captioned, &out)?;
        let tables = if inputs.has("meteor") { Some(inputs.bytes("meteor")?) } else { None };
        let digest = tables.as_ref().map(|bytes| Digest::of(bytes).to_hex());
        let tables_of_meteor = tables.map(meteor::Tables::new).transpose().context("METEOR's tables")?;
        let tables = digest.map(|digest| (Metric::Meteor, digest));
        let spice = if inputs.has("spice") { Some(spice_values(&inputs.table("spice")?)?) } else { None };
        let resources =
            Resources { meteor: tables_of_meteor.as_ref(), spice: spice.as_ref().map(|(values, _)| values) };
        let scores = metric::score(&references.frame()?, &candidate(&captions)?, self.language, resources)?;
        context.progress.advance(1);

        let statistics = Statistics { image_ids: scores.image_ids, runs: vec![scores.families] };
        let edition = inputs.table("edition")?;
        let label = |name| table::strings(&edition, name).map(|column| column.value(0).to_owned());
        let labels = Labels {
            dataset: &self.dataset,
            model: &self.model,
            split: self.split.name(),
            language: self.language,
            edition: &label("edition")?,
            split_digest: &label("split_digest")?,
            references_digest: &references.digest.to_hex(),
            references: references.counts,
            resources: tables.into_iter().chain(spice.map(|(_, program)| (Metric::Spice, program))).collect(),
            split_images: of_split(&entries, self.split)?,
            scoring: &self.score,
        };
        let scores = labels.scores(&statistics)?;
        let mut outcome = Outcome::default();
        outcome.bytes("text", report::text(&scores)?.into_bytes(), "txt");
        outcome.table("scores", scores);
        outcome.table("images", report::per_image(&statistics)?);
        outcome.table("statistics", statistics.table()?);
        context.progress.advance(1);
        Ok(outcome)
    }
}

/// The references of the captioned images.
struct Referenced<'a> {
    sentences: &'a RecordBatch,
    rows: Vec<usize>,
    /// Digest of file names and sentences.
    digest: Digest,
    /// The least and the largest number of references of an image.
    counts: (usize, usize),
}

impl<'a> Referenced<'a> {
    /// The sentences of `images` but those held out, as (image, sentence).
    fn new(
        sentences: &'a RecordBatch,
        entries: &RecordBatch,
        images: &BTreeSet<u32>,
        held_out: &BTreeSet<(u32, u32)>,
    ) -> Result<Self> {
        let names =
            table::u32s(entries, "image_id")?.values().iter().copied().zip(table::strings(entries, "filename")?);
        let names: BTreeMap<u32, &str> = names.map(|(id, name)| (id, name.unwrap_or_default())).collect();
        let rows = rows_of(sentences, images, held_out)?;
        let ids = table::u32s(sentences, "image_id")?.values();
        let raw = table::strings(sentences, "raw")?;
        let mut hasher = blake3::Hasher::new_derive_key("rsic 2026 scored references v1");
        let mut counts: BTreeMap<u32, usize> = images.iter().map(|id| (*id, 0)).collect();
        for &row in &rows {
            *counts.entry(ids[row]).or_default() += 1;
            for text in [names.get(&ids[row]).copied().unwrap_or_default(), raw.value(row)] {
                hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
            }
        }
        let extreme = |pick: fn(usize, usize) -> usize| counts.values().copied().reduce(pick).unwrap_or_default();
        Ok(Self {
            digest: hasher.finalize().into(),
            counts: (extreme(usize::min), extreme(usize::max)),
            sentences,
            rows,
        })
    }

    fn frame(&self) -> Result<DataFrame> {
        frame(self.sentences, &self.rows)
    }
}

/// The references of every image of `images` but those held out, in published order.
pub(super) fn by_image<'a>(
    sentences: &'a RecordBatch,
    images: &BTreeSet<u32>,
    held_out: &BTreeSet<(u32, u32)>,
) -> Result<BTreeMap<u32, Vec<&'a str>>> {
    let ids = table::u32s(sentences, "image_id")?.values();
    let raw = table::strings(sentences, "raw")?;
    let mut references: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for row in rows_of(sentences, images, held_out)? {
        references.entry(ids[row]).or_default().push(raw.value(row));
    }
    Ok(references)
}

/// The rows of the sentences of some images that are not held out.
fn rows_of(sentences: &RecordBatch, images: &BTreeSet<u32>, held_out: &BTreeSet<(u32, u32)>) -> Result<Vec<usize>> {
    let ids = table::u32s(sentences, "image_id")?.values();
    let kept = |row: &usize| images.contains(&ids[*row]);
    if held_out.is_empty() {
        return Ok((0..ids.len()).filter(kept).collect());
    }
    let sent = table::u32s(sentences, "sent_id")?.values();
    Ok((0..ids.len()).filter(kept).filter(|&row| !held_out.contains(&(ids[row], sent[row]))).collect())
}

fn frame(sentences: &RecordBatch, rows: &[usize]) -> Result<DataFrame> {
    let ids = table::u32s(sentences, "image_id")?.values();
    let raw = table::strings(sentences, "raw")?;
    let pairs = rows.iter().map(|&row| (ids[row], raw.value(row)));
    let (ids, raws) = pairs.unzip();
    metric::references(ids, raws)
}

/// The reference sentences of some images, as the metrics want them.
pub(super) fn references(sentences: &RecordBatch, images: &BTreeSet<u32>) -> Result<DataFrame> {
    frame(sentences, &rows_of(sentences, images, &BTreeSet::new())?)
}

/// The sentences that are no references, as (image, sentence).
pub(super) fn held_out(table: &RecordBatch) -> Result<BTreeSet<(u32, u32)>> {
    let images = table::u32s(table, "image_id")?.values().iter().copied();
    Ok(images.zip(table::u32s(table, "sent_id")?.values().iter().copied()).collect())
}

fn of_split(entries: &RecordBatch, split: Split) -> Result<usize> {
    Ok(table::strings(entries, "split")?.iter().filter(|of| *of == Some(split.name())).count())
}

/// SPICE of each image, and the digest of the program; images whose captions hold no scene at all count 0, as the original
/// counts them.
fn spice_values(table: &RecordBatch) -> Result<(BTreeMap<u32, f64>, String)> {
    let ids = table::u32s(table, "image_id")?.values().iter().copied();
    let rows = ids.zip(table::strings(table, "part")?).zip(table::f64s(table, "f")?);
    let all = rows.filter(|((_, part), _)| *part == Some("All")).map(|((id, _), f)| (id, f.unwrap_or(0.0)));
    let program = table::strings(table, "program")?.iter().flatten().next().unwrap_or_default().to_owned();
    Ok((all.collect(), program))
}

fn candidate(captions: &RecordBatch) -> Result<DataFrame> {
    let texts = table::strings(captions, "caption")?.iter().map(Option::unwrap_or_default).collect();
    metric::captions(table::u32s(captions, "image_id")?.values().to_vec(), texts)
}
