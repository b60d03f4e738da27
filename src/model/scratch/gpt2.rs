//! Learning to write like the captions.
//!
//! A document is all captions of one picture, in random order, each ended by the end token, and one end token before
//! them. So the model learns to take the content of what it writes from what stands before: a frozen model can then
//! be steered by a learned prefix. Documents begin at random positions, because after a prefix text never begins at 0.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor, Var};

use super::config::learning_rate;
use super::optimizer::Optimizer;
use super::state::{self, State};
use super::{EpochLoss, Pretrained, ScratchGpt2Config};
use crate::language::Language;
use crate::model::Bundle;
use crate::model::gpt2::{Gpt2, Gpt2Config};
use crate::model::init::Rng;
use crate::model::ops::backward;
use crate::model::tokenizer::{CaptionTokenizer, train_bpe, train_characters};
use crate::progress::{Checkpoint, Interrupted, Progress};

/// The name of the position embeddings.
const POSITIONS: &str = "transformer.wpe.weight";

/// Trains a tokenizer and a GPT-2 from scratch; the bundle is in Hugging Face layout.
///
/// `train`, `val`: the captions of each picture; `val` may be empty. English gets a byte-level BPE, Chinese one token per character.
/// Saves its state after every epoch. Fails with [`Interrupted`] when asked to stop.
pub fn pretrain_gpt2(
    config: &ScratchGpt2Config,
    train: &[Vec<String>],
    val: &[Vec<String>],
    language: Language,
    checkpoint: &mut dyn Checkpoint,
    progress: &dyn Progress,
) -> Result<Pretrained> {
    config.check().context("settings of the model learned from scratch")?;
    let mut lesson = Lesson::new(config, train, val, language)?;
    if let Some(bytes) = checkpoint.load()? {
        lesson.restore(State::from_bytes(&bytes)?)?;
    }
    while lesson.history.len() < config.epochs {
        lesson.epoch(progress)?;
        checkpoint.save(&lesson.state()?.to_bytes()?)?;
    }
    lesson.finish()
}

/// The tokens of the captions of each picture.
type Documents = Vec<Vec<Vec<u32>>>;

/// Everything that training needs and changes.
struct Lesson<'a> {
    config: &'a ScratchGpt2Config,
    tokenizer_json: Vec<u8>,
    /// The token that ends a caption.
    end: u32,
    train: Documents,
    val: Documents,
    model: Gpt2,
    variables: BTreeMap<String, Var>,
    optimizer: Optimizer,
    history: Vec<EpochLoss>,
}

impl<'a> Lesson<'a> {
    fn new(
        config: &'a ScratchGpt2Config,
        train: &[Vec<String>],
        val: &[Vec<String>],
        language: Language,
    ) -> Result<Self> {
        let sentences = train.iter().flatten();
        let tokenizer_json = match language {
            Language::En => train_bpe(sentences, config.vocab_size)?,
            Language::Zh => train_characters(sentences)?,
        };
        let files = BTreeMap::from([("tokenizer.json".to_owned(), tokenizer_json.clone().into())]);
        let tokenizer = CaptionTokenizer::load(&Bundle { files, name: "scratch gpt2".to_owned() }, language)?;
        let documents = |pictures: &[Vec<String>]| -> Result<Documents> {
            let captions = pictures.iter().filter(|captions| !captions.is_empty());
            captions.map(|captions| captions.iter().map(|caption| tokenizer.encode(caption)).collect()).collect()
        };
        let (train, val) = (documents(train)?, documents(val)?);
        ensure!(!train.is_empty(), "learning to write needs at least one training caption");
        let shape = Gpt2Config {
            n_embd: config.width,
            n_head: config.heads,
            n_layer: config.layers,
            n_positions: config.positions,
            vocab_size: tokenizer.vocab_size(),
            bos_token_id: Some(tokenizer.eos()),
            eos_token_id: Some(tokenizer.eos()),
            ..Gpt2Config::default()
        };
        let model = Gpt2::init(shape, config.seed)?;
        let variables: BTreeMap<String, Var> = model.parameters().into_iter().collect();
        let optimizer = Optimizer::new(&variables, config.weight_decay, decays);
        let end = tokenizer.eos();
        Ok(Self { config, tokenizer_json, end, train, val, model, variables, optimizer, history: Vec::new() })
    }

