//! Layer normalisation.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{Grad, contiguous, each_row, result, rows_of, sink, tensor, values};
use crate::model::kernel::rows;

/// Normalises every row of `x` (`[.., n]`) to mean 0 and variance 1, then scales by `weight` and shifts by `bias` (`[n]`).
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32, grad: Grad) -> Result<Tensor> {
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, LayerNorm { eps, grad })
}

struct LayerNorm {
    eps: f32,
    grad: Grad,
}

/// Rows whose shares of the weights' gradients are added in one go; the sums of these blocks are then added in order.
const BLOCK: usize = 64;

/// The gradients by weight and bias of a layer norm of rows `x`, from the one by its result.
pub(super) fn norm_gradients(x: &[f32], eps: f32, g: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let block = |(x, g): (&[f32], &[f32])| {
        let mut sums = vec![0.0; 2 * width];
        let (dw, db) = sums.split_at_mut(width);
        for (x, g) in x.chunks_exact(width).zip(g.chunks_exact(width)) {
            rows::layer_norm_weights(x, eps, g, dw, db);
        }
        sums
    };
    let blocks: Vec<_> = x.par_chunks(BLOCK * width).zip(g.par_chunks(BLOCK * width)).map(block).collect();
    let mut dw = vec![0.0; 2 * width];
    for block in &blocks {
        rows::add_to(&mut dw, block);
    }
    let db = dw.split_off(width);
    (dw, db)
}

/// Writes the gradient by the rows `x` of a layer norm, from the one by its result.
pub(super) fn norm_input_gradient(x: &[f32], weight: &[f32], eps: f32, g: &[f32], dx: &mut [f32]) {
    let width = weight.len();
    each_row(dx, width, |row, dx| {
        let at = row * width..(row + 1) * width;
        rows::layer_norm_back(&x[at.clone()], weight, eps, &g[at], dx);
    });
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
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
        let (x, w, b) = (contiguous(x, lx)?, contiguous(w, lw)?, contiguous(b, lb)?);
        let width = rows_of(lx.shape())?.1;
        if w.len() != width || b.len() != width {
            bail!("a layer norm of {} and {} cannot take rows of {width}", w.len(), b.len());
        }
        let mut out = vec![0.0; x.len()];
        each_row(&mut out, width, |row, out| rows::layer_norm(&x[row * width..][..width], w, b, self.eps, out));
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
        let width = rows_of(x.shape())?.1;
        let (xs, g) = (values(x)?, values(&grad)?);
        let dx = if x.track_op() {
            let mut dx = vec![0.0; xs.len()];
            norm_input_gradient(&xs, &values(w)?, self.eps, &g, &mut dx);
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        if self.grad == Grad::InputOnly || !(w.track_op() || b.track_op()) {
            return Ok((dx, None, None));
        }
        let (dw, db) = norm_gradients(&xs, self.eps, &g, width);
        let wanted = |by: &Tensor, d| if by.track_op() { sink::offer_tensor(by, d) } else { Ok(None) };
        Ok((dx, wanted(w, dw)?, wanted(b, db)?))
    }
}
