//! Percentile intervals.

/// An interval that covers the given share of the resamples, the same share left out at either end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end; NaN if the value was NaN in every resample.
    pub low: f64,
    /// The upper end; NaN if the value was NaN in every resample.
    pub high: f64,
}

impl Interval {
    /// The central interval of some values; those that are NaN are left out.
    pub(super) fn of(values: impl Iterator<Item = f64>, level: f64) -> Self {
        let mut sorted: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let outside = (1.0 - level) / 2.0;
        Self { low: quantile(&sorted, outside), high: quantile(&sorted, 1.0 - outside) }
    }
}

/// The quantile of sorted values by linear interpolation, numpy's default; NaN without values.
///
/// The two forms are numpy's; each is exact at its end.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = last as f64 * q;
    let below = (position as usize).min(last);
    let t = position - below as f64;
    let (a, b) = (sorted[below], sorted[(below + 1).min(last)]);
    if a == b {
        // Also keeps two equal infinities from becoming NaN.
        a
    } else if t < 0.5 {
        a + (b - a) * t
    } else {
        b - (b - a) * (1.0 - t)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let five = [-1.5, 0.25, 0.3, 2.0, 7.0];
        for (values, q, expected) in [
            (&[4.0][..], 0.3, 4.0),
            (&[1.0, 2.0], 0.0, 1.0),
            (&[1.0, 2.0], 1.0, 2.0),
            // Position 3 x 0.025 = 0.075, between 1 and 2; 3 x 0.975 = 2.925, between 3 and 4.
            (&[1.0, 2.0, 3.0, 4.0], 0.025, 1.075),
            (&[1.0, 2.0, 3.0, 4.0], 0.975, 3.925),
            // numpy 2.4.6: repr(float(np.quantile(five, q))).
            (&five, 0.05, -1.15),
            (&five, 0.5, 0.3),
            (&five, 0.9, 5.0),
        ] {
            assert_eq!(quantile(values, q), expected, "{values:?} {q}");
        }
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(quantile(&[f64::INFINITY; 2], 0.3), f64::INFINITY);
    }

    #[test]
    fn an_interval_ignores_order_and_nan() {
        let values = [3.0, f64::NAN, 1.0, 4.0, 2.0, f64::NAN];
        // Positions 3 x 0.25 and 3 x 0.75.
        assert_eq!(Interval::of(values.into_iter(), 0.5), Interval { low: 1.75, high: 3.25 });
        assert!(Interval::of([f64::NAN].into_iter(), 0.5).low.is_nan());
    }

    proptest! {
        #[test]
        fn a_higher_level_covers_more(
            values in prop::collection::vec(-1e3..1e3, 1..50),
            (small, large) in (0.01..0.99, 0.01..0.99_f64).prop_map(|(x, y): (f64, f64)| (x.min(y), x.max(y))),
        ) {
            let inner = Interval::of(values.iter().copied(), small);
            let outer = Interval::of(values.iter().copied(), large);
            // The two forms of the interpolation may differ by the last digit.
            prop_assert!(outer.low <= inner.low + 1e-12 && inner.high <= outer.high + 1e-12);
            prop_assert!(outer.low <= outer.high && inner.low <= inner.high);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(least <= outer.low && outer.high <= most);
        }
    }
}
