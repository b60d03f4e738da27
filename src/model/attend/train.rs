//! Training of the decoder, and of an encoder along with it.

use std::cmp::Ordering;

use anyhow::{Result, bail, ensure};
use candle_core::Var;
use serde::{Deserialize, Serialize};

use super::batch::Caption;
use super::features::{Encoder, MapSource};
use super::settings::{AttendTraining, Selection};
use super::{AttendConfig, Decoder};
use crate::digest::Digest;
use crate::model::adamw::{AdamW, AdamWConfig, Clip};
use crate::model::init::Rng;
use crate::model::ops::{Dropout, backward};
use crate::model::saved::{pack, unpack};
use crate::progress::{Checkpoint, Interrupted, Progress};

/// Captions to learn from: each the number of its image and its word ids, start and end among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttendData {
    /// What the decoder learns.
    pub train: Vec<(u32, Vec<u32>)>,
    /// Those of the validation images.
    pub val: Vec<(u32, Vec<u32>)>,
}

/// How good the captions are that the decoder writes for the validation images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValScores {
    /// BLEU-4, from 0 to 1.
    pub bleu_4: f64,
    /// CIDEr-D, from 0 to 10.
    pub cider_d: f64,
}

/// The scores of the captions that a decoder writes for the validation images.
pub type Validate<'a> = dyn Fn(&Decoder) -> Result<ValScores> + 'a;

/// What one epoch brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// 1 for the first.
    pub epoch: u32,
    /// Steps so far.
    pub step: u64,
    /// The learning rate.
    pub lr: f64,
    /// Nats per word of the train captions, while weights changed.
    pub train_loss: f64,
    /// Nats per word of the validation captions after the epoch.
    pub val_loss: Option<f64>,
    /// The scores after the epoch.
    pub val: Option<ValScores>,
    /// Whether this is the best epoch so far.
    pub best: bool,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// One row per epoch.
    pub history: Vec<Epoch>,
    /// The decoder of the best epoch, as [`Decoder::load`] reads it.
    pub weights: Vec<u8>,
    /// The encoder of the best epoch, if it was trained along, as [`Encoder::restore`] reads it.
    pub encoder: Option<Vec<u8>>,
}

/// What a run is decided by, besides its data.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The settings.
    pub config: &'a AttendTraining,
    /// The decoder's sizes.
    pub decoder: &'a AttendConfig,
    /// Decides first weights, order and dropout.
    pub seed: u64,
    /// The learning rate of an encoder that is trained along, at the beginning.
    pub encoder_lr: f64,
}

/// Trains a decoder and keeps the epoch whose free-running captions of the validation images are best, of equals the one of the lower loss (the last one if there are
/// none).
///
/// - `validate`: `None` without validation images.
///
/// Saves its state after every epoch; a run that was stopped goes on from there to the same bytes. Fails with [`Interrupted`] at the next
/// batch if the user asked to stop.
pub fn train(
    plan: &Plan<'_>,
    features: &dyn MapSource,
    data: &AttendData,
    validate: Option<&Validate<'_>>,
    checkpoint: &mut dyn Checkpoint,
    progress: &dyn Progress,
) -> Result<Trained> {
    plan.config.check()?;
    ensure!(!data.train.is_empty(), "there are no captions to train on");
    let settings = (plan.config, plan.decoder, plan.seed, features.encoder().map(|_| plan.encoder_lr));
    let identity = serde_json::to_vec(&(settings, &data.train, &data.val))?;
    let identity = Digest::derive("rsic attention state v1", &identity);
    let mut run = Run::new(plan, features)?;
    if let Some(state) = checkpoint.load()? {
        run.restore(&state, identity)?;
    }
    while !run.is_over() {
        run.epoch(data, validate, progress)?;
        checkpoint.save(&run.save(identity)?)?;
    }
    let Best { decoder, encoder } = run.best;
    Ok(Trained { history: run.history, weights: decoder, encoder: features.encoder().map(|_| encoder) })
}

