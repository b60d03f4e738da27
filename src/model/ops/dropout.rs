//! Dropout whose masks follow from where an element stands, so that a backward pass draws them again instead of keeping them.

use super::each_row;
use crate::model::init::Rng;

/// The dropout of one step: an element becomes 0 with probability `p`, and the others are multiplied by `1 / (1 - p)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// From 0 to below 1.
    pub p: f64,
    /// Decides the masks, together with the step.
    pub seed: u64,
    /// The number of the optimiser's step.
    pub step: u64,
}

/// The masks of one layer of a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masks {
    /// Of the probabilities of attention.
    pub(super) probabilities: Mask,
    /// Of what is added to the layer's input after attention.
    pub(super) attended: Mask,
    /// Of what is added after the feed-forward part.
    pub(super) fed_forward: Mask,
}

/// The mask of one place of a stack, as what it is computed from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask {
    key: [u32; 2],
    /// An element is dropped if its random number is below this.
    bound: u32,
    scale: f32,
}

impl Dropout {
    /// Whether `p` is a probability below 1.
    pub(crate) fn is_valid(self) -> bool {
        (0.0..1.0).contains(&self.p)
    }

    /// The mask of a stack's input, positions included.
    pub(crate) fn input(self) -> Mask {
        self.mask(0)
    }

    /// The masks of a layer, counted from 0.
    pub(super) fn layer(self, layer: usize) -> Masks {
        let mask = |site| self.mask(3 * layer + site);
        Masks { probabilities: mask(1), attended: mask(2), fed_forward: mask(3) }
    }

    fn mask(self, place: usize) -> Mask {
        let key = Rng::new(self.seed, &format!("dropout.{}.{place}", self.step)).next_u64();
        Mask {
            key: [key as u32, (key >> 32) as u32],
            bound: (self.p * 2.0_f64.powi(32)).round() as u32,
            scale: (1.0 / (1.0 - self.p)) as f32,
        }
    }
}

impl Mask {
    /// Drops elements of `x`, the numbers of one position of one batch row (and of one head, in attention; else 0).
    pub(crate) fn apply(self, row: usize, position: usize, head: usize, x: &mut [f32]) {
        for (block, x) in x.chunks_mut(4).enumerate() {
            let random = philox([block, head, position, row].map(|word| word as u32), self.key);
            for (x, random) in x.iter_mut().zip(random) {
                *x = if random < self.bound { 0.0 } else { *x * self.scale };
            }
        }
    }

    /// [`Self::apply`] to all of `x`, `[b, length, width]`.
    pub(super) fn apply_rows(self, length: usize, width: usize, x: &mut [f32]) {
        each_row(x, width, |row, x| self.apply(row / length, row % length, 0, x));
    }
}

/// Four random numbers for a counter and a key.
///
/// Source: Philox4x32-10 (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3").
pub(super) fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [a, b, c, d] = counter;
        let first = 0xD251_1F53 * u64::from(a);
        let second = 0xCD9E_8D57 * u64::from(c);
        counter = [(second >> 32) as u32 ^ b ^ key[0], second as u32, (first >> 32) as u32 ^ d ^ key[1], first as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // Origin: the authors' known-answer file (Random123, kat_vectors), lines "philox4x32 10".
        let rows = [
            ("zeros", [0; 4], [0; 2], [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
            ("ones", [u32::MAX; 4], [u32::MAX; 2], [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
            (
                "digits of pi",
                [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344],
                [0xA409_3822, 0x299F_31D0],
                [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1],
            ),
        ];
        for (name, counter, key, expected) in rows {
            assert_eq!(philox(counter, key), expected, "{name}");
        }
    }

    /// Which of 20 000 ones stay, in 20 positions of 1000.
    fn kept(mask: Mask, row: usize, head: usize) -> Vec<bool> {
        let mut x = vec![1.0; 20_000];
        for (position, x) in x.chunks_mut(1000).enumerate() {
            mask.apply(row, position, head, x);
        }
        x.iter().map(|&x| x > 0.0).collect()
    }

    /// Five standard deviations of the share of 20 000 independent events of probability `p`.
    fn bound(p: f64) -> f64 {
        5.0 * (p * (1.0 - p) / 20_000.0).sqrt()
    }

    #[test]
    fn the_share_that_stays_and_its_factor_are_those_asked_for() {
        for p in [0.0, 0.1, 0.5, 0.9] {
            let mask = Dropout { p, seed: 1, step: 2 }.input();
            let kept = kept(mask, 0, 0);
            let share = kept.iter().filter(|kept| **kept).count() as f64 / kept.len() as f64;
            assert!((share - (1.0 - p)).abs() <= bound(p), "{p}: {share} stay");
            let mut x = [-3.0_f32; 40];
            mask.apply(0, 0, 0, &mut x);
            let expected = -3.0 / (1.0 - p);
            for x in x {
                assert!(x == 0.0 || (f64::from(x) / expected - 1.0).abs() < 1e-6, "{p}: {x}");
            }
        }
    }

    #[test]
    fn masks_of_different_places_agree_only_by_chance() {
        let of = |seed, step| Dropout { p: 0.3, seed, step };
        let first = kept(of(1, 1).layer(0).attended, 0, 0);
        let rows = [
            ("seed", kept(of(2, 1).layer(0).attended, 0, 0)),
            ("step", kept(of(1, 2).layer(0).attended, 0, 0)),
            ("a far step", kept(of(1, 1 + (1 << 32)).layer(0).attended, 0, 0)),
            ("layer", kept(of(1, 1).layer(1).attended, 0, 0)),
            ("input", kept(of(1, 1).input(), 0, 0)),
            ("probabilities", kept(of(1, 1).layer(0).probabilities, 0, 0)),
            ("fed forward", kept(of(1, 1).layer(0).fed_forward, 0, 0)),
            ("row", kept(of(1, 1).layer(0).attended, 1, 0)),
            ("head", kept(of(1, 1).layer(0).attended, 0, 1)),
            ("the next position", [&first[1000..], &first[..1000]].concat()),
            ("the next element", [&first[1..], &first[..1]].concat()),
        ];
        // Two independent masks agree on an element that both keep or both drop.
        let chance = 0.3 * 0.3 + 0.7 * 0.7;
        for (name, other) in rows {
            let same = first.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / first.len() as f64;
            assert!((same - chance).abs() <= bound(chance), "{name}: {same} instead of {chance}");
        }
        assert_eq!(first, kept(of(1, 1).layer(0).attended, 0, 0));
    }

    proptest! {
        /// A caption's mask must not depend on how far its batch is padded.
        #[test]
        fn a_shorter_row_is_dropped_like_the_start_of_a_longer(
            seed: u64, step: u64, p in 0.0..1.0, at in prop::array::uniform3(0_usize..5000), long in 0_usize..50, short in 0_usize..50,
        ) {
            let mask = Dropout { p, seed, step }.layer(at[0]).probabilities;
            let (mut a, mut b) = (vec![1.0; long.max(short)], vec![1.0; short]);
            mask.apply(at[0], at[1], at[2], &mut a);
            mask.apply(at[0], at[1], at[2], &mut b);
            prop_assert_eq!(&a[..short], &b[..]);
        }
    }
}
