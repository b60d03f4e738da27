//! Writing token by token.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};

use super::net::Net;
use super::{Cache, Gpt2Config};
use crate::model::kernel::{Mat, Packed};
use crate::model::ops::{linear_packed, values};
use crate::model::search::{Decoder, Logits};

/// A GPT-2 that only writes: its matrices lie in the order in which products read them.
#[derive(Clone, Debug)]
pub struct Writer {
    config: Gpt2Config,
    net: Net,
    /// The token table as a matrix from hidden states to scores.
    head: Packed,
}

impl Writer {
    pub(super) fn new(config: Gpt2Config, net: Net) -> Result<Self> {
        let net = net.packed()?;
        let head = Packed::new(Mat::new(&values(&net.wte)?, config.vocab_size, config.n_embd).t());
        Ok(Self { config, net, head })
    }

    /// The configuration.
    pub fn config(&self) -> &Gpt2Config {
        &self.config
    }

    /// The embeddings of tokens: `u32[..]` to `f32[.., d]`, without positions.
    pub fn embed_tokens(&self, ids: &Tensor) -> Result<Tensor> {
        self.net.embed(ids)
    }

    /// Appends the newest positions of every row (`f32[rows, n, d]`) and predicts what follows the last one.
    fn advance(&self, cache: &mut Cache, x: &Tensor) -> Result<Logits> {
        let (rows, n, width) = x.dims3()?;
        let x = self.net.place(x, cache.len())?;
        cache.grow(n);
        let x = self.net.layers(x, |layer, qkv| cache.attend(layer, qkv))?;
        let last = x.narrow(1, n - 1, 1)?.contiguous()?.reshape((rows, width))?;
        let logits = linear_packed(&self.net.last_norm(&last)?, &self.head, None)?;
        let logits = values(&logits)?.to_vec();
        Ok(Logits::new(logits, self.config.vocab_size))
    }
}

/// Input: prefixes `f32[images, k, d]`, to which positions are added here.
impl Decoder for Writer {
    type State = Cache;

    fn start(&self, prefix: &Tensor) -> Result<(Cache, Logits)> {
        let (rows, length, width) = prefix.dims3()?;
        let d = self.config.n_embd;
        ensure!(length > 0 && width == d, "a prefix of shape {:?} for a width of {d}", prefix.dims());
        let mut cache = Cache::new(self.config.n_layer, self.config.n_head, width, rows);
        let logits = self.advance(&mut cache, &prefix.detach())?;
        Ok((cache, logits))
    }

    fn step(&self, cache: &mut Cache, tokens: &[u32]) -> Result<Logits> {
        ensure!(tokens.len() == cache.rows(), "{} tokens for {} rows", tokens.len(), cache.rows());
        let ids = Tensor::new(tokens, &Device::Cpu)?.reshape((tokens.len(), 1))?;
        self.advance(cache, &self.embed_tokens(&ids)?)
    }

    fn select(&self, cache: &mut Cache, rows: &[usize]) -> Result<()> {
        ensure!(rows.iter().all(|&row| row < cache.rows()), "rows {rows:?} of {}", cache.rows());
        cache.select(rows);
        Ok(())
    }
}
