//! Writing word by word.

use anyhow::{Result, ensure};
use candle_core::Tensor;

use super::Decoder;
use super::batch::Caption;
use super::forward::Forward;
use super::net::{Images, Memory, Net, Trace};
use crate::model::search::{self, Logits};

/// A decoder that only writes.
#[derive(Clone, Debug)]
pub struct Writer {
    net: Net,
    start: u32,
    never: Vec<u32>,
}

/// What a [`Writer`] remembers of every row.
pub struct State {
    images: Images,
    /// Of every row: its image.
    which: Vec<usize>,
    memory: Memory,
}

impl Decoder {
    /// This decoder for inference; `start` is the word before every caption.
    ///
    /// Fails if that is not in the vocabulary.
    pub fn writer(&self, start: u32) -> Result<Writer> {
        let vocab = self.config.vocab_size;
        ensure!((start as usize) < vocab, "the start is word {start}, but the vocabulary has {vocab}");
        Ok(Writer { net: Net::new(self)?, start, never: Vec::new() })
    }
}

impl Writer {
    /// The same writer, which never writes these words; their probabilities stay what they are.
    pub fn without(self, never: Vec<u32>) -> Self {
        Self { never, ..self }
    }

    /// Where the decoder looked while it wrote: for every caption the weights of the cells at each word, `[words, cells]`; those of a word
    /// add up to 1.
    ///
    /// - `features`: `f32[n, cells, encoder_dim]`.
    /// - `captions`: as [`search`](search::search) gives them, without the start.
    pub fn attention(&self, features: &Tensor, captions: &[Caption]) -> Result<Vec<Vec<f32>>> {
        let whole: Vec<Vec<u32>> = captions.iter().map(|caption| [&[self.start], caption.ids].concat()).collect();
        let whole: Vec<Caption> =
            captions.iter().zip(&whole).map(|(caption, ids)| Caption { image: caption.image, ids }).collect();
        let forward = Forward::run(&self.net, features, &whole, None)?;
        let mut weights = vec![Vec::new(); captions.len()];
        for (caption, &place) in forward.batch.order.iter().enumerate() {
            weights[place] = forward.batch.rows_of(caption).flat_map(|row| forward.alphas(row)).copied().collect();
        }
        Ok(weights)
    }
}

/// Input: features, `f32[images, cells, encoder_dim]`.
impl search::Decoder for Writer {
    type State = State;

    fn start(&self, features: &Tensor) -> Result<(State, Logits)> {
        let images = self.net.images(features)?;
        let which: Vec<usize> = (0..images.count).collect();
        let memory = self.net.begin(&self.net.means(&images)?, &which);
        let words = vec![self.start; which.len()];
        let mut state = State { images, which, memory };
        let logits = self.step(&mut state, &words)?;
        Ok((state, logits))
    }

    fn step(&self, state: &mut State, words: &[u32]) -> Result<Logits> {
        let rows = state.which.len();
        ensure!(words.len() == rows, "{} words for {rows} rows", words.len());
        let config = &self.net.config;
        ensure!(words.iter().all(|&word| (word as usize) < config.vocab_size), "a word is not in the vocabulary");
        let mut trace = Trace::new(config, state.images.cells, rows);
        self.net.step(&state.images, (&state.which, words), &mut state.memory, &mut trace, &(0..rows))?;
        Ok(Logits::new(self.net.predict(&state.memory.h).to_vec(), config.vocab_size))
    }

    fn select(&self, state: &mut State, rows: &[usize]) -> Result<()> {
        let (count, width) = (state.which.len(), self.net.config.decoder_dim);
        ensure!(rows.iter().all(|&row| row < count), "rows {rows:?} of {count}");
        let take = |from: &[f32]| rows.iter().flat_map(|row| &from[row * width..][..width]).copied().collect();
        state.memory = Memory { h: take(&state.memory.h), c: take(&state.memory.c) };
        state.which = rows.iter().map(|&row| state.which[row]).collect();
        Ok(())
    }

    fn never(&self) -> &[u32] {
        &self.never
    }
}
