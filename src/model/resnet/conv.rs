//! Convolutions as products of windows with packed weights.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;

use super::map::Map;
use super::shape::Layer;
use crate::model::kernel::{Buffer, Mat, MatMut, Packed, Start, gemm_packed};
use crate::model::ops::values;
use crate::model::weights::Weights;

/// Added to every variance: the default of PyTorch's `BatchNorm2d`, which no configuration changes.
const EPS: f64 = 1e-5;
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

impl Convolution {
    /// Takes a convolution and the normalisation after it, which becomes part of the weights (in `f64`, rounded once).
    pub(super) fn take(weights: &mut Weights, layer: &Layer) -> Result<Self> {
        let mut take = |name: &str| -> Result<Vec<f32>> {
            let tensor = weights.remove(name).with_context(|| format!("no tensor {name}"))?;
            Ok(values(&tensor.contiguous()?)?.to_vec())
        };
        let weight = take(&layer.weight())?;
        let names = layer.normalization();
        let [gamma, beta, mean, variance] = [take(&names[0])?, take(&names[1])?, take(&names[2])?, take(&names[3])?];
        let (places, inputs) = (layer.kernel * layer.kernel, layer.inputs);
        let mut folded = vec![0.0; weight.len()];
        let mut bias = vec![0.0; layer.outputs];
        for (i, (from, to)) in
            weight.chunks_exact(places * inputs).zip(folded.chunks_exact_mut(places * inputs)).enumerate()
        {
            let scale = f64::from(gamma[i]) / (f64::from(variance[i]) + EPS).sqrt();
            bias[i] = (f64::from(beta[i]) - f64::from(mean[i]) * scale) as f32;
            for (at, to) in to.iter_mut().enumerate() {
                *to = (f64::from(from[at % inputs * places + at / inputs]) * scale) as f32;
            }
        }
        let finite = folded.iter().chain(&bias).all(|x| x.is_finite());
        ensure!(finite, "{} has numbers that are not finite, or a negative variance", layer.name);
        let weight = Packed::new(Mat::new(&folded, layer.outputs, places * inputs).t());
        Ok(Self { weight: Arc::new(weight), bias, kernel: layer.kernel, stride: layer.stride })
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
        let relu = |x: f32| if x < 0.0 { 0.0 } else { x };
        let pieces = out.par_chunks_mut(PIECE);
        match self {
            End::Linear => {}
            End::Relu => pieces.for_each(|out| out.iter_mut().for_each(|x| *x = relu(*x))),
            End::AddRelu(other) => pieces.zip(other.values[first..].par_chunks(PIECE)).for_each(|(out, other)| {
                out.iter_mut().zip(other).for_each(|(x, other)| *x = relu(*x + other));
            }),
        }
    }
}
