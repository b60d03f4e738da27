//! `ingest`: the images of an annotation file -> `images`, with a digest of the pixels of each.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use serde::{Deserialize, Serialize};

use super::annotations::lint_table;
use super::{Context, Inputs, Outcome};
use crate::dataset::{self, ImageRecord};
use crate::digest::Digest;
use crate::language::Split;
use crate::picture;
use crate::progress::Interrupted;
use crate::table;

/// History: 1, the first; 2, annotation files are read by a stage of their own.
pub const VERSION: u32 = 2;

/// How many image files are read between two looks at the progress.
const BATCH: usize = 128;

/// Reads every image that `entries` names; writes `images` and `lint`, the findings about pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {}

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
        let entries = inputs.table("entries")?;
        let facts = look_at_images(inputs, &entries, context)?;
        let digests: Vec<Digest> = facts.iter().map(|(_, digest, ..)| *digest).collect();
        let findings = dataset::lint::pixel_identical(&records(&entries)?, &digests);
        let mut outcome = Outcome::default();
        outcome.log.push(format!("{} images, {} with the pixels of another", facts.len(), findings.len()));
        outcome.table("images", images_table(&entries, &facts)?);
        outcome.table("lint", lint_table(&findings)?);
        Ok(outcome)
    }
}

/// File digest, pixel digest, width and height of one image.
type ImageFacts = (Digest, Digest, u32, u32);

fn look_at_images(inputs: &Inputs, entries: &RecordBatch, context: &Context<'_>) -> Result<Vec<ImageFacts>> {
    let (folder, expected) = (inputs.path("images")?, inputs.expected("images")?);
    let names = table::strings(entries, "filename")?;
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name.unwrap_or_default())).collect();
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
            expected.check(path, || Ok(facts.file))?;
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

/// The rows of `entries`, without classes.
fn records(entries: &RecordBatch) -> Result<Vec<ImageRecord>> {
    let ids = table::u32s(entries, "image_id")?;
    let (names, splits) = (table::strings(entries, "filename")?, table::strings(entries, "split")?);
    let record = |row: usize| {
        let split = splits.value(row).parse::<Split>().ok();
        Ok(ImageRecord {
            image_id: ids.value(row),
            filename: names.value(row).to_owned(),
            split: split.with_context(|| format!("unknown split `{}`", splits.value(row)))?,
            class: None,
        })
    };
    (0..entries.num_rows()).map(record).collect()
}

fn images_table(entries: &RecordBatch, facts: &[ImageFacts]) -> Result<RecordBatch> {
    let hex = |f: fn(&ImageFacts) -> Digest| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(facts.iter().map(|one| f(one).to_hex())))
    };
    let numbers =
        |f: fn(&ImageFacts) -> u32| -> ArrayRef { Arc::new(UInt32Array::from_iter_values(facts.iter().map(f))) };
    let mut columns = entries.columns().to_vec();
    columns.extend([hex(|one| one.1), hex(|one| one.0), numbers(|one| one.2), numbers(|one| one.3)]);
    table::make(table::images(), columns)
}
