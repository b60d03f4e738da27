//! The input of a language model: prefixes and the text after them.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::{contiguous, result, tensor, values};
use crate::model::kernel::rows::add_to;

/// Puts a prefix before every row of a text.
///
/// - `prefixes`: `f32[n, k, d]`; `text`: `f32[b, t, d]`; `which`: for every row of the text, its prefix (any number may share one).
/// - returns `f32[b, k + t, d]`.
pub fn assemble(prefixes: &Tensor, text: &Tensor, which: &[u32]) -> Result<Tensor> {
    prefixes.contiguous()?.apply_op2(&text.contiguous()?, Assemble { which: which.to_vec() })
}

struct Assemble {
    which: Vec<u32>,
}

impl CustomOp2 for Assemble {
    fn name(&self) -> &'static str {
        "assemble"
    }

    fn cpu_fwd(&self, p: &CpuStorage, lp: &Layout, t: &CpuStorage, lt: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n, k, d), (b, length, width)) = (lp.shape().dims3()?, lt.shape().dims3()?);
        if d != width || b != self.which.len() || self.which.iter().any(|&row| row as usize >= n) {
            bail!("prefixes {:?} for a text {:?}", lp.shape(), lt.shape());
        }
        let (prefixes, text) = (contiguous(p, lp)?, contiguous(t, lt)?);
        let mut out = Vec::with_capacity(b * (k + length) * d);
        for (row, &which) in self.which.iter().enumerate() {
            out.extend_from_slice(&prefixes[which as usize * k * d..][..k * d]);
            out.extend_from_slice(&text[row * length * d..][..length * d]);
        }
        Ok(result(out, (b, k + length, d)))
    }

    fn bwd(&self, p: &Tensor, t: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((_, k, d), (b, length, _)) = (p.dims3()?, t.dims3()?);
        let grad = grad.contiguous()?;
        let g = values(&grad)?;
        let rows = || g.chunks_exact(((k + length) * d).max(1));
        let mut dp = None;
        if p.track_op() {
            let mut sums = vec![0.0; p.elem_count()];
            for (g, &which) in rows().zip(&self.which) {
                add_to(&mut sums[which as usize * k * d..][..k * d], &g[..k * d]);
            }
            dp = Some(tensor(sums, p.shape())?);
        }
        let mut dt = None;
        if t.track_op() {
            let mut copy = Vec::with_capacity(b * length * d);
            rows().for_each(|g| copy.extend_from_slice(&g[k * d..]));
            dt = Some(tensor(copy, t.shape())?);
        }
        Ok((dp, dt))
    }
}
