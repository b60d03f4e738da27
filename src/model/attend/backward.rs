//! The gradients of the loss, backward through all steps.

use anyhow::Result;
use rayon::prelude::*;

use super::Decoder;
use super::forward::{Forward, drop_elements};
use super::loss::Saved;
use super::net::{INIT_BIASES, INIT_WEIGHTS, STATE_BIASES, STATE_WEIGHTS};
use crate::model::kernel::{Buffer, Mat, MatMut, Packed, Start, gemm, gemm_packed, rows};
use crate::model::ops::{column_sums, values};

/// Gradients by what [`Trace`](super::net::Trace) holds, row by row.
struct Slopes {
    /// By `W_d h + b`, and by the gate and the LSTM's gates before their activations.
    state: Buffer,
    /// By what the LSTM reads.
    input: Buffer,
    /// By the mixed cells before the gate.
    context: Buffer,
    /// By the scores of the cells.
    scores: Buffer,
    /// By the first `h` and `c` of every caption.
    first: [Vec<f32>; 2],
}

impl Decoder {
    /// Hands over the gradients of all weights; returns those of the features if they are `wanted`.
    ///
    /// - `slope`: what everything is multiplied by.
    pub(super) fn backward(&self, saved: Saved, slope: f32, wanted: bool) -> Result<Option<Vec<f32>>> {
        let Saved { forward, mut by_logits, mut by_alphas } = saved;
        rows::scale(&mut by_logits, slope);
        rows::scale(&mut by_alphas, slope);
        let by_h = self.backward_head(&forward, &by_logits)?;
        let slopes = self.backward_steps(&forward, &by_h, &by_alphas)?;
        self.give_steps(&forward, &slopes)?;
        let by_means = self.backward_init(&forward, &slopes)?;
        self.backward_images(&forward, &slopes, wanted.then_some(&by_means))
    }

    /// The output layer: gives the gradient by the states after every step.
    fn backward_head(&self, forward: &Forward, by_logits: &[f32]) -> Result<Buffer> {
        let (vocab, width, rows) = (self.config.vocab_size, self.config.decoder_dim, forward.batch.rows());
        let by_logits_of = Mat::new(by_logits, rows, vocab);
        let mut weight = vec![0.0; vocab * width];
        let shown = Mat::new(&forward.shown, rows, width);
        gemm(by_logits_of.t(), shown, MatMut::new(&mut weight, vocab, width), Start::Zero);
        self.give(&["fc.weight"], &weight)?;
        self.give(&["fc.bias"], &column_sums(by_logits, vocab))?;
        let mut by_h = Buffer::new(rows * width);
        let weight = values(self.variable("fc.weight")?)?;
        gemm(by_logits_of, Mat::new(&weight, vocab, width), MatMut::new(&mut by_h, rows, width), Start::Zero);
        for step in 0..forward.batch.steps() {
            let range = forward.batch.step(step);
            let by_h = &mut by_h[range.start * width..range.end * width];
            drop_elements(forward.mask, &forward.batch, step, by_h, width);
        }
        Ok(by_h)
    }

