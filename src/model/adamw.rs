//! The optimiser and its learning rate.

use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Var};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::kernel::rows::{self, Step};
use super::ops::values;

/// The settings of `AdamW`; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// How slowly the means of the gradients and of their squares forget.
    pub betas: (f64, f64),
    /// Added to the root of the second mean.
    pub eps: f64,
    /// The share of a weight that a learning rate of 1 would take away per step; 0 is plain Adam.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01 }
    }
}

/// What is done to gradients before a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Clip {
    /// Nothing.
    #[default]
    None,
    /// All are scaled down together if their norm is above this.
    Norm(f64),
    /// Every element is limited to plus or minus this.
    Value(f32),
}

/// `AdamW` over a list of variables (Loshchilov and Hutter, 2019), with PyTorch's arithmetic, in place and on all threads.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
    steps: u64,
}

/// One variable with the running means of its gradient and of the gradient's square.
#[derive(Debug)]
struct Slot {
    name: String,
    var: Var,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// Elements that one thread changes in one go.
const PIECE: usize = 1 << 15;

impl AdamW {
    /// Starts with means of zero; the order of `parameters` does not matter.
    pub fn new(mut parameters: Vec<(String, Var)>, config: AdamWConfig) -> Self {
        parameters.sort_by(|a, b| a.0.cmp(&b.0));
        let slot = |(name, var): (String, Var)| {
            let zeros = vec![0.0; var.elem_count()];
            Slot { name, var, first: zeros.clone(), second: zeros }
        };
        Self { config, slots: parameters.into_iter().map(slot).collect(), steps: 0 }
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The root of the sum of the squares of all gradients.
    pub fn norm(&self, grads: &GradStore) -> Result<f64> {
        let mut sum = 0.0;
        for slot in &self.slots {
            if let Some(grad) = grads.get(&slot.var) {
                let grad = grad.contiguous()?;
                // Pieces of a fixed size, so that the threads do not decide the order of the sum.
                let squares = |piece: &[f32]| f64::from(rows::sum_of_squares(piece));
                sum += values(&grad)?.par_chunks(PIECE).map(squares).collect::<Vec<_>>().iter().sum::<f64>();
            }
        }
        Ok(sum.sqrt())
    }

    /// Changes all variables by one step with this learning rate; one without a gradient stays as it is.
    pub fn step(&mut self, grads: &GradStore, rate: f64, clip: Clip) -> Result<()> {
        let scale = match clip {
            Clip::Norm(limit) => (limit / (self.norm(grads)? + 1e-6)).min(1.0),
            Clip::None | Clip::Value(_) => 1.0,
        };
        self.steps += 1;
        let AdamWConfig { betas, eps, weight_decay } = self.config;
        let step = Step {
            gradient: scale as f32,
            betas: [betas.0 as f32, betas.1 as f32],
            fresh: [(1.0 - betas.0) as f32, (1.0 - betas.1) as f32],
            first: (rate / (1.0 - power(betas.0, self.steps))) as f32,
            second: (1.0 / (1.0 - power(betas.1, self.steps))) as f32,
            eps: eps as f32,
            keep: (1.0 - rate * weight_decay) as f32,
        };
        for slot in &mut self.slots {
            let Some(grad) = grads.get(&slot.var) else { continue };
            let mut grad = grad.contiguous()?;
            if let Clip::Value(bound) = clip {
                let mut clamped = values(&grad)?.to_vec();
                rows::clamp(&mut clamped, bound);
                grad = super::ops::tensor(clamped, grad.shape())?;
            }
            let grad = values(&grad)?;
            let moments = Mutex::new((&mut slot.first[..], &mut slot.second[..]));
            slot.var.as_tensor().inplace_op1(&Update { grad: &grad, moments, step })?;
        }
        Ok(())
    }

    /// The means and the number of steps, as a SafeTensors file; equal states give equal bytes.
    pub fn save(&self) -> Result<Vec<u8>> {
        let steps = self.steps.to_le_bytes();
        let bytes: Vec<(String, Vec<u8>)> = self
            .slots
            .iter()
            .flat_map(|slot| {
                [
                    (format!("first.{}", slot.name), to_bytes(&slot.first)),
                    (format!("second.{}", slot.name), to_bytes(&slot.second)),
                ]
            })
            .collect();
        let mut views = vec![("steps".to_owned(), TensorView::new(Dtype::U64, vec![1], &steps)?)];
        for (name, bytes) in &bytes {
            views.push((name.clone(), TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?));
        }
        Ok(safetensors::serialize(views, None)?)
    }

    /// Goes on from what [`AdamW::save`] gave.
    ///
    /// Fails, with the state half changed, if it is of other variables.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let file = SafeTensors::deserialize(bytes).context("cannot read the state of the optimiser")?;
        if file.len() != 2 * self.slots.len() + 1 {
            bail!("the state of the optimiser is of {} tensors, not {}", file.len(), 2 * self.slots.len() + 1);
        }
        for slot in &mut self.slots {
            for (part, values) in [("first", &mut slot.first), ("second", &mut slot.second)] {
                let name = format!("{part}.{}", slot.name);
                let view = file.tensor(&name).with_context(|| format!("the state of the optimiser has no `{name}`"))?;
                if view.data().len() != 4 * values.len() {
                    bail!("the state of the optimiser has another size of `{name}`");
                }
                for (value, bytes) in values.iter_mut().zip(view.data().as_chunks::<4>().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
            }
        }
        let steps = file.tensor("steps").context("the state of the optimiser has no number of steps")?;
        let Some(&steps) = steps.data().first_chunk::<8>() else { bail!("the number of steps is cut short") };
        self.steps = u64::from_le_bytes(steps);
        Ok(())
    }
}

/// The little-endian bytes of some numbers.
fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// `base` to the power of `exponent` by repeated squaring, the same everywhere.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            product *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    product
}

/// The change of one variable, in place.
struct Update<'a> {
    grad: &'a [f32],
    /// Mutable behind a shared reference only because the operation's interface has none.
    moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
    step: Step,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (Some((start, end)), CpuStorage::F32(weights)) = (layout.contiguous_offsets(), storage) else {
            candle_core::bail!("a variable must be contiguous and f32");
        };
        let mut moments = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (first, second) = &mut *moments;
        weights[start..end]
            .par_chunks_mut(PIECE)
            .zip(self.grad.par_chunks(PIECE))
            .zip(first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE)))
            .for_each(|((p, g), (m, v))| rows::adamw(p, g, m, v, self.step));
        Ok(())
    }
}

