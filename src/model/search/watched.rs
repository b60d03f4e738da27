//! A search that can be stopped.

use anyhow::Result;
use candle_core::Tensor;

use super::{Decoder, Logits};
use crate::progress::{Interrupted, Progress};

/// A decoder that stops between two tokens, with [`Interrupted`], when it is asked to.
pub struct Watched<'a, D> {
    /// The decoder.
    pub decoder: &'a D,
    /// Who asks.
    pub progress: &'a dyn Progress,
}

impl<D: Decoder> Decoder for Watched<'_, D> {
    type State = D::State;

    fn start(&self, input: &Tensor) -> Result<(D::State, Logits)> {
        self.decoder.start(input)
    }

    fn step(&self, state: &mut D::State, tokens: &[u32]) -> Result<Logits> {
        if self.progress.cancelled() {
            return Err(Interrupted.into());
        }
        self.decoder.step(state, tokens)
    }

    fn select(&self, state: &mut D::State, rows: &[usize]) -> Result<()> {
        self.decoder.select(state, rows)
    }

    fn never(&self) -> &[u32] {
        self.decoder.never()
    }
}
