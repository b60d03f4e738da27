//! A convolution, the batch normalisation after it with fixed statistics, a shortcut and `ReLU` as one operation.
//!
//! The normalisation becomes part of the convolution's weight, so that nothing but the result is kept for the way back. With
//! `folded = weight * slope` and `slope = scale / sqrt(variance + eps)` per output, the gradients by weight and scale both follow from
//! the one by `folded`.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{Conv, column_sums, contiguous, each_row, result, sink, tensor, values};
use crate::model::kernel::{Start, rows};

/// Added to every variance: the default of PyTorch's `BatchNorm2d`.
const EPS: f64 = 1e-5;
/// Elements of one parallel piece; the bits do not depend on it.
const PIECE: usize = 1 << 14;
/// Rows of a weight in one partial sum; fixed, so that sums do not depend on the thread count.
const ROWS: usize = 64;

/// A convolution without bias and the normalisation after it.
///
/// `weight`, `scale` and `shift` are either all variables or all constants.
#[derive(Clone, Debug)]
pub struct NormedConv {
    /// The geometry.
    pub conv: Conv,
    /// `f32[kh * kw * c, out]`, rows in the order kernel row, kernel column, channel.
    pub weight: Tensor,
    /// What normalised outputs are multiplied by: `f32[out]`.
    pub scale: Tensor,
    /// What is then added to them: `f32[out]`.
    pub shift: Tensor,
    /// The mean of each output, in the units of the convolution's sums.
    pub mean: Vec<f32>,
    /// The variance of each output.
    pub variance: Vec<f32>,
}

/// What happens to normalised outputs.
#[derive(Clone, Copy, Debug)]
pub enum ConvEnd<'a> {
    /// Nothing.
    Linear,
    /// Negative ones become 0.
    Relu,
    /// A tensor of the same shape is added; negative ones become 0.
    AddRelu(&'a Tensor),
}

/// Runs `x` (`[b, h, w, c]`) through a convolution, its normalisation and what comes after; returns `[b, oh, ow, out]`.
///
/// Only [`super::backward`] gives the gradients of the layer's variables.
pub fn conv2d_normed(x: &Tensor, layer: &Arc<NormedConv>, end: ConvEnd) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, &layer.weight);
    let run = |relu| Run { layer: layer.clone(), relu };
    match end {
        ConvEnd::Linear => x.apply_op2(weight, run(false)),
        ConvEnd::Relu => x.apply_op2(weight, run(true)),
        ConvEnd::AddRelu(other) => x.apply_op3(weight, &other.contiguous()?, run(true)),
    }
}

/// Adds `other`, if there is one, and turns what is negative into 0; what is not a number stays that.
pub(crate) fn rectify(out: &mut [f32], other: Option<&[f32]>) {
    let relu = |x: f32| if x < 0.0 { 0.0 } else { x };
    let pieces = out.par_chunks_mut(PIECE);
    match other {
        None => pieces.for_each(|out| out.iter_mut().for_each(|x| *x = relu(*x))),
        Some(other) => pieces.zip(other.par_chunks(PIECE)).for_each(|(out, other)| {
            out.iter_mut().zip(other).for_each(|(x, other)| *x = relu(*x + other));
        }),
    }
}

impl NormedConv {
    /// What each output of the convolution is multiplied by.
    ///
    /// Fails unless all parts have one number per output.
    fn slopes(&self) -> Result<Vec<f64>> {
        let outputs = self.weight.dims2()?.1;
        let counts = [self.scale.elem_count(), self.shift.elem_count(), self.mean.len(), self.variance.len()];
        if counts.iter().any(|count| *count != outputs) {
            bail!("a normalisation of {counts:?} numbers after a convolution to {outputs} channels");
        }
        let scale = values(&self.scale)?;
        let slopes = scale.iter().zip(&self.variance).map(|(s, v)| f64::from(*s) / (f64::from(*v) + EPS).sqrt());
        Ok(slopes.collect())
    }

    /// Weight and bias of the one convolution that does the same (in `f64`, rounded once): `f32[kh * kw * c, out]` and `f32[out]`.
    pub fn fold(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let slopes = self.slopes()?;
        let shift = values(&self.shift)?;
        let moved = shift.iter().zip(&self.mean).zip(&slopes);
        let bias = moved.map(|((shift, mean), slope)| (f64::from(*shift) - f64::from(*mean) * slope) as f32).collect();
        let mut weight = values(&self.weight)?.to_vec();
        each_row(&mut weight, slopes.len(), |_, row| {
            row.iter_mut().zip(&slopes).for_each(|(w, slope)| *w = (f64::from(*w) * slope) as f32);
        });
        Ok((weight, bias))
    }

