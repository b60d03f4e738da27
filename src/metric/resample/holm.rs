//! Many comparisons at once.

/// The p values of Holm and Bonferroni: those below `x` are significant at the family-wise level `x`.
///
/// - `p`: the p values of all comparisons, from 0 to 1.
/// - returns the adjusted ones in the same order: the k-th smallest of m, from 0, times m - k, at least the adjusted
///   one before it and at most 1.
///
/// Source: Holm, 1979.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (k, i) in order.into_iter().enumerate() {
        largest = largest.max((p.len() - k) as f64 * p[i]).min(1.0);
        adjusted[i] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_by_hand() {
        for (name, p, expected) in [
            ("none", &[][..], &[][..]),
            ("one", &[0.03], &[0.03]),
            // 4 x 0.005; 3 x 0.01; 2 x 0.03; 0.04 is raised to the one before it.
            ("textbook", &[0.01, 0.04, 0.03, 0.005], &[0.03, 0.06, 0.06, 0.02]),
            // 3 x 0.5 is cut to 1, and so is all after it.
            ("capped", &[0.5, 0.6, 0.7], &[1.0, 1.0, 1.0]),
            ("ties", &[0.25, 0.125, 0.125], &[0.375, 0.375, 0.375]),
            ("ends", &[0.0, 1.0], &[0.0, 1.0]),
        ] {
            let found = holm(p);
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-15, "{name}: {found}, not {expected}");
            }
        }
    }

    proptest! {
        #[test]
        fn adjusted_values_lie_between_p_and_bonferroni(p in prop::collection::vec(0.0..=1.0, 0..20)) {
            let adjusted = holm(&p);
            for (i, (&p_i, &adjusted_i)) in p.iter().zip(&adjusted).enumerate() {
                prop_assert!(p_i <= adjusted_i && adjusted_i <= (p_i * p.len() as f64).min(1.0));
                prop_assert!((0..i).all(|j| p[j] > p_i || adjusted[j] <= adjusted_i));
                prop_assert!((0..i).all(|j| p[j] < p_i || adjusted[j] >= adjusted_i));
            }
            let backwards: Vec<f64> = p.iter().rev().copied().collect();
            let mut found = holm(&backwards);
            found.reverse();
            prop_assert_eq!(found, adjusted);
        }
    }
}
