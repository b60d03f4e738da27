//! `train`: vectors and tokens -> a mapper in front of GPT-2.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, UInt32Array};
use serde::{Deserialize, Serialize};

use super::per_image::rows_by_id;
use super::{Context, Inputs, Outcome};
use crate::language::{Language, Split};
use crate::model::adamw::Warmup;
use crate::model::gpt2::Gpt2;
use crate::model::mapper::{AmhtInit, MapperConfig, MapperKind};
use crate::model::tokenizer::CaptionTokenizer;
use crate::model::train::{self, EpochRow, TrainConfig, TrainData};
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// No sensible mapper has more rows, layers or heads; and no batch is larger than its square.
const LARGEST: usize = 1 << 12;

/// Reads `images`, `embeddings`, `tokens`, the language model `gpt2` and, where a scratch encoder learnt from another
/// dataset, that one's `encoder_images`; writes `history` and `weights`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Train {
    /// The language of the captions.
    pub language: Language,
    /// Whether GPT-2 is trained too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub finetune: bool,
    /// The mapper.
    pub mapper: MapperSettings,
    /// The training.
    pub train: Training,
}

/// `[mappers.NAME]`: the mapper's shape; its input and output widths follow from the models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapperSettings {
    /// `mlp`, `transformer` or `amht`.
    pub kind: MapperKind,
    /// k: how many GPT-2 input embeddings the prefix has.
    #[serde(default = "paper_prefix")]
    pub prefix_length: usize,
    /// m: how many rows the image vector becomes before the transformer (unused by mlp).
    #[serde(default = "paper_prefix")]
    pub clip_length: usize,
    /// L: transformer layers (unused by mlp).
    #[serde(default = "paper_depth")]
    pub layers: usize,
    /// H: attention heads; they must divide GPT-2's width (unused by mlp).
    #[serde(default = "paper_depth")]
    pub heads: usize,
    /// How amht's query matrices begin: `identity`, or `original` as in the paper's code.
    #[serde(default)]
    pub init: AmhtInit,
    /// Whether the image vector is scaled to length 1 first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub normalize: bool,
}

fn paper_prefix() -> usize {
    20
}

fn paper_depth() -> usize {
    16
}

impl MapperSettings {
    /// What types cannot say.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("prefix_length", self.prefix_length),
            ("clip_length", self.clip_length),
            ("layers", self.layers),
            ("heads", self.heads),
        ] {
            if value == 0 {
                return Err(format!("`{name}` must be at least 1"));
            }
            if value > LARGEST {
                return Err(format!("`{name}` must be at most {LARGEST}, not {value}"));
            }
        }
        Ok(())
    }
}

/// `[train]`: the optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// How often the train split is seen.
    pub epochs: u32,
    /// Captions per step. It is a parameter of the optimisation, so it is in the key.
    pub batch_size: usize,
    /// The highest learning rate.
    pub lr: f64,
    /// `AdamW`'s decay rates of the two moments.
    pub betas: (f64, f64),
    /// `AdamW`'s epsilon.
    pub eps: f64,
    /// `AdamW`'s decoupled weight decay.
    pub weight_decay: f64,
    /// Warm-up: a fraction of all steps below 1 (`0.1`), or a count of steps (`5000`).
    pub warmup: f64,
    /// Seed of initial weights and shuffles.
    pub seed: u64,
    /// Several seeds: one run each, and scores are their mean. Instead of `seed`; never in the key, each run has its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<u64>,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
    /// Share of activations that is dropped while GPT-2 is fine-tuned; frozen models have none.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// The original's loss: target id 0 is left out and no end-of-text is learnt.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compat_ignore_zero: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 12,
            lr: 2e-5,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.01,
            warmup: 0.1,
            seed: 1,
            seeds: Vec::new(),
            drop_last: true,
            dropout: 0.0,
            compat_ignore_zero: false,
        }
    }
}

impl Training {
    /// What types cannot say.
    pub fn check(&self) -> Result<(), String> {
        let fraction = |x: f64| (0.0..1.0).contains(&x);
        if self.epochs == 0 || self.batch_size == 0 {
            return Err("`epochs` and `batch_size` must be at least 1".to_owned());
        }
        let most = LARGEST * LARGEST;
        if self.batch_size > most {
            return Err(format!("`batch_size` must be at most {most}, not {}", self.batch_size));
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return Err(format!("`lr` must be a positive number, not {}", self.lr));
        }
        if !(fraction(self.betas.0) && fraction(self.betas.1)) {
            return Err(format!("`betas` must lie in [0, 1), not {:?}", self.betas));
        }
        if !(self.eps.is_finite() && self.eps > 0.0) {
            return Err(format!("`eps` must be a positive number, not {}", self.eps));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(format!("`weight_decay` must be a number from 0 on, not {}", self.weight_decay));
        }
        if !fraction(self.dropout) {
            return Err(format!("`dropout` must lie in [0, 1), not {}", self.dropout));
        }
        if !(self.warmup.is_finite() && self.warmup >= 0.0 && (self.warmup < 1.0 || self.warmup.fract() == 0.0)) {
            return Err(format!("`warmup` must be a fraction of all steps or a count, not {}", self.warmup));
        }
        if let Some((k, seed)) = self.seeds.iter().enumerate().find(|(k, seed)| self.seeds[..*k].contains(seed)) {
            return Err(format!("`seeds` must differ: number {} repeats {seed}", k + 1));
        }
        Ok(())
    }
}

