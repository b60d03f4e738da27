//! Learning to tell which captions belong to which pictures.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;

use super::config::learning_rate;
use super::encoder::Encoder;
use super::loss::{contrast, term_loss};
use super::optimizer::Optimizer;
use super::state::{self, State};
use super::terms::Vocabulary;
use super::views::{Album, Light, View};
use super::vision::{MODEL_TYPE, PROJECTION, VisionConfig, view_features};
use super::{EpochLoss, PairData, Pretrained, ScratchClipConfig};
use crate::language::Language;
use crate::model::Bundle;
use crate::model::init::{Init, Rng};
use crate::model::ops::{Grad, Stored, backward, gelu, linear, matmul};
use crate::model::weights::Weights;
use crate::picture::Picture;
use crate::progress::{Checkpoint, Interrupted, Progress};

/// Trains an image encoder and a text encoder from scratch; the bundle holds the image encoder.
///
/// `config.json` has `model_type` `rsic_scratch_clip`; open it with [`ScratchVision`](super::ScratchVision).
/// The text encoder sees a caption as the set of its words (Chinese: of its characters and pairs of them). A batch's
/// other captions count as positives as far as their pictures' captions are alike.
/// Saves its state after every epoch. Fails with [`Interrupted`] when asked to stop.
pub fn pretrain_clip(
    config: &ScratchClipConfig,
    train: PairData,
    val: PairData,
    language: Language,
    checkpoint: &mut dyn Checkpoint,
    progress: &dyn Progress,
) -> Result<Pretrained> {
    config.check().context("settings of the model learned from scratch")?;
    let (train, val) = (captioned(&train, "training")?, captioned(&val, "validation")?);
    ensure!(train.0.len() >= 2, "learning from scratch needs at least 2 training pictures with captions");
    let mut lesson = Lesson::new(config, &train, &val, language)?;
    if let Some(bytes) = checkpoint.load()? {
        lesson.restore(State::from_bytes(&bytes)?)?;
    }
    while lesson.history.len() < config.epochs {
        lesson.epoch(progress)?;
        checkpoint.save(&lesson.state()?.to_bytes()?)?;
    }
    lesson.finish()
}

/// Pictures and the captions of each, at least one.
type Captioned<'a> = (Vec<&'a Picture>, Vec<&'a [String]>);

/// The pictures that have captions, with them.
fn captioned<'a>(data: &PairData<'a>, which: &str) -> Result<Captioned<'a>> {
    let (pictures, captions) = (data.images.len(), data.captions.len());
    ensure!(pictures == captions, "{pictures} {which} pictures but the captions of {captions}");
    let pairs = data.images.iter().zip(data.captions).filter(|(_, captions)| !captions.is_empty());
    Ok(pairs.map(|(picture, captions)| (picture, captions.as_slice())).unzip())
}

/// Pictures and what is known of their captions.
struct Data {
    album: Album,
    /// The terms of each caption of each picture.
    bags: Vec<Vec<Vec<usize>>>,
    /// The share of each picture's captions that have a term.
    shares: Vec<Vec<f32>>,
    /// The same, weighted and scaled to length 1.
    directions: Vec<Vec<f32>>,
}

impl Data {
    fn new((pictures, captions): &Captioned, size: usize, vocabulary: &Vocabulary) -> Self {
        let bag = |captions: &&[String]| captions.iter().map(|caption| vocabulary.ids(caption)).collect();
        let shares: Vec<Vec<f32>> = captions.iter().map(|captions| vocabulary.shares(captions)).collect();
        Self {
            album: Album::new(pictures.iter().copied(), size),
            bags: captions.iter().map(bag).collect(),
            directions: shares.iter().map(|shares| vocabulary.direction(shares)).collect(),
            shares,
        }
    }

    /// How well each picture's captions fit each other picture of a batch: rows sum to 1.
    fn targets(&self, batch: &[usize], temperature: f64) -> Result<Tensor> {
        let mut targets = Vec::with_capacity(batch.len() * batch.len());
        for &one in batch {
            let alike = batch.iter().map(|&other| {
                let product: f32 = self.directions[one].iter().zip(&self.directions[other]).map(|(a, b)| a * b).sum();
                ((f64::from(product) - 1.0) / temperature).exp()
            });
            let alike: Vec<f64> = alike.collect();
            let sum: f64 = alike.iter().sum();
            targets.extend(alike.iter().map(|x| (x / sum) as f32));
        }
        Ok(Tensor::from_vec(targets, (batch.len(), batch.len()), &Device::Cpu)?)
    }

