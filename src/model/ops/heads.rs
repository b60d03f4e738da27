//! A matrix of its own for every attention head.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::{column_sums, contiguous, result, rows_of, sink, tensor, values};
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

/// [`matmul_heads`] of rows in memory.
pub(super) fn forward(x: &[f32], weights: &Tensor, biases: &Tensor, out: &mut [f32]) -> Result<()> {
    let (heads, dh, _) = weights.dims3()?;
    let rows = x.len() / (heads * dh).max(1);
    sizes(&Shape::from((rows, x.len() / rows.max(1))), weights.shape(), biases.shape())?;
    apply((x, rows), &values(weights)?, &values(biases)?, (heads, dh), out);
    Ok(())
}

fn apply((x, rows): (&[f32], usize), w: &[f32], b: &[f32], (heads, dh): (usize, usize), out: &mut [f32]) {
    for head in (0..heads).take_while(|_| rows > 0) {
        let at = head * dh;
        let x = Mat::strided(&x[at..], rows, dh, heads * dh);
        let out = MatMut::strided(&mut out[at..], rows, dh, heads * dh);
        gemm(x, Mat::new(&w[at * dh..], dh, dh), out, Start::Bias(&b[at..at + dh]));
    }
}

/// Writes the gradient by the rows and returns those by weights and biases.
pub(super) fn backward(x: &[f32], weights: &Tensor, g: &[f32], dx: &mut [f32]) -> Result<(Vec<f32>, Vec<f32>)> {
    let (heads, dh, _) = weights.dims3()?;
    let w = values(weights)?;
    let rows = x.len() / (heads * dh).max(1);
    let mut dw = vec![0.0; w.len()];
    for head in (0..heads).take_while(|_| rows > 0) {
        let at = head * dh;
        let part = |data| Mat::strided(data, rows, dh, heads * dh);
        let out = MatMut::strided(&mut dx[at..], rows, dh, heads * dh);
        gemm(part(&g[at..]), Mat::new(&w[at * dh..], dh, dh).t(), out, Start::Zero);
        gemm(part(&x[at..]).t(), part(&g[at..]), MatMut::new(&mut dw[at * dh..], dh, dh), Start::Zero);
    }
    Ok((dw, column_sums(g, heads * dh)))
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
        let x = contiguous(x, lx)?;
        let mut out = vec![0.0; x.len()];
        apply((x, rows), contiguous(w, lw)?, contiguous(b, lb)?, (heads, dh), &mut out);
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
        let grad = grad.contiguous()?;
        let xs = values(x)?;
        let mut dx = vec![0.0; xs.len()];
        let (dw, db) = backward(&xs, w, &values(&grad)?, &mut dx)?;
        Ok((Some(tensor(dx, x.shape())?), sink::offer_tensor(w, dw)?, sink::offer_tensor(b, db)?))
    }
}
