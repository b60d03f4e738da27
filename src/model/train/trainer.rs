//! One step at a time.

use anyhow::{Result, bail, ensure};
use candle_core::Tensor;
use candle_core::backprop::GradStore;

use super::batch::{Batch, counted};
use super::{Example, TrainConfig, TrainData};
use crate::model::adamw::{AdamW, Clip};
use crate::model::checkpoint::{named, save_weights};
use crate::model::gpt2::Gpt2;
use crate::model::mapper::Mapper;
use crate::model::ops::{Dropout, assemble, backward};

/// A mapper on its way.
pub struct Trainer<'a> {
    config: &'a TrainConfig,
    mapper: Mapper,
    gpt2: &'a Gpt2,
    data: &'a TrainData,
    optimiser: AdamW,
    total: u64,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The 0-based number of the step.
    pub step: u64,
    /// Its learning rate.
    pub lr: f64,
    /// The mean loss of its targets before the step, in nats.
    pub loss: f64,
    /// How many targets there were.
    pub targets: usize,
}

impl<'a> Trainer<'a> {
    /// Starts at step 0 of `total`.
    pub fn new(
        config: &'a TrainConfig,
        mapper: Mapper,
        gpt2: &'a Gpt2,
        data: &'a TrainData,
        total: u64,
    ) -> Result<Self> {
        let made = mapper.config();
        ensure!(
            made.width == gpt2.width(),
            "the mapper makes rows of {}, the language model reads {}",
            made.width,
            gpt2.width()
        );
        ensure!(made.clip_dim == data.dim, "the mapper reads vectors of {}, the data have {}", made.clip_dim, data.dim);
        let optimiser = AdamW::new(named(&mapper, config.finetune.then_some(gpt2)), config.optimiser());
        Ok(Self { config, mapper, gpt2, data, optimiser, total })
    }

    /// The data it learns from.
    pub fn data(&self) -> &'a TrainData {
        self.data
    }

    /// Steps made so far.
    pub fn steps(&self) -> u64 {
        self.optimiser.steps()
    }

    /// The mapper as it is now.
    pub fn mapper(&self) -> &Mapper {
        &self.mapper
    }

    /// Fails if a caption does not fit into the language model, names an unknown token, or has nothing to predict.
    pub(super) fn check_lengths(&self) -> Result<()> {
        let before = self.mapper.config().prefix_length + usize::from(self.data.bos.is_some());
        for (_, ids) in self.data.train.iter().chain(&self.data.val) {
            let needed = before + counted(ids, self.config.compat_ignore_zero).len().saturating_sub(1);
            if needed > self.gpt2.max_positions() {
                bail!(
                    "a caption of {} tokens after {before} rows needs {needed} positions, the language model has {}: use a shorter prefix",
                    ids.len(),
                    self.gpt2.max_positions()
                );
            }
            if let Some(id) = ids.iter().chain(&self.data.bos).find(|&&id| id as usize >= self.gpt2.vocab()) {
                bail!(
                    "token {id} is not among the {} of the language model: is this its tokenizer?",
                    self.gpt2.vocab()
                );
            }
        }
        Ok(())
    }

    /// The loss of a batch (a scalar tensor, nats per target) and its number of targets.
    fn loss(&self, examples: &[&Example], learning: bool) -> Result<(Tensor, usize)> {
        let prefix = self.mapper.config().prefix_length;
        let trainable = learning && self.config.finetune;
        let batch = Batch::new(self.data, examples, prefix, self.config.compat_ignore_zero)?;
        ensure!(!batch.targets.is_empty(), "a batch of captions without any token to predict");
        let prefixes = if learning { self.mapper.forward(&batch.clip)? } else { self.mapper.prefixes(&batch.clip)? };
        let text = self.gpt2.embed_tokens(&batch.text, trainable)?;
        let TrainConfig { dropout: p, seed, .. } = *self.config;
        let dropout = (trainable && p > 0.0).then(|| Dropout { p, seed, step: self.steps() });
        let rows = assemble(&prefixes, &text, &batch.which)?;
        let hidden = self.gpt2.hidden_dropped(&rows, trainable, dropout)?;
        let loss = self.gpt2.loss(&hidden, &batch.positions, &batch.targets, trainable)?;
        Ok((loss, batch.targets.len()))
    }

    /// The loss of a batch, its number of targets, and the gradients of everything that is trained.
    pub fn gradients(&self, examples: &[&Example]) -> Result<(f64, usize, GradStore)> {
        let (loss, targets) = self.loss(examples, true)?;
        Ok((f64::from(loss.to_scalar::<f32>()?), targets, backward(&loss)?))
    }

    /// The root of the sum of the squares of these gradients.
    pub fn norm(&self, grads: &GradStore) -> Result<f64> {
        self.optimiser.norm(grads)
    }

    /// Changes the weights by gradients, with the learning rate that is due; returns it.
    pub fn apply(&mut self, grads: &GradStore) -> Result<f64> {
        let lr = self.config.lr * self.config.warmup.factor(self.steps(), self.total);
        self.optimiser.step(grads, lr, Clip::None)?;
        Ok(lr)
    }

    /// Learns from one batch.
    pub fn step(&mut self, examples: &[&Example]) -> Result<Outcome> {
        let step = self.steps();
        let (loss, targets, grads) = self.gradients(examples)?;
        Ok(Outcome { step, lr: self.apply(&grads)?, loss, targets })
    }

    /// The loss of a batch and its number of targets, without learning from it.
    pub fn evaluate(&self, examples: &[&Example]) -> Result<(f64, usize)> {
        let (loss, targets) = self.loss(examples, false)?;
        Ok((f64::from(loss.to_scalar::<f32>()?), targets))
    }

    /// The language model, if it is trained.
    fn trained_gpt2(&self) -> Option<&Gpt2> {
        self.config.finetune.then_some(self.gpt2)
    }

    /// All weights that are trained, as a SafeTensors file.
    pub fn save(&self) -> Result<Vec<u8>> {
        save_weights(&self.mapper, self.trained_gpt2())
    }

    /// The optimiser's state.
    pub(super) fn save_optimiser(&self) -> Result<Vec<u8>> {
        self.optimiser.save()
    }

    /// Takes weights and optimiser from an earlier run.
    pub(super) fn restore(&mut self, weights: &[u8], optimiser: &[u8]) -> Result<()> {
        let weights = crate::model::weights::parse(weights)?;
        for (name, var) in named(&self.mapper, self.trained_gpt2()) {
            match weights.get(&name) {
                Some(tensor) => var.set(tensor)?,
                None => bail!("the saved state has no tensor `{name}`"),
            }
        }
        self.optimiser.restore(optimiser)
    }
}
