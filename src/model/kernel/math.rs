//! Scalar functions written so that loops over them vectorise and every instruction set gives the same bits.
//!
//! Polynomials are minimax fits of our own (relative error below 1e-8 before rounding), evaluated with fused multiply-adds.

/// `e^x` with a relative error below 2e-7.
///
/// Gives 0 below -87.3, a finite value near 1.6e38 above 88, and NaN for NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first with so few bits that its products with whole numbers below 256 are exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding this rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x > 88.0 { 88.0 } else { x };
    let shifted = clamped.mul_add(LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let r = whole.mul_add(-LN2_LOW, whole.mul_add(-LN2_HIGH, clamped));
    let mut p = 0.001_381_446_5_f32;
    p = p.mul_add(r, 0.008_368_781);
    p = p.mul_add(r, 0.041_668_393);
    p = p.mul_add(r, 0.166_665_2);
    p = p.mul_add(r, 0.5);
    p = (p * r).mul_add(r, r) + 1.0;
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < -87.3 { 0.0 } else { p * scale }
}

/// The hyperbolic tangent with a relative error below 3e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let z = x * x;
    let mut p = -0.005_717_037_f32;
    p = p.mul_add(z, 0.020_650_579);
    p = p.mul_add(z, -0.053_743_497);
    p = p.mul_add(z, 0.133_314_9);
    p = p.mul_add(z, -0.333_332_84);
    let near = (p * z).mul_add(x, x);
    let far = (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x);
    if size < 0.625 { near } else { far }
}

/// The error function with an absolute error below 2e-7.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let size = x.abs();
    let z = x * x;
    let mut p = 7.853_858e-5_f32;
    p = p.mul_add(z, -0.000_801_019_25);
    p = p.mul_add(z, 0.005_188_328);
    p = p.mul_add(z, -0.026_853_81);
    p = p.mul_add(z, 0.112_835_854);
    p = p.mul_add(z, -0.376_126_26);
    p = p.mul_add(z, std::f32::consts::FRAC_2_SQRT_PI);
    let near = p * x;
    // Beyond 1: 1 - exp(-x^2) times a polynomial in t = 1 / (1 + x/2).
    let t = 1.0 / size.mul_add(0.5, 1.0);
    let mut q = 0.048_893_54_f32;
    q = q.mul_add(t, -0.077_630_48);
    q = q.mul_add(t, -0.127_249_1);
    q = q.mul_add(t, 0.223_353_37);
    q = q.mul_add(t, 0.104_303_58);
    q = q.mul_add(t, 0.267_211_6);
    q = q.mul_add(t, 0.279_018_04);
    q = q.mul_add(t, 0.282_289_42);
    let far = (-exp(-z)).mul_add(q * t, 1.0).copysign(x);
    if size < 1.0 { near } else { far }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
