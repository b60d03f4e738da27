use super::gemm::{Right, gemm_with};
use super::*;

/// Numbers in -1..1 from a small generator, so that a test makes its own data.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The contract, literally: one chain of fused multiply-adds.
fn chain(a: &[f32], b: &[f32], shape: (usize, usize, usize), start: &[f32]) -> Vec<f32> {
    let (m, k, n) = shape;
    let element = |i: usize, j: usize| (0..k).fold(start[i * n + j], |sum, l| a[i * k + l].mul_add(b[l * n + j], sum));
    (0..m * n).map(|at| element(at / n, at % n)).collect()
}

fn transposed(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| x[(i % rows) * columns + i / rows]).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_element_is_one_chain_for_all_shapes_strides_threads_and_instruction_sets() {
    let shapes =
        [(1, 1, 1), (1, 300, 33), (5, 7, 3), (12, 256, 32), (13, 257, 65), (25, 513, 48), (60, 31, 100), (130, 40, 7)];
    for (m, k, n) in shapes {
        let (a, b) = (numbers(1, m * k), numbers(2, k * n));
        let (a_t, b_t) = (transposed(&a, m, k), transposed(&b, k, n));
        let (kept, bias) = (numbers(3, m * n), numbers(4, n));
        let rows_of_bias: Vec<f32> = (0..m * n).map(|i| bias[i % n]).collect();
        let lefts = [Mat::new(&a, m, k), Mat::new(&a_t, k, m).t()];
        let rights = [Mat::new(&b, k, n), Mat::new(&b_t, n, k).t()];
        let starts = [(Start::Zero, vec![0.0; m * n]), (Start::Keep, kept.clone()), (Start::Bias(&bias), rows_of_bias)];
        for (start, first) in &starts {
            let expected = bits(&chain(&a, &b, (m, k, n), first));
            for isa in Isa::available() {
                let packed = rights.map(|right| Packed::of(isa, right));
                let rights = [
                    Right::Plain(rights[0]),
                    Right::Plain(rights[1]),
                    Right::Packed(&packed[0]),
                    Right::Packed(&packed[1]),
                ];
                for (threads, left, right) in [1, 3]
                    .into_iter()
                    .flat_map(|t| lefts.iter().map(move |l| (t, l)))
                    .flat_map(|(t, l)| rights.iter().map(move |r| (t, l, r)))
                {
                    let mut c = kept.clone();
                    gemm_with(isa, threads, *left, *right, MatMut::new(&mut c, m, n), *start);
                    assert_eq!(bits(&c), expected, "{m}x{k}x{n} {isa:?} {threads} threads");
                }
            }
        }
    }
}

#[test]
fn what_lies_between_the_rows_of_a_result_is_left_alone() {
    let (a, b) = (numbers(1, 6), numbers(2, 8));
    let mut c = [7.0; 3 * 9];
    gemm(Mat::new(&a, 3, 2), Mat::new(&b, 2, 4), MatMut::strided(&mut c[2..], 3, 4, 9), Start::Zero);
    for (i, &x) in c.iter().enumerate() {
        let inside = (2..6).contains(&(i % 9));
        assert_eq!(x == 7.0, !inside, "element {i}");
    }
}

#[test]
fn an_empty_inner_index_leaves_the_start() {
    let mut c = vec![3.0; 4];
    gemm(Mat::new(&[], 2, 0), Mat::new(&[], 0, 2), MatMut::new(&mut c, 2, 2), Start::Keep);
    assert_eq!(c, [3.0; 4]);
    gemm(Mat::new(&[], 2, 0), Mat::new(&[], 0, 2), MatMut::new(&mut c, 2, 2), Start::Zero);
    assert_eq!(c, [0.0; 4]);
}

/// Largest relative errors that the functions promise.
const EXP: f64 = 2e-7;
const TANH: f64 = 3e-7;
/// Largest absolute error of the error function.
const ERF: f64 = 2e-7;

#[test]
fn functions_are_as_close_as_they_say() {
    // The standard library in f64 is the reference; erf by its Taylor series, which converges quickly enough below 4.
    let erf_f64 = |x: f64| {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    };
    for i in -40_000..40_000 {
        let x = i as f32 * 0.002_17;
        let exact = f64::from(x).exp();
        assert!((f64::from(exp(x)) - exact).abs() <= EXP * exact, "exp {x}");
        let exact = f64::from(x).tanh();
        assert!((f64::from(tanh(x)) - exact).abs() <= TANH * exact.abs(), "tanh {x}: {} {exact}", tanh(x));
        if x.abs() < 4.0 {
            assert!((f64::from(erf(x)) - erf_f64(f64::from(x))).abs() <= ERF, "erf {x}: {}", erf(x));
        }
    }
    assert_eq!((exp(f32::NEG_INFINITY), exp(0.0), tanh(0.0), erf(0.0)), (0.0, 1.0, 0.0, 0.0));
    assert_eq!((tanh(40.0), tanh(-40.0), erf(9.0), erf(-9.0)), (1.0, -1.0, 1.0, -1.0));
    assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && exp(1e9).is_finite());
}

#[test]
fn row_functions_give_the_bits_of_the_plain_code() {
    let x = numbers(5, 77);
    let mut fast = vec![0.0; 77];
    rows::gelu_new(&x, &mut fast);
    for (x, fast) in x.iter().zip(&fast) {
        let mut one = [0.0];
        rows::gelu_new(&[*x], &mut one);
        assert_eq!(one[0].to_bits(), fast.to_bits());
    }
    rows::exp_shifted(&x, 0.0, 1.0, &mut fast);
    assert_eq!(bits(&fast), bits(&x.iter().map(|&x| exp(x)).collect::<Vec<_>>()));
    let mut p = x.clone();
    rows::softmax(&mut p, 2.0);
    assert!(
        (rows::sum(&p) - 1.0).abs() < 1e-6
            && (rows::log_sum_exp(&x) - x.iter().map(|x| x.exp()).sum::<f32>().ln()).abs() < 1e-5
    );
}
