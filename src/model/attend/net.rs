//! The weights in the order in which products read them, and one step forward: training and writing share it.

use std::ops::Range;

use anyhow::{Result, ensure};
use candle_core::Tensor;
use rayon::prelude::*;

use super::{AttendConfig, Decoder};
use crate::model::kernel::{Buffer, Mat, MatMut, Packed, Start, gemm_packed, rows};
use crate::model::ops::values;

/// What reads the state `h`, one below the other: attention, the gate, the LSTM.
pub(super) const STATE_WEIGHTS: [&str; 3] = ["attention.decoder_att.weight", "f_beta.weight", "decode_step.weight_hh"];
pub(super) const STATE_BIASES: [&str; 3] = ["attention.decoder_att.bias", "f_beta.bias", "decode_step.bias_hh"];
/// What makes the first `h` and `c` of the mean cell.
pub(super) const INIT_WEIGHTS: [&str; 2] = ["init_h.weight", "init_c.weight"];
pub(super) const INIT_BIASES: [&str; 2] = ["init_h.bias", "init_c.bias"];

/// A linear layer.
#[derive(Clone, Debug)]
struct Linear {
    weight: Packed,
    bias: Vec<f32>,
}

impl Linear {
    fn new(decoder: &Decoder, weights: &[&str], biases: &[&str], inputs: usize) -> Result<Self> {
        let (weight, bias) = (decoder.stacked(weights)?, decoder.stacked(biases)?);
        Ok(Self { weight: Packed::new(Mat::new(&weight, bias.len(), inputs).t()), bias })
    }

    /// The rows of `x` through this layer.
    fn apply(&self, x: &[f32]) -> Buffer {
        let (inputs, outputs) = (self.weight.inputs(), self.weight.outputs());
        let rows = x.len() / inputs;
        let mut out = Buffer::new(rows * outputs);
        let start = Start::Bias(&self.bias);
        gemm_packed(Mat::new(x, rows, inputs), &self.weight, MatMut::new(&mut out, rows, outputs), start);
        out
    }
}

/// All weights, packed.
#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) config: AttendConfig,
    encoder: Linear,
    init: Linear,
    /// Its bias also holds the one of `input`.
    state: Linear,
    input: Packed,
    head: Linear,
    scores: Vec<f32>,
    scores_bias: f32,
    words: Vec<f32>,
}

/// The feature maps of some images.
pub(super) struct Images {
    /// `f32[n, cells, encoder_dim]`, contiguous.
    pub(super) features: Tensor,
    /// Every cell as attention compares it: `[n, cells, attention_dim]`.
    pub(super) projected: Buffer,
    pub(super) count: usize,
    pub(super) cells: usize,
}

/// The LSTM's state of some rows: `[rows, decoder_dim]` each.
pub(super) struct Memory {
    pub(super) h: Vec<f32>,
    pub(super) c: Vec<f32>,
}

/// What happened in the rows of some steps, as far as a backward pass needs it.
pub(super) struct Trace {
    /// `h` and `c` before the step.
    pub(super) h_before: Buffer,
    pub(super) c_before: Buffer,
    /// `[rows, attention_dim + encoder_dim + 4 decoder_dim]`: `W_d h + b`, the gate, and the LSTM's gates (in, forget, new, out) after their
    /// activations.
    pub(super) state: Buffer,
    /// `[rows, cells]`.
    pub(super) alphas: Buffer,
    /// The mixed cells before the gate.
    pub(super) context: Buffer,
    /// What the LSTM reads: `[embedding; gated context]`.
    pub(super) input: Buffer,
    /// `tanh` of the new `c`.
    pub(super) tanh_c: Buffer,
}

impl AttendConfig {
    /// The width of what [`STATE_WEIGHTS`] make of `h`.
    pub(super) fn state_width(&self) -> usize {
        self.attention_dim + self.encoder_dim + 4 * self.decoder_dim
    }

    /// The width of what the LSTM reads.
    pub(super) fn input_width(&self) -> usize {
        self.embed_dim + self.encoder_dim
    }

    /// Where the LSTM's gates begin in the state's products.
    pub(super) fn gates(&self) -> usize {
        self.attention_dim + self.encoder_dim
    }
}

