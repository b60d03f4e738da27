//! The product of two matrices.

use rayon::prelude::*;

use super::Isa;
use super::pack::{pack_columns, pack_rows, with_scratch};
use super::packed::Packed;
use super::tile::{MAX_COLUMNS, MAX_ROWS, Panel, multiply};

/// How much of the inner index is worked on at once: a packed panel of 32 columns then fits the first cache.
pub(super) const DEPTH: usize = 256;
/// The most rows of one task: the packed left-hand block then fits the second cache.
const TALL: usize = 1020;
/// Products of fewer multiplications than this stay on the calling thread.
const SMALL: usize = 1 << 19;

/// A read-only matrix view with any strides; a transpose is free.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix whose rows follow one another without gaps.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A row-major matrix whose rows begin `stride` elements apart.
    ///
    /// Panics if the last element lies outside `data`.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let end = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(end <= data.len() && (stride >= columns || rows <= 1), "matrix view outside its data");
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The transposed view.
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// The elements from one position on.
    pub(super) fn at(&self, row: usize, column: usize) -> &'a [f32] {
        &self.data[row * self.row_stride + column * self.column_stride..]
    }
}

/// A matrix that is written: row-major, rows `stride` elements apart.
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> MatMut<'a> {
    /// A matrix whose rows follow one another without gaps.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A matrix whose rows begin `stride` elements apart; what lies between is left alone.
    ///
    /// Panics if the last element lies outside `data`.
    pub fn strided(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let end = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(end <= data.len() && (stride >= columns || rows <= 1), "matrix view outside its data");
        Self { data, rows, columns, stride }
    }
}

/// What the chain of additions of each element begins with.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// Zero.
    Zero,
    /// The element's present value.
    Keep,
    /// One value per column.
    Bias(&'a [f32]),
}

/// Writes `start + a b` into `c`, on all threads when that pays.
///
/// Panics if the shapes disagree.
pub fn gemm(a: Mat, b: Mat, c: MatMut, start: Start) {
    gemm_with(Isa::detect(), threads(a, b.columns), a, Right::Plain(b), c, start);
}

/// [`gemm`] with a right-hand matrix that was packed before: the same bits, sooner.
pub fn gemm_packed(a: Mat, b: &Packed, c: MatMut, start: Start) {
    gemm_with(Isa::detect(), threads(a, b.columns), a, Right::Packed(b), c, start);
}

/// How many threads a product is worth.
fn threads(a: Mat, columns: usize) -> usize {
    if a.rows * a.columns * columns < SMALL { 1 } else { rayon::current_num_threads() }
}

/// [`gemm`] on the calling thread alone, for callers that are themselves one of many.
pub fn gemm_serial(a: Mat, b: Mat, c: MatMut, start: Start) {
    gemm_with(Isa::detect(), 1, a, Right::Plain(b), c, start);
}

/// One rectangle of the result.
struct Task<'c> {
    rows: Vec<&'c mut [f32]>,
    row: usize,
    column: usize,
}

/// The right-hand matrix of a product.
#[derive(Clone, Copy)]
pub(super) enum Right<'a> {
    /// As it lies in memory.
    Plain(Mat<'a>),
    /// Packed before.
    Packed(&'a Packed),
}

impl Right<'_> {
    fn size(self) -> (usize, usize) {
        match self {
            Self::Plain(b) => (b.rows, b.columns),
            Self::Packed(b) => (b.rows, b.columns),
        }
    }
}

/// What all tasks of one product share.
struct Job<'a> {
    isa: Isa,
    a: Mat<'a>,
    b: Right<'a>,
    start: Start<'a>,
}

pub(super) fn gemm_with(isa: Isa, threads: usize, a: Mat, b: Right, c: MatMut, start: Start) {
    assert!(b.size() == (a.columns, c.columns) && c.rows == a.rows, "the shapes of a product disagree");
    if let Start::Bias(bias) = start {
        assert!(bias.len() == c.columns, "a bias needs one value per column");
    }
    if c.rows == 0 || c.columns == 0 {
        return;
    }
    let job = Job { isa, a, b, start };
    let tasks = split(isa, threads, c);
    with_scratch(a.rows * a.columns, |packed| {
        if threads > 1 {
            job.blocks(packed).into_par_iter().with_min_len(4).for_each(|block| block.pack(a));
            let packed = &*packed;
            tasks.into_par_iter().for_each(|task| job.run(packed, task));
        } else {
            for block in job.blocks(packed) {
                block.pack(a);
            }
            for task in tasks {
                job.run(packed, task);
            }
        }
    });
}

