//! Functions of single elements.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::{contiguous, each_row, result, tensor, values};
use crate::model::kernel::rows;

/// The functions between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, GPT-2's.
    GeluNew,
    /// `x/2 (1 + erf(x / sqrt 2))`.
    Gelu,
    /// `x / (1 + e^(-1.702 x))`, CLIP's.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// The logistic function.
    Sigmoid,
}

impl Activation {
    /// Writes the function of every element.
    pub(crate) fn forward(self, x: &[f32], out: &mut [f32]) {
        match self {
            Self::GeluNew => rows::gelu_new(x, out),
            Self::Gelu => rows::gelu(x, out),
            Self::QuickGelu => rows::quick_gelu(x, out),
            Self::Relu => rows::relu(x, out),
            Self::Tanh => rows::tanh_rows(x, out),
            Self::Sigmoid => rows::sigmoid_rows(x, out),
        }
    }

    /// Writes the derivative at every element of `x`, times `g`.
    pub(crate) fn backward(self, x: &[f32], g: &[f32], out: &mut [f32]) {
        match self {
            Self::GeluNew => rows::gelu_new_back(x, g, out),
            Self::Gelu => rows::gelu_back(x, g, out),
            Self::QuickGelu => rows::quick_gelu_back(x, g, out),
            Self::Relu => rows::relu_back(x, g, out),
            Self::Tanh => rows::tanh_back(x, g, out),
            Self::Sigmoid => rows::sigmoid_back(x, g, out),
        }
    }
}

/// Elements of one piece; the bits do not depend on it.
const PIECE: usize = 1 << 12;

/// Applies a function to every element.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    x.contiguous()?.apply_op1(activation)
}

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = contiguous(x, layout)?;
        let mut out = vec![0.0; x.len()];
        each_row(&mut out, PIECE, |piece, out| self.forward(&x[piece * PIECE..][..out.len()], out));
        Ok(result(out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (xs, g) = (values(x)?, values(&grad)?);
        let mut out = vec![0.0; xs.len()];
        each_row(&mut out, PIECE, |piece, out| {
            let at = piece * PIECE..piece * PIECE + out.len();
            self.backward(&xs[at.clone()], &g[at], out);
        });
        Ok(Some(tensor(out, x.shape())?))
    }
}

/// The sum of two tensors of the same shape, on the threads that everything else uses (candle's own wait for each other by spinning).
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&y.contiguous()?, Sum)
}

struct Sum;

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, y: &CpuStorage, ly: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, y) = (contiguous(x, lx)?, contiguous(y, ly)?);
        if lx.shape() != ly.shape() {
            bail!("the sum of {:?} and {:?}", lx.shape(), ly.shape());
        }
        let mut out = x.to_vec();
        each_row(&mut out, PIECE, |piece, out| rows::add_to(out, &y[piece * PIECE..][..out.len()]));
        Ok(result(out, lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((x.track_op().then(|| grad.clone()), y.track_op().then(|| grad.clone())))
    }
}

/// [`Activation::GeluNew`].
pub fn gelu_new(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::GeluNew)
}

/// [`Activation::Gelu`].
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::Gelu)
}

/// [`Activation::QuickGelu`].
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::QuickGelu)
}

/// [`Activation::Relu`].
pub fn relu(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::Relu)
}

/// [`Activation::Tanh`].
pub fn tanh(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::Tanh)
}

/// [`Activation::Sigmoid`].
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::Sigmoid)
}