    /// From the last step to the first.
    ///
    /// - `by_h`: the gradient by the states after every step, from the output layer alone.
    /// - `by_alphas`: the gradient by the cells' weights, from the second part of the loss alone.
    fn backward_steps(&self, forward: &Forward, by_h: &[f32], by_alphas: &[f32]) -> Result<Slopes> {
        let config = &self.config;
        let (width, wide, input_width, gates) =
            (config.decoder_dim, config.state_width(), config.input_width(), config.gates());
        let Forward { batch, trace, images, .. } = forward;
        let state_weights = Packed::new(Mat::new(&self.stacked(&STATE_WEIGHTS)?, wide, width));
        let input_weights =
            Packed::new(Mat::new(&values(self.variable("decode_step.weight_ih")?)?, 4 * width, input_width));
        let scores = self.stacked(&["attention.full_att.weight"])?;
        let features = values(&images.features)?;
        let rows = batch.rows();
        let mut slopes = Slopes {
            state: Buffer::new(rows * wide),
            input: Buffer::new(rows * input_width),
            context: Buffer::new(rows * config.encoder_dim),
            scores: Buffer::new(rows * images.cells),
            first: [0, 1].map(|_| vec![0.0; batch.captions() * width]),
        };
        for step in (0..batch.steps()).rev() {
            let range = batch.step(step);
            let count = range.len();
            let of = |width: usize| range.start * width..range.end * width;
            let [h, c] = &mut slopes.first;
            let (h, c) = (&mut h[..count * width], &mut c[..count * width]);
            let state = &mut slopes.state[of(wide)];
            rows::add_to(h, &by_h[of(width)]);
            (
                state.par_chunks_mut(wide),
                trace.state[of(wide)].par_chunks(wide),
                trace.tanh_c[of(width)].par_chunks(width),
                trace.c_before[of(width)].par_chunks(width),
                h.par_chunks(width),
                c.par_chunks_mut(width),
            )
                .into_par_iter()
                .for_each(|(slope, state, tanh_c, c_before, h, c)| {
                    cell_back(&state[gates..], tanh_c, c_before, h, c, &mut slope[gates..]);
                });
            let input = &mut slopes.input[of(input_width)];
            let by_gates = Mat::strided(&state[gates..], count, 4 * width, wide);
            gemm_packed(by_gates, &input_weights, MatMut::new(input, count, input_width), Start::Zero);
            (
                state.par_chunks_mut(wide),
                slopes.context[of(config.encoder_dim)].par_chunks_mut(config.encoder_dim),
                slopes.scores[of(images.cells)].par_chunks_mut(images.cells),
                input.par_chunks(input_width),
                range.clone().into_par_iter(),
                batch.images[..count].par_iter().zip(by_alphas.par_chunks(images.cells)),
            )
                .into_par_iter()
                .for_each(|(slope, context, alphas, input, row, (&image, from_loss))| {
                    let state = &trace.state[row * wide..][..gates];
                    let (compared, gate) = state.split_at(config.attention_dim);
                    let seen = &trace.context[row * config.encoder_dim..][..config.encoder_dim];
                    let (by_compared, by_gate) = slope[..gates].split_at_mut(config.attention_dim);
                    gate_back(gate, seen, &input[config.embed_dim..], by_gate, context);
                    alphas.copy_from_slice(from_loss);
                    let cells = images.of(&features, image).chunks_exact(config.encoder_dim);
                    for (alpha, cell) in alphas.iter_mut().zip(cells) {
                        *alpha += rows::dot(context, cell);
                    }
                    rows::softmax_back(forward.alphas(row), alphas, 1.0);
                    compared_back(images.of(&images.projected, image), compared, &scores, alphas, by_compared);
                });
            gemm_packed(Mat::new(state, count, wide), &state_weights, MatMut::new(h, count, width), Start::Zero);
        }
        Ok(slopes)
    }

    /// Hands over the gradients of what every step uses, except attention's view of the cells.
    fn give_steps(&self, forward: &Forward, slopes: &Slopes) -> Result<()> {
        let (width, wide, input_width, gates) =
            (self.config.decoder_dim, self.config.state_width(), self.config.input_width(), self.config.gates());
        let rows = forward.batch.rows();
        let mut weight = vec![0.0; wide * width];
        let before = Mat::new(&forward.trace.h_before, rows, width);
        gemm(Mat::new(&slopes.state, rows, wide).t(), before, MatMut::new(&mut weight, wide, width), Start::Zero);
        self.give(&STATE_WEIGHTS, &weight)?;
        let bias = column_sums(&slopes.state, wide);
        self.give(&STATE_BIASES, &bias)?;
        self.give(&["decode_step.bias_ih"], &bias[gates..])?;

        let mut weight = vec![0.0; 4 * width * input_width];
        let by_gates = Mat::strided(&slopes.state[gates..], rows, 4 * width, wide);
        let input = Mat::new(&forward.trace.input, rows, input_width);
        gemm(by_gates.t(), input, MatMut::new(&mut weight, 4 * width, input_width), Start::Zero);
        self.give(&["decode_step.weight_ih"], &weight)?;

        let dim = self.config.embed_dim;
        let mut table = vec![0.0; self.config.vocab_size * dim];
        for (&word, slope) in forward.batch.words.iter().zip(slopes.input.chunks_exact(input_width)) {
            rows::add_to(&mut table[word as usize * dim..][..dim], &slope[..dim]);
        }
        self.give(&["embedding.weight"], &table)
    }

