//! Rows of a table.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{contiguous, result, rows_of, sink, values};
use crate::model::kernel::rows::add_to;

/// The rows `ids` of `table` (`[n, ..]`), one after the other: `[ids.len(), ..]`. A row may be taken any number of times.
///
/// Fails if an id is not below `n`.
pub fn embedding(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    table.contiguous()?.apply_op1(Rows { ids: ids.to_vec() })
}

struct Rows {
    ids: Vec<u32>,
}

/// The number of rows of a table and the length of one.
fn sizes(shape: &Shape) -> Result<(usize, usize)> {
    match shape.dims().split_first() {
        Some((&count, rest)) => Ok((count, rest.iter().product())),
        None => bail!("a scalar has no rows"),
    }
}

impl CustomOp1 for Rows {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let table = contiguous(table, layout)?;
        let (count, width) = sizes(layout.shape())?;
        let mut out = Vec::with_capacity(self.ids.len() * width);
        for &id in &self.ids {
            let id = id as usize;
            if id >= count {
                bail!("row {id} of a table of {count} rows");
            }
            out.extend_from_slice(&table[id * width..(id + 1) * width]);
        }
        let mut dims = layout.dims().to_vec();
        dims[0] = self.ids.len();
        Ok(result(out, dims))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let g = values(&grad)?;
        let width = if self.ids.is_empty() { rows_of(table.shape())?.1 } else { g.len() / self.ids.len() };
        let mut out = vec![0.0; table.elem_count()];
        for (&id, g) in self.ids.iter().zip(g.chunks_exact(width.max(1))) {
            add_to(&mut out[id as usize * width..][..width], g);
        }
        sink::offer_tensor(table, out)
    }
}
