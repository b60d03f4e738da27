//! How the runs of a model vary.

/// Mean and sample standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean; NaN without values.
    pub mean: f64,
    /// The square root of the squared deviations' sum over n - 1; NaN with fewer than two values.
    pub deviation: f64,
}

/// The spread of one metric over several runs.
pub fn spread(values: &[f64]) -> Spread {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let deviation = if values.len() < 2 { f64::NAN } else { (squares / (n - 1.0)).sqrt() };
    Spread { mean, deviation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_by_hand() {
        assert!(spread(&[]).mean.is_nan() && spread(&[]).deviation.is_nan());
        assert!(spread(&[0.25]).mean == 0.25 && spread(&[0.25]).deviation.is_nan());
        assert_eq!(spread(&[3.0, 3.0, 3.0]), Spread { mean: 3.0, deviation: 0.0 });
        // Squares 9, 1, 1, 1, 0, 0, 4, 16 sum to 32, over 7.
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(spread(&values), Spread { mean: 5.0, deviation: (32.0_f64 / 7.0).sqrt() });
        // A large common part does not drown the deviations.
        assert_eq!(spread(&[1e9 + 1.0, 1e9 + 3.0]).deviation, 2.0_f64.sqrt());
    }
}
