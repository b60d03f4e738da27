//! AdamW over named variables, one pass per variable.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, ensure};
use candle_core::Var;
use candle_core::backprop::GradStore;
use rayon::prelude::*;

use crate::model::ops::{tensor, values};
use crate::model::weights::Weights;

/// How much of the averages of gradients and of their squares survives each step.
const BETAS: (f32, f32) = (0.9, 0.99);
/// Added to the root of the averaged squares.
const EPSILON: f32 = 1e-8;

/// One variable and its averages.
struct Entry {
    name: String,
    variable: Var,
    /// Whether weight decay applies.
    decays: bool,
    mean: Vec<f32>,
    square: Vec<f32>,
}

/// Adam with decoupled weight decay.
///
/// Source: Loshchilov and Hutter, 2019.
pub(super) struct AdamW {
    entries: Vec<Entry>,
    weight_decay: f64,
    steps: u32,
}

impl AdamW {
    /// Starts with averages of zero; weight decay applies to the variables whose names `decays` accepts.
    pub(super) fn new(variables: &BTreeMap<String, Var>, weight_decay: f64, decays: impl Fn(&str) -> bool) -> Self {
        let entry = |(name, variable): (&String, &Var)| Entry {
            name: name.clone(),
            variable: variable.clone(),
            decays: decays(name),
            mean: vec![0.0; variable.elem_count()],
            square: vec![0.0; variable.elem_count()],
        };
        Self { entries: variables.iter().map(entry).collect(), weight_decay, steps: 0 }
    }

    /// Moves every variable that has a gradient.
    pub(super) fn step(&mut self, gradients: &GradStore, lr: f64) -> Result<()> {
        self.steps += 1;
        let unbiased = |beta: f32| 1.0 - f64::from(beta).powi(self.steps as i32);
        let rates = Rates {
            step: (lr / unbiased(BETAS.0)) as f32,
            square: (1.0 / unbiased(BETAS.1)) as f32,
            keep: (1.0 - lr * self.weight_decay) as f32,
        };
        self.entries.par_iter_mut().try_for_each(|entry| entry.step(gradients, &rates))
    }

    /// The averages and the number of steps, as tensors.
    pub(super) fn state(&self) -> Result<Weights> {
        let mut state = Weights::new();
        for entry in &self.entries {
            let shape = entry.variable.shape();
            state.insert(format!("mean.{}", entry.name), tensor(entry.mean.clone(), shape)?);
            state.insert(format!("square.{}", entry.name), tensor(entry.square.clone(), shape)?);
        }
        // Exact up to 16 million steps.
        state.insert("steps".to_owned(), tensor(vec![self.steps as f32], 1)?);
        Ok(state)
    }

    /// Goes back to what [`AdamW::state`] gave.
    pub(super) fn restore(&mut self, state: &Weights) -> Result<()> {
        let find = |name: &str, length: usize| -> Result<Vec<f32>> {
            let tensor = state.get(name).ok_or_else(|| anyhow!("the optimiser's saved state lacks `{name}`"))?;
            let found = tensor.elem_count();
            ensure!(found == length, "the optimiser's saved `{name}` has {found} numbers, not {length}");
            Ok(tensor.flatten_all()?.to_vec1()?)
        };
        for entry in &mut self.entries {
            entry.mean = find(&format!("mean.{}", entry.name), entry.mean.len())?;
            entry.square = find(&format!("square.{}", entry.name), entry.square.len())?;
        }
        self.steps = find("steps", 1)?[0] as u32;
        Ok(())
    }
}

/// What one step multiplies by.
struct Rates {
    /// The mean's correction is in the step.
    step: f32,
    /// The correction of the squares.
    square: f32,
    /// What is left of a decaying weight.
    keep: f32,
}

impl Entry {
    fn step(&mut self, gradients: &GradStore, rates: &Rates) -> Result<()> {
        let Some(gradient) = gradients.get(&self.variable) else { return Ok(()) };
        let gradient = gradient.contiguous()?;
        let keep = if self.decays { rates.keep } else { 1.0 };
        let mut moved = self.variable.flatten_all()?.to_vec1::<f32>()?;
        let averages = self.mean.iter_mut().zip(&mut self.square);
        for ((x, g), (mean, square)) in moved.iter_mut().zip(values(&gradient)?.iter()).zip(averages) {
            *mean = BETAS.0 * *mean + (1.0 - BETAS.0) * g;
            *square = BETAS.1 * *square + (1.0 - BETAS.1) * g * g;
            *x = *x * keep - rates.step * *mean / ((*square * rates.square).sqrt() + EPSILON);
        }
        Ok(self.variable.set(&tensor(moved, self.variable.shape())?)?)
    }
}
