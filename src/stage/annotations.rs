//! `annotations`: an annotation file -> `entries`, `sentences`, `edition`, `lint`; no image is looked at.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use serde::{Deserialize, Serialize};

use super::{Context, Inputs, Outcome};
use crate::dataset::{self, Annotations, Finding, FindingKind};
use crate::language::Language;
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads the file `annotations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadAnnotations {
    /// The language whose captions are read.
    pub language: Language,
}

impl ReadAnnotations {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, _: &mut Context<'_>) -> Result<Outcome> {
        let path = inputs.path("annotations")?;
        let json = inputs.bytes("annotations")?;
        let annotations = dataset::read(&json, &path.display().to_string(), self.language)?;
        let mut outcome = Outcome::default();
        outcome.log.push(format!(
            "edition {}: {} images, {} sentences, {} findings",
            annotations.edition,
            annotations.images.len(),
            annotations.sentences.len(),
            annotations.findings.len()
        ));
        outcome.table("entries", entries_table(&annotations)?);
        outcome.table("sentences", sentences_table(&annotations)?);
        outcome.table("lint", lint_table(&annotations.findings)?);
        outcome.table("edition", edition_table(&annotations)?);
        Ok(outcome)
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn numbers(values: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(values))
}

fn entries_table(annotations: &Annotations) -> Result<RecordBatch> {
    let images = &annotations.images;
    let classes: StringArray = images.iter().map(|image| image.class.as_deref()).collect();
    table::make(
        table::entries(),
        vec![
            numbers(images.iter().map(|image| image.image_id)),
            texts(images.iter().map(|image| image.filename.as_str())),
            texts(images.iter().map(|image| image.split.name())),
            Arc::new(classes),
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

/// The findings as a table.
pub(super) fn lint_table(findings: &[Finding]) -> Result<RecordBatch> {
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
