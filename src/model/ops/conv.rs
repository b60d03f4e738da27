//! Two-dimensional convolution of pictures whose channels come last.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{contiguous, result, sink, tensor, values};
use crate::model::kernel::{Mat, MatMut, Start, gemm, gemm_serial, rows};

/// The geometry of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Height and width of the kernel.
    pub kernel: (usize, usize),
    /// Pixels from one window to the next, both ways.
    pub stride: usize,
    /// Zeros around the picture, on every side.
    pub padding: usize,
}

/// Convolves `x` (`[b, h, w, c]`) with `weight` (`[kh * kw * c, out]`, rows in the order kernel row, kernel column, channel).
///
/// Returns `[b, oh, ow, out]`.
pub fn conv2d(x: &Tensor, weight: &Tensor, conv: Conv) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, conv)
}

/// The sizes of one call.
#[derive(Clone, Copy)]
pub(super) struct Size {
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
    out_height: usize,
    out_width: usize,
    outputs: usize,
    /// Elements of one window.
    window: usize,
}

impl Size {
    fn picture(self) -> usize {
        self.height * self.width * self.channels
    }

    fn pixels(self) -> usize {
        self.out_height * self.out_width
    }

    /// The shape of the result.
    pub(super) fn out(self) -> Shape {
        (self.batch, self.out_height, self.out_width, self.outputs).into()
    }
}

/// About how many elements of windows lie in memory at once in the backward pass.
const GROUP: usize = 4 << 20;

impl Conv {
    pub(super) fn size(self, x: &Shape, weight: &Shape) -> Result<Size> {
        let (batch, height, width, channels) = x.dims4()?;
        let (window, outputs) = weight.dims2()?;
        let (kh, kw) = self.kernel;
        let (full_height, full_width) = (height + 2 * self.padding, width + 2 * self.padding);
        if window != kh * kw * channels || window == 0 || self.stride == 0 || full_height < kh || full_width < kw {
            bail!("a convolution {self:?} with weight {weight:?} cannot take pictures of {x:?}");
        }
        let (out_height, out_width) = ((full_height - kh) / self.stride + 1, (full_width - kw) / self.stride + 1);
        Ok(Size { batch, height, width, channels, out_height, out_width, outputs, window })
    }

    /// Calls `visit` with every run of channels that a window shares with the picture: where it is in the window's row, where in the picture.
    fn runs(self, size: Size, pixel: usize, mut visit: impl FnMut(usize, Option<usize>)) {
        let (y, x) = (pixel / size.out_width * self.stride, pixel % size.out_width * self.stride);
        for i in 0..self.kernel.0 {
            for j in 0..self.kernel.1 {
                let (row, column) = ((y + i).wrapping_sub(self.padding), (x + j).wrapping_sub(self.padding));
                let inside = row < size.height && column < size.width;
                let at = (i * self.kernel.1 + j) * size.channels;
                visit(at, inside.then(|| (row * size.width + column) * size.channels));
            }
        }
    }

    /// Lays out all windows of one picture as rows.
    fn unfold(self, size: Size, picture: &[f32], windows: &mut [f32]) {
        for (pixel, window) in windows.chunks_exact_mut(size.window).enumerate() {
            self.runs(size, pixel, |at, from| {
                let out = &mut window[at..at + size.channels];
                match from {
                    Some(from) => out.copy_from_slice(&picture[from..from + size.channels]),
                    None => out.fill(0.0),
                }
            });
        }
    }

    /// Adds all windows of one picture back onto it.
    fn fold(self, size: Size, windows: &[f32], picture: &mut [f32]) {
        for (pixel, window) in windows.chunks_exact(size.window).enumerate() {
            self.runs(size, pixel, |at, to| {
                if let Some(to) = to {
                    rows::add_to(&mut picture[to..to + size.channels], &window[at..at + size.channels]);
                }
            });
        }
    }

