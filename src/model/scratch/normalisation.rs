//! Batch normalisation, the addition of a shortcut and `ReLU`, in one operation.
//!
//! While learning, each channel is normalised by its mean and variance over the batch; afterwards by the running
//! averages of these, so that an embedding does not depend on its batch.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::model::ops::{tensor, values};

/// Added to variances.
const EPSILON: f32 = 1e-5;
/// Rows (pixels) of one partial sum; fixed, so that sums do not depend on the thread count.
const ROWS: usize = 512;
/// Numbers of one parallel piece of element-wise work.
const BLOCK: usize = 1 << 14;

/// The mean and the reciprocal standard deviation of every channel, `f32[2, channels]`, outside the gradient's graph.
///
/// `x`: `f32[.., channels]`, contiguous. Also returns the variance as the second row of another `f32[2, channels]`
/// whose first row is the mean: what running averages are made of.
pub(super) fn batch_statistics(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let channels = x.dims()[x.rank() - 1];
    let x = values(x)?;
    let parts: Vec<Vec<f32>> = x.par_chunks(ROWS * channels).map(|rows| partial_sums(rows, channels)).collect();
    let mut sums = vec![0.0_f64; 2 * channels];
    for part in parts {
        sums.iter_mut().zip(&part).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let n = (x.len() / channels).max(1) as f64;
    let (mean, square) = sums.split_at(channels);
    let mean: Vec<f32> = mean.iter().map(|sum| (sum / n) as f32).collect();
    let moments = square.iter().zip(&mean);
    let variance: Vec<f32> = moments.map(|(sum, &m)| (sum / n - f64::from(m).powi(2)).max(0.0) as f32).collect();
    let moments = tensor([mean, variance].concat(), (2, channels))?;
    Ok((statistics_of(&moments)?, moments))
}

/// From means and variances, `f32[2, channels]`, the means and reciprocal standard deviations.
pub(super) fn statistics_of(moments: &Tensor) -> Result<Tensor> {
    let rows = moments.to_vec2::<f32>()?;
    let channels = rows[0].len();
    let rates = rows[1].iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect::<Vec<_>>();
    tensor([rows[0].clone(), rates].concat(), (2, channels))
}

/// Sums and sums of squares of each channel.
fn partial_sums(rows: &[f32], channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f32; 2 * channels];
    let (plain, squares) = sums.split_at_mut(channels);
    for row in rows.chunks_exact(channels) {
        for ((plain, square), &x) in plain.iter_mut().zip(&mut *squares).zip(row) {
            *plain += x;
            *square += x * x;
        }
    }
    sums
}

/// `relu(normalised(x) * scale + shift + shortcut)`.
///
/// - `x`: `f32[.., channels]`, contiguous; `affine`: `f32[2, channels]`, scale and shift.
/// - `statistics`: `f32[2, channels]` from [`batch_statistics`] of this very `x` (the gradient then includes their
///   dependence on `x`) or from running averages (for use, not for learning).
/// - `shortcut`: like `x`, or `None`.
pub(super) fn normalise(x: &Tensor, affine: &Tensor, statistics: &Tensor, shortcut: Option<&Tensor>) -> Result<Tensor> {
    let parameters = Tensor::cat(&[affine, statistics], 0)?;
    // Without a shortcut its place is taken by `x`, unread.
    x.apply_op3(shortcut.unwrap_or(x), &parameters, Normalise { shortcut: shortcut.is_some() })
}

struct Normalise {
    shortcut: bool,
}

/// The four rows of the packed parameters.
struct Parameters<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    mean: &'a [f32],
    rate: &'a [f32],
}

impl<'a> Parameters<'a> {
    fn new(all: &'a [f32]) -> Self {
        let n = all.len() / 4;
        Self { scale: &all[..n], shift: &all[n..2 * n], mean: &all[2 * n..3 * n], rate: &all[3 * n..] }
    }
}

