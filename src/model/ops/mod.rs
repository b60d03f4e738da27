//! Differentiable operations with backward passes of our own, on [`super::kernel`].
//!
//! candle's fused layer norm and softmax have no backward, and its matrix product computes gradients of frozen weights; these operations
//! have the one and leave out the other. Every row of a result has the same bits whatever other rows are in the batch and however many
//! threads work. All tensors are `f32` on the CPU; a non-contiguous argument is copied first, except in attention, which reads strides.

mod activation;
mod assemble;
mod attention;
mod average;
mod conv;
mod dropout;
mod embedding;
mod heads;
mod linear;
mod loss;
mod norm;
mod normed;
mod packed;
mod predict;
mod sink;
mod stack;

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};
use rayon::prelude::*;

pub use activation::{Activation, activate, add, gelu, gelu_new, quick_gelu, relu, sigmoid, tanh};
pub use assemble::assemble;
pub use attention::{Masking, attention, attention_kv, attention_qkv};
pub use average::adaptive_average;
#[cfg(test)]
pub(crate) use average::average;
pub use conv::{Conv, conv2d};
pub use dropout::Dropout;
pub(crate) use dropout::Mask;
pub use embedding::embedding;
pub use heads::matmul_heads;
pub use linear::{Stored, linear, matmul};
pub use loss::{cross_entropy, log_softmax_rows};
pub use norm::layer_norm;
pub(crate) use normed::rectify;
pub use normed::{ConvEnd, NormedConv, conv2d_normed};
pub use packed::linear_packed;
pub use predict::prediction_loss;
pub use sink::backward;
pub(crate) use sink::give;
pub use stack::{Affine, Norm, Projection, Stack, StackLayer, stack};

/// Which gradients a backward pass computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grad {
    /// The input's and the weights'.
    Both,
    /// Only the input's: the weights are frozen.
    InputOnly,
}

impl Grad {
    /// `Both` if `trainable`.
    pub fn of(trainable: bool) -> Self {
        if trainable { Self::Both } else { Self::InputOnly }
    }
}

/// Elements below which a row-wise operation stays on the calling thread.
const SMALL: usize = 1 << 14;
/// About how many elements one parallel piece of a row-wise operation has.
const PIECE: usize = 1 << 13;

/// The values of a contiguous tensor, locked for reading.
pub(crate) struct Values<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => &[],
        }
    }
}

/// Reads a contiguous `f32` tensor on the CPU.
pub(crate) fn values(tensor: &Tensor) -> Result<Values<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("the tensor {:?} is not contiguous", tensor.shape())
    };
    if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
        bail!("expected an f32 tensor on the cpu, got {:?}", tensor.dtype());
    }
    Ok(Values { storage, range: start..end })
}

/// The values behind an argument of a custom operation, from its first element on.
fn argument<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        CpuStorage::F32(values) => Ok(&values[layout.start_offset()..]),
        _ => bail!("expected f32 values"),
    }
}

/// [`argument`], which must be contiguous.
fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("the argument {:?} is not contiguous", layout.shape())
    };
    match storage {
        CpuStorage::F32(values) => Ok(&values[start..end]),
        _ => bail!("expected f32 values"),
    }
}

/// A new tensor on the CPU.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

fn result(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

/// The size of the last dimension and the number of rows before it.
fn rows_of(shape: &Shape) -> Result<(usize, usize)> {
    match shape.dims().split_last() {
        Some((&width, before)) => Ok((before.iter().product(), width)),
        None => bail!("a scalar has no rows"),
    }
}

/// Calls `work` with each row of `out` and its number, on all threads when there are many.
fn each_row(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    if width == 0 {
        return;
    }
    if out.len() < SMALL {
        out.chunks_mut(width).enumerate().for_each(|(row, out)| work(row, out));
        return;
    }
    let rows = PIECE.div_ceil(width);
    out.par_chunks_mut(rows * width).enumerate().for_each(|(piece, out)| {
        for (i, out) in out.chunks_mut(width).enumerate() {
            work(piece * rows + i, out);
        }
    });
}

/// The sum of every column of a row-major matrix, rows added in their order.
pub(crate) fn column_sums(matrix: &[f32], width: usize) -> Vec<f32> {
    const COLUMNS: usize = 64;
    let mut sums = vec![0.0; width];
    let add = |(piece, sums): (usize, &mut [f32])| {
        for row in matrix.chunks_exact(width) {
            super::kernel::rows::add_to(sums, &row[piece * COLUMNS..piece * COLUMNS + sums.len()]);
        }
    };
    if matrix.len() < SMALL {
        sums.chunks_mut(COLUMNS).enumerate().for_each(add);
    } else {
        sums.par_chunks_mut(COLUMNS).enumerate().for_each(add);
    }
    sums
}

#[cfg(test)]
mod tests;
