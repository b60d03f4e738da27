//! Products with a weight matrix.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::{Grad, column_sums, contiguous, result, rows_of, sink, tensor, values};
use crate::model::kernel::{Mat, MatMut, Start, gemm};

/// How a weight matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// `[in, out]`, as GPT-2's `Conv1D` has it: `y = x W`.
    InOut,
    /// `[out, in]`, as `Linear` has it: `y = x W^T`.
    OutIn,
}

impl Stored {
    /// The weight as a matrix from inputs to outputs.
    pub(super) fn view(self, weight: &[f32], inputs: usize, outputs: usize) -> Mat<'_> {
        match self {
            Self::InOut => Mat::new(weight, inputs, outputs),
            Self::OutIn => Mat::new(weight, outputs, inputs).t(),
        }
    }

    /// The numbers of inputs and outputs.
    pub(super) fn sizes(self, shape: &Shape) -> Result<(usize, usize)> {
        let (rows, columns) = shape.dims2()?;
        Ok(if self == Self::InOut { (rows, columns) } else { (columns, rows) })
    }

    /// The gradient of a weight, from rows of inputs and rows of gradients by the outputs.
    pub(super) fn gradient(self, x: &[f32], g: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
        let rows = g.len() / outputs.max(1);
        let (x, g) = (Mat::new(x, rows, inputs), Mat::new(g, rows, outputs));
        let mut out = vec![0.0; inputs * outputs];
        match self {
            Self::InOut => gemm(x.t(), g, MatMut::new(&mut out, inputs, outputs), Start::Zero),
            Self::OutIn => gemm(g.t(), x, MatMut::new(&mut out, outputs, inputs), Start::Zero),
        }
        out
    }
}

/// Multiplies every row of `x` (`[.., in]`) by a weight; returns `[.., out]`.
pub fn matmul(x: &Tensor, weight: &Tensor, stored: Stored, grad: Grad) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, Product { stored, grad })
}

/// [`matmul`] plus a bias (`[out]`), if there is one.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stored: Stored, grad: Grad) -> Result<Tensor> {
    match bias {
        Some(bias) => x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Product { stored, grad }),
        None => matmul(x, weight, stored, grad),
    }
}

struct Product {
    stored: Stored,
    grad: Grad,
}

impl Product {
    fn forward(&self, x: (&[f32], &Shape), weight: (&[f32], &Shape), start: Start) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = rows_of(x.1)?;
        let (inputs, outputs) = self.stored.sizes(weight.1)?;
        if inputs != width {
            bail!("a weight for {inputs} inputs cannot take rows of {width}");
        }
        let mut out = vec![0.0; rows * outputs];
        let view = self.stored.view(weight.0, inputs, outputs);
        gemm(Mat::new(x.0, rows, inputs), view, MatMut::new(&mut out, rows, outputs), start);
        let mut dims = x.1.dims().to_vec();
        dims.pop();
        dims.push(outputs);
        Ok(result(out, dims))
    }

    /// The gradients by the input and the weight, each if it is wanted.
    fn backward(&self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, inputs) = rows_of(x.shape())?;
        let outputs = rows_of(grad.shape())?.1;
        let g = values(grad)?;
        let dx = if x.track_op() {
            let weight = values(weight)?;
            let mut dx = vec![0.0; rows * inputs];
            let view = self.stored.view(&weight, inputs, outputs).t();
            gemm(Mat::new(&g, rows, outputs), view, MatMut::new(&mut dx, rows, inputs), Start::Zero);
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        let dw = if self.grad == Grad::Both && weight.track_op() {
            sink::offer_tensor(weight, self.stored.gradient(&values(x)?, &g, inputs, outputs))?
        } else {
            None
        };
        Ok((dx, dw))
    }
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((contiguous(x, lx)?, lx.shape()), (contiguous(w, lw)?, lw.shape()), Start::Zero)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, &grad.contiguous()?)
    }
}

impl CustomOp3 for Product {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let outputs = self.stored.sizes(lw.shape())?.1;
        if lb.shape().dims() != [outputs] {
            bail!("a bias of shape {:?} does not fit {outputs} outputs", lb.shape());
        }
        self.forward(
            (contiguous(x, lx)?, lx.shape()),
            (contiguous(w, lw)?, lw.shape()),
            Start::Bias(contiguous(b, lb)?),
        )
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (dx, dw) = self.backward(x, w, &grad)?;
        let db = if self.grad == Grad::Both && bias.track_op() {
            sink::offer_tensor(bias, column_sums(&values(&grad)?, bias.elem_count()))?
        } else {
            None
        };
        Ok((dx, dw, db))
    }
}
