//! `pretrain`: the train split of the data at hand -> a scratch model in Hugging Face layout.
//!
//! A machine without downloaded weights runs the whole pipeline on these models. They never see the test split.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, UInt32Array};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::per_image::open as open_picture;
use super::{Context, Inputs, Outcome};
use crate::language::{Language, Split};
use crate::model::scratch::{self, EpochLoss, Pretrained, ScratchClipConfig, ScratchGpt2Config};
use crate::picture::{self, CropRule, Picture};
use crate::table;

/// History: 1, the first.
pub const CLIP_VERSION: u32 = 1;
/// History: 1, the first.
pub const GPT2_VERSION: u32 = 1;

/// Reads `images`, `sentences` and the image files; writes `history`, `config.json` and `model.safetensors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainClip {
    /// The language of the captions.
    pub language: Language,
    /// Sizes and training.
    pub clip: ScratchClipConfig,
}

/// Reads `images` and `sentences`; writes `history`, `config.json`, `model.safetensors` and the tokenizer's files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainGpt2 {
    /// The language of the captions.
    pub language: Language,
    /// Sizes and training.
    pub gpt2: ScratchGpt2Config,
}

impl PretrainClip {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let sentences = inputs.table("sentences")?;
        let folder = inputs.path("files")?;
        let (names, digests) = (table::strings(&images, "filename")?, table::strings(&images, "digest")?);
        let open = |split| -> Result<(Vec<Picture>, Vec<Vec<String>>)> {
            let (rows, captions) = split_of(&images, &sentences, split)?;
            let pictures = rows.par_iter().map(|&row| {
                let picture = open_picture(&folder.join(names.value(row)), digests.value(row))?;
                // The size at which they are learned from; many whole pictures would not fit into memory.
                Ok(picture::square(&picture, self.clip.image_size as u32, CropRule::Floor))
            });
            Ok((pictures.collect::<Result<_>>()?, captions))
        };
        let (pictures, captions) = open(Split::Train)?;
        let (val_pictures, val_captions) = open(Split::Val)?;
        let train = scratch::PairData { images: &pictures, captions: &captions };
        let val = scratch::PairData { images: &val_pictures, captions: &val_captions };
        let made = scratch::pretrain_clip(&self.clip, train, val, self.language, context.checkpoint, context.progress)?;
        outcome(made)
    }
}

impl PretrainGpt2 {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let sentences = inputs.table("sentences")?;
        let (_, train) = split_of(&images, &sentences, Split::Train)?;
        let (_, val) = split_of(&images, &sentences, Split::Val)?;
        let made =
            scratch::pretrain_gpt2(&self.gpt2, &train, &val, self.language, context.checkpoint, context.progress)?;
        outcome(made)
    }
}

/// The row and the captions of every image of a split.
type Described = (Vec<usize>, Vec<Vec<String>>);

fn split_of(images: &RecordBatch, sentences: &RecordBatch, split: Split) -> Result<Described> {
    let mut captions: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for (owner, raw) in table::u32s(sentences, "image_id")?.values().iter().zip(table::strings(sentences, "raw")?) {
        captions.entry(*owner).or_default().push(raw.unwrap_or_default().to_owned());
    }
    let ids = table::u32s(images, "image_id")?.values();
    let mut described: Described = (Vec::new(), Vec::new());
    for (row, of_image) in table::strings(images, "split")?.iter().enumerate() {
        if of_image == Some(split.name()) {
            described.0.push(row);
            described.1.push(captions.remove(&ids[row]).unwrap_or_default());
        }
    }
    if described.0.is_empty() && split == Split::Train {
        bail!("the train split is empty: nothing to train a scratch model on");
    }
    Ok(described)
}

fn outcome(made: Pretrained) -> Result<Outcome> {
    let diverged = made.history.iter().find(|row| !row.train_loss.is_finite());
    if let Some(row) = diverged {
        bail!(
            "the loss is {} in epoch {}: try a lower `lr` under [scratch] in pipeline.toml",
            row.train_loss,
            row.epoch
        );
    }
    let mut outcome = Outcome::default();
    outcome.table("history", history(&made.history)?);
    for (name, content) in made.bundle.files {
        let json = std::path::Path::new(&name).extension().is_some_and(|extension| extension == "json");
        let extension = if json { "json" } else { "safetensors" };
        outcome.bytes(&name, content.read()?.into(), extension);
    }
    Ok(outcome)
}

fn history(epochs: &[EpochLoss]) -> Result<RecordBatch> {
    let ints = |f: fn(&EpochLoss) -> u32| -> ArrayRef { Arc::new(UInt32Array::from_iter_values(epochs.iter().map(f))) };
    let reals =
        |f: fn(&EpochLoss) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(epochs.iter().map(f))) };
    let last = epochs.len().saturating_sub(1);
    table::make(
        table::history(),
        vec![
            ints(|row| row.epoch),
            ints(|row| row.step),
            reals(|row| row.lr),
            reals(|row| row.train_loss),
            Arc::new(epochs.iter().map(|row| row.val_loss).collect::<Float64Array>()),
            Arc::new((0..epochs.len()).map(|row| Some(row == last)).collect::<BooleanArray>()),
        ],
    )
}
