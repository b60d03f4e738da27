//! The innermost loops: one tile of the result, held in registers over one block of the inner index.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::Isa;

/// The largest tile of any instruction set: rows and columns.
pub(super) const MAX_ROWS: usize = 12;
pub(super) const MAX_COLUMNS: usize = 32;

impl Isa {
    /// How many rows and columns of the result stay in registers.
    pub(super) fn tile(self) -> (usize, usize) {
        match self {
            Self::Avx512 => (12, 32),
            Self::Avx2 => (6, 16),
            Self::Portable => (4, 16),
        }
    }
}

/// Where the right-hand block lies: row `k` begins at `data[k * stride]`.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
}

/// Adds `a` times `b` to one tile, or sets it when `keep` is false.
///
/// `a` is packed as `[k][rows.len()]`; the tile is columns `column..column + width of the instruction set` of `rows`.
pub(super) fn multiply(isa: Isa, a: &[f32], b: Panel, rows: &mut [&mut [f32]], column: usize, keep: bool) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            // SAFETY: this instruction set is chosen only where it was detected.
            macro_rules! with { ($($m:literal)*) => { match rows.len() {
                $($m => unsafe { avx512::<$m>(a, b, rows, column, keep) },)*
                _ => unreachable!("a tile has at most 12 rows"),
            } } }
            with!(1 2 3 4 5 6 7 8 9 10 11 12);
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            // SAFETY: this instruction set is chosen only where it was detected.
            macro_rules! with { ($($m:literal)*) => { match rows.len() {
                $($m => unsafe { avx2::<$m>(a, b, rows, column, keep) },)*
                _ => unreachable!("a tile has at most 6 rows"),
            } } }
            with!(1 2 3 4 5 6);
        }
        _ => match rows.len() {
            1 => portable::<1>(a, b, rows, column, keep),
            2 => portable::<2>(a, b, rows, column, keep),
            3 => portable::<3>(a, b, rows, column, keep),
            4 => portable::<4>(a, b, rows, column, keep),
            _ => unreachable!("a tile has at most 4 rows"),
        },
    }
}

/// The rows of a right-hand block, `W` columns each.
#[inline(always)]
fn block_rows<const W: usize>(b: Panel<'_>) -> impl Iterator<Item = &[f32; W]> {
    b.data.chunks(b.stride).map_while(|row| row.first_chunk::<W>())
}

/// Columns `column..column + W` of one row of the result.
#[inline(always)]
fn cell<'r, const W: usize>(rows: &'r mut [&mut [f32]], row: usize, column: usize) -> &'r mut [f32; W] {
    rows[row][column..].first_chunk_mut::<W>().unwrap_or_else(|| unreachable!("the tile lies inside its rows"))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512<const M: usize>(a: &[f32], b: Panel, rows: &mut [&mut [f32]], column: usize, keep: bool) {
    // SAFETY: the arrays have sixteen elements, and the instructions need no alignment.
    let load = |x: &[f32; 16]| -> __m512 { unsafe { _mm512_loadu_ps(x.as_ptr()) } };
    let store = |x: &mut [f32; 16], v: __m512| unsafe { _mm512_storeu_ps(x.as_mut_ptr(), v) };
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    if keep {
        for (i, sum) in sums.iter_mut().enumerate() {
            let halves = cell::<32>(rows, i, column).as_chunks::<16>().0;
            *sum = [load(&halves[0]), load(&halves[1])];
        }
    }
    for (a, b) in a.as_chunks::<M>().0.iter().zip(block_rows::<32>(b)) {
        let halves = b.as_chunks::<16>().0;
        let (left, right) = (load(&halves[0]), load(&halves[1]));
        for (sum, &a) in sums.iter_mut().zip(a) {
            let a = _mm512_set1_ps(a);
            sum[0] = _mm512_fmadd_ps(a, left, sum[0]);
            sum[1] = _mm512_fmadd_ps(a, right, sum[1]);
        }
    }
    for (i, sum) in sums.iter().enumerate() {
        let halves = cell::<32>(rows, i, column).as_chunks_mut::<16>().0;
        store(&mut halves[0], sum[0]);
        store(&mut halves[1], sum[1]);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<const M: usize>(a: &[f32], b: Panel, rows: &mut [&mut [f32]], column: usize, keep: bool) {
    // SAFETY: the arrays have eight elements, and the instructions need no alignment.
    let load = |x: &[f32; 8]| -> __m256 { unsafe { _mm256_loadu_ps(x.as_ptr()) } };
    let store = |x: &mut [f32; 8], v: __m256| unsafe { _mm256_storeu_ps(x.as_mut_ptr(), v) };
    let mut sums = [[_mm256_setzero_ps(); 2]; M];
    if keep {
        for (i, sum) in sums.iter_mut().enumerate() {
            let halves = cell::<16>(rows, i, column).as_chunks::<8>().0;
            *sum = [load(&halves[0]), load(&halves[1])];
        }
    }
    for (a, b) in a.as_chunks::<M>().0.iter().zip(block_rows::<16>(b)) {
        let halves = b.as_chunks::<8>().0;
        let (left, right) = (load(&halves[0]), load(&halves[1]));
        for (sum, &a) in sums.iter_mut().zip(a) {
            let a = _mm256_set1_ps(a);
            sum[0] = _mm256_fmadd_ps(a, left, sum[0]);
            sum[1] = _mm256_fmadd_ps(a, right, sum[1]);
        }
    }
    for (i, sum) in sums.iter().enumerate() {
        let halves = cell::<16>(rows, i, column).as_chunks_mut::<8>().0;
        store(&mut halves[0], sum[0]);
        store(&mut halves[1], sum[1]);
    }
}

fn portable<const M: usize>(a: &[f32], b: Panel, rows: &mut [&mut [f32]], column: usize, keep: bool) {
    let mut sums = [[0.0_f32; 16]; M];
    if keep {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = *cell::<16>(rows, i, column);
        }
    }
    for (a, b) in a.as_chunks::<M>().0.iter().zip(block_rows::<16>(b)) {
        for (sum, &a) in sums.iter_mut().zip(a) {
            for (sum, &b) in sum.iter_mut().zip(b) {
                *sum = a.mul_add(b, *sum);
            }
        }
    }
    for (i, sum) in sums.iter().enumerate() {
        *cell::<16>(rows, i, column) = *sum;
    }
}