/// A run after some epochs.
struct Run<'a> {
    plan: &'a Plan<'a>,
    features: &'a dyn MapSource,
    decoder: Decoder,
    optimiser: AdamW,
    /// Of the encoder, if it is trained along.
    encoder: Option<(&'a dyn Encoder, AdamW)>,
    history: Vec<Epoch>,
    best: Best,
}

/// The weights of the best epoch.
#[derive(Default)]
struct Best {
    decoder: Vec<u8>,
    /// Empty unless it is trained along.
    encoder: Vec<u8>,
}

/// What is saved besides weights and the optimisers' states.
#[derive(Serialize, Deserialize)]
struct State {
    /// Of the settings and captions; a state of another run is not used.
    identity: Digest,
    history: Vec<Epoch>,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan<'a>, features: &'a dyn MapSource) -> Result<Self> {
        let decoder = Decoder::init(plan.decoder, plan.seed)?;
        let encoder = features.encoder().map(|encoder| (encoder, adam(encoder.parameters())));
        let (history, best) = (Vec::new(), Best::default());
        Ok(Self { plan, features, optimiser: adam(decoder.parameters()), decoder, encoder, history, best })
    }

    /// Epochs since the best one.
    fn without_gain(&self) -> u32 {
        self.history.iter().rev().take_while(|row| !row.best).count() as u32
    }

    fn is_over(&self) -> bool {
        let config = self.plan.config;
        self.history.len() >= config.epochs as usize || self.without_gain() >= config.stop_after
    }

    /// The learning rate of the next epoch.
    fn lr(&self) -> f64 {
        let config = self.plan.config;
        let Some(last) = self.history.last() else { return config.lr };
        let without_gain = self.without_gain();
        let decays = without_gain > 0 && without_gain.is_multiple_of(config.decay_after);
        if decays { last.lr * config.lr_decay } else { last.lr }
    }

    fn score(&self, scores: ValScores) -> f64 {
        match self.plan.config.select {
            Selection::CiderD => scores.cider_d,
            Selection::Bleu4 => scores.bleu_4,
        }
    }

    fn epoch(&mut self, data: &AttendData, validate: Option<&Validate<'_>>, progress: &dyn Progress) -> Result<()> {
        let (epoch, lr) = (self.history.len() as u32 + 1, self.lr());
        let AttendTraining { batch_size, epochs, .. } = *self.plan.config;
        let mut order: Vec<usize> = (0..data.train.len()).collect();
        Rng::new(self.plan.seed, &format!("attend.order.{epoch}")).shuffle(&mut order);
        progress.begin(&format!("epoch {epoch}/{epochs}"), order.len().div_ceil(batch_size) as u64, "batches");
        let (mut sum, mut targets) = (0.0, 0);
        for batch in order.chunks(batch_size) {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            let captions: Vec<&(u32, Vec<u32>)> = batch.iter().map(|&at| &data.train[at]).collect();
            let (loss, words) = self.step(&captions, lr)?;
            sum += loss * words as f64;
            targets += words;
            progress.note(&format!("loss {:.3}", sum / targets as f64));
            progress.advance(1);
        }
        let val_loss = self.val_loss(&data.val, progress)?;
        let val = validate.map(|validate| validate(&self.decoder)).transpose()?;
        let best_before = self.history.iter().rev().find(|row| row.best);
        let best = match best_before.and_then(|row| Some((row, row.val?))).zip(val) {
            // Of equal scores, such as 0 at the beginning, the lower loss is the better.
            Some(((before, old), new)) => match self.score(new).total_cmp(&self.score(old)) {
                Ordering::Equal => val_loss < before.val_loss,
                order => order.is_gt(),
            },
            None => true,
        };
        if best {
            let encoder = self.encoder.as_ref().map(|(encoder, _)| encoder.save()).transpose()?;
            self.best = Best { decoder: self.decoder.save()?, encoder: encoder.unwrap_or_default() };
        }
        let train_loss = sum / targets as f64;
        self.history.push(Epoch { epoch, step: self.optimiser.steps(), lr, train_loss, val_loss, val, best });
        Ok(())
    }

    /// Learns from some captions; returns their loss in nats per word, and the number of words.
    fn step(&mut self, captions: &[&(u32, Vec<u32>)], lr: f64) -> Result<(f64, usize)> {
        let AttendTraining { dropout: p, alpha_c, grad_clip, .. } = *self.plan.config;
        let step = self.optimiser.steps();
        let dropout = (p > 0.0).then_some(Dropout { p, seed: self.plan.seed, step });
        let (images, captions) = numbered(captions);
        let cells = match &self.encoder {
            Some((encoder, _)) => encoder.cells_to_learn(&images)?,
            None => self.features.cells(&images)?,
        };
        let loss = self.decoder.loss(&cells, &captions, alpha_c, dropout)?;
        if !loss.cross_entropy.is_finite() {
            bail!("the loss is {} at step {step} of training: try a lower learning rate", loss.cross_entropy);
        }
        let (gradients, clip) = (backward(&loss.total)?, Clip::Value(grad_clip));
        self.optimiser.step(&gradients, lr, clip)?;
        if let Some((_, optimiser)) = &mut self.encoder {
            // Both rates fall together.
            optimiser.step(&gradients, self.plan.encoder_lr * lr / self.plan.config.lr, clip)?;
        }
        Ok((loss.cross_entropy, loss.targets))
    }

    /// The mean loss over all words of the validation captions.
    fn val_loss(&self, captions: &[(u32, Vec<u32>)], progress: &dyn Progress) -> Result<Option<f64>> {
        let AttendTraining { batch_size, alpha_c, .. } = *self.plan.config;
        let (mut sum, mut targets) = (0.0, 0);
        for batch in captions.chunks(batch_size) {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            let (images, captions) = numbered(&batch.iter().collect::<Vec<_>>());
            let loss = self.decoder.loss(&self.features.cells(&images)?, &captions, alpha_c, None)?;
            sum += loss.cross_entropy * loss.targets as f64;
            targets += loss.targets;
        }
        Ok((targets > 0).then(|| sum / targets as f64))
    }

    fn save(&self, identity: Digest) -> Result<Vec<u8>> {
        let state = State { identity, history: self.history.clone() };
        let mut files = vec![self.best.decoder.clone(), self.decoder.save()?, self.optimiser.save()?];
        if let Some((encoder, optimiser)) = &self.encoder {
            files.extend([self.best.encoder.clone(), encoder.save()?, optimiser.save()?]);
        }
        pack(&state, &files.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// Goes on from a saved state, unless it is of another run.
    fn restore(&mut self, bytes: &[u8], identity: Digest) -> Result<()> {
        let (state, files): (State, _) = unpack(bytes)?;
        if state.identity != identity {
            return Ok(());
        }
        let other = "the saved state of training is of another version: delete it to start over";
        let [best, now, optimiser, encoder @ ..] = &files[..] else { bail!(other) };
        self.decoder = Decoder::load(&now.to_vec().into())?;
        self.optimiser = adam(self.decoder.parameters());
        self.optimiser.restore(optimiser)?;
        self.best.decoder = best.to_vec();
        match (&mut self.encoder, encoder) {
            (None, []) => {}
            (Some((encoder, optimiser)), [best, now, moments]) => {
                encoder.restore(now)?;
                optimiser.restore(moments)?;
                self.best.encoder = best.to_vec();
            }
            _ => bail!(other),
        }
        self.history = state.history;
        Ok(())
    }
}

fn adam(parameters: Vec<(String, Var)>) -> AdamW {
    AdamW::new(parameters, AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() })
}

/// The distinct images of some captions, and the captions with their images' places among them.
fn numbered<'c>(captions: &[&'c (u32, Vec<u32>)]) -> (Vec<u32>, Vec<Caption<'c>>) {
    let mut images: Vec<u32> = captions.iter().map(|(image, _)| *image).collect();
    images.sort_unstable();
    images.dedup();
    let place = |image: &u32| images.binary_search(image).unwrap_or_default();
    let captions = captions.iter().map(|(image, ids)| Caption { image: place(image), ids }).collect();
    (images, captions)
}