    /// What makes the first states: gives the gradient by the mean cells, `[n, encoder_dim]`.
    fn backward_init(&self, forward: &Forward, slopes: &Slopes) -> Result<Vec<f32>> {
        let (width, dim, images) = (self.config.decoder_dim, self.config.encoder_dim, forward.images.count);
        let mut by_first = vec![0.0; images * 2 * width];
        for (part, slopes) in slopes.first.iter().enumerate() {
            for (&image, slope) in forward.batch.images.iter().zip(slopes.chunks_exact(width)) {
                rows::add_to(&mut by_first[(2 * image + part) * width..][..width], slope);
            }
        }
        self.give(&INIT_BIASES, &column_sums(&by_first, 2 * width))?;
        let by_first = Mat::new(&by_first, images, 2 * width);
        let mut weight = vec![0.0; 2 * width * dim];
        let means = Mat::new(&forward.means, images, dim);
        gemm(by_first.t(), means, MatMut::new(&mut weight, 2 * width, dim), Start::Zero);
        self.give(&INIT_WEIGHTS, &weight)?;
        let mut by_means = vec![0.0; images * dim];
        let weight = self.stacked(&INIT_WEIGHTS)?;
        gemm(by_first, Mat::new(&weight, 2 * width, dim), MatMut::new(&mut by_means, images, dim), Start::Zero);
        Ok(by_means)
    }

    /// Attention's view of the cells, all steps of an image together.
    ///
    /// - `by_means`: the gradient by the mean cells, if the one by the features (`[n, cells, encoder_dim]`) is wanted.
    fn backward_images(
        &self,
        forward: &Forward,
        slopes: &Slopes,
        by_means: Option<&Vec<f32>>,
    ) -> Result<Option<Vec<f32>>> {
        let (dim, width, wide) = (self.config.encoder_dim, self.config.attention_dim, self.config.state_width());
        let Forward { images, batch, trace, .. } = forward;
        let mut rows_of = vec![Vec::new(); images.count];
        for (caption, &image) in batch.images.iter().enumerate() {
            rows_of[image].extend(batch.rows_of(caption));
        }
        let scores = self.stacked(&["attention.full_att.weight"])?;
        let cells = images.count * images.cells;
        let mut projected = Buffer::new(cells * width);
        let mut by_scores = Buffer::new(images.count * width);
        (
            projected.par_chunks_mut(images.cells * width),
            by_scores.par_chunks_mut(width),
            images.projected.par_chunks(images.cells * width),
            rows_of.par_iter(),
        )
            .into_par_iter()
            .for_each(|(slope, by_scores, projected, rows)| {
                let steps: Vec<_> = rows
                    .iter()
                    .map(|row| (&trace.state[row * wide..][..width], &slopes.scores[row * images.cells..]))
                    .collect();
                projected_back(projected, &steps, &scores, slope, by_scores);
            });
        self.give(&["attention.full_att.weight"], &column_sums(&by_scores, width))?;
        self.give(&["attention.full_att.bias"], &[rows::sum(&slopes.scores)])?;
        self.give(&["attention.encoder_att.bias"], &column_sums(&projected, width))?;
        let by_projected = Mat::new(&projected, cells, width);
        let features = values(&images.features)?;
        let mut weight = vec![0.0; width * dim];
        gemm(by_projected.t(), Mat::new(&features, cells, dim), MatMut::new(&mut weight, width, dim), Start::Zero);
        self.give(&["attention.encoder_att.weight"], &weight)?;

        let Some(by_means) = by_means else { return Ok(None) };
        let mut by_features = vec![0.0; cells * dim];
        let weight = values(self.variable("attention.encoder_att.weight")?)?;
        gemm(by_projected, Mat::new(&weight, width, dim), MatMut::new(&mut by_features, cells, dim), Start::Zero);
        (by_features.par_chunks_mut(images.cells * dim), by_means.par_chunks(dim), rows_of.par_iter())
            .into_par_iter()
            .for_each(|(slope, by_mean, rows)| {
                for (cell, slope) in slope.chunks_exact_mut(dim).enumerate() {
                    rows::axpy(slope, 1.0 / images.cells as f32, by_mean);
                    for &row in rows {
                        rows::axpy(slope, forward.alphas(row)[cell], &slopes.context[row * dim..][..dim]);
                    }
                }
            });
        Ok(Some(by_features))
    }
}

