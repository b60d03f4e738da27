//! Sums, means and powers in the order and rounding of the reference implementations.

/// `x` to the power `y` by the C library.
///
/// The optimiser must not see `y`: it would turn a square into a product and a half power into a square root,
/// which round differently.
pub(super) fn power(x: f64, y: f64) -> f64 {
    x.powf(std::hint::black_box(y))
}

/// The mean with numpy's pairwise summation; NaN without values.
pub(super) fn mean(values: &[f64]) -> f64 {
    pairwise_sum(values) / values.len() as f64
}

/// The sum as numpy forms it: eight accumulators up to 128 values, halves at multiples of eight above.
fn pairwise_sum(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(0.0, |sum, value| sum + value);
    }
    if n > 128 {
        let half = n / 2;
        let (left, right) = values.split_at(half - half % 8);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let (eights, rest) = values.as_chunks::<8>();
    let mut r = [0.0; 8];
    for (k, eight) in eights.iter().enumerate() {
        for (sum, value) in r.iter_mut().zip(eight) {
            *sum = if k == 0 { *value } else { *sum + value };
        }
    }
    let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    rest.iter().fold(sum, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_round_as_numpy() {
        // numpy 2.4.6: repr(float(np.mean(np.array([1.0 / k for k in range(1, n + 1)])))); from 127 on the plain sum
        // in order gives another last digit.
        for (n, expected) in [
            (1, 1.0),
            (7, 0.37040816326530607),
            (8, 0.3397321428571428),
            (9, 0.31432980599647264),
            (127, 0.04271917002038718),
            (128, 0.04244646166085291),
            (129, 0.042177511864912164),
            (1000, 0.007485470860550345),
        ] {
            let values: Vec<f64> = (1..=n).map(|k| 1.0 / f64::from(k)).collect();
            assert_eq!(mean(&values), expected, "{n}");
        }
        assert!(mean(&[]).is_nan());
    }

    #[test]
    fn powers_are_not_folded() {
        // glibc: pow(x, 0.5) and sqrt(x) differ for about 9 of 10,000 values, so some of these must.
        let differ = |k: u32| power(f64::from(k) / 7.0, 0.5) != (f64::from(k) / 7.0).sqrt();
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            assert!((1..100_000).any(differ));
        }
        assert_eq!(power(3.0, 2.0), 9.0);
    }
}