/// Cuts the result into rectangles: whole panels of columns, and as few cuts between rows as keep all threads busy.
#[expect(clippy::needless_pass_by_value, reason = "the rows of the result live as long as the view's memory")]
fn split(isa: Isa, threads: usize, c: MatMut<'_>) -> Vec<Task<'_>> {
    let (tall, wide) = isa.tile();
    let panels = c.columns.div_ceil(wide);
    let wanted = if threads == 1 { 1 } else { 4 * threads };
    let width = panels.div_ceil(wanted) * wide;
    let columns = c.columns.div_ceil(width);
    let cuts = (wanted / columns).min(c.rows / (4 * tall)).max(1);
    let height = (c.rows.div_ceil(cuts)).next_multiple_of(tall).min(TALL);
    let mut tasks = Vec::new();
    for (block, lines) in c.data.chunks_mut(height * c.stride).enumerate() {
        let row = block * height;
        if row >= c.rows {
            break;
        }
        let first = tasks.len();
        let count = height.min(c.rows - row);
        for column in (0..c.columns).step_by(width) {
            tasks.push(Task { rows: Vec::with_capacity(count), row, column });
        }
        for line in lines.chunks_mut(c.stride).take(count) {
            for (task, part) in tasks[first..].iter_mut().zip(line[..c.columns].chunks_mut(width)) {
                task.rows.push(part);
            }
        }
    }
    tasks
}

/// One packed piece of the left-hand matrix.
struct Block<'p> {
    row: usize,
    height: usize,
    k: usize,
    out: &'p mut [f32],
}

impl Block<'_> {
    fn pack(self, a: Mat) {
        pack_rows(a, self.row, self.height, self.k, self.out);
    }
}

impl Job<'_> {
    /// The pieces of the packed left-hand matrix: for each block of the inner index, all its row panels.
    fn blocks<'p>(&self, mut packed: &'p mut [f32]) -> Vec<Block<'p>> {
        let tall = self.isa.tile().0;
        let mut blocks = Vec::new();
        for k in (0..self.a.columns).step_by(DEPTH) {
            let depth = DEPTH.min(self.a.columns - k);
            for row in (0..self.a.rows).step_by(tall) {
                let height = tall.min(self.a.rows - row);
                let (out, rest) = packed.split_at_mut(height * depth);
                packed = rest;
                blocks.push(Block { row, height, k, out });
            }
        }
        blocks
    }

    fn run(&self, packed: &[f32], mut task: Task) {
        let keep = match self.start {
            Start::Zero => false,
            Start::Keep => true,
            Start::Bias(bias) => {
                for row in &mut task.rows {
                    let width = row.len();
                    row.copy_from_slice(&bias[task.column..task.column + width]);
                }
                true
            }
        };
        if self.a.columns == 0 && !keep {
            task.rows.iter_mut().for_each(|row| row.fill(0.0));
        }
        let wide = self.isa.tile().1;
        with_scratch(DEPTH.min(self.a.columns) * wide, |panel| {
            for k in (0..self.a.columns).step_by(DEPTH) {
                let depth = DEPTH.min(self.a.columns - k);
                self.run_block(packed, &mut task, k, &mut panel[..depth * wide], keep || k > 0);
            }
        });
    }

    /// One panel of columns within one block of the inner index, copied to `spare` if it has to be.
    fn panel<'p>(&'p self, k: usize, column: usize, width: usize, spare: &'p mut [f32]) -> Panel<'p> {
        let (tall, wide) = self.isa.tile();
        let depth = spare.len() / wide;
        match self.b {
            Right::Packed(b) => Panel { data: b.panel(k, depth, column), stride: wide },
            // A panel that is read only once or twice is not worth copying.
            Right::Plain(b) if b.column_stride == 1 && width == wide && self.a.rows <= 2 * tall => {
                Panel { data: &b.at(k, column)[..(depth - 1) * b.row_stride + wide], stride: b.row_stride }
            }
            Right::Plain(b) => {
                pack_columns(b, k, column, width, wide, spare);
                Panel { data: spare, stride: wide }
            }
        }
    }

    /// One block of the inner index: every panel of columns stays in the first cache while the left-hand panels stream past.
    fn run_block(&self, packed: &[f32], task: &mut Task, k: usize, panel: &mut [f32], keep: bool) {
        let (tall, wide) = self.isa.tile();
        let depth = panel.len() / wide;
        let total = task.rows[0].len();
        for column in (0..total).step_by(wide) {
            let width = wide.min(total - column);
            let b = self.panel(k, task.column + column, width, panel);
            let mut row = task.row;
            for rows in task.rows.chunks_mut(tall) {
                let a = &packed[k * self.a.rows + row * depth..][..rows.len() * depth];
                if width == wide {
                    multiply(self.isa, a, b, rows, column, keep);
                } else {
                    multiply_edge(self.isa, a, b, rows, column..column + width, keep);
                }
                row += rows.len();
            }
        }
    }
}

/// A tile that reaches beyond the last column, worked on in a copy.
fn multiply_edge(isa: Isa, a: &[f32], b: Panel, rows: &mut [&mut [f32]], columns: std::ops::Range<usize>, keep: bool) {
    let mut copy = [[0.0_f32; MAX_COLUMNS]; MAX_ROWS];
    for (copy, row) in copy.iter_mut().zip(rows.iter()) {
        copy[..columns.len()].copy_from_slice(&row[columns.clone()]);
    }
    let mut lines = copy.each_mut().map(|line| &mut line[..]);
    multiply(isa, a, b, &mut lines[..rows.len()], 0, keep);
    for (copy, row) in copy.iter().zip(rows.iter_mut()) {
        row[columns.clone()].copy_from_slice(&copy[..columns.len()]);
    }
}
