//! Copies of matrix blocks in the order in which the innermost loops read them, and the memory they lie in.

use std::cell::RefCell;

use super::gemm::Mat;

thread_local! {
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers above this many elements are given back to the system after use.
const KEPT: usize = 16 << 20;

/// Lends `len` elements of scratch memory with unspecified content to `work`.
///
/// Each thread keeps its buffers: fresh pages cost more than a small product. A thread that waits inside `work` may run another product and
/// then takes another buffer.
pub(super) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    let result = work(&mut buffer[..len]);
    if buffer.len() <= KEPT {
        SPARE.with_borrow_mut(|spare| spare.push(buffer));
    }
    result
}

/// Packs rows `row..row + height` and columns `k..` of `a` as `[k][height]`; `out` says how many columns.
pub(super) fn pack_rows(a: Mat, row: usize, height: usize, k: usize, out: &mut [f32]) {
    let block = a.at(row, k);
    if a.row_stride == 1 {
        match height {
            12 => copy_runs::<12>(block, a.column_stride, out),
            6 => copy_runs::<6>(block, a.column_stride, out),
            4 => copy_runs::<4>(block, a.column_stride, out),
            _ => {
                for (column, out) in out.chunks_exact_mut(height).enumerate() {
                    let start = column * a.column_stride;
                    out.copy_from_slice(&block[start..start + height]);
                }
            }
        }
    } else if a.column_stride == 1 {
        let depth = out.len() / height;
        let line = |i: usize| &block[i * a.row_stride..i * a.row_stride + depth];
        match height {
            12 => interleave::<12>(std::array::from_fn(line), out),
            6 => interleave::<6>(std::array::from_fn(line), out),
            4 => interleave::<4>(std::array::from_fn(line), out),
            _ => {
                for i in 0..height {
                    for (out, &x) in out[i..].iter_mut().step_by(height).zip(line(i)) {
                        *out = x;
                    }
                }
            }
        }
    } else {
        for (column, out) in out.chunks_exact_mut(height).enumerate() {
            for (i, out) in out.iter_mut().enumerate() {
                *out = block[i * a.row_stride + column * a.column_stride];
            }
        }
    }
}

/// Packs rows `k..` and columns `column..column + width` of `b` as `[k][tile]`, with zeros beyond `width`.
pub(super) fn pack_columns(b: Mat, k: usize, column: usize, width: usize, tile: usize, out: &mut [f32]) {
    let block = b.at(k, column);
    let depth = out.len() / tile;
    if b.column_stride == 1 && width == 32 && tile == 32 {
        copy_runs::<32>(block, b.row_stride, out);
    } else if b.column_stride == 1 && width == 16 && tile == 16 {
        copy_runs::<16>(block, b.row_stride, out);
    } else if b.column_stride == 1 {
        for (row, out) in out.chunks_exact_mut(tile).enumerate() {
            let start = row * b.row_stride;
            out[..width].copy_from_slice(&block[start..start + width]);
            out[width..].fill(0.0);
        }
    } else if b.row_stride == 1 && width == tile && tile == 32 {
        interleave::<32>(std::array::from_fn(|i| &block[i * b.column_stride..i * b.column_stride + depth]), out);
    } else if b.row_stride == 1 && width == tile && tile == 16 {
        interleave::<16>(std::array::from_fn(|i| &block[i * b.column_stride..i * b.column_stride + depth]), out);
    } else {
        for (row, out) in out.chunks_exact_mut(tile).enumerate() {
            for (i, out) in out[..width].iter_mut().enumerate() {
                *out = block[row * b.row_stride + i * b.column_stride];
            }
            out[width..].fill(0.0);
        }
    }
}

/// Copies runs of `M` numbers that begin `stride` apart; a size known beforehand saves a call for each.
fn copy_runs<const M: usize>(block: &[f32], stride: usize, out: &mut [f32]) {
    for (i, out) in out.as_chunks_mut::<M>().0.iter_mut().enumerate() {
        if let Some(run) = block[i * stride..].first_chunk::<M>() {
            *out = *run;
        }
    }
}

/// Transposes `M` lines into `out` (`[k][M]`).
fn interleave<const M: usize>(lines: [&[f32]; M], out: &mut [f32]) {
    for (k, out) in out.as_chunks_mut::<M>().0.iter_mut().enumerate() {
        for (out, line) in out.iter_mut().zip(&lines) {
            *out = line[k];
        }
    }
}
