//! The arithmetic of attention on plain memory.

use rayon::prelude::*;

use super::Masking;
use crate::model::kernel::{Buffer, Mat, MatMut, Start, gemm_serial, rows};
use crate::model::ops::dropout::Mask;

/// A batch of matrices within larger ones.
#[derive(Clone, Copy)]
pub(in crate::model::ops) struct View<'a> {
    data: &'a [f32],
    batch_stride: usize,
    row_stride: usize,
}

impl<'a> View<'a> {
    /// Matrices whose rows lie `row_stride` apart, one matrix `batch_stride` after the other.
    pub(in crate::model::ops) fn new(data: &'a [f32], batch_stride: usize, row_stride: usize) -> Self {
        Self { data, batch_stride, row_stride }
    }

    /// Matrices of `rows` rows without gaps.
    pub(in crate::model::ops) fn contiguous(data: &'a [f32], rows: usize, width: usize) -> Self {
        Self::new(data, rows * width, width)
    }

    /// The same from another column on.
    pub(in crate::model::ops) fn shifted(self, columns: usize) -> Self {
        Self { data: &self.data[columns.min(self.data.len())..], ..self }
    }

    fn head(self, batch: usize, head: usize, size: Size, rows: usize) -> Mat<'a> {
        let at = batch * self.batch_stride + head * size.dh;
        Mat::strided(&self.data[at..], rows, size.dh, self.row_stride)
    }
}

/// The sizes of one call.
#[derive(Clone, Copy, Debug)]
pub(in crate::model::ops) struct Size {
    pub(in crate::model::ops) batch: usize,
    pub(in crate::model::ops) queries: usize,
    pub(in crate::model::ops) keys: usize,
    pub(in crate::model::ops) dh: usize,
    pub(in crate::model::ops) heads: usize,
}

impl Size {
    pub(in crate::model::ops) fn width(self) -> usize {
        self.heads * self.dh
    }

    /// How many probabilities there are.
    pub(in crate::model::ops) fn probabilities(self) -> usize {
        self.batch * self.heads * self.queries * self.keys
    }

    fn is_empty(self) -> bool {
        self.probabilities() * self.dh == 0
    }

    fn scale(self) -> f32 {
        1.0 / (self.dh as f32).sqrt()
    }
}

/// Where the gradients of queries, keys and values go.
pub(in crate::model::ops) enum Targets<'a> {
    /// Side by side: `[b, t, 3 d]`.
    Joint(&'a mut [f32]),
    /// Queries `[b, tq, d]`; keys and values side by side, `[b, tk, 2 d]`.
    Pair(&'a mut [f32], &'a mut [f32]),
    /// Each alone.
    Three(&'a mut [f32], &'a mut [f32], &'a mut [f32]),
}

/// [`Targets`] of one batch row: pieces of memory, and for each gradient its piece, first column and stride.
struct Row<'a> {
    pieces: Vec<&'a mut [f32]>,
    places: [(usize, usize, usize); 3],
}

impl Row<'_> {
    fn head(&mut self, which: usize, head: usize, size: Size) -> MatMut<'_> {
        let (piece, first, stride) = self.places[which];
        let rows = if which == 0 { size.queries } else { size.keys };
        MatMut::strided(&mut self.pieces[piece][first + head * size.dh..], rows, size.dh, stride)
    }
}

impl<'a> Targets<'a> {
    fn rows(self, size: Size) -> Vec<Row<'a>> {
        let (tq, tk, d) = (size.queries, size.keys, size.width());
        let mut rows: Vec<Row> = Vec::new();
        match self {
            Self::Joint(all) => {
                let places = [(0, 0, 3 * d), (0, d, 3 * d), (0, 2 * d, 3 * d)];
                rows.extend(all.chunks_mut(tq * 3 * d).map(|all| Row { pieces: vec![all], places }));
            }
            Self::Pair(q, kv) => {
                let places = [(0, 0, d), (1, 0, 2 * d), (1, d, 2 * d)];
                let pairs = q.chunks_mut(tq * d).zip(kv.chunks_mut(tk * 2 * d));
                rows.extend(pairs.map(|(q, kv)| Row { pieces: vec![q, kv], places }));
            }
            Self::Three(q, k, v) => {
                let places = [(0, 0, d), (1, 0, d), (2, 0, d)];
                let three = q.chunks_mut(tq * d).zip(k.chunks_mut(tk * d)).zip(v.chunks_mut(tk * d));
                rows.extend(three.map(|((q, k), v)| Row { pieces: vec![q, k, v], places }));
            }
        }
        rows
    }
}

