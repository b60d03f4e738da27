//! A seeded generator of random numbers.

/// xoshiro256++ of Blackman and Vigna, 2019.
pub(super) struct Generator {
    state: [u64; 4],
}

impl Generator {
    /// The stream of a key, say of a seed and an index. Streams of different keys are unrelated.
    pub(super) fn new(key: &[u64]) -> Self {
        let mut seeds = SplitMix { state: key.iter().fold(0, |state, word| SplitMix { state: state ^ word }.next()) };
        Self { state: std::array::from_fn(|_| seeds.next()) }
    }

    /// 64 random bits.
    pub(super) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`, each as likely as the others; 0 if `bound` is 0.
    ///
    /// Source: Lemire, *Fast random integer generation in an interval*, 2019: the high word of a product, drawn anew
    /// where the low word would make some results more likely.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let mut product = self.next() as u128 * bound as u128;
        if (product as u64) < bound {
            let uneven = bound.wrapping_neg() % bound;
            while (product as u64) < uneven {
                product = self.next() as u128 * bound as u128;
            }
        }
        (product >> 64) as u64
    }
}

/// `SplitMix64` of Steele, Lea and Flood, 2014: spreads a key over the state of the other.
struct SplitMix {
    state: u64,
}

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_authors() {
        // The first outputs of the authors' splitmix64.c from 1234567 and of xoshiro256plusplus.c from 1, 2, 3, 4.
        let mut split = SplitMix { state: 1234567 };
        assert_eq!([(); 3].map(|()| split.next()), [6457827717110365317, 3203168211198807973, 9817491932198370423]);
        let mut generator = Generator { state: [1, 2, 3, 4] };
        assert_eq!([(); 4].map(|()| generator.next()), [41943041, 58720359, 3588806011781223, 3591011842654386]);
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let first = |key: &[u64]| Generator::new(key).next();
        let keys: [&[u64]; 6] = [&[0, 0], &[0, 1], &[1, 0], &[1, 1], &[2, 3], &[3, 2]];
        for (k, one) in keys.iter().enumerate() {
            assert!(keys[..k].iter().all(|other| first(one) != first(other)), "{one:?}");
            assert_eq!(first(one), first(one));
        }
    }

    #[test]
    fn bounded_numbers_are_even() {
        // Chi-squared with bound - 1 degrees of freedom: mean bound - 1, variance 2 (bound - 1); five deviations.
        for bound in [1_u64, 2, 3, 10, 1000] {
            let mut generator = Generator::new(&[bound]);
            let mut seen = vec![0_u32; bound as usize];
            let draws = 200 * bound;
            for _ in 0..draws {
                seen[generator.below(bound) as usize] += 1;
            }
            let chi: f64 = seen.iter().map(|&count| (f64::from(count) - 200.0).powi(2) / 200.0).sum();
            let freedom = bound as f64 - 1.0;
            assert!((chi - freedom).abs() <= 5.0 * (2.0 * freedom).sqrt(), "{bound}: {chi}");
        }
        // Four words for three results: if none were drawn anew, half of all results would be multiples of three.
        let mut generator = Generator::new(&[7]);
        let multiples = (0..9_000).filter(|_| generator.below(3 << 62).is_multiple_of(3)).count();
        assert!((2_776..3_224).contains(&multiples), "{multiples}");
        assert_eq!(generator.below(0), 0);
    }
}