    /// Turns the gradient by the folded weight into that by the weight, and returns the one by the scale.
    ///
    /// The result is `slope * (sum of weight x - mean) + shift`, so that the gradient by the slope is the sum over a column of the weight
    /// times `folded`, less the mean times the gradient by the shift.
    fn unfold(&self, folded: &mut [f32], by_shift: &[f32]) -> Result<Vec<f32>> {
        let slopes = self.slopes()?;
        let (weight, width) = (values(&self.weight)?, slopes.len());
        let block = |(folded, weight): (&mut [f32], &[f32])| {
            let mut sums = vec![0.0_f64; width];
            for (folded, weight) in folded.chunks_exact_mut(width).zip(weight.chunks_exact(width)) {
                for (((g, w), slope), sum) in folded.iter_mut().zip(weight).zip(&slopes).zip(&mut sums) {
                    *sum += f64::from(*w) * f64::from(*g);
                    *g = (f64::from(*g) * slope) as f32;
                }
            }
            sums
        };
        let blocks = folded.par_chunks_mut(ROWS * width).zip(weight.par_chunks(ROWS * width));
        let blocks: Vec<Vec<f64>> = blocks.map(block).collect();
        let by_scale = |i: usize| {
            let sum: f64 = blocks.iter().map(|block| block[i]).sum();
            let by_slope = sum - f64::from(self.mean[i]) * f64::from(by_shift[i]);
            (by_slope / (f64::from(self.variance[i]) + EPS).sqrt()) as f32
        };
        Ok((0..width).map(by_scale).collect())
    }
}

struct Run {
    layer: Arc<NormedConv>,
    relu: bool,
}

impl Run {
    fn forward(&self, x: (&CpuStorage, &Layout), added: Option<(&CpuStorage, &Layout)>) -> Result<(CpuStorage, Shape)> {
        let layer = &self.layer;
        let size = layer.conv.size(x.1.shape(), layer.weight.shape())?;
        let (weight, bias) = layer.fold()?;
        let mut out = layer.conv.forward(size, contiguous(x.0, x.1)?, &weight, Start::Bias(&bias));
        let shape = size.out();
        let added = match added {
            Some((_, layout)) if *layout.shape() != shape => bail!("the sum of {shape:?} and {:?}", layout.shape()),
            Some((added, layout)) => Some(contiguous(added, layout)?),
            None => None,
        };
        if self.relu {
            rectify(&mut out, added);
        }
        Ok(result(out, shape))
    }

    /// The gradients by the input, the weight and what was added; that of scale and shift are handed over.
    fn backward(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>, Tensor)> {
        let (layer, conv) = (&self.layer, self.layer.conv);
        let grad = if self.relu { masked(y, &grad.contiguous()?)? } else { grad.contiguous()? };
        let size = conv.size(x.shape(), layer.weight.shape())?;
        let g = values(&grad)?;
        let mut dx = None;
        if x.track_op() {
            dx = Some(tensor(conv.input_gradient(size, &layer.fold()?.0, &g), x.shape())?);
        }
        let mut dw = None;
        if layer.weight.track_op() {
            let by_shift = column_sums(&g, layer.mean.len());
            let mut by_weight = conv.weight_gradient(size, &values(x)?, &g);
            sink::give(&layer.scale, layer.unfold(&mut by_weight, &by_shift)?)?;
            sink::give(&layer.shift, by_shift)?;
            dw = sink::offer_tensor(&layer.weight, by_weight)?;
        }
        drop(g);
        Ok((dx, dw, grad))
    }
}

/// The gradient where the output is positive, else zero.
fn masked(y: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let (y, g) = (values(y)?, values(grad)?);
    let mut out = vec![0.0; y.len()];
    each_row(&mut out, PIECE, |piece, out| {
        let at = piece * PIECE..piece * PIECE + out.len();
        rows::relu_back(&y[at.clone()], &g[at], out);
    });
    tensor(out, grad.shape())
}

impl CustomOp2 for Run {
    fn name(&self) -> &'static str {
        "conv2d_normed"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((x, lx), None)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, y: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.backward(x, y, grad)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for Run {
    fn name(&self) -> &'static str {
        "conv2d_normed"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        _: &CpuStorage,
        _: &Layout,
        added: &CpuStorage,
        la: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, lx), Some((added, la)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        added: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, masked) = self.backward(x, y, grad)?;
        Ok((dx, dw, added.track_op().then_some(masked)))
    }
}
