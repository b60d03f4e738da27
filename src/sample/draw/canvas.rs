//! The pixels, and how a shape's edge falls on them.

use image::RgbImage;

use super::geometry::{P, Shape, at};
use super::{SIDE, noise};
use crate::sample::random::Rng;

/// A colour, each part from 0 to 1 (sRGB).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sample) struct Rgb(pub(in crate::sample) [f32; 3]);

/// The colour with these parts of 255.
pub(in crate::sample) const fn rgb(red: u8, green: u8, blue: u8) -> Rgb {
    Rgb([red as f32 / 255.0, green as f32 / 255.0, blue as f32 / 255.0])
}

impl Rgb {
    /// The colour `part` of the way to `other`.
    pub(in crate::sample) fn mix(self, other: Rgb, part: f32) -> Rgb {
        Rgb(std::array::from_fn(|i| self.0[i] + (other.0[i] - self.0[i]) * part))
    }

    /// The colour made brighter (`factor` above 1) or darker.
    pub(in crate::sample) fn lit(self, factor: f32) -> Rgb {
        Rgb(self.0.map(|part| part * factor))
    }
}

/// A square picture being drawn.
pub(in crate::sample) struct Canvas {
    size: u32,
    pixels: Vec<Rgb>,
}

impl Canvas {
    /// A black canvas of `size` x `size` pixels.
    pub(in crate::sample) fn new(size: u32) -> Self {
        Self { size, pixels: vec![Rgb([0.0; 3]); (size * size) as usize] }
    }

    /// Covers the whole canvas.
    pub(in crate::sample) fn cover(&mut self, paint: impl Fn(P) -> Rgb) {
        let unit = SIDE / self.size as f32;
        for (index, pixel) in self.pixels.iter_mut().enumerate() {
            let (column, row) = (index as u32 % self.size, index as u32 / self.size);
            *pixel = paint(at((column as f32 + 0.5) * unit, (row as f32 + 0.5) * unit));
        }
    }

    /// Lays `paint` over `shape`; `alpha` 1 hides what was there. `soft` blurs the edge over that many units.
    pub(in crate::sample) fn paint(&mut self, shape: &Shape, alpha: f32, soft: f32, paint: impl Fn(P) -> Rgb) {
        let unit = SIDE / self.size as f32;
        let edge = unit.max(soft);
        let (low, high) = shape.bounds();
        let last = self.size as f32;
        let columns = |from: f32, to: f32| {
            (
                ((from - edge) / unit).floor().clamp(0.0, last) as u32,
                ((to + edge) / unit).ceil().clamp(0.0, last) as u32,
            )
        };
        let ((left, right), (top, bottom)) = (columns(low.x, high.x), columns(low.y, high.y));
        for row in top..bottom {
            for column in left..right {
                let point = at((column as f32 + 0.5) * unit, (row as f32 + 0.5) * unit);
                let cover = (0.5 - shape.distance(point) / edge).clamp(0.0, 1.0) * alpha;
                if cover > 0.0 {
                    let pixel = &mut self.pixels[(row * self.size + column) as usize];
                    *pixel = pixel.mix(paint(point), cover);
                }
            }
        }
    }

    /// Lays one colour over `shape`.
    pub(in crate::sample) fn fill(&mut self, shape: &Shape, colour: Rgb) {
        self.paint(shape, 1.0, 0.0, |_| colour);
    }

    /// Develops the picture: exposure, colour cast, contrast, uneven light and sensor noise, as the camera had them.
    pub(in crate::sample) fn develop(self, rng: &mut Rng) -> RgbImage {
        let gain = rng.range(0.84, 1.12);
        let contrast = rng.range(0.88, 1.1);
        let cast = rng.range(-0.045, 0.045);
        let slope = at(rng.range(-0.05, 0.05), rng.range(-0.05, 0.05));
        let (grain, seed) = (rng.range(0.006, 0.022), rng.bits());
        let size = self.size;
        RgbImage::from_fn(size, size, |column, row| {
            let Rgb(parts) = self.pixels[(row * size + column) as usize];
            let place = at(column as f32 / size as f32 - 0.5, row as f32 / size as f32 - 0.5);
            let light = gain * (1.0 + slope.dot(place) * 2.0);
            let noise = (noise::hash(seed, column as i32, row as i32) - 0.5) * 2.0 * grain;
            let tint = [1.0 + cast, 1.0, 1.0 - cast];
            image::Rgb(std::array::from_fn(|i| {
                let value = (parts[i] * light * tint[i] - 0.45) * contrast + 0.45 + noise;
                (value.clamp(0.0, 1.0) * 255.0).round() as u8
            }))
        })
    }
}