    /// The shares of a batch, `f32[batch, terms]`.
    fn shares(&self, batch: &[usize]) -> Result<Tensor> {
        let rows: Vec<f32> = batch.iter().flat_map(|&picture| self.shares[picture].iter().copied()).collect();
        Ok(Tensor::from_vec(rows, (batch.len(), self.shares[batch[0]].len()), &Device::Cpu)?)
    }

    /// One caption of each picture as ones at its terms, `f32[batch, terms]`.
    fn bags(&self, batch: &[usize], mut choose: impl FnMut(usize) -> usize) -> Result<Tensor> {
        let terms = self.shares[batch[0]].len();
        let mut rows = vec![0.0_f32; batch.len() * terms];
        for (row, &picture) in rows.chunks_exact_mut(terms).zip(batch) {
            let captions = &self.bags[picture];
            captions[choose(captions.len())].iter().for_each(|&id| row[id] = 1.0);
        }
        Ok(Tensor::from_vec(rows, (batch.len(), terms), &Device::Cpu)?)
    }
}

/// Everything that training needs and changes.
struct Lesson<'a> {
    config: &'a ScratchClipConfig,
    encoder: Encoder,
    train: Data,
    val: Data,
    light: Light,
    variables: BTreeMap<String, Var>,
    moments: Weights,
    optimizer: Optimizer,
    history: Vec<EpochLoss>,
}

impl<'a> Lesson<'a> {
    fn new(config: &'a ScratchClipConfig, train: &Captioned, val: &Captioned, language: Language) -> Result<Self> {
        let vocabulary = Vocabulary::new(&train.1, language, config.min_pictures);
        ensure!(
            vocabulary.len() > 0,
            "no term occurs with {} training pictures: lower min_pictures or give more captions",
            config.min_pictures
        );
        let encoder = Encoder::new(&config.channels, config.blocks);
        let variables = init(config, &encoder, vocabulary.len())?;
        let train = Data::new(train, config.image_size, &vocabulary);
        Ok(Self {
            moments: encoder.init_moments()?,
            light: train.album.light(),
            val: Data::new(val, config.image_size, &vocabulary),
            optimizer: Optimizer::new(&variables, config.weight_decay, |name| name.ends_with(".weight")),
            history: Vec::new(),
            config,
            encoder,
            train,
            variables,
        })
    }

    /// One pass over the training pictures.
    fn epoch(&mut self, progress: &dyn Progress) -> Result<()> {
        let config = self.config;
        let epoch = self.history.len();
        let mut rng = Rng::new(config.seed, &format!("scratch clip epoch {epoch}"));
        let mut order: Vec<usize> = (0..self.train.bags.len()).collect();
        rng.shuffle(&mut order);
        let size = config.batch.min(order.len());
        let per_epoch = order.len() / size;
        progress.begin(&format!("epoch {} of {}", epoch + 1, config.epochs), per_epoch as u64, "steps");
        let (mut sum, mut lr) = (0.0, 0.0);
        for (i, batch) in order.chunks_exact(size).enumerate() {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            lr = learning_rate(config.lr, config.warmup, epoch * per_epoch + i, config.epochs * per_epoch);
            let loss = self.step(batch, lr, &mut rng)?;
            sum += loss;
            progress.advance(1);
            progress.note(&format!("loss {loss:.3}"));
        }
        self.history.push(EpochLoss {
            epoch: epoch as u32 + 1,
            step: ((epoch + 1) * per_epoch) as u32,
            lr,
            train_loss: sum / per_epoch as f64,
            val_loss: self.val_loss()?,
        });
        Ok(())
    }

