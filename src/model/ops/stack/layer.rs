//! One layer, forward and backward, on plain memory.

use candle_core::{Result, bail};

use super::super::attention::core::{self, Size, Targets, View};
use super::super::dropout::{Mask, Masks};
use super::super::norm::norm_input_gradient;
use super::super::{column_sums, each_row, heads, sink, values};
use super::{Affine, Norm, Projection, Stack, StackLayer};
use crate::model::kernel::{Buffer, Mat, MatMut, Start, gemm, rows};

/// What all layers of one call share.
pub(super) struct Call<'a> {
    pub(super) stack: &'a Stack,
    pub(super) size: Size,
    /// Whether a backward pass will follow.
    pub(super) keep: bool,
}

/// What the backward pass of one layer needs.
pub(super) struct Saved {
    masks: Option<Masks>,
    /// The layer's input, and what it is after attention.
    x: Buffer,
    middle: Buffer,
    /// Queries before their adaptive matrix, if there is one.
    raw_queries: Option<Buffer>,
    /// Queries, keys and values side by side, or the queries alone.
    queries: Buffer,
    keys_values: Option<Buffer>,
    probabilities: Buffer,
    attended: Buffer,
    /// Before and after the activation; the latter only for the gradient of a weight.
    inner: Buffer,
    activated: Option<Buffer>,
}

impl Affine {
    fn is_trainable(&self) -> bool {
        self.weight.is_variable() || self.bias.as_ref().is_some_and(candle_core::Tensor::is_variable)
    }

    /// The numbers of inputs and outputs.
    fn sizes(&self) -> Result<(usize, usize)> {
        self.stored.sizes(self.weight.shape())
    }

    fn forward(&self, x: &[f32]) -> Result<Buffer> {
        let (inputs, outputs) = self.sizes()?;
        if !x.len().is_multiple_of(inputs) {
            bail!("{} numbers are no rows of {inputs}", x.len());
        }
        let rows = x.len() / inputs;
        let mut out = Buffer::new(rows * outputs);
        let weight = values(&self.weight)?;
        let bias = self.bias.as_ref().map(values).transpose()?;
        let start = bias.as_ref().map_or(Start::Zero, |bias| Start::Bias(bias));
        let view = self.stored.view(&weight, inputs, outputs);
        gemm(Mat::new(x, rows, inputs), view, MatMut::new(&mut out, rows, outputs), start);
        Ok(out)
    }

    /// Writes (or adds to) the gradient by the input.
    fn backward_input(&self, g: &[f32], dx: &mut [f32], start: Start) -> Result<()> {
        let (inputs, outputs) = self.sizes()?;
        let rows = g.len() / outputs;
        let weight = values(&self.weight)?;
        let view = self.stored.view(&weight, inputs, outputs).t();
        gemm(Mat::new(g, rows, outputs), view, MatMut::new(dx, rows, inputs), start);
        Ok(())
    }

    /// Hands over the gradients of weight and bias.
    fn give(&self, x: &[f32], g: &[f32]) -> Result<()> {
        let (inputs, outputs) = self.sizes()?;
        if self.weight.is_variable() {
            sink::give(&self.weight, self.stored.gradient(x, g, inputs, outputs))?;
        }
        match &self.bias {
            Some(bias) if bias.is_variable() => sink::give(bias, column_sums(g, outputs)),
            _ => Ok(()),
        }
    }
}

impl Projection {
    fn is_trainable(&self) -> bool {
        match self {
            Self::Joint(affine) => affine.is_trainable(),
            Self::Split { queries, adaptive, keys_values } => {
                let variable = |(a, b): &(candle_core::Tensor, candle_core::Tensor)| a.is_variable() || b.is_variable();
                queries.is_trainable() || keys_values.is_trainable() || adaptive.as_ref().is_some_and(variable)
            }
        }
    }
}

impl StackLayer {
    pub(super) fn is_trainable(&self) -> bool {
        let affine = [&self.project, &self.fc1, &self.fc2];
        self.norm1.is_variable()
            || self.norm2.is_variable()
            || self.projection.is_trainable()
            || affine.iter().any(|affine| affine.is_trainable())
    }
}

/// Adds `x` to every row of `y`, in place.
fn add(y: &mut [f32], x: &[f32], width: usize) {
    each_row(y, width, |row, y| rows::add_to(y, &x[row * width..][..width]));
}

