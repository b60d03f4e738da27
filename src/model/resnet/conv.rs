//! Convolutions as products of windows with packed weights.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use rayon::prelude::*;

use super::map::Map;
use super::shape::Layer;
use crate::model::kernel::{Buffer, Mat, MatMut, Packed, Start, gemm_packed};
use crate::model::ops::{Conv, NormedConv, rectify, values};
use crate::model::weights::Weights;

/// About how many elements of windows lie in memory at once.
const STRIP: usize = 1 << 20;
/// About how many elements one parallel piece has.
const PIECE: usize = 1 << 14;

/// A convolution with bias and as many zeros around as half its kernel.
#[derive(Clone, Debug)]
pub(super) struct Convolution {
    /// Rows in the order kernel row, kernel column, channel; one column per output.
    weight: Arc<Packed>,
    bias: Vec<f32>,
    kernel: usize,
    stride: usize,
}

/// What happens to the sums of a convolution.
#[derive(Clone, Copy)]
pub(super) enum End<'a> {
    /// Nothing.
    Linear,
    /// Negative ones become 0.
    Relu,
    /// A map of the same shape is added; negative ones become 0.
    AddRelu(&'a Map),
}

/// Takes a convolution and the normalisation after it.
///
/// Fails unless all numbers that the two become together are finite.
pub(super) fn take(weights: &mut Weights, layer: &Layer) -> Result<NormedConv> {
    let mut take = |name: &str| weights.remove(name).with_context(|| format!("no tensor {name}"));
    let weight = rows(&take(&layer.weight())?)?;
    let [scale, shift, mean, variance] = layer.normalization();
    let (scale, shift) = (take(&scale)?.contiguous()?, take(&shift)?.contiguous()?);
    let mut numbers = |name: &str| -> Result<Vec<f32>> { Ok(values(&take(name)?.contiguous()?)?.to_vec()) };
    let (mean, variance) = (numbers(&mean)?, numbers(&variance)?);
    let conv = Conv { kernel: (layer.kernel, layer.kernel), stride: layer.stride, padding: layer.kernel / 2 };
    let normed = NormedConv { conv, weight, scale, shift, mean, variance };
    let (weight, bias) = normed.fold()?;
    let finite = weight.iter().chain(&bias).all(|x| x.is_finite());
    ensure!(finite, "{} has numbers that are not finite, or a negative variance", layer.name);
    Ok(normed)
}

/// From Hugging Face's `[outputs, inputs, kernel, kernel]` to rows in the order kernel row, kernel column, channel, one column per output.
pub(super) fn rows(weight: &Tensor) -> Result<Tensor> {
    let (outputs, inputs, height, width) = weight.dims4()?;
    Ok(weight.permute((2, 3, 1, 0))?.contiguous()?.reshape((height * width * inputs, outputs))?)
}

/// The reverse of [`rows`], to these dimensions.
pub(super) fn windows(rows: &Tensor, [outputs, inputs, height, width]: [usize; 4]) -> Result<Tensor> {
    Ok(rows.reshape((height, width, inputs, outputs))?.permute((3, 2, 0, 1))?.contiguous()?)
}

impl Convolution {
    /// The convolution that does the same, packed for inference.
    pub(super) fn new(normed: &NormedConv) -> Result<Self> {
        let (weight, bias) = normed.fold()?;
        let weight = Packed::new(Mat::new(&weight, weight.len() / bias.len(), bias.len()));
        Ok(Self { weight: Arc::new(weight), bias, kernel: normed.conv.kernel.0, stride: normed.conv.stride })
    }

    /// Convolves a map.
    pub(super) fn apply(&self, x: &Map, end: End) -> Map {
        let side = |side: usize| (side + 2 * (self.kernel / 2) - self.kernel) / self.stride + 1;
        let (window, outputs) = (self.weight.inputs(), self.weight.outputs());
        let mut out = Map::new(x.pictures, side(x.height), side(x.width), outputs);
        let size = (out.height, out.width);
        let plain = self.kernel == 1 && self.stride == 1;
        let strip = (STRIP / window).max(1);
        let mut windows = Buffer::new(if plain { 0 } else { strip.min(out.places()) * window });
        for (i, out) in out.values.chunks_mut(strip * outputs).enumerate() {
            let (first, rows) = (i * strip, out.len() / outputs);
            let a = if plain {
                &x.values[first * window..][..rows * window]
            } else {
                self.unfold(x, size, first, &mut windows[..rows * window]);
                &windows[..rows * window]
            };
            let (a, c) = (Mat::new(a, rows, window), MatMut::new(out, rows, outputs));
            gemm_packed(a, &self.weight, c, Start::Bias(&self.bias));
            end.apply(first * outputs, out);
        }
        out
    }

    /// Lays out windows as rows: those of the output places from `first` on, counted over all pictures.
    fn unfold(&self, x: &Map, (height, width): (usize, usize), first: usize, windows: &mut [f32]) {
        let window = self.weight.inputs();
        let piece = (PIECE / window).max(1);
        windows.par_chunks_mut(piece * window).enumerate().for_each(|(i, windows)| {
            for (j, out) in windows.chunks_exact_mut(window).enumerate() {
                let place = first + i * piece + j;
                let (picture, row, column) = (place / (height * width), place / width % height, place % width);
                self.window(x, picture, (row * self.stride, column * self.stride), out);
            }
        });
    }

    /// Copies one window; `top` and `left` count from the corner of the padding.
    fn window(&self, x: &Map, picture: usize, (top, left): (usize, usize), out: &mut [f32]) {
        let padding = self.kernel / 2;
        // The columns of the window that lie inside the picture are neighbours in memory.
        let (from, to) = (left.max(padding), (left + self.kernel).min(x.width + padding));
        let inside = (from - left) * x.channels..(to - left) * x.channels;
        for (i, out) in out.chunks_exact_mut(self.kernel * x.channels).enumerate() {
            let row = (top + i).wrapping_sub(padding);
            if row >= x.height {
                out.fill(0.0);
                continue;
            }
            let start = ((picture * x.height + row) * x.width + from - padding) * x.channels;
            out[..inside.start].fill(0.0);
            out[inside.clone()].copy_from_slice(&x.values[start..start + inside.len()]);
            out[inside.end..].fill(0.0);
        }
    }
}

impl End<'_> {
    /// Finishes the elements of a map from `first` on.
    fn apply(self, first: usize, out: &mut [f32]) {
        match self {
            End::Linear => {}
            End::Relu => rectify(out, None),
            End::AddRelu(other) => rectify(out, Some(&other.values[first..][..out.len()])),
        }
    }
}
