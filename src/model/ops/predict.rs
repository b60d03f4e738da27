//! The loss of a language model, without tensors as wide as its vocabulary.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{Grad, Stored, contiguous, each_row, result, rows_of, sink, tensor, values};
use crate::model::kernel::{Buffer, Mat, MatMut, Start, gemm, rows};

/// The mean over targets of `-log softmax(x_p W^T)[target]`, in nats: `f32[]`.
///
/// - `x`: `f32[.., d]`, rows counted through; `positions`: for every target, the row that predicts it (each at most once).
/// - `weight`: `f32[v, d]`, such as the input embeddings.
///
/// The same as [`super::cross_entropy`] of the product at these rows. Fails without targets, or if one is not below `v`.
pub fn prediction_loss(x: &Tensor, weight: &Tensor, positions: &[u32], targets: &[u32], grad: Grad) -> Result<Tensor> {
    let keep = x.track_op() || weight.track_op();
    let op = Predict { positions: positions.to_vec(), targets: targets.to_vec(), grad, keep, saved: Mutex::default() };
    x.contiguous()?.apply_op2(&weight.contiguous()?, op)
}

struct Predict {
    positions: Vec<u32>,
    targets: Vec<u32>,
    grad: Grad,
    keep: bool,
    /// The rows at the positions, and their gradients by logits for a loss of slope 1.
    saved: Mutex<Option<(Buffer, Buffer)>>,
}

impl Predict {
    fn check(&self, x: &Shape, weight: &Shape) -> Result<(usize, usize)> {
        let ((rows, width), (classes, d)) = (rows_of(x)?, weight.dims2()?);
        if width != d || self.targets.is_empty() || self.targets.len() != self.positions.len() {
            bail!(
                "a loss of {} targets at {} rows of {x:?} with weights {weight:?}",
                self.targets.len(),
                self.positions.len()
            );
        }
        if self.positions.iter().any(|&at| at as usize >= rows) || self.targets.iter().any(|&t| t as usize >= classes) {
            bail!("a target or its position is out of range: {rows} rows, {classes} classes");
        }
        Ok((d, classes))
    }
}

impl CustomOp2 for Predict {
    fn name(&self) -> &'static str {
        "prediction_loss"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (d, classes) = self.check(lx.shape(), lw.shape())?;
        let (x, w) = (contiguous(x, lx)?, contiguous(w, lw)?);
        let count = self.targets.len();
        let mut taken = Buffer::new(count * d);
        for (out, &at) in taken.chunks_exact_mut(d).zip(&self.positions) {
            out.copy_from_slice(&x[at as usize * d..][..d]);
        }
        let mut logits = Buffer::new(count * classes);
        let weight = Stored::OutIn.view(w, d, classes);
        gemm(Mat::new(&taken, count, d), weight, MatMut::new(&mut logits, count, classes), Start::Zero);
        let mut losses = vec![0.0; count];
        let factor = 1.0 / count as f32;
        let rows = losses.par_iter_mut().zip(logits.par_chunks_mut(classes)).zip(&self.targets);
        rows.for_each(|((loss, logits), &target)| {
            let score = logits[target as usize];
            *loss = if self.keep {
                let sum = rows::softmax_in_place(logits, factor);
                logits[target as usize] -= factor;
                sum - score
            } else {
                rows::log_sum_exp(logits) - score
            };
        });
        if self.keep {
            *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some((taken, logits));
        }
        let sum: f64 = losses.iter().copied().map(f64::from).sum();
        Ok(result(vec![(sum / count as f64) as f32], ()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (d, classes) = self.check(x.shape(), w.shape())?;
        let Some((taken, mut g)) = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("a prediction loss allows one backward pass");
        };
        let slope = grad.to_scalar::<f32>()?;
        if slope != 1.0 {
            each_row(&mut g, classes, |_, g| rows::scale(g, slope));
        }
        let count = self.targets.len();
        let mut dx = None;
        if x.track_op() {
            let weight = values(w)?;
            let mut rows = Buffer::new(count * d);
            let view = Stored::OutIn.view(&weight, d, classes).t();
            gemm(Mat::new(&g, count, classes), view, MatMut::new(&mut rows, count, d), Start::Zero);
            let mut all = vec![0.0; x.elem_count()];
            for (row, &at) in rows.chunks_exact(d).zip(&self.positions) {
                all[at as usize * d..][..d].copy_from_slice(row);
            }
            dx = Some(tensor(all, x.shape())?);
        }
        let mut dw = None;
        if self.grad == Grad::Both && w.track_op() {
            dw = sink::offer_tensor(w, Stored::OutIn.gradient(&taken, &g, d, classes))?;
        }
        Ok((dx, dw))
    }
}
