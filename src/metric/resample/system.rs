//! Statistics of images and the corpus values of their sums.

use std::ops::Range;

use anyhow::{Result, ensure};

/// How many columns stand together; a row of them is one line of the processor's cache.
pub(super) const LANES: usize = 8;

/// How many images are summed at a time, so that what is read again and again stays in the fastest cache.
pub(super) const TILE: usize = 64;

/// Statistics of one image: [`LANES`] columns.
pub(super) type Row = [f64; LANES];

/// The statistics of a family of metrics, whose sums over the images determine the corpus values.
pub trait Additive: Sync {
    /// How many statistics an image has, at least one.
    fn width(&self) -> usize;

    /// The statistics, row-major `f64[images, width]`; a NaN makes all that depends on it NaN.
    fn rows(&self) -> &[f64];

    /// The corpus values of as many images whose statistics have these sums, one per metric; any may be NaN.
    ///
    /// Also called with the sums of resamples, in which images are missing or repeated. Always returns as many values.
    fn values(&self, sums: &[f64], images: usize) -> Vec<f64>;
}

/// One or several runs (seeds) of a model on the same images; its values are the means over the runs.
///
/// The statistics of all runs and families count as columns side by side. They are not copied, but laid out tile by
/// tile as they are summed.
pub struct System<'a> {
    images: usize,
    runs: usize,
    /// Per family: its statistics and its metrics.
    shape: Vec<(usize, usize)>,
    /// Run by run and family by family.
    families: Vec<Columns<'a>>,
}

struct Columns<'a> {
    columns: Range<usize>,
    family: &'a dyn Additive,
}

impl<'a> System<'a> {
    /// Joins the families of every run; all list the images in one order.
    ///
    /// Fails without runs, families or images, or if runs differ in their families or their images.
    pub fn new<F: Additive>(runs: &'a [Vec<F>]) -> Result<Self> {
        let first = runs.first().and_then(|run| run.first());
        let images = first.map_or(0, |family| family.rows().len() / family.width().max(1));
        ensure!(images > 0, "there are no images to resample");
        let mut shapes = Vec::new();
        let mut families = Vec::new();
        let mut start = 0;
        for run in runs {
            let mut shape = Vec::new();
            for family in run {
                let (width, rows) = (family.width(), family.rows());
                ensure!(
                    rows.len() == images * width,
                    "{width} statistics of {images} images are {} numbers, not {}",
                    images * width,
                    rows.len()
                );
                shape.push((width, family.values(&rows[..width], 1).len()));
                families.push(Columns { columns: start..start + width, family });
                start += width;
            }
            shapes.push(shape);
        }
        let shape = shapes.swap_remove(0);
        ensure!(shapes.iter().all(|other| *other == shape), "the runs of a model have different metrics");
        Ok(Self { images, runs: runs.len(), shape, families })
    }

    /// How many images there are, at least one.
    pub fn images(&self) -> usize {
        self.images
    }

    /// How many runs there are, at least one.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// The corpus values, per family and metric; the mean over the runs.
    pub fn values(&self) -> Vec<Vec<f64>> {
        self.by_family(self.values_of_all())
    }

    /// Per family: its statistics and its metrics.
    pub(super) fn shape(&self) -> &[(usize, usize)] {
        &self.shape
    }

    /// How many metrics the families have together.
    pub(super) fn metrics(&self) -> usize {
        self.shape.iter().map(|(_, metrics)| metrics).sum()
    }

    /// How many times [`LANES`] columns there are, the last ones filled up with zeros.
    pub(super) fn panels(&self) -> usize {
        self.families.last().map_or(0, |last| last.columns.end.div_ceil(LANES))
    }

    /// Lays out the statistics of up to [`TILE`] images from `start` on; those missing are zero.
    ///
    /// - `tile`: `f64[panels, TILE, LANES]`
    pub(super) fn lay_out(&self, start: usize, tile: &mut [[Row; TILE]]) {
        tile.fill([[0.0; LANES]; TILE]);
        let images = start..self.images.min(start + TILE);
        for Columns { columns, family } in &self.families {
            let width = columns.len();
            let rows = &family.rows()[images.start * width..images.end * width];
            for (k, column) in columns.clone().enumerate() {
                for (row, values) in tile[column / LANES].iter_mut().zip(rows.chunks_exact(width)) {
                    row[column % LANES] = values[k];
                }
            }
        }
    }

    /// The corpus values of every metric, each image once.
    pub(super) fn values_of_all(&self) -> Vec<f64> {
        let mut tile = vec![[[0.0; LANES]; TILE]; self.panels()];
        let mut sums = vec![[0.0; LANES]; self.panels()];
        for start in (0..self.images).step_by(TILE) {
            self.lay_out(start, &mut tile);
            for (sums, panel) in sums.iter_mut().zip(&tile) {
                for row in panel {
                    add(sums, row);
                }
            }
        }
        self.values_of(sums.as_flattened())
    }

    /// The corpus values of every metric from the sums of all columns; NaN if it is NaN in any run.
    pub(super) fn values_of(&self, sums: &[f64]) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.runs * self.metrics());
        for (Columns { columns, family }, (_, metrics)) in self.families.iter().zip(self.shape.iter().cycle()) {
            let end = values.len() + metrics;
            values.extend(family.values(&sums[columns.clone()], self.images));
            values.resize(end, f64::NAN);
        }
        let (mean, others) = values.split_at_mut(self.metrics());
        for (k, value) in others.iter().enumerate() {
            mean[k % self.metrics()] += value;
        }
        mean.iter().map(|sum| sum / self.runs as f64).collect()
    }

    /// Splits what there is of every metric by families.
    pub(super) fn by_family<T>(&self, metrics: impl IntoIterator<Item = T>) -> Vec<Vec<T>> {
        let mut metrics = metrics.into_iter();
        self.shape.iter().map(|(_, count)| metrics.by_ref().take(*count).collect()).collect()
    }
}

/// Adds a row to the sums of its columns.
pub(super) fn add(sums: &mut Row, row: &Row) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += value;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::Additive;

    /// `M` metrics of `W` statistics.
    #[derive(Clone)]
    pub(in super::super) struct Family<const W: usize, const M: usize> {
        pub(in super::super) rows: Vec<[f64; W]>,
        pub(in super::super) values: fn(&[f64; W], usize) -> [f64; M],
    }

    impl<const W: usize, const M: usize> Additive for Family<W, M> {
        fn width(&self) -> usize {
            W
        }

        fn rows(&self) -> &[f64] {
            self.rows.as_flattened()
        }

        fn values(&self, sums: &[f64], images: usize) -> Vec<f64> {
            (self.values)(sums.first_chunk().unwrap(), images).to_vec()
        }
    }

    /// The means of some statistics, each a metric.
    pub(in super::super) fn means<const W: usize>(sums: &[f64; W], images: usize) -> [f64; W] {
        sums.map(|sum| sum / images as f64)
    }
}
