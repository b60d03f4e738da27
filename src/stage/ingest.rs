//! `ingest`: an annotation file and its images -> `images`, `sentences`, `lint`, `edition`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use serde::{Deserialize, Serialize};

use super::{Context, Inputs, Outcome};
use crate::dataset::{self, Annotations, Finding, FindingKind};
use crate::digest::Digest;
use crate::language::Language;
use crate::picture;
use crate::progress::Interrupted;
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// How many image files are read between two looks at the progress.
const BATCH: usize = 128;

/// Reads the annotation file and every image it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// The language whose captions are read.
    pub language: Language,
}

/// What the stage keeps of an image file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Facts {
    /// Digest of the file's bytes.
    file: Digest,
    /// Pixel digest, width and height; or why the file is not a picture.
    picture: Result<(Digest, u32, u32), String>,
}

impl Ingest {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let path = inputs.path("annotations")?;
        let json = inputs.bytes("annotations")?;
        let mut annotations = dataset::read(&json, &path.display().to_string(), self.language)?;
        let facts = look_at_images(inputs.path("images")?, &annotations, context)?;
        let digests: Vec<Digest> = facts.iter().map(|(_, digest, ..)| *digest).collect();
        annotations.findings.extend(dataset::lint::pixel_identical(&annotations.images, &digests));
        let mut outcome = Outcome::default();
        outcome.log.push(format!(
            "edition {}: {} images, {} sentences, {} findings",
            annotations.edition,
            annotations.images.len(),
            annotations.sentences.len(),
            annotations.findings.len()
        ));
        outcome.table("images", images_table(&annotations, &facts)?);
        outcome.table("sentences", sentences_table(&annotations)?);
        outcome.table("lint", lint_table(&annotations.findings)?);
        outcome.table("edition", edition_table(&annotations)?);
        Ok(outcome)
    }
}

/// File digest, pixel digest, width and height of one image.
type ImageFacts = (Digest, Digest, u32, u32);

fn look_at_images(folder: &Path, annotations: &Annotations, context: &Context<'_>) -> Result<Vec<ImageFacts>> {
    let paths: Vec<PathBuf> = annotations.images.iter().map(|image| folder.join(&image.filename)).collect();
    let missing: Vec<&PathBuf> = paths.iter().filter(|path| !path.is_file()).collect();
    if !missing.is_empty() {
        let few: Vec<String> = missing.iter().take(5).map(|path| path.display().to_string()).collect();
        let more = if missing.len() > few.len() { ", ..." } else { "" };
        let count = (missing.len(), paths.len());
        bail!("{} of {} images that the annotation file names are missing: {}{more}", count.0, count.1, few.join(", "));
    }
    context.progress.begin("images", paths.len() as u64, "images");
    let mut all = Vec::with_capacity(paths.len());
    let mut broken = Vec::new();
    for chunk in paths.chunks(BATCH) {
        if context.progress.cancelled() {
            return Err(Interrupted.into());
        }
        let looked =
            context.facts.remember_all(chunk, &format!("picture {}", picture::VERSION), |bytes: &[u8]| Facts {
                file: Digest::of(bytes),
                picture: picture::decode(bytes)
                    .map(|picture| (picture.digest(), picture.width, picture.height))
                    .map_err(|error| error.to_string()),
            });
        for (path, facts) in chunk.iter().zip(looked) {
            let facts: Facts = facts?;
            match facts.picture {
                Ok((pixels, width, height)) => all.push((facts.file, pixels, width, height)),
                Err(why) => broken.push(format!("{}: {why}", path.display())),
            }
        }
        context.progress.advance(chunk.len() as u64);
    }
    if !broken.is_empty() {
        let few: Vec<&str> = broken.iter().take(5).map(String::as_str).collect();
        let more =
            if broken.len() > few.len() { format!(" and {} more", broken.len() - few.len()) } else { String::new() };
        bail!("{} of {} images cannot be read: {}{more}", broken.len(), paths.len(), few.join("; "));
    }
    Ok(all)
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn numbers(values: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(values))
}

fn images_table(annotations: &Annotations, facts: &[ImageFacts]) -> Result<RecordBatch> {
    let images = &annotations.images;
    let classes: StringArray = images.iter().map(|image| image.class.as_deref()).collect();
    let hex = |f: fn(&ImageFacts) -> Digest| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(facts.iter().map(|one| f(one).to_hex())))
    };
    table::make(
        table::images(),
        vec![
            numbers(images.iter().map(|image| image.image_id)),
            texts(images.iter().map(|image| image.filename.as_str())),
            texts(images.iter().map(|image| image.split.name())),
            Arc::new(classes),
            hex(|one| one.1),
            hex(|one| one.0),
            numbers(facts.iter().map(|one| one.2)),
            numbers(facts.iter().map(|one| one.3)),
        ],
    )
}

fn sentences_table(annotations: &Annotations) -> Result<RecordBatch> {
    let sentences = &annotations.sentences;
    let language = annotations.language.code();
    table::make(
        table::sentences(),
        vec![
            numbers(sentences.iter().map(|sentence| sentence.image_id)),
            numbers(sentences.iter().map(|sentence| sentence.sent_id)),
            texts(sentences.iter().map(|_| language)),
            texts(sentences.iter().map(|sentence| sentence.raw.as_str())),
        ],
    )
}

fn lint_table(findings: &[Finding]) -> Result<RecordBatch> {
    let optional =
        |f: fn(&Finding) -> Option<u32>| -> ArrayRef { Arc::new(findings.iter().map(f).collect::<UInt32Array>()) };
    let kinds = findings.iter().map(|finding| FindingKind::name(finding.kind));
    table::make(
        table::lint(),
        vec![
            texts(kinds),
            optional(|finding| finding.image_id),
            optional(|finding| finding.sent_id),
            texts(findings.iter().map(|finding| finding.detail.as_str())),
        ],
    )
}

fn edition_table(annotations: &Annotations) -> Result<RecordBatch> {
    let text = |value: String| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    table::make(
        table::edition(),
        vec![
            text(annotations.edition.clone()),
            text(annotations.language.code().to_owned()),
            text(annotations.split_digest.to_hex()),
            text(annotations.captions_digest.to_hex()),
            numbers(std::iter::once(annotations.images.len() as u32)),
            numbers(std::iter::once(annotations.sentences.len() as u32)),
        ],
    )
}
