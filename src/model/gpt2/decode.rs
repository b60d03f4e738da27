//! Writing token by token.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};

use super::{Cache, Gpt2};
use crate::model::ops::values;
use crate::model::search::{Decoder, Logits};

impl Gpt2 {
    /// Appends the newest positions of every row (`f32[rows, n, d]`) and predicts what follows the last one.
    fn advance(&self, cache: &mut Cache, x: &Tensor) -> Result<Logits> {
        let (rows, n, width) = x.dims3()?;
        let positions = self.positions(&self.frozen, cache.len(), n)?;
        cache.grow(n);
        let x = self.frozen.layers(x.broadcast_add(&positions)?, |layer, qkv| cache.attend(layer, qkv))?;
        let last = x.narrow(1, n - 1, 1)?.contiguous()?.reshape((rows, width))?;
        let logits = self.logits(&self.frozen.last_norm(&last)?, false)?;
        let logits = values(&logits)?.to_vec();
        Ok(Logits::new(logits, self.vocab()))
    }
}

/// Input: prefixes `f32[images, k, d]`, to which positions are added here.
impl Decoder for Gpt2 {
    type State = Cache;

    fn start(&self, prefix: &Tensor) -> Result<(Cache, Logits)> {
        let (rows, length, width) = prefix.dims3()?;
        ensure!(
            length > 0 && width == self.width(),
            "a prefix of shape {:?} for width {}",
            prefix.dims(),
            self.width()
        );
        let mut cache = Cache::new(self.config.n_layer, self.config.n_head, width, rows);
        let logits = self.advance(&mut cache, &prefix.detach())?;
        Ok((cache, logits))
    }

    fn step(&self, cache: &mut Cache, tokens: &[u32]) -> Result<Logits> {
        ensure!(tokens.len() == cache.rows(), "{} tokens for {} rows", tokens.len(), cache.rows());
        let ids = Tensor::new(tokens, &Device::Cpu)?.reshape((tokens.len(), 1))?;
        self.advance(cache, &self.embed_tokens(&ids, false)?)
    }

    fn select(&self, cache: &mut Cache, rows: &[usize]) -> Result<()> {
        ensure!(rows.iter().all(|&row| row < cache.rows()), "rows {rows:?} of {}", cache.rows());
        cache.select(rows);
        Ok(())
    }
}
