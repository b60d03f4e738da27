//! Functions of one row, or of many numbers one by one.
//!
//! Sums over a row run in sixteen lanes (element `i` goes to lane `i mod 16`) that are added pairwise at the end.

use super::dispatched;
use super::math::{erf, exp, sigmoid, tanh};

const LANES: usize = 16;

/// The numbers of one step of `AdamW` that all weights share.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What gradients are multiplied by first.
    pub gradient: f32,
    /// How much of the mean of the gradients, and of the mean of their squares, stays.
    pub betas: [f32; 2],
    /// What is added of the new: 1 minus those, rounded only here.
    pub fresh: [f32; 2],
    /// The learning rate divided by the first mean's missing weight.
    pub first: f32,
    /// 1 divided by the second mean's missing weight.
    pub second: f32,
    /// Added to the root of the second mean.
    pub eps: f32,
    /// What decay leaves of a weight.
    pub keep: f32,
}

/// `sqrt(2 / pi)` and the cubic factor of the tanh form of GELU.
const GELU_SCALE: f32 = 0.797_884_6;
const GELU_CUBE: f32 = 0.044_715;
/// `1 / sqrt(2)` and `1 / sqrt(2 pi)` of the exact form.
const HALF_ROOT: f32 = std::f32::consts::FRAC_1_SQRT_2;
const NORMAL: f32 = 0.398_942_3;
/// The slope inside the logistic form.
const QUICK: f32 = 1.702;

/// Folds `x` into lanes with `add`, then adds the lanes pairwise.
#[inline(always)]
fn in_lanes(x: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = add(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = add(*lane, x);
    }
    pairwise(lanes)
}

/// [`in_lanes`] over two rows of the same length.
#[inline(always)]
fn in_lanes2(x: &[f32], y: &[f32], add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    let (chunks_y, rest_y) = y.as_chunks::<LANES>();
    for (x, y) in chunks.iter().zip(chunks_y) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane = add(*lane, x, y);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(rest).zip(rest_y) {
        *lane = add(*lane, x, y);
    }
    pairwise(lanes)
}

#[inline(always)]
fn pairwise(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = if x > *lane { x } else { *lane };
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
}