/// One row of an LSTM, backward: from the gradients by the new `h` and `c`, writes the one by the gates before their activations and turns
/// `c` into the one by the old `c`.
///
/// - `gates`: after their activations.
fn cell_back(gates: &[f32], tanh_c: &[f32], c_before: &[f32], h: &[f32], c: &mut [f32], slope: &mut [f32]) {
    let width = h.len();
    let gate = |which: usize| &gates[which * width..][..width];
    let (input, forget, new, out) = (gate(0), gate(1), gate(2), gate(3));
    let (by_input, rest) = slope.split_at_mut(width);
    let (by_forget, rest) = rest.split_at_mut(width);
    let (by_new, by_out) = rest.split_at_mut(width);
    for i in 0..width {
        let by_c = c[i] + h[i] * out[i] * (1.0 - tanh_c[i] * tanh_c[i]);
        by_input[i] = by_c * new[i] * input[i] * (1.0 - input[i]);
        by_forget[i] = by_c * c_before[i] * forget[i] * (1.0 - forget[i]);
        by_new[i] = by_c * input[i] * (1.0 - new[i] * new[i]);
        by_out[i] = h[i] * tanh_c[i] * out[i] * (1.0 - out[i]);
        c[i] = by_c * forget[i];
    }
}

/// The gate of one row, backward: from the gradient `by_seen` of the gated context, writes those by the gate before its activation and by
/// the context.
fn gate_back(gate: &[f32], context: &[f32], by_seen: &[f32], by_gate: &mut [f32], by_context: &mut [f32]) {
    for i in 0..gate.len() {
        by_gate[i] = by_seen[i] * context[i] * gate[i] * (1.0 - gate[i]);
        by_context[i] = by_seen[i] * gate[i];
    }
}

/// From the gradients by the scores of one row's cells, writes the one by what all cells are compared with.
fn compared_back(projected: &[f32], compared: &[f32], scores: &[f32], by_scores: &[f32], by_compared: &mut [f32]) {
    let (mut sum, mut slope) = (vec![0.0; compared.len()], vec![0.0; compared.len()]);
    by_compared.fill(0.0);
    for (cell, &by_score) in projected.chunks_exact(compared.len()).zip(by_scores) {
        sum.copy_from_slice(cell);
        rows::add_to(&mut sum, compared);
        rows::relu_back(&sum, scores, &mut slope);
        rows::axpy(by_compared, by_score, &slope);
    }
}

/// Writes the gradients by the projected cells of one image and, from that image, by the weights that make scores.
///
/// - `steps`: for all steps of all captions of the image, what cells were compared with, and the gradients by their scores.
fn projected_back(
    projected: &[f32],
    steps: &[(&[f32], &[f32])],
    scores: &[f32],
    by_projected: &mut [f32],
    by_weights: &mut [f32],
) {
    let width = scores.len();
    let (mut sum, mut other) = (vec![0.0; width], vec![0.0; width]);
    by_projected.fill(0.0);
    by_weights.fill(0.0);
    let cells = projected.chunks_exact(width).zip(by_projected.chunks_exact_mut(width));
    for (at, (cell, by_pixel)) in cells.enumerate() {
        for (compared, by_scores) in steps {
            sum.copy_from_slice(cell);
            rows::add_to(&mut sum, compared);
            rows::relu_back(&sum, scores, &mut other);
            rows::axpy(by_pixel, by_scores[at], &other);
            rows::relu(&sum, &mut other);
            rows::axpy(by_weights, by_scores[at], &other);
        }
    }
}
