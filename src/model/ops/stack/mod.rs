//! Transformer layers as one operation.
//!
//! One step of training spends most of its time here. Between the layers there is no tensor: the rows stay in memory that is used again, and
//! candle's bookkeeping happens once for all layers.

mod layer;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, Var, bail};

use self::layer::{Call, Saved};
use super::attention::Masking;
use super::dropout::Dropout;
use super::norm::{norm_gradients, norm_input_gradient};
use super::{Activation, Grad, Stored, contiguous, each_row, layer_norm, linear, result, sink, tensor, values};
use crate::model::kernel::{Buffer, rows};

/// A weight, as it lies in memory, and its bias if there is one.
#[derive(Clone, Debug)]
pub struct Affine {
    /// `[in, out]` or `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
    /// Which of the two.
    pub stored: Stored,
}

/// Weight and bias of a layer norm.
#[derive(Clone, Debug)]
pub struct Norm {
    /// `[d]`.
    pub weight: Tensor,
    /// `[d]`.
    pub bias: Tensor,
}

/// How a layer makes queries, keys and values.
#[derive(Clone, Debug)]
pub enum Projection {
    /// By one product, side by side in this order.
    Joint(Affine),
    /// Queries by one product, keys and values by another.
    Split {
        /// To `d` columns.
        queries: Affine,
        /// A matrix (`[heads, dh, dh]`) and a bias (`[heads, dh]`) that every head then applies to its queries.
        adaptive: Option<(Tensor, Tensor)>,
        /// To `2 d` columns.
        keys_values: Affine,
    },
}

/// The weights of one layer: `x += project(attend(norm1 x)); x += fc2(act(fc1(norm2 x)))`.
#[derive(Clone, Debug)]
pub struct StackLayer {
    /// Before attention.
    pub norm1: Norm,
    /// Queries, keys and values.
    pub projection: Projection,
    /// After attention.
    pub project: Affine,
    /// Before the feed-forward part.
    pub norm2: Norm,
    /// Its first layer.
    pub fc1: Affine,
    /// Its second layer.
    pub fc2: Affine,
}

/// A transformer with norms before its parts, without embeddings and head.
#[derive(Clone, Debug)]
pub struct Stack {
    /// A row for every position, added first: `[at least t, d]`.
    pub positions: Option<Tensor>,
    /// In order.
    pub layers: Vec<StackLayer>,
    /// After the last layer.
    pub last_norm: Option<Norm>,
    /// Attention heads.
    pub heads: usize,
    /// Inside the feed-forward parts.
    pub activation: Activation,
    /// Added to variances.
    pub eps: f32,
    /// Which rows see which.
    pub masking: Masking,
    /// Of the input, of the probabilities of attention, and of what each layer adds to its rows.
    pub dropout: Option<Dropout>,
}

impl Affine {
    /// The rows of `x` through this layer.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        linear(x, &self.weight, self.bias.as_ref(), self.stored, Grad::Both)
    }
}

impl Norm {
    /// The rows of `x`, normalised.
    pub fn apply(&self, x: &Tensor, eps: f32) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, eps, Grad::Both)
    }

    fn is_variable(&self) -> bool {
        self.weight.is_variable() || self.bias.is_variable()
    }
}

impl Stack {
    /// Whether any weight is a variable.
    fn is_trainable(&self) -> bool {
        let norm = |norm: &Norm| norm.is_variable();
        self.positions.as_ref().is_some_and(Tensor::is_variable)
            || self.last_norm.as_ref().is_some_and(norm)
            || self.layers.iter().any(StackLayer::is_trainable)
    }
}

/// Runs `x` (`f32[b, t, d]`) through all layers; returns the same shape.
///
/// Weights that are variables get gradients from [`super::backward`] alone, not from candle's own.
pub fn stack(x: &Tensor, stack: &Arc<Stack>) -> Result<Tensor> {
    if let Some(dropout) = stack.dropout.filter(|dropout| !dropout.is_valid()) {
        bail!("a dropout of {} must be from 0 to below 1", dropout.p);
    }
    let trainable = stack.is_trainable();
    let mut x = x.contiguous()?;
    if trainable && !x.track_op() {
        // candle forgets operations none of whose arguments it follows.
        x = Var::from_tensor(&x)?.as_tensor().clone();
    }
    let keep = x.track_op();
    x.apply_op1(Op { stack: stack.clone(), keep, saved: Mutex::default() })
}