impl Train {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        if inputs.has("encoder_images") {
            no_leak(&inputs.table("images")?, &inputs.table("encoder_images")?)?;
        }
        let bundle = inputs.bundle("gpt2")?;
        let gpt2 = Gpt2::load(&bundle)?;
        let tokenizer = CaptionTokenizer::load(&bundle, self.language)?;
        let data = training_data(
            &inputs.table("images")?,
            &inputs.table("embeddings")?,
            &inputs.table("tokens")?,
            tokenizer.bos(),
        )?;
        let mapper = MapperConfig {
            kind: self.mapper.kind,
            clip_dim: data.dim,
            prefix_length: self.mapper.prefix_length,
            clip_length: self.mapper.clip_length,
            width: gpt2.width(),
            layers: self.mapper.layers,
            heads: self.mapper.heads,
            init: self.mapper.init,
            normalize: self.mapper.normalize,
        };
        let config = self.config();
        let trained = train::train(&config, &mapper, &gpt2, &data, context.checkpoint, context.progress)?;
        let mut outcome = Outcome::default();
        if let Some(best) = trained.history.iter().rfind(|row| row.best) {
            outcome.log.push(format!("best epoch {} of {}", best.epoch, trained.history.len()));
        }
        outcome.table("history", history(&trained.history)?);
        outcome.bytes("weights", trained.weights, "safetensors");
        Ok(outcome)
    }

    fn config(&self) -> TrainConfig {
        let t = &self.train;
        TrainConfig {
            epochs: t.epochs,
            batch_size: t.batch_size,
            lr: t.lr,
            betas: t.betas,
            eps: t.eps,
            weight_decay: t.weight_decay,
            warmup: if t.warmup < 1.0 { Warmup::Fraction(t.warmup) } else { Warmup::Steps(t.warmup as u32) },
            seed: t.seed,
            drop_last: t.drop_last,
            finetune: self.finetune,
            dropout: t.dropout,
            compat_ignore_zero: t.compat_ignore_zero,
        }
    }
}

/// Fails if the image encoder was trained on an image that this dataset tests or validates on.
pub(super) fn no_leak(images: &RecordBatch, encoder_images: &RecordBatch) -> Result<()> {
    let digests = |images: &RecordBatch, train: bool| -> Result<BTreeSet<String>> {
        let rows = table::strings(images, "split")?.iter().zip(table::strings(images, "digest")?);
        let rows = rows.filter(|(split, _)| (*split == Some(Split::Train.name())) == train);
        Ok(rows.filter_map(|(_, digest)| digest.map(str::to_owned)).collect())
    };
    // Pictures that stand in both parts of the other dataset are its own affair; lint reports them there.
    let (seen, held_out_there) = (digests(encoder_images, true)?, digests(encoder_images, false)?);
    let held_out = digests(images, false)?;
    let leaks = held_out.iter().filter(|digest| seen.contains(*digest) && !held_out_there.contains(*digest)).count();
    if leaks > 0 {
        bail!(
            "{leaks} held-out images of this dataset are in the train split of the one named by `images_of`, so the \
             scratch encoder has learnt from them: remove `images_of` to train one of its own"
        );
    }
    Ok(())
}

fn training_data(
    images: &RecordBatch,
    embeddings: &RecordBatch,
    tokens: &RecordBatch,
    bos: Option<u32>,
) -> Result<TrainData> {
    let rows = rows_by_id(images, embeddings, "embedding")?;
    let splits: BTreeMap<u32, &str> = table::u32s(images, "image_id")?
        .values()
        .iter()
        .copied()
        .zip(table::strings(images, "split")?.iter().map(Option::unwrap_or_default))
        .collect();
    let (values, dim) = table::vectors(embeddings, "vector")?;
    let mut data = TrainData { vectors: values.to_vec(), dim, train: Vec::new(), val: Vec::new(), bos };
    for (owner, ids) in table::u32s(tokens, "image_id")?.values().iter().zip(table::u32_lists(tokens, "ids")?) {
        let row = *rows.get(owner).with_context(|| format!("sentence of image {owner}, which is not in `images`"))?;
        match splits.get(owner) {
            Some(&name) if name == Split::Train.name() => data.train.push((row, ids)),
            Some(&name) if name == Split::Val.name() => data.val.push((row, ids)),
            _ => {}
        }
    }
    if data.train.is_empty() {
        return Err(anyhow!("the train split has no captions"));
    }
    Ok(data)
}

fn history(epochs: &[EpochRow]) -> Result<RecordBatch> {
    let ints = |f: fn(&EpochRow) -> u32| -> ArrayRef { Arc::new(UInt32Array::from_iter_values(epochs.iter().map(f))) };
    let reals =
        |f: fn(&EpochRow) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(epochs.iter().map(f))) };
    // The trainer marks every epoch that was the best so far; the last of them is the one whose weights are kept.
    let kept = epochs.iter().rposition(|row| row.best);
    table::make(
        table::history(),
        vec![
            ints(|row| row.epoch),
            ints(|row| row.step as u32),
            reals(|row| row.lr),
            reals(|row| row.train_loss),
            Arc::new(epochs.iter().map(|row| row.val_loss).collect::<Float64Array>()),
            Arc::new((0..epochs.len()).map(|row| Some(Some(row) == kept)).collect::<BooleanArray>()),
        ],
    )
}
