//! Pictures as the image encoder sees them: scaled, cut, turned and with other light.

use super::ScratchClipConfig;
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
    /// Side in pixels of what is seen.
    pub(super) side: usize,
    /// Side in the picture's pixels of the square that is cut out for it.
    pub(super) span: f32,
    /// The square's first row and column.
    pub(super) corner: (f32, f32),
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

    /// Writes one view of one picture, `[side, side, 3]`; between pixels by linear interpolation.
    pub(super) fn look(&self, picture: usize, light: &Light, view: &View, out: &mut [f32]) {
        let samples = &self.pictures[picture];
        let side = view.side;
        let slope: [f32; 3] = std::array::from_fn(|i| view.gain / light.std[i]);
        let (rows, columns) = (self.taps(view, view.corner.0), self.taps(view, view.corner.1));
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
            let (row, column) = (rows[row], columns[column]);
            let at = |row: usize, column: usize| (row * self.size + column) * 3;
            let corners = [
                (at(row.near, column.near), (1.0 - row.share) * (1.0 - column.share)),
                (at(row.near, column.far), (1.0 - row.share) * column.share),
                (at(row.far, column.near), row.share * (1.0 - column.share)),
                (at(row.far, column.far), row.share * column.share),
            ];
            for (channel, x) in pixel.iter_mut().enumerate() {
                let mut sample = 0.0;
                for (from, weight) in corners {
                    sample += f32::from(samples[from + channel]) * weight;
                }
                *x = (sample - light.mean[channel]) * slope[channel] + view.shift[channel];
            }
        }
    }

    /// Where each row (or column) of a view lies in the picture.
    fn taps(&self, view: &View, corner: f32) -> Vec<Tap> {
        let scale = view.span / view.side as f32;
        let last = (self.size - 1) as f32;
        let tap = |i: usize| {
            let place = ((i as f32 + 0.5).mul_add(scale, corner) - 0.5).clamp(0.0, last);
            let near = place.floor();
            Tap { near: near as usize, far: (near + 1.0).min(last) as usize, share: place - near }
        };
        (0..view.side).map(tap).collect()
    }
}

/// A place between two pixels.
#[derive(Clone, Copy)]
struct Tap {
    near: usize,
    far: usize,
    /// How much the far one counts.
    share: f32,
}

impl View {
    /// The whole picture of `size` pixels, turned.
    pub(super) fn whole(size: usize, symmetry: usize) -> Self {
        Self { side: size, span: size as f32, corner: (0.0, 0.0), symmetry, gain: 1.0, shift: [0.0; 3] }
    }

    /// A random view, as far as `config` allows.
    pub(super) fn random(config: &ScratchClipConfig, rng: &mut Rng) -> Self {
        let (size, jitter, zoom) = (config.image_size as f32, config.jitter as f32, config.zoom as f32);
        let mut upto = |limit: f32| rng.uniform(-limit, limit);
        let gain = 1.0 + upto(jitter);
        let brightness = upto(jitter);
        let shift = std::array::from_fn(|_| brightness + upto(jitter / 2.0));
        let span = (config.crop as f32 * (1.0 + upto(zoom))).min(size);
        let mut place = || {
            let place = rng.uniform(0.0, size - span);
            // Without zoom, pixels stay pixels.
            if zoom == 0.0 { place.round() } else { place }
        };
        let corner = (place(), place());
        let symmetry = if config.flips { rng.below(8) } else { 0 };
        Self { side: config.crop, span, corner, symmetry, gain, shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 4 x 4 pixels whose red counts the pixels.
    fn album() -> Album {
        let rgb = (0..16).flat_map(|i| [i, 100, 200]).collect();
        Album { size: 4, pictures: vec![rgb] }
    }

    fn red(view: &View) -> Vec<f32> {
        let mut out = vec![0.0; view.side * view.side * 3];
        album().look(0, &Light { mean: [0.0; 3], std: [1.0; 3] }, view, &mut out);
        out.chunks_exact(3).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn views_are_cut_turned_and_scaled() {
        let cut = View { side: 2, span: 2.0, corner: (1.0, 1.0), ..View::whole(4, 0) };
        // By hand, from rows 0-3, 4-7, 8-11, 12-15.
        let rows: [(&str, View, [f32; 4]); 5] = [
            ("as it is", cut, [5.0, 6.0, 9.0, 10.0]),
            ("columns mirrored", View { symmetry: 1, ..cut }, [6.0, 5.0, 10.0, 9.0]),
            ("rows mirrored", View { symmetry: 2, ..cut }, [9.0, 10.0, 5.0, 6.0]),
            ("rows and columns swapped", View { symmetry: 4, ..cut }, [5.0, 9.0, 6.0, 10.0]),
            ("half the size", View { span: 4.0, corner: (0.0, 0.0), ..cut }, [2.5, 4.5, 10.5, 12.5]),
        ];
        for (name, view, expected) in rows {
            assert_eq!(red(&view), expected, "{name}");
        }
    }

    #[test]
    fn random_views_stay_inside() {
        let mut rng = Rng::new(1, "views");
        let config = ScratchClipConfig { image_size: 40, crop: 32, zoom: 0.5, ..ScratchClipConfig::default() };
        for _ in 0..200 {
            let view = View::random(&config, &mut rng);
            assert!((16.0..=40.0).contains(&view.span), "{view:?}");
            let most = 40.001 - view.span;
            assert!((0.0..most).contains(&view.corner.0) && (0.0..most).contains(&view.corner.1), "{view:?}");
        }
    }
}
