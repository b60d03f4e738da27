//! Right-hand matrices that are multiplied by again and again, copied once into the order in which they are read.
//!
//! Without it every product with few rows jumps through the whole matrix line by line, which memory answers slowly.

use rayon::prelude::*;

use super::Isa;
use super::gemm::{DEPTH, Mat};
use super::pack::pack_columns;

/// A packed right-hand matrix; products with it have the bits of products with the plain one.
///
/// Its elements lie as `[block of the inner index][panel of columns][inner index][column]`, panels filled up with zeros.
#[derive(Clone, Debug)]
pub struct Packed {
    data: Vec<f32>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    wide: usize,
}

impl Packed {
    /// Copies `b`.
    pub fn new(b: Mat) -> Self {
        Self::of(Isa::detect(), b)
    }

    pub(super) fn of(isa: Isa, b: Mat) -> Self {
        let wide = isa.tile().1;
        let padded = b.columns.next_multiple_of(wide);
        let mut data = vec![0.0; b.rows * padded];
        if padded > 0 {
            data.par_chunks_mut(DEPTH * padded).enumerate().for_each(|(block, data)| {
                let depth = data.len() / padded;
                for (panel, out) in data.chunks_exact_mut(depth * wide).enumerate() {
                    let column = panel * wide;
                    pack_columns(b, block * DEPTH, column, wide.min(b.columns - column), wide, out);
                }
            });
        }
        Self { data, rows: b.rows, columns: b.columns, wide }
    }

    /// Number of rows of the matrix: the inner index.
    pub fn inputs(&self) -> usize {
        self.rows
    }

    /// Number of its columns.
    pub fn outputs(&self) -> usize {
        self.columns
    }

    /// The panel of columns from `column` on, within the block of `depth` rows from `k` on.
    pub(super) fn panel(&self, k: usize, depth: usize, column: usize) -> &[f32] {
        let padded = self.columns.next_multiple_of(self.wide);
        &self.data[k * padded + column * depth..][..depth * self.wide]
    }
}