    fn step(&mut self, batch: &[usize], lr: f64, rng: &mut Rng) -> Result<f64> {
        let config = self.config;
        let views: Vec<View> = batch.iter().map(|_| View::random(config, rng)).collect();
        let (pixels, album) = (config.crop * config.crop * 3, &self.train.album);
        let mut x = vec![0.0_f32; batch.len() * pixels];
        x.par_chunks_mut(pixels).zip(batch).zip(&views).for_each(|((out, &picture), view)| {
            album.look(picture, &self.light, view, out);
        });
        let x = Tensor::from_vec(x, (batch.len(), config.crop, config.crop, 3), &Device::Cpu)?;
        let bags = self.train.bags(batch, |count| rng.below(count))?;
        let weights = self.weights();
        let features = self.encoder.learn(&weights, &mut self.moments, &x)?;
        let loss = self.loss(&weights, &features, &bags, &self.train, batch)?;
        let gradients = backward(&loss)?;
        self.optimizer.step(&gradients, lr)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    fn loss(
        &self,
        weights: &Weights,
        features: &Tensor,
        bags: &Tensor,
        data: &Data,
        batch: &[usize],
    ) -> Result<Tensor> {
        let product = |x: &Tensor, name: &str| matmul(x, &weights[name], Stored::InOut, Grad::Both);
        let affine = |x: &Tensor, weight: &str, bias: &str| {
            linear(x, &weights[weight], Some(&weights[bias]), Stored::InOut, Grad::Both)
        };
        let pictures = product(features, PROJECTION)?;
        let hidden = gelu(&affine(bags, "text.terms.weight", "text.terms.bias")?)?;
        let captions = product(&hidden, "text.projection.weight")?;
        let targets = data.targets(batch, self.config.target_temperature)?;
        let loss = contrast(&pictures, &captions, &weights["scale"], &targets)?;
        if self.config.terms_weight == 0.0 {
            return Ok(loss);
        }
        let terms = affine(features, "terms.weight", "terms.bias")?;
        Ok((loss + (term_loss(&terms, &data.shares(batch)?)? * self.config.terms_weight)?)?)
    }

    /// The mean loss over whole batches of the validation pictures, unturned, each with its first caption.
    fn val_loss(&self) -> Result<Option<f64>> {
        let count = self.val.bags.len();
        if count == 0 {
            return Ok(None);
        }
        let mut weights = self.weights();
        weights.extend(self.moments.clone());
        let features = view_features(&self.encoder, &weights, &self.val.album, &self.light, 1)?;
        let size = self.config.batch.min(count);
        let order: Vec<usize> = (0..count).collect();
        let mut sum = 0.0;
        for (i, batch) in order.chunks_exact(size).enumerate() {
            let bags = self.val.bags(batch, |_| 0)?;
            let features = features.narrow(0, i * size, size)?;
            let loss = self.loss(&weights, &features, &bags, &self.val, batch)?;
            sum += f64::from(loss.to_scalar::<f32>()?);
        }
        Ok(Some(sum / (count / size) as f64))
    }

    fn weights(&self) -> Weights {
        self.variables.iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone())).collect()
    }

    fn state(&self) -> Result<State> {
        let mut tensors = state::prefixed("model.", &self.weights());
        tensors.extend(state::prefixed("moments.", &self.moments));
        tensors.extend(state::prefixed("optimizer.", &self.optimizer.state()?));
        Ok(State { history: self.history.clone(), tensors })
    }

    fn restore(&mut self, state: State) -> Result<()> {
        state::set(&self.variables, &state.take("model."))?;
        self.moments = state.take("moments.");
        self.optimizer.restore(&state.take("optimizer."))?;
        self.history = state.history;
        Ok(())
    }

    /// The image encoder's files.
    fn finish(self) -> Result<Pretrained> {
        let config = VisionConfig {
            model_type: MODEL_TYPE.to_owned(),
            image_size: self.config.image_size,
            channels: self.config.channels.clone(),
            blocks: self.config.blocks,
            projection_dim: self.config.dim,
            views: self.config.views,
            image_mean: self.light.mean,
            image_std: self.light.std,
        };
        let mut tensors = self.weights();
        tensors.retain(|name, _| name.starts_with("vision."));
        tensors.extend(self.moments);
        let mut bundle = Bundle { name: "scratch clip".to_owned(), ..Bundle::default() };
        bundle.files.insert("config.json".to_owned(), serde_json::to_vec_pretty(&config)?.into());
        bundle.files.insert("model.safetensors".to_owned(), state::to_bytes(&tensors, None)?.into());
        Ok(Pretrained { bundle, history: self.history })
    }
}

/// Fresh weights of both encoders.
fn init(config: &ScratchClipConfig, encoder: &Encoder, terms: usize) -> Result<BTreeMap<String, Var>> {
    let mut weights = encoder.init(config.seed)?;
    let mut add = |name: &str, init: Init, shape: &[usize]| -> Result<()> {
        weights.insert(name.to_owned(), init.tensor(config.seed, name, shape)?);
        Ok(())
    };
    let (features, width, dim) = (encoder.features, config.text_width, config.dim);
    add(PROJECTION, Init::linear(features), &[features, dim])?;
    add("text.terms.weight", Init::linear(terms), &[terms, width])?;
    add("text.terms.bias", Init::Constant(0.0), &[width])?;
    add("text.projection.weight", Init::linear(width), &[width, dim])?;
    add("terms.weight", Init::linear(features), &[features, terms])?;
    add("terms.bias", Init::Constant(0.0), &[terms])?;
    add("scale", Init::Constant((1.0 / config.temperature).ln() as f32), &[1])?;
    weights.into_iter().map(|(name, tensor)| Ok((name, Var::from_tensor(&tensor)?))).collect()
}
