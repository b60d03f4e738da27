//! Pictures as the image encoder sees them: scaled, cut, turned and with other light.

use crate::model::init::Rng;
use crate::picture::{CropRule, Picture, square};

/// Pictures scaled to one size, and the mean and standard deviation of their channels.
pub(super) struct Album {
    /// Side in pixels.
    pub(super) size: usize,
    /// One buffer of `size * size * 3` samples a picture.
    pub(super) pictures: Vec<Vec<u8>>,
}

/// What samples are centred and scaled by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Light {
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
}

/// One way of looking at a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View {
    /// Side in pixels of the square that is cut out.
    pub(super) side: usize,
    /// Its first row and column.
    pub(super) corner: (usize, usize),
    /// Which of the eight symmetries of the square: bit 0 mirrors columns, bit 1 rows, bit 2 swaps the two.
    pub(super) symmetry: usize,
    /// What each channel is multiplied by, after centring and scaling.
    pub(super) gain: f32,
    /// What is added to each channel afterwards.
    pub(super) shift: [f32; 3],
}

impl Album {
    /// Scales each picture's shorter side to `size` and keeps the middle square.
    pub(super) fn new<'a>(pictures: impl IntoIterator<Item = &'a Picture>, size: usize) -> Self {
        let scale = |picture| square(picture, size as u32, CropRule::Floor).rgb;
        Self { size, pictures: pictures.into_iter().map(scale).collect() }
    }

    /// The mean and standard deviation of each channel over all pictures, in samples.
    pub(super) fn light(&self) -> Light {
        let mut sums = [[0_u64; 3]; 2];
        for pixel in self.pictures.iter().flat_map(|picture| picture.chunks_exact(3)) {
            for (channel, &sample) in pixel.iter().enumerate() {
                sums[0][channel] += u64::from(sample);
                sums[1][channel] += u64::from(sample).pow(2);
            }
        }
        let n = (self.pictures.len() * self.size * self.size).max(1) as f64;
        let mean = sums[0].map(|sum| sum as f64 / n);
        let std = std::array::from_fn(|i| (sums[1][i] as f64 / n - mean[i] * mean[i]).max(1.0).sqrt() as f32);
        Light { mean: mean.map(|x| x as f32), std }
    }

    /// Writes one view of one picture, `[side, side, 3]`.
    pub(super) fn look(&self, picture: usize, light: &Light, view: &View, out: &mut [f32]) {
        let samples = &self.pictures[picture];
        let side = view.side;
        let slope: [f32; 3] = std::array::from_fn(|i| view.gain / light.std[i]);
        for (place, pixel) in out.chunks_exact_mut(3).enumerate() {
            let (mut row, mut column) = (place / side, place % side);
            if view.symmetry & 4 != 0 {
                (row, column) = (column, row);
            }
            if view.symmetry & 2 != 0 {
                row = side - 1 - row;
            }
            if view.symmetry & 1 != 0 {
                column = side - 1 - column;
            }
            let from = ((view.corner.0 + row) * self.size + view.corner.1 + column) * 3;
            for (channel, x) in pixel.iter_mut().enumerate() {
                *x = (f32::from(samples[from + channel]) - light.mean[channel]) * slope[channel] + view.shift[channel];
            }
        }
    }
}

impl View {
    /// The whole picture of `size` pixels, turned.
    pub(super) fn whole(size: usize, symmetry: usize) -> Self {
        Self { side: size, corner: (0, 0), symmetry, gain: 1.0, shift: [0.0; 3] }
    }

    /// A random view: a square of `side` pixels anywhere in one of `size`, any symmetry if `flips`, other light.
    ///
    /// Contrast changes by up to `jitter`, brightness by up to `jitter` standard deviations, and each channel's by half
    /// of that on its own.
    pub(super) fn random(size: usize, side: usize, flips: bool, jitter: f32, rng: &mut Rng) -> Self {
        let mut upto = |limit: f32| rng.uniform(-limit, limit);
        let gain = 1.0 + upto(jitter);
        let brightness = upto(jitter);
        let shift = std::array::from_fn(|_| brightness + upto(jitter / 2.0));
        let corner = (rng.below(size - side + 1), rng.below(size - side + 1));
        let symmetry = if flips { rng.below(8) } else { 0 };
        Self { side, corner, symmetry, gain, shift }
    }
}
