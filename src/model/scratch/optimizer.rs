//! `AdamW` with and without weight decay, side by side.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

use crate::model::adamw::{AdamW, AdamWConfig, Clip};
use crate::model::weights::Weights;

/// Two optimisers that share a learning rate: weight decay is for matrices only.
pub(super) struct Optimizer {
    decaying: AdamW,
    others: AdamW,
}

impl Optimizer {
    /// Starts afresh; weight decay applies to the variables whose names `decays` accepts.
    pub(super) fn new(variables: &BTreeMap<String, Var>, weight_decay: f64, decays: impl Fn(&str) -> bool) -> Self {
        let named = variables.iter().map(|(name, variable)| (name.clone(), variable.clone()));
        let (decaying, others) = named.partition(|(name, _)| decays(name));
        let config = |weight_decay| AdamWConfig { betas: (0.9, 0.99), weight_decay, ..AdamWConfig::default() };
        Self { decaying: AdamW::new(decaying, config(weight_decay)), others: AdamW::new(others, config(0.0)) }
    }

    /// Moves every variable that has a gradient.
    pub(super) fn step(&mut self, gradients: &GradStore, lr: f64) -> Result<()> {
        self.decaying.step(gradients, lr, Clip::None)?;
        self.others.step(gradients, lr, Clip::None)
    }

    /// The state of both, as tensors of bytes.
    pub(super) fn state(&self) -> Result<Weights> {
        let parts = [("decaying", &self.decaying), ("others", &self.others)];
        let part = |(name, adamw): (&str, &AdamW)| {
            let bytes = adamw.save()?;
            let count = bytes.len();
            Ok((name.to_owned(), Tensor::from_vec(bytes, count, &Device::Cpu)?))
        };
        parts.into_iter().map(part).collect()
    }

    /// Goes back to what [`Optimizer::state`] gave.
    pub(super) fn restore(&mut self, state: &Weights) -> Result<()> {
        for (name, adamw) in [("decaying", &mut self.decaying), ("others", &mut self.others)] {
            let bytes = state.get(name).ok_or_else(|| anyhow!("the saved state of training lacks `{name}`"))?;
            adamw.restore(&bytes.to_vec1::<u8>()?)?;
        }
        Ok(())
    }
}