#[inline(always)]
fn mean_and_rate(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = in_lanes(x, |sum, x| sum + x) / n;
    let variance = in_lanes(x, |sum, x| (x - mean).mul_add(x - mean, sum)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

dispatched! {
    /// The sum of a row.
    pub fn sum(x: &[f32]) -> f32 {
        in_lanes(x, |sum, x| sum + x)
    }

    /// The sum of the squares of a row.
    pub fn sum_of_squares(x: &[f32]) -> f32 {
        in_lanes(x, |sum, x| x.mul_add(x, sum))
    }

    /// The inner product of two rows of the same length.
    pub fn dot(x: &[f32], y: &[f32]) -> f32 {
        in_lanes2(x, y, |sum, x, y| x.mul_add(y, sum))
    }

    /// Adds `x` to `y`, element by element.
    pub fn add_to(y: &mut [f32], x: &[f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }

    /// Adds `factor * x` to `y`, element by element.
    pub fn axpy(y: &mut [f32], factor: f32, x: &[f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = factor.mul_add(x, *y);
        }
    }

    /// One step of `AdamW` on some weights `p` with gradients `g` and moments `m` and `v`; see [`Step`].
    pub fn adamw(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: Step) {
        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * step.gradient;
            *m = step.betas[0].mul_add(*m, step.fresh[0] * g);
            *v = step.betas[1].mul_add(*v, step.fresh[1] * (g * g));
            let move_by = *m / ((*v * step.second).sqrt() + step.eps);
            *p = step.first.mul_add(-move_by, *p * step.keep);
        }
    }

    /// Limits every element to `-bound..=bound`.
    pub fn clamp(x: &mut [f32], bound: f32) {
        for x in x {
            *x = if *x > bound { bound } else if *x < -bound { -bound } else { *x };
        }
    }

    /// Multiplies a row by one number.
    pub fn scale(x: &mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }

    /// Turns a row of scores, each multiplied by `factor` first, into probabilities; an empty row stays empty.
    pub fn softmax(x: &mut [f32], factor: f32) {
        let top = largest(x);
        for x in &mut *x {
            *x = exp((*x - top) * factor);
        }
        let rate = 1.0 / in_lanes(x, |sum, x| sum + x);
        for x in x {
            *x *= rate;
        }
    }

    /// From probabilities `p` and the gradient `g` of the loss by them, makes `g` the gradient by the scores before `factor`.
    pub fn softmax_back(p: &[f32], g: &mut [f32], factor: f32) {
        let mean = in_lanes2(p, g, |sum, p, g| p.mul_add(g, sum));
        for (g, &p) in g.iter_mut().zip(p) {
            *g = (*g - mean) * p * factor;
        }
    }

    /// Makes a row its softmax times `factor`; returns the logarithm of the sum of its exponentials.
    pub fn softmax_in_place(x: &mut [f32], factor: f32) -> f32 {
        let top = largest(x);
        for x in &mut *x {
            *x = exp(*x - top);
        }
        let sum = in_lanes(x, |sum, x| sum + x);
        let rate = factor / sum;
        for x in x {
            *x *= rate;
        }
        top + sum.ln()
    }

    /// The softmax of a row, times `factor`.
    pub fn softmax_times(x: &[f32], factor: f32, out: &mut [f32]) {
        let top = largest(x);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = exp(x - top);
        }
        let rate = factor / in_lanes(out, |sum, x| sum + x);
        for out in out {
            *out *= rate;
        }
    }

    /// The logarithm of the sum of the exponentials of a row.
    pub fn log_sum_exp(x: &[f32]) -> f32 {
        let top = largest(x);
        let sum = in_lanes(x, |sum, x| sum + exp(x - top));
        top + sum.ln()
    }

    /// Writes `exp(x - shift) * factor` for every element.
    pub fn exp_shifted(x: &[f32], shift: f32, factor: f32, out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = exp(x - shift) * factor;
        }
    }

    /// Writes `x - shift` for every element.
    pub fn subtract(x: &[f32], shift: f32, out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x - shift;
        }
    }

    /// Normalises a row to mean 0 and variance 1, then scales and shifts it.
    pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
        let (mean, rate) = mean_and_rate(x, eps);
        for (((out, &x), &w), &b) in out.iter_mut().zip(x).zip(weight).zip(bias) {
            *out = ((x - mean) * rate).mul_add(w, b);
        }
    }

    /// From the gradient `g` of the loss by a normalised row, writes the one by the row `x`.
    pub fn layer_norm_back(x: &[f32], weight: &[f32], eps: f32, g: &[f32], dx: &mut [f32]) {
        let (mean, rate) = mean_and_rate(x, eps);
        let n = x.len() as f32;
        for ((dx, &g), &w) in dx.iter_mut().zip(g).zip(weight) {
            *dx = g * w;
        }
        let sum = in_lanes(dx, |sum, g| sum + g) / n;
        let slope = in_lanes2(dx, x, |sum, g, x| g.mul_add((x - mean) * rate, sum)) / n;
        for (dx, &x) in dx.iter_mut().zip(x) {
            *dx = ((x - mean) * rate).mul_add(-slope, *dx - sum) * rate;
        }
    }

    /// Adds one row's share to the gradients by a layer norm's weight and bias.
    pub fn layer_norm_weights(x: &[f32], eps: f32, g: &[f32], dw: &mut [f32], db: &mut [f32]) {
        let (mean, rate) = mean_and_rate(x, eps);
        for (((dw, db), &g), &x) in dw.iter_mut().zip(db).zip(g).zip(x) {
            *dw = g.mul_add((x - mean) * rate, *dw);
            *db += g;
        }
    }

    /// GELU in its tanh form, as GPT-2 has it.
    pub fn gelu_new(x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            let inner = GELU_SCALE * (GELU_CUBE * x * x).mul_add(x, x);
            *out = 0.5 * x * (1.0 + tanh(inner));
        }
    }

    /// The derivative of [`gelu_new`] at `x`, times `g`.
    pub fn gelu_new_back(x: &[f32], g: &[f32], out: &mut [f32]) {
        for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
            let t = tanh(GELU_SCALE * (GELU_CUBE * x * x).mul_add(x, x));
            let slope = GELU_SCALE * (3.0 * GELU_CUBE * x).mul_add(x, 1.0);
            *out = g * (0.5 * x * (1.0 - t * t)).mul_add(slope, 0.5 * (1.0 + t));
        }
    }

    /// GELU in its exact form.
    pub fn gelu(x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = 0.5 * x * (1.0 + erf(x * HALF_ROOT));
        }
    }

    /// The derivative of [`gelu`] at `x`, times `g`.
    pub fn gelu_back(x: &[f32], g: &[f32], out: &mut [f32]) {
        for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
            *out = g * (x * NORMAL).mul_add(exp(-0.5 * x * x), 0.5 * (1.0 + erf(x * HALF_ROOT)));
        }
    }

    /// GELU in its logistic form, as CLIP has it.
    pub fn quick_gelu(x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x * sigmoid(QUICK * x);
        }
    }

    /// The derivative of [`quick_gelu`] at `x`, times `g`.
    pub fn quick_gelu_back(x: &[f32], g: &[f32], out: &mut [f32]) {
        for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
            let s = sigmoid(QUICK * x);
            *out = g * s * (QUICK * x).mul_add(1.0 - s, 1.0);
        }
    }

    /// The hyperbolic tangent.
    pub fn tanh_rows(x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = tanh(x);
        }
    }

    /// The derivative of the hyperbolic tangent at `x`, times `g`.
    pub fn tanh_back(x: &[f32], g: &[f32], out: &mut [f32]) {
        for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
            let t = tanh(x);
            *out = g * (1.0 - t * t);
        }
    }

    /// The logistic function.
    pub fn sigmoid_rows(x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = sigmoid(x);
        }
    }

    /// The derivative of the logistic function at `x`, times `g`.
    pub fn sigmoid_back(x: &[f32], g: &[f32], out: &mut [f32]) {
        for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
            let s = sigmoid(x);
            *out = g * s * (1.0 - s);
        }
    }

    /// The larger of each element and zero.
    pub fn relu(x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = if x > 0.0 { x } else { 0.0 };
        }
    }

    /// `g` where `x` is positive, else zero.
    pub fn relu_back(x: &[f32], g: &[f32], out: &mut [f32]) {
        for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
            *out = if x > 0.0 { g } else { 0.0 };
        }
    }
}
