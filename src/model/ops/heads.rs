//! A matrix of its own for every attention head.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::{column_sums, contiguous, result, rows_of, tensor, values};
use crate::model::kernel::{Mat, MatMut, Start, gemm};

/// Multiplies every head's part of each row by that head's matrix and adds its bias.
///
/// - `x`: `f32[.., heads * dh]`; `weights`: `f32[heads, dh, dh]`, applied from the right; `biases`: `f32[heads, dh]`.
/// - returns the shape of `x`.
pub fn matmul_heads(x: &Tensor, weights: &Tensor, biases: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(&weights.contiguous()?, &biases.contiguous()?, Heads)
}

struct Heads;

/// The numbers of rows and heads, and the width of a head.
fn sizes(x: &Shape, weights: &Shape, biases: &Shape) -> Result<(usize, usize, usize)> {
    let (rows, width) = rows_of(x)?;
    let (heads, inputs, outputs) = weights.dims3()?;
    if inputs != outputs || heads * inputs != width || biases.dims() != [heads, inputs] {
        bail!("matrices {weights:?} and biases {biases:?} for rows of {width}");
    }
    Ok((rows, heads, inputs))
}

impl CustomOp3 for Heads {
    fn name(&self) -> &'static str {
        "matmul_heads"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, heads, dh) = sizes(lx.shape(), lw.shape(), lb.shape())?;
        let (x, w, b) = (contiguous(x, lx)?, contiguous(w, lw)?, contiguous(b, lb)?);
        let mut out = vec![0.0; x.len()];
        for head in (0..heads).take_while(|_| rows > 0) {
            let at = head * dh;
            let x = Mat::strided(&x[at..], rows, dh, heads * dh);
            let out = MatMut::strided(&mut out[at..], rows, dh, heads * dh);
            gemm(x, Mat::new(&w[at * dh..], dh, dh), out, Start::Bias(&b[at..at + dh]));
        }
        Ok(result(out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (rows, heads, dh) = sizes(x.shape(), w.shape(), b.shape())?;
        let grad = grad.contiguous()?;
        let (xs, ws, g) = (values(x)?, values(w)?, values(&grad)?);
        let mut dx = vec![0.0; xs.len()];
        let mut dw = vec![0.0; ws.len()];
        for head in (0..heads).take_while(|_| rows > 0) {
            let at = head * dh;
            let part = |data| Mat::strided(data, rows, dh, heads * dh);
            let out = MatMut::strided(&mut dx[at..], rows, dh, heads * dh);
            gemm(part(&g[at..]), Mat::new(&ws[at * dh..], dh, dh).t(), out, Start::Zero);
            let out = MatMut::new(&mut dw[at * dh..], dh, dh);
            gemm(part(&xs[at..]).t(), part(&g[at..]), out, Start::Zero);
        }
        let db = column_sums(&g, heads * dh);
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(dw, w.shape())?), Some(tensor(db, b.shape())?)))
    }
}
