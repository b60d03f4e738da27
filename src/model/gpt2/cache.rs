//! Keys and values of earlier positions.
//!
//! What a position adds is written once and never moved. Rows that branch (beams) or leave only change which place they
//! look at, so a beam search copies nothing and beams share their common past.

use anyhow::Result;
use candle_core::Tensor;
use rayon::prelude::*;

use crate::model::kernel::rows::{axpy, dot, softmax};
use crate::model::ops::{tensor, values};

/// The past of some independent rows, all of the same length.
#[derive(Clone, Debug)]
pub struct Cache {
    heads: usize,
    width: usize,
    /// Per layer and position: for every place, keys and values side by side (`2 d` numbers).
    layers: Vec<Vec<Vec<f32>>>,
    /// Per row: its place at every position.
    paths: Vec<Vec<u32>>,
}

impl Cache {
    /// No positions yet, of `rows` rows.
    pub(super) fn new(layers: usize, heads: usize, width: usize, rows: usize) -> Self {
        Self { heads, width, layers: vec![Vec::new(); layers], paths: vec![Vec::new(); rows] }
    }

    /// Positions so far.
    pub fn len(&self) -> usize {
        self.paths.first().map_or(0, Vec::len)
    }

    /// Whether there is no position yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.paths.len()
    }

    /// Replaces the rows by `rows` of the present ones, in this order.
    ///
    /// Panics if one of them does not exist.
    pub fn select(&mut self, rows: &[usize]) {
        self.paths = rows.iter().map(|&row| self.paths[row].clone()).collect();
    }

    /// Makes room for `count` more positions of every row.
    pub(super) fn grow(&mut self, count: usize) {
        for (row, path) in self.paths.iter_mut().enumerate() {
            path.extend(std::iter::repeat_n(row as u32, count));
        }
    }

    /// Stores the newest keys and values of one layer and attends with the newest queries.
    ///
    /// - `qkv`: `f32[rows, n, 3 d]` of the last `n` positions, for which [`Self::grow`] made room.
    /// - returns `f32[rows, n, d]`; every position sees itself and what came before it.
    pub(super) fn attend(&mut self, layer: usize, qkv: &Tensor) -> Result<Tensor> {
        let (rows, n, _) = qkv.dims3()?;
        let d = self.width;
        let qkv = values(qkv)?;
        for at in 0..n {
            let block = (0..rows).flat_map(|row| &qkv[((row * n + at) * 3 + 1) * d..][..2 * d]);
            self.layers[layer].push(block.copied().collect());
        }
        let first = self.layers[layer].len() - n;
        let mut out = vec![0.0; rows * n * d];
        out.par_chunks_mut(d).enumerate().for_each(|(i, out)| {
            let query = &qkv[i * 3 * d..][..d];
            let past = &self.paths[i / n][..=first + i % n];
            self.attend_one(&self.layers[layer], past, query, out);
        });
        Ok(tensor(out, (rows, n, d))?)
    }

    /// One query over the positions of `path`.
    fn attend_one(&self, blocks: &[Vec<f32>], path: &[u32], query: &[f32], out: &mut [f32]) {
        let width = self.width / self.heads;
        let scale = 1.0 / (width as f32).sqrt();
        let mut weights = vec![0.0; path.len()];
        for (head, out) in out.chunks_mut(width).enumerate() {
            let columns = head * width..(head + 1) * width;
            let entry = |at: usize| &blocks[at][path[at] as usize * 2 * self.width..][..2 * self.width];
            for (at, weight) in weights.iter_mut().enumerate() {
                *weight = dot(&query[columns.clone()], &entry(at)[columns.clone()]);
            }
            softmax(&mut weights, scale);
            for (at, &weight) in weights.iter().enumerate() {
                axpy(out, weight, &entry(at)[self.width..][columns.clone()]);
            }
        }
    }
}
