//! Training of a mapper before a language model that is frozen or trained along.

mod batch;
mod resume;
mod trainer;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::adamw::{AdamWConfig, Warmup};
use super::gpt2::Gpt2;
use super::init::Rng;
use super::mapper::{Mapper, MapperConfig};
use crate::progress::{Checkpoint, Interrupted, Progress};

pub use batch::Example;
pub use trainer::{Outcome, Trainer};

/// The settings of a training run; the defaults are those of the paper where it has any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// How often every caption is seen.
    pub epochs: u32,
    /// Captions per step.
    pub batch_size: usize,
    /// The highest learning rate.
    pub lr: f64,
    /// How slowly the optimiser's means forget.
    pub betas: (f64, f64),
    /// Added to the root of the optimiser's second mean.
    pub eps: f64,
    /// The optimiser's weight decay.
    pub weight_decay: f64,
    /// How long the learning rate grows.
    pub warmup: Warmup,
    /// Decides first weights and order.
    pub seed: u64,
    /// Whether the captions that do not fill the last batch of an epoch are left out; if they are all there are, they stay.
    pub drop_last: bool,
    /// Whether the language model is trained along.
    pub finetune: bool,
    /// Computes the loss of the original: no target at the end of a caption, and none whose id is 0.
    pub compat_ignore_zero: bool,
    /// How likely a number inside the language model is dropped while it is trained along, from 0 to below 1; see [`Gpt2::hidden_dropped`].
    #[serde(skip_serializing_if = "is_zero")]
    pub dropout: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 12,
            lr: 2e-5,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.01,
            warmup: Warmup::Fraction(0.1),
            seed: 0,
            drop_last: false,
            finetune: false,
            compat_ignore_zero: false,
            dropout: 0.0,
        }
    }
}

impl TrainConfig {
    /// Fails if a setting makes no sense.
    pub fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0, "training needs at least one epoch");
        ensure!(self.batch_size > 0, "a batch needs at least one caption");
        ensure!(self.lr.is_finite() && self.lr >= 0.0, "the learning rate {} must be a number from 0 on", self.lr);
        let beta = |beta: f64| (0.0..1.0).contains(&beta);
        ensure!(beta(self.betas.0) && beta(self.betas.1), "betas {:?} must be from 0 to below 1", self.betas);
        ensure!(self.eps > 0.0 && self.weight_decay >= 0.0, "eps must be above 0 and weight_decay from 0 on");
        ensure!((0.0..1.0).contains(&self.dropout), "a dropout of {} must be from 0 to below 1", self.dropout);
        ensure!(
            self.finetune || self.dropout == 0.0,
            "a dropout of {} is for fine-tuning the language model: set finetune, or leave dropout out",
            self.dropout
        );
        if let Warmup::Fraction(share) = self.warmup {
            ensure!((0.0..=1.0).contains(&share), "a warm-up of the share {share} must be from 0 to 1");
        }
        Ok(())
    }

    pub(crate) fn optimiser(&self) -> AdamWConfig {
        AdamWConfig { betas: self.betas, eps: self.eps, weight_decay: self.weight_decay }
    }
}

/// What a mapper learns from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainData {
    /// The CLIP vectors of all images, one after the other.
    pub vectors: Vec<f32>,
    /// The length of one vector.
    pub dim: usize,
    /// For every caption to learn from: the row of its image's vector, and its token ids with the one that ends it.
    pub train: Vec<Example>,
    /// The same of the captions on which the best epoch is chosen; may be empty.
    pub val: Vec<Example>,
    /// A token that stands between prefix and caption and is never a target.
    pub bos: Option<u32>,
}

/// What one epoch brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// 1 for the first.
    pub epoch: u32,
    /// Steps so far.
    pub step: u64,
    /// The learning rate of the epoch's last step.
    pub lr: f64,
    /// Nats per target, over the epoch while weights changed.
    pub train_loss: f64,
    /// Nats per target on the validation captions after the epoch.
    pub val_loss: Option<f64>,
    /// Whether this is the best epoch so far.
    pub best: bool,
}

/// A finished training run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// One row per epoch.
    pub history: Vec<EpochRow>,
    /// A SafeTensors file of the best epoch; see [`read_weights`](super::checkpoint::read_weights).
    pub weights: Vec<u8>,
}