struct Op {
    stack: Arc<Stack>,
    keep: bool,
    saved: Mutex<Option<(Vec<Saved>, Option<Buffer>)>>,
}

impl Op {
    fn call(&self, shape: &Shape) -> Result<Call<'_>> {
        let (batch, length, width) = shape.dims3()?;
        let size = self.stack.masking.size(self.stack.heads, (batch, length, width), (batch, length, width))?;
        Ok(Call { stack: &self.stack, size, keep: self.keep })
    }

    /// Adds the positions' rows.
    fn add_positions(&self, call: &Call, x: &mut [f32]) -> Result<()> {
        let Some(positions) = &self.stack.positions else { return Ok(()) };
        let (length, width) = (call.size.queries, call.width());
        let (count, d) = positions.dims2()?;
        if count < length || d != width {
            bail!("{length} rows of {width} for positions of shape {:?}", positions.shape());
        }
        let rows_of = values(positions)?;
        each_row(x, width, |row, x| rows::add_to(x, &rows_of[row % length * width..][..width]));
        Ok(())
    }

    /// The gradient by the positions: what all batch rows give.
    fn give_positions(&self, call: &Call, g: &[f32]) -> Result<()> {
        let Some(positions) = self.stack.positions.as_ref().filter(|positions| positions.is_variable()) else {
            return Ok(());
        };
        let mut sum = vec![0.0; positions.elem_count()];
        let one = call.size.queries * call.width();
        for g in g.chunks_exact(one.max(1)) {
            rows::add_to(&mut sum[..one], g);
        }
        sink::give(positions, sum)
    }
}

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        "stack"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let call = self.call(layout.shape())?;
        let mut x = Buffer::copy(contiguous(x, layout)?);
        self.add_positions(&call, &mut x)?;
        call.drop_rows(self.stack.dropout.map(Dropout::input), &mut x);
        let mut saved = Vec::new();
        for (number, layer) in self.stack.layers.iter().enumerate() {
            let (y, kept) = call.forward(layer, self.stack.dropout.map(|dropout| dropout.layer(number)), x)?;
            saved.extend(kept);
            x = y;
        }
        let mut out = vec![0.0; x.len()];
        let mut last = None;
        if let Some(norm) = &self.stack.last_norm {
            call.norm(norm, &x, &mut out)?;
            last = self.keep.then_some(x);
        } else {
            out.copy_from_slice(&x);
        }
        if self.keep {
            *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some((saved, last));
        }
        Ok(result(out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let call = self.call(x.shape())?;
        let Some((saved, last)) = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("a stack allows one backward pass, and only if its input or weights are variables");
        };
        let grad = grad.contiguous()?;
        let g = values(&grad)?;
        let mut dx = Buffer::new(g.len());
        match (&self.stack.last_norm, last) {
            (Some(norm), Some(x)) => {
                norm_input_gradient(&x, &values(&norm.weight)?, self.stack.eps, &g, &mut dx);
                call.give_norm(norm, &x, &g)?;
            }
            _ => dx.copy_from_slice(&g),
        }
        for (layer, saved) in self.stack.layers.iter().zip(saved).rev() {
            dx = call.backward(layer, &saved, dx)?;
        }
        call.drop_rows(self.stack.dropout.map(Dropout::input), &mut dx);
        self.give_positions(&call, &dx)?;
        Ok(Some(tensor(dx.to_vec(), x.shape())?))
    }
}

impl Call<'_> {
    /// Hands over the gradients of a norm's weight and bias.
    fn give_norm(&self, norm: &Norm, x: &[f32], g: &[f32]) -> Result<()> {
        if norm.is_variable() {
            let (dw, db) = norm_gradients(x, self.stack.eps, g, self.width());
            sink::give(&norm.weight, dw)?;
            sink::give(&norm.bias, db)?;
        }
        Ok(())
    }
}