impl Trace {
    pub(super) fn new(config: &AttendConfig, cells: usize, rows: usize) -> Self {
        let block = |width: usize| Buffer::new(rows * width);
        Self {
            h_before: block(config.decoder_dim),
            c_before: block(config.decoder_dim),
            state: block(config.state_width()),
            alphas: block(cells),
            context: block(config.encoder_dim),
            input: block(config.input_width()),
            tanh_c: block(config.decoder_dim),
        }
    }
}

impl Images {
    /// The cells of one image.
    pub(super) fn of<'a>(&self, all: &'a [f32], image: usize) -> &'a [f32] {
        let len = all.len() / self.count;
        &all[image * len..][..len]
    }
}

/// The rows `range` of a matrix of this width.
fn part<'a>(matrix: &'a mut [f32], range: &Range<usize>, width: usize) -> &'a mut [f32] {
    &mut matrix[range.start * width..range.end * width]
}

impl Net {
    pub(super) fn new(decoder: &Decoder) -> Result<Self> {
        let config = decoder.config.clone();
        let (x, h) = (config.encoder_dim, config.decoder_dim);
        let mut state = Linear::new(decoder, &STATE_WEIGHTS, &STATE_BIASES, h)?;
        rows::add_to(&mut state.bias[config.gates()..], &values(decoder.variable("decode_step.bias_ih")?)?);
        let input = values(decoder.variable("decode_step.weight_ih")?)?;
        Ok(Self {
            encoder: Linear::new(decoder, &["attention.encoder_att.weight"], &["attention.encoder_att.bias"], x)?,
            init: Linear::new(decoder, &INIT_WEIGHTS, &INIT_BIASES, x)?,
            state,
            input: Packed::new(Mat::new(&input, 4 * h, config.input_width()).t()),
            head: Linear::new(decoder, &["fc.weight"], &["fc.bias"], h)?,
            scores: decoder.stacked(&["attention.full_att.weight"])?,
            scores_bias: values(decoder.variable("attention.full_att.bias")?)?[0],
            words: decoder.stacked(&["embedding.weight"])?,
            config,
        })
    }

    /// Prepares feature maps, `f32[n, cells, encoder_dim]`.
    pub(super) fn images(&self, features: &Tensor) -> Result<Images> {
        let (count, cells, dim) = features.dims3()?;
        let wanted = self.config.encoder_dim;
        ensure!(
            count > 0 && cells > 0 && dim == wanted,
            "features of shape {:?}, not [images, cells, {wanted}]",
            features.dims()
        );
        let features = features.detach().contiguous()?;
        let projected = self.encoder.apply(&values(&features)?);
        Ok(Images { features, projected, count, cells })
    }

    /// The mean cell of every image: `[n, encoder_dim]`.
    pub(super) fn means(&self, images: &Images) -> Result<Buffer> {
        let dim = self.config.encoder_dim;
        let mut means = Buffer::new(images.count * dim);
        let features = values(&images.features)?;
        (means.par_chunks_mut(dim), features.par_chunks(images.cells * dim)).into_par_iter().for_each(
            |(mean, cells)| {
                mean.fill(0.0);
                cells.chunks_exact(dim).for_each(|cell| rows::add_to(mean, cell));
                rows::scale(mean, 1.0 / images.cells as f32);
            },
        );
        Ok(means)
    }

    /// The first state of rows that belong to `which` images.
    pub(super) fn begin(&self, means: &[f32], which: &[usize]) -> Memory {
        let width = self.config.decoder_dim;
        let both = self.init.apply(means);
        let take = |from: usize| -> Vec<f32> {
            which.iter().flat_map(|image| &both[image * 2 * width + from..][..width]).copied().collect()
        };
        Memory { h: take(0), c: take(width) }
    }

