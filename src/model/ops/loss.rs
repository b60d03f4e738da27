//! Logarithms of probabilities, and the loss made of them.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{contiguous, each_row, result, rows_of, tensor, values};
use crate::model::kernel::rows;

/// The mean over rows of `-log softmax(logits)[target]`, in nats: `f32[]`.
///
/// - `logits`: `f32[n, v]`; `targets`: one class below `v` per row. Rows that do not count are left out beforehand.
///
/// Fails if there are no rows, or a target is not a class.
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    logits.contiguous()?.apply_op1(CrossEntropy { targets: targets.to_vec() })
}

/// The logarithm of the softmax of every row.
pub fn log_softmax_rows(logits: &Tensor) -> Result<Tensor> {
    logits.contiguous()?.apply_op1(LogSoftmax)
}

struct CrossEntropy {
    targets: Vec<u32>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, width) = layout.shape().dims2()?;
        let logits = contiguous(logits, layout)?;
        if count == 0 || count != self.targets.len() {
            bail!("{count} rows of logits for {} targets", self.targets.len());
        }
        if let Some(wrong) = self.targets.iter().find(|&&target| target as usize >= width) {
            bail!("target {wrong} among {width} classes");
        }
        let mut losses = vec![0.0; count];
        let loss = |row: usize, out: &mut f32| {
            let logits = &logits[row * width..][..width];
            *out = rows::log_sum_exp(logits) - logits[self.targets[row] as usize];
        };
        if logits.len() < super::SMALL {
            losses.iter_mut().enumerate().for_each(|(row, out)| loss(row, out));
        } else {
            use rayon::prelude::*;
            losses
                .par_iter_mut()
                .with_min_len(super::PIECE.div_ceil(width))
                .enumerate()
                .for_each(|(row, out)| loss(row, out));
        }
        let sum: f64 = losses.iter().copied().map(f64::from).sum();
        Ok(result(vec![(sum / count as f64) as f32], ()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = logits.dim(1)?;
        let factor = grad.to_scalar::<f32>()? / self.targets.len() as f32;
        let xs = values(logits)?;
        let mut out = vec![0.0; xs.len()];
        each_row(&mut out, width, |row, out| {
            let x = &xs[row * width..][..width];
            rows::softmax_times(x, factor, out);
            out[self.targets[row] as usize] -= factor;
        });
        Ok(Some(tensor(out, logits.shape())?))
    }
}

struct LogSoftmax;

impl CustomOp1 for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = rows_of(layout.shape())?.1;
        let logits = contiguous(logits, layout)?;
        let mut out = vec![0.0; logits.len()];
        each_row(&mut out, width, |row, out| {
            let x = &logits[row * width..][..width];
            rows::subtract(x, rows::log_sum_exp(x), out);
        });
        Ok(result(out, layout.shape().clone()))
    }

    fn bwd(&self, logits: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let width = rows_of(logits.shape())?.1;
        let (logs, g) = (values(res)?, values(&grad)?);
        let mut out = vec![0.0; logs.len()];
        each_row(&mut out, width, |row, out| {
            let at = row * width..(row + 1) * width;
            rows::exp_shifted(&logs[at.clone()], 0.0, -rows::sum(&g[at.clone()]), out);
            rows::add_to(out, &g[at]);
        });
        Ok(Some(tensor(out, logits.shape())?))
    }
}
