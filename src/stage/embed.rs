//! `embed`: every distinct image -> one projected, un-normalised CLIP vector.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arrow::array::{RecordBatch, StringArray};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Context, Inputs, Outcome};
use crate::model::clip::ImageEncoder;
use crate::picture::{self, Picture};
use crate::progress::{Checkpoint, Interrupted};
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// How many images are decoded and embedded together, at most. A row's bits do not depend on it.
const BATCH: usize = 32;

/// How many pixels are decoded together, at most, unless one image has more.
const BATCH_PIXELS: u64 = 100_000_000;

/// After how many images the rows so far are saved.
const SAVE_EVERY: usize = 256;

/// Reads `images`, the image files and the image encoder `clip`; writes `embeddings`, one row per distinct image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Embed {
    /// Scale each vector to length 1.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unit_length: bool,
}

impl Embed {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let encoder = ImageEncoder::load(&inputs.bundle("clip")?)?;
        let dim = encoder.dim();
        let wanted = distinct(&images)?;
        let mut known = match &context.previous {
            Some(table) => rows_of(table, dim)?,
            None => BTreeMap::new(),
        };
        let reused = wanted.iter().filter(|image| known.contains_key(&image.digest)).count();
        known.extend(load(context.checkpoint, dim)?);
        let folder = inputs.path("files")?;
        let missing: Vec<&Wanted> = wanted.iter().filter(|image| !known.contains_key(&image.digest)).collect();
        context.progress.begin("images", missing.len() as u64, "images");
        let mut unsaved = 0;
        for batch in batches(&missing) {
            if context.progress.cancelled() {
                save(context.checkpoint, &known, dim)?;
                return Err(Interrupted.into());
            }
            let pictures: Vec<Picture> = batch
                .par_iter()
                .map(|image| open(&folder.join(&image.filename), &image.digest))
                .collect::<Result<_>>()?;
            let mut vectors = encoder.embed(&pictures)?;
            if let Some(at) = vectors.iter().position(|value| !value.is_finite()) {
                let name = &batch[at / dim].filename;
                bail!(
                    "the image encoder gives no numbers for {name}: its weights are damaged or were never trained well"
                );
            }
            if self.unit_length {
                for vector in vectors.chunks_mut(dim) {
                    to_unit_length(vector);
                }
            }
            for (image, vector) in batch.iter().zip(vectors.chunks(dim)) {
                known.insert(image.digest.clone(), vector.to_vec());
            }
            unsaved += batch.len();
            if unsaved >= SAVE_EVERY {
                save(context.checkpoint, &known, dim)?;
                unsaved = 0;
            }
            context.progress.advance(batch.len() as u64);
        }
        let mut outcome = Outcome::default();
        outcome.log.push(format!(
            "{} distinct images: {} embedded, {reused} reused",
            wanted.len(),
            wanted.len() - reused
        ));
        outcome.table("embeddings", embeddings(wanted.iter().map(|image| image.digest.as_str()), &known, dim)?);
        Ok(outcome)
    }
}

/// A distinct image.
struct Wanted {
    digest: String,
    /// The first file that shows it.
    filename: String,
    pixels: u64,
}

/// The distinct images, in the order of the table.
fn distinct(images: &RecordBatch) -> Result<Vec<Wanted>> {
    let mut seen = BTreeSet::new();
    let names = table::strings(images, "filename")?;
    let sizes = table::u32s(images, "width")?.values().iter().zip(table::u32s(images, "height")?.values());
    let rows = table::strings(images, "digest")?.iter().zip(names).zip(sizes);
    Ok(rows
        .map(|((digest, name), (width, height))| Wanted {
            digest: digest.unwrap_or_default().to_owned(),
            filename: name.unwrap_or_default().to_owned(),
            pixels: u64::from(*width) * u64::from(*height),
        })
        .filter(|image| seen.insert(image.digest.clone()))
        .collect())
}

/// Cuts the images into batches that fit into memory.
fn batches<'a>(images: &[&'a Wanted]) -> Vec<Vec<&'a Wanted>> {
    let mut batches: Vec<Vec<&Wanted>> = Vec::new();
    let mut pixels = 0;
    for image in images {
        pixels += image.pixels;
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && pixels <= BATCH_PIXELS => batch.push(image),
            _ => {
                pixels = image.pixels;
                batches.push(vec![image]);
            }
        }
    }
    batches
}

/// Decodes a picture and makes sure that it is still the one that was ingested.
fn open(path: &Path, digest: &str) -> Result<Picture> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let picture = picture::decode(&bytes).with_context(|| format!("cannot decode {}", path.display()))?;
    if picture.digest().to_hex() != digest {
        bail!("{} has changed since it was ingested; run the build again", path.display());
    }
    Ok(picture)
}

fn to_unit_length(vector: &mut [f32]) {
    let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().max(1e-12);
    for x in vector {
        *x = (f64::from(*x) / norm) as f32;
    }
}

fn rows_of(embeddings: &RecordBatch, dim: usize) -> Result<BTreeMap<String, Vec<f32>>> {
    let (values, width) = table::vectors(embeddings, "vector")?;
    if width != dim {
        return Ok(BTreeMap::new());
    }
    let digests = table::strings(embeddings, "digest")?.iter().map(|digest| digest.unwrap_or_default().to_owned());
    Ok(digests.zip(values.chunks(dim).map(<[f32]>::to_vec)).collect())
}

fn embeddings<'a>(
    digests: impl Iterator<Item = &'a str>,
    known: &BTreeMap<String, Vec<f32>>,
    dim: usize,
) -> Result<RecordBatch> {
    let digests: Vec<&str> = digests.collect();
    let mut values = Vec::with_capacity(digests.len() * dim);
    for digest in &digests {
        values.extend_from_slice(&known[*digest]);
    }
    table::make(table::embeddings(dim), vec![Arc::new(StringArray::from(digests)), table::vector_array(values, dim)?])
}

/// The rows so far travel through the checkpoint as a table of their own.
fn save(checkpoint: &mut dyn Checkpoint, known: &BTreeMap<String, Vec<f32>>, dim: usize) -> Result<()> {
    checkpoint.save(&table::write(&embeddings(known.keys().map(String::as_str), known, dim)?, &[])?)
}

fn load(checkpoint: &mut dyn Checkpoint, dim: usize) -> Result<BTreeMap<String, Vec<f32>>> {
    match checkpoint.load()? {
        Some(bytes) => rows_of(&table::read(bytes)?, dim),
        None => Ok(BTreeMap::new()),
    }
}
