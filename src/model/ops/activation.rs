//! Functions of single elements.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

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