/// Writes the result `[b, tq, d]`, and the probabilities `[b, heads, tq, tk]` if `kept` is not empty.
///
/// Dropout acts on the probabilities between the two; those kept are the ones before.
pub(in crate::model::ops) fn forward(
    size: Size,
    masking: &Masking,
    dropout: Option<Mask>,
    [q, k, v]: [View; 3],
    out: &mut [f32],
    kept: &mut [f32],
) {
    if size.is_empty() {
        out.fill(0.0);
        return;
    }
    let (tq, tk) = (size.queries, size.keys);
    let one = tq * tk;
    let row = |batch: usize, out: &mut [f32], kept: &mut [f32]| {
        let mut own = Buffer::new(if kept.is_empty() { one } else { 0 });
        for head in 0..size.heads {
            let p = if kept.is_empty() { &mut own[..] } else { &mut kept[head * one..(head + 1) * one] };
            let keys = k.head(batch, head, size, tk).t();
            gemm_serial(q.head(batch, head, size, tq), keys, MatMut::new(p, tq, tk), Start::Zero);
            for (i, p) in p.chunks_mut(tk).enumerate() {
                let (seen, hidden) = p.split_at_mut(masking.visible(batch, i, tq, tk));
                rows::softmax(seen, size.scale());
                hidden.fill(0.0);
            }
            let dropped = dropout.map(|mask| dropped(size, masking, mask, (batch, head), p));
            let p = dropped.as_deref().unwrap_or(p);
            let out = MatMut::strided(&mut out[head * size.dh..], tq, size.dh, size.width());
            gemm_serial(Mat::new(p, tq, tk), v.head(batch, head, size, tk), out, Start::Zero);
        }
    };
    let outs = out.par_chunks_mut(tq * size.width()).enumerate();
    if kept.is_empty() {
        outs.for_each(|(batch, out)| row(batch, out, &mut []));
    } else {
        outs.zip(kept.par_chunks_mut(size.heads * one)).for_each(|((batch, out), kept)| row(batch, out, kept));
    }
}

/// A copy of the probabilities of one head, some of them dropped.
fn dropped(size: Size, masking: &Masking, mask: Mask, (batch, head): (usize, usize), p: &[f32]) -> Buffer {
    let (tq, tk) = (size.queries, size.keys);
    let mut dropped = Buffer::copy(p);
    for (i, p) in dropped.chunks_mut(tk).enumerate() {
        mask.apply(batch, i, head, &mut p[..masking.visible(batch, i, tq, tk)]);
    }
    dropped
}

/// Writes the gradients, given the probabilities `p` that the forward pass kept and the gradient `g` of its result.
pub(in crate::model::ops) fn backward(
    size: Size,
    masking: &Masking,
    dropout: Option<Mask>,
    p: &[f32],
    views: [View; 4],
    targets: Targets,
) {
    if size.is_empty() {
        return;
    }
    targets.rows(size).into_par_iter().enumerate().for_each(|(batch, mut targets)| {
        backward_row(size, masking, dropout, batch, p, views, &mut targets);
    });
}

/// The gradients of one batch row.
fn backward_row(
    size: Size,
    masking: &Masking,
    dropout: Option<Mask>,
    batch: usize,
    p: &[f32],
    [q, k, v, g]: [View; 4],
    targets: &mut Row,
) {
    let (tq, tk) = (size.queries, size.keys);
    let mut ds = Buffer::new(tq * tk);
    for head in 0..size.heads {
        let p = &p[(batch * size.heads + head) * tq * tk..][..tq * tk];
        let g = g.head(batch, head, size, tq);
        let dropped = dropout.map(|mask| dropped(size, masking, mask, (batch, head), p));
        gemm_serial(Mat::new(dropped.as_deref().unwrap_or(p), tq, tk).t(), g, targets.head(2, head, size), Start::Zero);
        gemm_serial(g, v.head(batch, head, size, tk).t(), MatMut::new(&mut ds, tq, tk), Start::Zero);
        for (i, (p, ds)) in p.chunks(tk).zip(ds.chunks_mut(tk)).enumerate() {
            let (seen, hidden) = ds.split_at_mut(masking.visible(batch, i, tq, tk));
            if let Some(mask) = dropout {
                mask.apply(batch, i, head, seen);
            }
            rows::softmax_back(&p[..seen.len()], seen, size.scale());
            hidden.fill(0.0);
        }
        let ds = Mat::new(&ds, tq, tk);
        gemm_serial(ds, k.head(batch, head, size, tk), targets.head(0, head, size), Start::Zero);
        gemm_serial(ds.t(), q.head(batch, head, size, tq), targets.head(1, head, size), Start::Zero);
    }
}