    /// One pass over the training documents.
    fn epoch(&mut self, progress: &dyn Progress) -> Result<()> {
        let config = self.config;
        let epoch = self.history.len();
        let mut rng = Rng::new(config.seed, &format!("scratch gpt2 epoch {epoch}"));
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        rng.shuffle(&mut order);
        let per_epoch = order.len().div_ceil(config.batch);
        progress.begin(&format!("epoch {} of {}", epoch + 1, config.epochs), per_epoch as u64, "steps");
        let (mut sum, mut lr) = (0.0, 0.0);
        for (i, batch) in order.chunks(config.batch).enumerate() {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            lr = learning_rate(config.lr, config.warmup, epoch * per_epoch + i, config.epochs * per_epoch);
            let documents: Vec<Vec<u32>> = batch.iter().map(|&one| self.shuffled(&self.train[one], &mut rng)).collect();
            let loss = self.loss(&documents, rng.below(config.max_offset + 1), true)?.0;
            self.optimizer.step(&backward(&loss)?, lr)?;
            let loss = f64::from(loss.to_scalar::<f32>()?);
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

    /// The captions of one picture in random order, as one document.
    fn shuffled(&self, captions: &[Vec<u32>], rng: &mut Rng) -> Vec<u32> {
        let mut order: Vec<&Vec<u32>> = captions.iter().collect();
        rng.shuffle(&mut order);
        self.document(order)
    }

    /// An end token, then the captions, cut where the positions end.
    fn document<'c>(&self, captions: impl IntoIterator<Item = &'c Vec<u32>>) -> Vec<u32> {
        let tokens = captions.into_iter().flatten().copied();
        // The last token of a document is a target only, so one more fits than there are positions.
        std::iter::once(self.end).chain(tokens).take(self.config.positions - self.config.max_offset + 1).collect()
    }

    /// The mean loss per token of documents that begin at position `offset`, and the number of tokens.
    fn loss(&self, documents: &[Vec<u32>], offset: usize, trainable: bool) -> Result<(Tensor, usize)> {
        let longest = documents.iter().map(|document| document.len() - 1).max().unwrap_or_default();
        let (mut ids, mut places, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for (row, document) in documents.iter().enumerate() {
            let length = document.len() - 1;
            ids.extend_from_slice(&document[..length]);
            // What follows the text is never looked at: attention sees the past only.
            ids.resize((row + 1) * longest, self.end);
            places.extend((0..length).map(|i| (row * longest + i) as u32));
            targets.extend_from_slice(&document[1..]);
        }
        let ids = Tensor::from_vec(ids, (documents.len(), longest), &Device::Cpu)?;
        let embedded = self.model.embed_tokens(&ids, trainable)?;
        let hidden = self.model.hidden(&self.shift(&embedded, offset)?, trainable)?;
        let count = places.len();
        Ok((self.model.loss(&hidden, &places, &targets, trainable)?, count))
    }

    /// Makes the model, which adds positions from 0 on, see positions from `offset` on.
    fn shift(&self, embedded: &Tensor, offset: usize) -> Result<Tensor> {
        if offset == 0 {
            return Ok(embedded.clone());
        }
        let (positions, length) = (self.variables[POSITIONS].as_tensor(), embedded.dim(1)?);
        let moved = (positions.narrow(0, offset, length)? - positions.narrow(0, 0, length)?)?;
        Ok(embedded.broadcast_add(&moved)?)
    }

    /// The mean loss per token over the validation documents.
    fn val_loss(&self) -> Result<Option<f64>> {
        let (mut sum, mut tokens) = (0.0, 0);
        for batch in self.val.chunks(self.config.batch) {
            let documents: Vec<Vec<u32>> = batch.iter().map(|captions| self.document(captions)).collect();
            let (loss, count) = self.loss(&documents, 0, false)?;
            sum += f64::from(loss.to_scalar::<f32>()?) * count as f64;
            tokens += count;
        }
        Ok((tokens > 0).then(|| sum / tokens as f64))
    }

    fn state(&self) -> Result<State> {
        let weights = self.variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let mut tensors = state::prefixed("model.", &weights);
        tensors.extend(state::prefixed("optimizer.", &self.optimizer.state()?));
        Ok(State { history: self.history.clone(), tensors })
    }

    fn restore(&mut self, state: State) -> Result<()> {
        state::set(&self.variables, &state.take("model."))?;
        self.optimizer.restore(&state.take("optimizer."))?;
        self.history = state.history;
        Ok(())
    }

    fn finish(self) -> Result<Pretrained> {
        let mut bundle = self.model.to_bundle("scratch gpt2")?;
        bundle.files.insert("tokenizer.json".to_owned(), self.tokenizer_json.into());
        Ok(Pretrained { bundle, history: self.history })
    }
}

/// Weight decay is for matrices, not for norms, biases and embeddings of positions.
fn decays(name: &str) -> bool {
    name.ends_with(".weight") && !name.contains("ln_") && name != POSITIONS
}