/// How long the learning rate grows before it falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Warmup {
    /// This many steps, however many there are in all.
    Steps(u32),
    /// This share of all steps, rounded up.
    Fraction(f64),
}

impl Warmup {
    /// What the learning rate is multiplied by at the 0-based step `step` of `total`: from 0 up to 1, then down to 0, both linearly.
    pub fn factor(self, step: u64, total: u64) -> f64 {
        let warm = match self {
            Self::Steps(steps) => u64::from(steps),
            Self::Fraction(share) => (share.clamp(0.0, 1.0) * total as f64).ceil() as u64,
        };
        if step < warm {
            return step as f64 / warm as f64;
        }
        total.saturating_sub(step) as f64 / total.saturating_sub(warm).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn var(values: &[f32]) -> Var {
        Var::from_slice(values, values.len(), &Device::Cpu).unwrap()
    }

    fn read(var: &Var) -> Vec<f32> {
        values(var).unwrap().to_vec()
    }

    /// Gradients `by` of the sum of the variable's elements times `by`.
    fn grads(var: &Var, by: &[f32]) -> GradStore {
        let by = Tensor::from_slice(by, by.len(), &Device::Cpu).unwrap();
        (var.as_tensor() * by).unwrap().sum_all().unwrap().backward().unwrap()
    }

    #[test]
    fn two_steps_are_those_of_the_formula() {
        // The formula in f64: p (1 - lr wd) - lr m^ / (sqrt(v^) + eps).
        let (weight, slopes, rate) = (0.5_f64, [0.3_f64, -2.0], 0.1);
        let (mut p, mut m, mut v) = (weight, 0.0, 0.0);
        let x = var(&[weight as f32]);
        let mut optimiser = AdamW::new(vec![("x".to_owned(), x.clone())], AdamWConfig::default());
        for (t, g) in slopes.into_iter().enumerate() {
            optimiser.step(&grads(&x, &[g as f32]), rate, Clip::None).unwrap();
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9_f64.powi(t as i32 + 1)), v / (1.0 - 0.999_f64.powi(t as i32 + 1)));
            p = p * (1.0 - rate * 0.01) - rate * m_hat / (v_hat.sqrt() + 1e-8);
            assert!((f64::from(read(&x)[0]) - p).abs() < 1e-6, "step {t}: {} {p}", read(&x)[0]);
        }
        assert_eq!(optimiser.steps(), 2);
    }

    #[test]
    fn a_restored_state_goes_on_with_the_same_bits() {
        let start: Vec<f32> = (0..50).map(|i| (i as f32).sin()).collect();
        let slope = |t: usize| -> Vec<f32> { (0..50).map(|i| ((i * 7 + t * 3) as f32).cos()).collect() };
        let run = |pause: Option<usize>| {
            let mut x = var(&start);
            let mut optimiser = AdamW::new(vec![("x".to_owned(), x.clone())], AdamWConfig::default());
            for t in 0..6 {
                if Some(t) == pause {
                    let saved = optimiser.save().unwrap();
                    x = var(&read(&x));
                    optimiser = AdamW::new(vec![("x".to_owned(), x.clone())], AdamWConfig::default());
                    optimiser.restore(&saved).unwrap();
                    assert_eq!(optimiser.save().unwrap(), saved);
                }
                optimiser.step(&grads(&x, &slope(t)), 0.01, Clip::None).unwrap();
            }
            read(&x)
        };
        assert_eq!(run(None), run(Some(3)));
        let mut other = AdamW::new(vec![("y".to_owned(), var(&[1.0]))], AdamWConfig::default());
        let saved = AdamW::new(vec![("x".to_owned(), var(&[1.0]))], AdamWConfig::default()).save().unwrap();
        assert!(other.restore(&saved).is_err() && other.restore(b"x").is_err());
    }

    #[test]
    fn gradients_are_clipped_as_asked() {
        // After one step from zero means a weight moves by the rate times g / (|g| + eps): a large eps shows the size of g.
        let config = AdamWConfig { eps: 1.0, weight_decay: 0.0, ..AdamWConfig::default() };
        let moved = |clip| {
            let x = var(&[0.0, 0.0]);
            AdamW::new(vec![("x".to_owned(), x.clone())], config).step(&grads(&x, &[3.0, -4.0]), 1.0, clip).unwrap();
            read(&x)
        };
        let rows = [
            (Clip::None, [3.0, -4.0]),
            (Clip::Norm(1.0), [0.6, -0.8]),
            (Clip::Norm(9.0), [3.0, -4.0]),
            (Clip::Value(1.0), [1.0, -1.0]),
        ];
        for (clip, g) in rows {
            for (moved, g) in moved(clip).iter().zip(g) {
                let expected: f32 = -g / (f32::abs(g) + 1.0);
                assert!((moved - expected).abs() < 1e-5, "{clip:?}: {moved} {expected}");
            }
        }
    }

    #[test]
    fn rates_rise_and_fall() {
        let rows = [
            // The golden schedule: s/5 below 5, then (20 - s)/15.
            (Warmup::Steps(5), 20, vec![(0, 0.0), (1, 0.2), (4, 0.8), (5, 1.0), (6, 14.0 / 15.0), (19, 1.0 / 15.0)]),
            (Warmup::Fraction(0.25), 20, vec![(0, 0.0), (1, 0.2), (5, 1.0), (19, 1.0 / 15.0)]),
            (Warmup::Steps(0), 4, vec![(0, 1.0), (1, 0.75), (3, 0.25)]),
            (Warmup::Fraction(0.0), 4, vec![(0, 1.0)]),
            // The original on Sydney: 2,070 steps never leave a warm-up of 5,000.
            (Warmup::Steps(5000), 2070, vec![(2069, 2069.0 / 5000.0)]),
        ];
        for (warmup, total, points) in rows {
            for (step, factor) in points {
                assert!((warmup.factor(step, total) - factor).abs() < 1e-12, "{warmup:?} {step}");
            }
        }
    }
}