/// The numbers of a contiguous argument of an operation.
fn argument<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => bail!("the argument {:?} is not contiguous", layout.shape()),
    }
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "batch-normalise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        shortcut: &CpuStorage,
        sl: &Layout,
        parameters: &CpuStorage,
        pl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let parameters = Parameters::new(argument(parameters, pl)?);
        let y = self.forward(argument(x, xl)?, argument(shortcut, sl)?, &parameters);
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        parameters: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let packed = values(parameters)?;
        let (p, xs) = (Parameters::new(&packed), values(x)?);
        let masked = masked(&values(y)?, &values(&gradient)?);
        let mut by_affine = p.by_affine(&xs, &masked);
        let by_x = tensor(p.by_input(&xs, &masked, &by_affine), x.shape())?;
        // The dependence on the statistics is part of the gradient by the input.
        by_affine.resize(packed.len(), 0.0);
        let by_shortcut = if self.shortcut { Some(tensor(masked, x.shape())?) } else { None };
        Ok((Some(by_x), by_shortcut, Some(tensor(by_affine, parameters.shape())?)))
    }
}

/// The gradient where the output is positive, else zero.
fn masked(y: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0_f32; y.len()];
    out.par_chunks_mut(BLOCK).zip(y.par_chunks(BLOCK)).zip(dy.par_chunks(BLOCK)).for_each(|((out, y), dy)| {
        for ((out, &y), &dy) in out.iter_mut().zip(y).zip(dy) {
            *out = if y > 0.0 { dy } else { 0.0 };
        }
    });
    out
}

impl Normalise {
    fn forward(&self, x: &[f32], shortcut: &[f32], p: &Parameters) -> Vec<f32> {
        let channels = p.scale.len();
        // y = x * slope + offset.
        let slope: Vec<f32> = p.scale.iter().zip(p.rate).map(|(s, r)| s * r).collect();
        let offset: Vec<f32> = p.shift.iter().zip(p.mean).zip(&slope).map(|((b, m), s)| b - m * s).collect();
        let mut y = vec![0.0_f32; x.len()];
        let block = ROWS * channels;
        y.par_chunks_mut(block).zip(x.par_chunks(block)).zip(shortcut.par_chunks(block)).for_each(|((y, x), s)| {
            let rows = y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(s.chunks_exact(channels));
            for ((y, x), s) in rows {
                for (((y, x), slope), offset) in y.iter_mut().zip(x).zip(&slope).zip(&offset) {
                    *y = x * slope + offset;
                }
                if self.shortcut {
                    y.iter_mut().zip(s).for_each(|(y, s)| *y += s);
                }
                for y in y {
                    *y = y.max(0.0);
                }
            }
        });
        y
    }
}