    /// Whether the windows are the pixels themselves.
    fn is_plain(self) -> bool {
        self.kernel == (1, 1) && self.stride == 1 && self.padding == 0
    }

    pub(super) fn forward(self, size: Size, x: &[f32], weight: &[f32], start: Start) -> Vec<f32> {
        let weight = Mat::new(weight, size.window, size.outputs);
        let mut out = vec![0.0; size.batch * size.pixels() * size.outputs];
        if self.is_plain() {
            let rows = size.batch * size.pixels();
            gemm(Mat::new(x, rows, size.window), weight, MatMut::new(&mut out, rows, size.outputs), start);
        } else if !out.is_empty() {
            let pictures = out.par_chunks_mut(size.pixels() * size.outputs).zip(x.par_chunks(size.picture()));
            let scratch = || vec![0.0; size.pixels() * size.window];
            pictures.for_each_init(scratch, |windows, (out, x)| {
                self.unfold(size, x, windows);
                let windows = Mat::new(windows, size.pixels(), size.window);
                gemm_serial(windows, weight, MatMut::new(out, size.pixels(), size.outputs), start);
            });
        }
        out
    }

    pub(super) fn weight_gradient(self, size: Size, x: &[f32], g: &[f32]) -> Vec<f32> {
        let mut dw = vec![0.0; size.window * size.outputs];
        let one = size.pixels() * size.window;
        let group = (GROUP / one).clamp(1, size.batch.max(1));
        let mut windows = vec![0.0; if self.is_plain() { 0 } else { group * one }];
        for (x, g) in x.chunks(group * size.picture()).zip(g.chunks(group * size.pixels() * size.outputs)) {
            let rows = g.len() / size.outputs;
            let windows = if self.is_plain() {
                x
            } else {
                let pictures = x.par_chunks(size.picture()).zip(windows.par_chunks_mut(one));
                pictures.for_each(|(x, windows)| self.unfold(size, x, windows));
                &windows[..rows * size.window]
            };
            // Keeping the sum makes this one chain over all pixels of all pictures.
            let (a, b) = (Mat::new(windows, rows, size.window).t(), Mat::new(g, rows, size.outputs));
            gemm(a, b, MatMut::new(&mut dw, size.window, size.outputs), Start::Keep);
        }
        dw
    }

    pub(super) fn input_gradient(self, size: Size, weight: &[f32], g: &[f32]) -> Vec<f32> {
        let mut dx = vec![0.0; size.batch * size.picture()];
        let transposed = Mat::new(weight, size.window, size.outputs).t();
        if self.is_plain() {
            let rows = size.batch * size.pixels();
            gemm(Mat::new(g, rows, size.outputs), transposed, MatMut::new(&mut dx, rows, size.window), Start::Zero);
            return dx;
        }
        let pictures = dx.par_chunks_mut(size.picture()).zip(g.par_chunks(size.pixels() * size.outputs));
        let scratch = || vec![0.0; size.pixels() * size.window];
        pictures.for_each_init(scratch, |windows, (dx, g)| {
            let out = MatMut::new(windows, size.pixels(), size.window);
            gemm_serial(Mat::new(g, size.pixels(), size.outputs), transposed, out, Start::Zero);
            self.fold(size, windows, dx);
        });
        dx
    }
}

impl CustomOp2 for Conv {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let size = self.size(lx.shape(), lw.shape())?;
        let out = self.forward(size, contiguous(x, lx)?, contiguous(w, lw)?, Start::Zero);
        Ok(result(out, size.out()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let size = self.size(x.shape(), w.shape())?;
        let g = values(&grad)?;
        let dx = x.track_op().then(|| tensor(self.input_gradient(size, &values(w)?, &g), x.shape())).transpose()?;
        let dw = if w.track_op() { sink::offer_tensor(w, self.weight_gradient(size, &values(x)?, &g))? } else { None };
        Ok((dx, dw))
    }
}