    /// Reads one word in every row of `range`, changes the first states of `memory` and fills the rows of `trace`.
    ///
    /// - `which`, `words`: image and word of every row; the words must exist.
    pub(super) fn step(
        &self,
        images: &Images,
        (which, words): (&[usize], &[u32]),
        memory: &mut Memory,
        trace: &mut Trace,
        range: &Range<usize>,
    ) -> Result<()> {
        let config = &self.config;
        let (dim, width, wide) = (config.embed_dim, config.decoder_dim, config.state_width());
        let count = range.len();
        let (h, c) = (&mut memory.h[..count * width], &mut memory.c[..count * width]);
        part(&mut trace.h_before, range, width).copy_from_slice(h);
        part(&mut trace.c_before, range, width).copy_from_slice(c);
        let mut raw = self.state.apply(h);
        let features = values(&images.features)?;
        let input = part(&mut trace.input, range, config.input_width());
        let state = part(&mut trace.state, range, wide);
        (
            part(&mut trace.alphas, range, images.cells).par_chunks_mut(images.cells),
            part(&mut trace.context, range, config.encoder_dim).par_chunks_mut(config.encoder_dim),
            input.par_chunks_mut(config.input_width()),
            state.par_chunks_mut(wide),
            raw.par_chunks(wide),
            which.par_iter().zip(words),
        )
            .into_par_iter()
            .for_each(|(alphas, context, input, state, raw, (&image, &word))| {
                let (compared, gate) = raw[..config.gates()].split_at(config.attention_dim);
                self.attend(images.of(&images.projected, image), compared, alphas);
                mix(images.of(&features, image), alphas, context);
                state[..config.attention_dim].copy_from_slice(compared);
                let gated = &mut state[config.attention_dim..config.gates()];
                rows::sigmoid_rows(gate, gated);
                let (embedding, seen) = input.split_at_mut(dim);
                embedding.copy_from_slice(&self.words[word as usize * dim..][..dim]);
                for ((seen, &gate), &context) in seen.iter_mut().zip(&*gated).zip(&*context) {
                    *seen = gate * context;
                }
            });
        let gates = MatMut::strided(&mut raw[config.gates()..], count, 4 * width, wide);
        gemm_packed(Mat::new(input, count, config.input_width()), &self.input, gates, Start::Keep);
        (
            h.par_chunks_mut(width),
            c.par_chunks_mut(width),
            part(&mut trace.tanh_c, range, width).par_chunks_mut(width),
            state.par_chunks_mut(wide),
            raw.par_chunks(wide),
        )
            .into_par_iter()
            .for_each(|(h, c, tanh_c, state, raw)| {
                cell(&raw[config.gates()..], &mut state[config.gates()..], h, c, tanh_c);
            });
        Ok(())
    }

    /// Writes the weight of every cell.
    fn attend(&self, projected: &[f32], compared: &[f32], alphas: &mut [f32]) {
        let width = compared.len();
        let (mut sum, mut positive) = (vec![0.0; width], vec![0.0; width]);
        for (alpha, cell) in alphas.iter_mut().zip(projected.chunks_exact(width)) {
            sum.copy_from_slice(cell);
            rows::add_to(&mut sum, compared);
            rows::relu(&sum, &mut positive);
            *alpha = rows::dot(&positive, &self.scores) + self.scores_bias;
        }
        rows::softmax(alphas, 1.0);
    }

    /// The scores of all words after states `h`: `[rows, vocab_size]`.
    pub(super) fn predict(&self, h: &[f32]) -> Buffer {
        self.head.apply(h)
    }
}

/// Writes the sum of all cells, each times its weight.
fn mix(cells: &[f32], alphas: &[f32], context: &mut [f32]) {
    context.fill(0.0);
    for (cell, &alpha) in cells.chunks_exact(context.len()).zip(alphas) {
        rows::axpy(context, alpha, cell);
    }
}

/// One row of an LSTM: from its gates before their activations, in PyTorch's order, writes those after them, the new state and `tanh c`.
fn cell(raw: &[f32], gates: &mut [f32], h: &mut [f32], c: &mut [f32], tanh_c: &mut [f32]) {
    let width = h.len();
    rows::sigmoid_rows(&raw[..2 * width], &mut gates[..2 * width]);
    rows::tanh_rows(&raw[2 * width..3 * width], &mut gates[2 * width..3 * width]);
    rows::sigmoid_rows(&raw[3 * width..], &mut gates[3 * width..]);
    let (input, rest) = gates.split_at(width);
    let (forget, rest) = rest.split_at(width);
    let (new, out) = rest.split_at(width);
    for (i, c) in c.iter_mut().enumerate() {
        *c = forget[i] * *c + input[i] * new[i];
    }
    rows::tanh_rows(c, tanh_c);
    for (i, h) in h.iter_mut().enumerate() {
        *h = out[i] * tanh_c[i];
    }
}