impl Parameters<'_> {
    /// The gradient by scale and shift, one after the other; `dy` is the gradient before `ReLU`.
    fn by_affine(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let channels = self.scale.len();
        let block = ROWS * channels;
        let sum_block = |(x, dy): (&[f32], &[f32])| {
            let mut sums = vec![0.0_f32; 2 * channels];
            let (scale, shift) = sums.split_at_mut(channels);
            for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
                let moments = self.mean.iter().zip(self.rate);
                for ((scale, (&x, &dy)), (mean, rate)) in scale.iter_mut().zip(x.iter().zip(dy)).zip(moments) {
                    *scale += dy * ((x - mean) * rate);
                }
                shift.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
            }
            sums
        };
        let parts: Vec<Vec<f32>> = x.par_chunks(block).zip(dy.par_chunks(block)).map(sum_block).collect();
        let mut total = vec![0.0_f64; 2 * channels];
        for part in parts {
            total.iter_mut().zip(&part).for_each(|(total, &x)| *total += f64::from(x));
        }
        total.iter().map(|&x| x as f32).collect()
    }

    /// The gradient by the input, through its own statistics too.
    fn by_input(&self, x: &[f32], dy: &[f32], by_affine: &[f32]) -> Vec<f32> {
        let channels = self.scale.len();
        let n = (x.len() / channels) as f32;
        let (by_scale, by_shift) = by_affine.split_at(channels);
        // dx = a * dy + b * x + c per channel.
        let a: Vec<f32> = self.scale.iter().zip(self.rate).map(|(s, r)| s * r).collect();
        let b: Vec<f32> = (0..channels).map(|i| -a[i] * self.rate[i] * by_scale[i] / n).collect();
        let c: Vec<f32> = (0..channels).map(|i| -a[i] * by_shift[i] / n - b[i] * self.mean[i]).collect();
        let mut dx = vec![0.0_f32; x.len()];
        let block = ROWS * channels;
        dx.par_chunks_mut(block).zip(x.par_chunks(block)).zip(dy.par_chunks(block)).for_each(|((dx, x), dy)| {
            let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(dy.chunks_exact(channels));
            for ((dx, x), dy) in rows {
                for (((dx, (x, dy)), a), (b, c)) in dx.iter_mut().zip(x.iter().zip(dy)).zip(&a).zip(b.iter().zip(&c)) {
                    *dx = a * dy + (b * x + c);
                }
            }
        });
        dx
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::model::init::Init;

    /// A number that depends on every output differently.
    fn loss(x: &Tensor, affine: &Tensor, shortcut: Option<&Tensor>) -> Tensor {
        let statistics = batch_statistics(x).unwrap().0;
        let y = normalise(x, affine, &statistics, shortcut).unwrap();
        let weights = Init::Uniform(1.0).tensor(4, "loss", y.shape()).unwrap();
        (y * weights).unwrap().sum_all().unwrap()
    }

    /// Moves every element a little both ways and compares the slope with the gradient.
    fn check(what: &str, var: &Var, gradient: &Tensor, loss: impl Fn() -> f32) {
        const STEP: f32 = 1e-2;
        let start = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let gradient = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (i, &expected) in gradient.iter().enumerate() {
            let at = |step: f32| {
                let mut moved = start.clone();
                moved[i] += step;
                var.set(&tensor(moved, var.shape()).unwrap()).unwrap();
                loss()
            };
            let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            // One element in many changes its sign within the step.
            assert!((slope - expected).abs() < 0.04, "{what}[{i}]: slope {slope}, gradient {expected}");
        }
        var.set(&tensor(start, var.shape()).unwrap()).unwrap();
    }

    #[test]
    fn gradients_are_slopes() {
        let draw = |name: &str, shape: &[usize]| Var::from_tensor(&Init::Normal(1.0).tensor(1, name, shape).unwrap());
        let (x, shortcut) = (draw("x", &[2, 3, 2, 5]).unwrap(), draw("shortcut", &[2, 3, 2, 5]).unwrap());
        let affine = draw("affine", &[2, 5]).unwrap();
        for with in [None, Some(shortcut.as_tensor())] {
            let gradients = loss(&x, &affine, with).backward().unwrap();
            let now = || loss(&x, &affine, with).to_scalar::<f32>().unwrap();
            check("x", &x, gradients.get(&x).unwrap(), now);
            check("affine", &affine, gradients.get(&affine).unwrap(), now);
            if with.is_some() {
                check("shortcut", &shortcut, gradients.get(&shortcut).unwrap(), now);
            }
        }
    }

    #[test]
    fn a_normalised_channel_has_mean_0_and_variance_1() {
        let x = tensor(vec![1.0, 10.0, 2.0, 20.0, 3.0, 60.0], (3, 2)).unwrap();
        let (statistics, moments) = batch_statistics(&x).unwrap();
        // By hand: means 2 and 30; variances 2/3 and (400 + 100 + 900) / 3.
        let expected = tensor(vec![2.0, 30.0, 2.0 / 3.0, 1400.0 / 3.0], (2, 2)).unwrap();
        let error = (moments - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(error < 1e-4, "{error}");
        // Shifted by 5 so that `ReLU` cuts nothing.
        let affine = tensor(vec![1.0, 1.0, 5.0, 5.0], (2, 2)).unwrap();
        let y = normalise(&x, &affine, &statistics, None).unwrap();
        let (_, moments) = batch_statistics(&y).unwrap();
        let moments = moments.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (got, expected) in moments.iter().zip([5.0, 5.0, 1.0, 1.0]) {
            assert!((got - expected).abs() < 1e-4, "{moments:?}");
        }
    }
}
