//! What training lowers.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor, Var};
use rayon::prelude::*;

use super::Decoder;
use super::batch::Caption;
use super::forward::Forward;
use super::net::Net;
use crate::model::kernel::{Buffer, rows};
use crate::model::ops::{Dropout, tensor};

/// The loss of some captions and its parts.
#[derive(Clone, Debug)]
pub struct Loss {
    /// `cross_entropy + alpha_c * stochastic`: `f32[]`. It allows one backward pass, by [`ops::backward`](crate::model::ops::backward).
    pub total: Tensor,
    /// The mean over all words but the starts of `-log p`, in nats.
    pub cross_entropy: f64,
    /// The mean over captions and cells of `(1 - sum over steps of the cell's weight)^2`.
    pub stochastic: f64,
    /// How many words were predicted.
    pub targets: usize,
}

/// What the backward pass needs.
pub(super) struct Saved {
    pub(super) forward: Forward,
    /// The gradient of the loss by the scores of all words: `[rows, vocab_size]`.
    pub(super) by_logits: Buffer,
    /// The gradient by every weight of a cell, from the second part of the loss: `[captions, cells]`, the same at all steps.
    pub(super) by_alphas: Vec<f32>,
}

impl Decoder {
    /// The loss of captions whose words are given.
    ///
    /// - `features`: `f32[n, cells, encoder_dim]`; if candle follows them, they get gradients as well.
    /// - `captions`: each with start and end; their order does not matter.
    /// - `alpha_c`: the factor of the second part, which asks that every cell be looked at.
    /// - `dropout`: of the states before the output layer, by the captions' places in the list; `None` for evaluation.
    ///
    /// Fails without captions, or if one does not fit the features and the vocabulary.
    pub fn loss(
        &self,
        features: &Tensor,
        captions: &[Caption],
        alpha_c: f64,
        dropout: Option<Dropout>,
    ) -> Result<Loss> {
        ensure!(!captions.is_empty(), "a loss needs at least one caption");
        ensure!(captions.iter().all(|caption| caption.ids.len() > 1), "a caption needs a start and an end");
        if let Some(dropout) = dropout {
            ensure!(dropout.is_valid(), "a dropout of {} must be from 0 to below 1", dropout.p);
        }
        let net = Net::new(self)?;
        let forward = Forward::run(&net, features, captions, dropout.map(Dropout::input))?;
        let mut by_logits = net.predict(&forward.shown);
        let cross_entropy = cross_entropy(&mut by_logits, &forward.batch.targets, self.config.vocab_size);
        let mut by_alphas = forward.coverage();
        let stochastic = stochastic(&mut by_alphas, alpha_c);
        let targets = forward.batch.rows();
        let value = cross_entropy + alpha_c * stochastic;
        let saved = Mutex::new(Some(Saved { forward, by_logits, by_alphas }));
        // candle forgets operations none of whose arguments it follows.
        let argument =
            if features.track_op() { features.clone() } else { Var::zeros((), DType::F32, &Device::Cpu)?.into_inner() };
        let total = argument.apply_op1(Op { decoder: self.clone(), value: value as f32, saved })?;
        Ok(Loss { total, cross_entropy, stochastic, targets })
    }
}

/// The mean of `-log softmax(logits)[target]`; leaves its gradient in place of the logits.
fn cross_entropy(logits: &mut [f32], targets: &[u32], vocab: usize) -> f64 {
    let factor = 1.0 / targets.len() as f32;
    let rows = logits.par_chunks_mut(vocab).zip(targets).map(|(logits, &target)| {
        let score = logits[target as usize];
        let sum = rows::softmax_in_place(logits, factor);
        logits[target as usize] -= factor;
        f64::from(sum - score)
    });
    rows.collect::<Vec<_>>().iter().sum::<f64>() / targets.len() as f64
}

/// The mean of `(1 - x)^2`; leaves its gradient times `alpha_c` in place of the numbers.
fn stochastic(sums: &mut [f32], alpha_c: f64) -> f64 {
    let count = sums.len() as f64;
    let mut total = 0.0;
    for x in sums {
        let missing = 1.0 - f64::from(*x);
        total += missing * missing;
        *x = (-2.0 * alpha_c * missing / count) as f32;
    }
    total / count
}

struct Op {
    decoder: Decoder,
    value: f32,
    saved: Mutex<Option<Saved>>,
}

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.value]), Shape::from(())))
    }

    fn bwd(&self, argument: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let Some(saved) = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            candle_core::bail!("a loss allows one backward pass");
        };
        let shape = argument.shape();
        let by_features = self.decoder.backward(saved, grad.to_scalar::<f32>()?, shape.rank() == 3);
        by_features.map_err(candle_core::Error::msg)?.map(|grad| tensor(grad, shape)).transpose()
    }
}