/// Trains a mapper and keeps the epoch of the lowest validation loss (the last one if there are no validation captions).
///
/// Saves its state after every epoch; a run that was stopped goes on from there to the same bytes. The language model's own weights change
/// only if the configuration says so. Fails with [`Interrupted`] at the next batch if the user asked to stop.
pub fn train(
    config: &TrainConfig,
    mapper: &MapperConfig,
    gpt2: &Gpt2,
    data: &TrainData,
    checkpoint: &mut dyn Checkpoint,
    progress: &dyn Progress,
) -> Result<Trained> {
    config.check()?;
    if data.train.is_empty() {
        bail!("there are no captions to train on");
    }
    let batches = batches_per_epoch(config, data.train.len());
    let mut trainer =
        Trainer::new(config, Mapper::init(mapper, config.seed)?, gpt2, data, batches * u64::from(config.epochs))?;
    trainer.check_lengths()?;
    let identity = resume::identity(config, mapper, gpt2, data)?;
    let mut run = resume::Run::default();
    if let Some(state) = checkpoint.load()? {
        run = resume::restore(&state, identity, &mut trainer)?.unwrap_or_default();
    }
    while run.history.len() < config.epochs as usize {
        let epoch = run.history.len() as u32 + 1;
        let row = run_epoch(config, epoch, batches, &mut trainer, run.best, progress)?;
        if row.best {
            run.best = row.val_loss;
            run.weights = trainer.save()?;
        }
        run.history.push(row);
        checkpoint.save(&resume::save(&run, identity, &trainer)?)?;
    }
    Ok(Trained { history: run.history, weights: run.weights })
}

fn batches_per_epoch(config: &TrainConfig, captions: usize) -> u64 {
    let whole = captions / config.batch_size;
    let rest = usize::from(!captions.is_multiple_of(config.batch_size) && (!config.drop_last || whole == 0));
    (whole + rest) as u64
}

/// The order of one epoch: it depends on seed and epoch alone.
fn order(seed: u64, epoch: u32, captions: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..captions).collect();
    Rng::new(seed, &format!("train.order.{epoch}")).shuffle(&mut order);
    order
}

fn run_epoch(
    config: &TrainConfig,
    epoch: u32,
    batches: u64,
    trainer: &mut Trainer,
    best: Option<f64>,
    progress: &dyn Progress,
) -> Result<EpochRow> {
    progress.begin(&format!("epoch {epoch}/{}", config.epochs), batches, "batches");
    let data = trainer.data();
    let (mut sum, mut targets, mut lr) = (0.0, 0_usize, 0.0);
    let order = order(config.seed, epoch, data.train.len());
    for batch in order.chunks(config.batch_size).take(batches as usize) {
        if progress.cancelled() {
            return Err(Interrupted.into());
        }
        let examples: Vec<&Example> = batch.iter().map(|&i| &data.train[i]).collect();
        let outcome = trainer.step(&examples)?;
        ensure!(
            outcome.loss.is_finite(),
            "the loss is {} at step {} of training: try a lower learning rate",
            outcome.loss,
            outcome.step
        );
        sum += outcome.loss * outcome.targets as f64;
        targets += outcome.targets;
        lr = outcome.lr;
        progress.note(&format!("loss {:.3}", sum / targets.max(1) as f64));
        progress.advance(1);
    }
    let val_loss = if data.val.is_empty() { None } else { Some(validate(config, trainer, progress)?) };
    let best = match (val_loss, best) {
        (Some(new), Some(old)) => new < old,
        _ => true,
    };
    Ok(EpochRow { epoch, step: trainer.steps(), lr, train_loss: sum / targets.max(1) as f64, val_loss, best })
}

/// The mean loss over all targets of the validation captions.
fn validate(config: &TrainConfig, trainer: &Trainer, progress: &dyn Progress) -> Result<f64> {
    let (mut sum, mut targets) = (0.0, 0);
    let examples: Vec<&Example> = trainer.data().val.iter().collect();
    for batch in examples.chunks(config.batch_size) {
        if progress.cancelled() {
            return Err(Interrupted.into());
        }
        let (loss, count) = trainer.evaluate(batch)?;
        sum += loss * count as f64;
        targets += count;
    }
    ensure!(targets > 0, "the validation captions have no token to predict");
    Ok(sum / targets as f64)
}

#[cfg(test)]
mod tests;
