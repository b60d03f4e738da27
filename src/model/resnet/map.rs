//! Maps of features, and the pooling before the first stage.

use std::ops::Range;

use rayon::prelude::*;

use crate::model::kernel::Buffer;

/// The features of some pictures of the same size: `f32[pictures, height, width, channels]`.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) values: Buffer,
    pub(super) pictures: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

impl Map {
    /// A map with unspecified values.
    pub(super) fn new(pictures: usize, height: usize, width: usize, channels: usize) -> Self {
        Self { values: Buffer::new(pictures * height * width * channels), pictures, height, width, channels }
    }

    /// The map of pictures that are given as three planes each, `f32[3, side, side]`.
    pub(super) fn of_planes(pictures: &[Vec<f32>], side: usize) -> Self {
        let mut map = Self::new(pictures.len(), side, side, 3);
        map.values.par_chunks_mut(3 * side * side).zip(pictures).for_each(|(out, planes)| {
            for (place, out) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                *out = std::array::from_fn(|channel| planes[channel * side * side + place]);
            }
        });
        map
    }

    /// How many vectors of channels there are.
    pub(super) fn places(&self) -> usize {
        self.pictures * self.height * self.width
    }

    /// The vector at one place.
    fn at(&self, picture: usize, row: usize, column: usize) -> &[f32] {
        &self.values[((picture * self.height + row) * self.width + column) * self.channels..][..self.channels]
    }

    /// The largest values of windows of 3x3 places, every second row and column, one place of padding.
    pub(super) fn max_pool(&self) -> Self {
        let mut out = Self::new(self.pictures, self.height.div_ceil(2), self.width.div_ceil(2), self.channels);
        let (height, width) = (out.height, out.width);
        out.values.par_chunks_mut(width * self.channels).enumerate().for_each(|(line, out)| {
            let rows = around(line % height, self.height);
            for (column, out) in out.chunks_exact_mut(self.channels).enumerate() {
                out.fill(f32::NEG_INFINITY);
                for row in rows.clone() {
                    for column in around(column, self.width) {
                        let x = self.at(line / height, row, column);
                        out.iter_mut().zip(x).for_each(|(out, &x)| *out = out.max(x));
                    }
                }
            }
        });
        out
    }
}

/// The places of window `i` along a side of `size` places.
fn around(i: usize, size: usize) -> Range<usize> {
    (2 * i).saturating_sub(1)..(2 * i + 2).min(size)
}