impl Call<'_> {
    pub(super) fn width(&self) -> usize {
        self.size.width()
    }

    pub(super) fn norm(&self, norm: &Norm, x: &[f32], out: &mut [f32]) -> Result<()> {
        let (weight, bias) = (values(&norm.weight)?, values(&norm.bias)?);
        let d = self.width();
        if weight.len() != d || bias.len() != d {
            bail!("a layer norm of {} and {} cannot take rows of {d}", weight.len(), bias.len());
        }
        each_row(out, d, |row, out| rows::layer_norm(&x[row * d..][..d], &weight, &bias, self.stack.eps, out));
        Ok(())
    }

    /// Drops elements of rows, or of the gradient by them.
    pub(super) fn drop_rows(&self, mask: Option<Mask>, x: &mut [f32]) {
        if let Some(mask) = mask {
            mask.apply_rows(self.size.queries, self.width(), x);
        }
    }

    /// A copy of a gradient as [`Self::drop_rows`] makes it, if there is a mask.
    fn dropped(&self, mask: Option<Mask>, g: &[f32]) -> Option<Buffer> {
        mask.is_some().then(|| {
            let mut g = Buffer::copy(g);
            self.drop_rows(mask, &mut g);
            g
        })
    }

    fn normed(&self, norm: &Norm, x: &[f32]) -> Result<Buffer> {
        let mut out = Buffer::new(x.len());
        self.norm(norm, x, &mut out)?;
        Ok(out)
    }

    /// The matrices of queries, keys and values, side by side or not.
    fn views<'b>(&self, queries: &'b [f32], keys_values: Option<&'b [f32]>) -> Result<[View<'b>; 3]> {
        let (t, d) = (self.size.queries, self.width());
        let q_width = if keys_values.is_some() { d } else { 3 * d };
        let rows = self.size.batch * t;
        if queries.len() != rows * q_width || keys_values.is_some_and(|kv| kv.len() != rows * 2 * d) {
            bail!("the projections of a layer do not make queries, keys and values of width {d}");
        }
        let q = View::contiguous(queries, t, q_width);
        let k = keys_values.map_or(q.shifted(d), |kv| View::contiguous(kv, t, 2 * d));
        Ok([q, k, k.shifted(d)])
    }

    /// The layer's result, and what its backward pass needs if there will be one.
    pub(super) fn forward(
        &self,
        layer: &StackLayer,
        masks: Option<Masks>,
        x: Buffer,
    ) -> Result<(Buffer, Option<Saved>)> {
        let d = self.width();
        let normed = self.normed(&layer.norm1, &x)?;
        let mut raw_queries = None;
        let (queries, keys_values) = match &layer.projection {
            Projection::Joint(joint) => (joint.forward(&normed)?, None),
            Projection::Split { queries, adaptive, keys_values } => {
                let mut q = queries.forward(&normed)?;
                if let Some((weights, biases)) = adaptive {
                    let mut adapted = Buffer::new(q.len());
                    heads::forward(&q, weights, biases, &mut adapted)?;
                    raw_queries = Some(std::mem::replace(&mut q, adapted));
                }
                (q, Some(keys_values.forward(&normed)?))
            }
        };
        let mut attended = normed;
        let mut probabilities = Buffer::new(if self.keep { self.size.probabilities() } else { 0 });
        let views = self.views(&queries, keys_values.as_deref())?;
        let on_probabilities = masks.map(|masks| masks.probabilities);
        core::forward(self.size, &self.stack.masking, on_probabilities, views, &mut attended, &mut probabilities);
        let mut middle = layer.project.forward(&attended)?;
        self.drop_rows(masks.map(|masks| masks.attended), &mut middle);
        add(&mut middle, &x, d);
        let inner = layer.fc1.forward(&self.normed(&layer.norm2, &middle)?)?;
        let mut activated = Buffer::new(inner.len());
        let width = layer.fc1.sizes()?.1;
        each_row(&mut activated, width, |row, out| self.stack.activation.forward(&inner[row * width..][..width], out));
        let mut y = layer.fc2.forward(&activated)?;
        self.drop_rows(masks.map(|masks| masks.fed_forward), &mut y);
        add(&mut y, &middle, d);
        let activated = layer.fc2.is_trainable().then_some(activated);
        let saved =
            Saved { masks, x, middle, raw_queries, queries, keys_values, probabilities, attended, inner, activated };
        Ok((y, self.keep.then_some(saved)))
    }

    /// The gradient by the layer's input, from the one by its result; those of variables are handed over.
    pub(super) fn backward(&self, layer: &StackLayer, saved: &Saved, dy: Buffer) -> Result<Buffer> {
        let middle = self.backward_feed_forward(layer, saved, &dy)?;
        drop(dy);
        let d = self.width();
        let mut d_attended = Buffer::new(middle.len());
        let dropped = self.dropped(saved.masks.map(|masks| masks.attended), &middle);
        let g = dropped.as_deref().unwrap_or(&middle);
        layer.project.backward_input(g, &mut d_attended, Start::Zero)?;
        layer.project.give(&saved.attended, g)?;
        drop(dropped);
        let mut d_normed = Buffer::new(middle.len());
        self.backward_attention(layer, saved, &d_attended, &mut d_normed)?;
        let mut dx = d_attended;
        norm_input_gradient(&saved.x, &values(&layer.norm1.weight)?, self.stack.eps, &d_normed, &mut dx);
        self.give_norm(&layer.norm1, &saved.x, &d_normed)?;
        add(&mut dx, &middle, d);
        Ok(dx)
    }

    fn backward_feed_forward(&self, layer: &StackLayer, saved: &Saved, dy: &[f32]) -> Result<Buffer> {
        let (d, width) = (self.width(), layer.fc1.sizes()?.1);
        let mut d_activated = Buffer::new(saved.inner.len());
        let dropped = self.dropped(saved.masks.map(|masks| masks.fed_forward), dy);
        let g = dropped.as_deref().unwrap_or(dy);
        layer.fc2.backward_input(g, &mut d_activated, Start::Zero)?;
        if let Some(activated) = &saved.activated {
            layer.fc2.give(activated, g)?;
        }
        drop(dropped);
        let mut d_inner = Buffer::new(saved.inner.len());
        each_row(&mut d_inner, width, |row, out| {
            let at = row * width..(row + 1) * width;
            self.stack.activation.backward(&saved.inner[at.clone()], &d_activated[at], out);
        });
        let mut d_normed = Buffer::new(dy.len());
        layer.fc1.backward_input(&d_inner, &mut d_normed, Start::Zero)?;
        if layer.fc1.is_trainable() {
            layer.fc1.give(&self.normed(&layer.norm2, &saved.middle)?, &d_inner)?;
        }
        let mut middle = Buffer::new(dy.len());
        norm_input_gradient(&saved.middle, &values(&layer.norm2.weight)?, self.stack.eps, &d_normed, &mut middle);
        self.give_norm(&layer.norm2, &saved.middle, &d_normed)?;
        add(&mut middle, dy, d);
        Ok(middle)
    }

    /// Writes the gradient by the normalised input of attention and its projections.
    fn backward_attention(&self, layer: &StackLayer, saved: &Saved, g: &[f32], d_normed: &mut [f32]) -> Result<()> {
        let [q, k, v] = self.views(&saved.queries, saved.keys_values.as_deref())?;
        let views = [q, k, v, View::contiguous(g, self.size.queries, self.width())];
        let normed = if layer.projection.is_trainable() { Some(self.normed(&layer.norm1, &saved.x)?) } else { None };
        let mut dq = Buffer::new(saved.queries.len());
        let (masking, dropout) = (&self.stack.masking, saved.masks.map(|masks| masks.probabilities));
        let p = &saved.probabilities;
        match &layer.projection {
            Projection::Joint(joint) => {
                core::backward(self.size, masking, dropout, p, views, Targets::Joint(&mut dq));
                joint.backward_input(&dq, d_normed, Start::Zero)?;
                normed.map_or(Ok(()), |normed| joint.give(&normed, &dq))
            }
            Projection::Split { queries, adaptive, keys_values } => {
                let mut dkv = Buffer::new(2 * dq.len());
                core::backward(self.size, masking, dropout, p, views, Targets::Pair(&mut dq, &mut dkv));
                if let (Some((weights, biases)), Some(raw)) = (adaptive, &saved.raw_queries) {
                    let mut d_raw = Buffer::new(dq.len());
                    let (dw, db) = heads::backward(raw, weights, &dq, &mut d_raw)?;
                    if weights.is_variable() {
                        sink::give(weights, dw)?;
                    }
                    if biases.is_variable() {
                        sink::give(biases, db)?;
                    }
                    dq = d_raw;
                }
                queries.backward_input(&dq, d_normed, Start::Zero)?;
                keys_values.backward_input(&dkv, d_normed, Start::Keep)?;
                normed.map_or(Ok(()), |normed| {
                    queries.give(&normed, &dq)?;
                    keys_values.give(&normed, &dkv)
                })
            }
        }
    }
}
