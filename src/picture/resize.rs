//! Bicubic resizing in Pillow's integer arithmetic (a = -0.5, antialiased), bit for bit.
//!
//! Two passes, horizontal first, each rounded to 8 bits; weights are fixed-point numbers with 22 fractional bits.
//! An axis whose size does not change is not filtered. Pillow 13 sometimes resizes vertically first; every earlier
//! release, and so practically every published embedding, does it in this order.

use std::borrow::Cow;
use std::ops::Range;

use super::Picture;

/// Fractional bits of a weight.
const BITS: u32 = 22;

/// Resizes to `width` x `height` pixels (at least 1 x 1).
pub fn resize_bicubic(picture: &Picture, width: u32, height: u32) -> Picture {
    resize_window(picture, (width, height), 0..width, 0..height)
}

/// Resizes so that the shorter side has `size` pixels and the longer one `size * long / short`, rounded down.
pub fn shortest_side(picture: &Picture, size: u32) -> Picture {
    let (width, height) = fitted_size(picture, size);
    resize_bicubic(picture, width, height)
}

/// The width and height that [`shortest_side`] gives a picture.
pub fn fitted_size(picture: &Picture, size: u32) -> (u32, u32) {
    let longer = |long: u32, short: u32| (u64::from(size) * u64::from(long) / u64::from(short)) as u32;
    let (width, height) = (picture.width, picture.height);
    if width <= height { (size, longer(height, width)) } else { (longer(width, height), size) }
}

/// The part `columns` x `rows` of the picture resized to `size`, without computing the rest.
pub(super) fn resize_window(picture: &Picture, size: (u32, u32), columns: Range<u32>, rows: Range<u32>) -> Picture {
    let (width, height) = (columns.len() as u32, rows.len() as u32);
    let vertical = Filter::new(picture.height, size.1, rows);
    let needed = vertical.source_rows();
    let horizontal = Filter::new(picture.width, size.0, columns);
    let narrow = horizontal.along_rows(picture, needed.clone());
    Picture { width, height, rgb: vertical.along_columns(&narrow, needed.start, width as usize * 3) }
}

/// The weights of one axis: for every wanted output position, where its inputs begin and how much each counts.
struct Filter {
    /// The first input of each output.
    starts: Vec<usize>,
    /// Fixed-point weights of its inputs, one after the other.
    weights: Vec<Vec<i32>>,
    /// Outputs are inputs, moved.
    copies: bool,
}

impl Filter {
    fn new(from: u32, to: u32, wanted: Range<u32>) -> Self {
        if from == to {
            let starts: Vec<usize> = wanted.map(|i| i as usize).collect();
            return Self { weights: vec![vec![1 << BITS]; starts.len()], starts, copies: true };
        }
        let (starts, weights) = wanted.map(|i| taps(from, to, i)).unzip();
        Self { starts, weights, copies: false }
    }

    /// The input positions that any wanted output reads.
    fn source_rows(&self) -> Range<usize> {
        let ends = self.starts.iter().zip(&self.weights).map(|(start, weights)| start + weights.len());
        self.starts.iter().copied().min().unwrap_or(0)..ends.max().unwrap_or(0)
    }

    /// Filters the rows `rows` of `picture` from left to right.
    fn along_rows<'a>(&self, picture: &'a Picture, rows: Range<usize>) -> Cow<'a, [u8]> {
        let stride = picture.width as usize * 3;
        if self.copies && self.starts.len() == picture.width as usize {
            return Cow::Borrowed(&picture.rgb[rows.start * stride..rows.end * stride]);
        }
        let mut out = Vec::with_capacity(rows.len() * self.starts.len() * 3);
        for y in rows {
            let (pixels, _) = picture.row(y).as_chunks::<3>();
            for (&start, weights) in self.starts.iter().zip(&self.weights) {
                let mut sum = [1 << (BITS - 1); 3];
                for (pixel, &weight) in pixels[start..start + weights.len()].iter().zip(weights) {
                    for (sum, &sample) in sum.iter_mut().zip(pixel) {
                        *sum += weight * i32::from(sample);
                    }
                }
                out.extend(sum.map(round));
            }
        }
        Cow::Owned(out)
    }

    /// Filters from top to bottom; `source` holds rows of `stride` samples, the first of which is row `first`.
    fn along_columns(&self, source: &[u8], first: usize, stride: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.starts.len() * stride);
        let mut sums = vec![0_i32; stride];
        for (&start, weights) in self.starts.iter().zip(&self.weights) {
            sums.fill(1 << (BITS - 1));
            for (row, &weight) in source[(start - first) * stride..].chunks_exact(stride).zip(weights) {
                for (sum, &sample) in sums.iter_mut().zip(row) {
                    *sum += weight * i32::from(sample);
                }
            }
            out.extend(sums.iter().map(|&sum| round(sum)));
        }
        out
    }
}

fn round(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// The first input and the weights of output `i` when `from` inputs become `to` outputs.
fn taps(from: u32, to: u32, i: u32) -> (usize, Vec<i32>) {
    let scale = f64::from(from) / f64::from(to);
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    let centre = (f64::from(i) + 0.5) * scale;
    let low = (centre - support + 0.5).max(0.0) as usize;
    let high = ((centre + support + 0.5) as usize).min(from as usize);
    let weight = |input: usize| bicubic((input as f64 - centre + 0.5) * (1.0 / stretch));
    let weights: Vec<f64> = (low..high).map(weight).collect();
    // Added from left to right, as the order of a floating-point sum is part of its result.
    let total: f64 = weights.iter().fold(0.0, |sum, w| sum + w);
    let fixed = |w: f64| (w / total * f64::from(1 << BITS)).round() as i32;
    (low, weights.into_iter().map(fixed).collect())
}

/// Keys' cubic convolution kernel with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Resizes vertically first, as Pillow 13 does for tall pictures; only the golden data want it.
#[cfg(test)]
pub(super) fn resize_vertically_first(picture: &Picture, width: u32, height: u32) -> Picture {
    let low = resize_bicubic(picture, picture.width, height);
    resize_bicubic(&low, width, height)
}
