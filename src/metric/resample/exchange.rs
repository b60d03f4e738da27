//! Trials of the approximate randomisation test.

use std::ops::Range;

use rayon::prelude::*;

use super::generator::Generator;
use super::system::{LANES, Row, System, TILE, add};

/// How many trials share the tables of sums.
const GROUP: usize = 128;

/// Sets apart the streams of trials from those of resamples.
const PURPOSE: u64 = 2;

/// Per four images: the sum of their rows for every choice of a system for each.
///
/// Bit `i` of the index chooses the second system for image `i`. A sum needs a quarter of the additions, and as it is
/// of chosen rows and not of differences, what is never negative stays so.
type Tables = [[Row; 16]; TILE / 4];

/// In how many trials each metric's difference is at least `least`; undefined ones count as well.
///
/// In a trial, the outputs of both systems for an image, of all runs, change places with chance 1/2. Both systems
/// have the same images, runs and families.
pub(super) fn reached(systems: [&System<'_>; 2], least: &[f64], trials: usize, seed: u64) -> Vec<usize> {
    let groups = (0..trials.div_ceil(GROUP)).into_par_iter();
    groups
        .map(|k| {
            let mut reached = vec![0; least.len()];
            for differences in differences(systems, k * GROUP..trials.min((k + 1) * GROUP), seed) {
                for ((count, least), difference) in reached.iter_mut().zip(least).zip(differences) {
                    *count += usize::from(difference.is_nan() || difference.abs() >= *least);
                }
            }
            reached
        })
        .reduce(|| vec![0; least.len()], |one, other| one.iter().zip(other).map(|(x, y)| x + y).collect())
}

/// The differences of all metrics in some trials.
pub(super) fn differences(systems: [&System<'_>; 2], trials: Range<usize>, seed: u64) -> Vec<Vec<f64>> {
    let (images, panels) = (systems[0].images(), systems[0].panels());
    // `u64[tiles, trials]`, one bit per image of a tile.
    let mut masks = vec![0; images.div_ceil(TILE) * trials.len()];
    for (k, index) in trials.clone().enumerate() {
        let mut generator = Generator::new(&[seed, PURPOSE, index as u64]);
        masks.iter_mut().skip(k).step_by(trials.len()).for_each(|mask| *mask = generator.next());
    }

    // `f64[panels, trials, 2, LANES]`
    let mut sums = vec![[[0.0; LANES]; 2]; panels * trials.len()];
    let mut tables = [[[0.0; LANES]; 16]; TILE / 4];
    let mut tiles = [(); 2].map(|()| vec![[[0.0; LANES]; TILE]; panels]);
    for (start, masks) in (0..images).step_by(TILE).zip(masks.chunks_exact(trials.len())) {
        for (system, tile) in systems.iter().zip(&mut tiles) {
            system.lay_out(start, tile);
        }
        let panels = tiles[0].iter().zip(&tiles[1]);
        for ((one, other), sums) in panels.zip(sums.chunks_exact_mut(trials.len())) {
            fill(&mut tables, one, other);
            for (sums, &mask) in sums.iter_mut().zip(masks) {
                add_chosen(sums, &tables, mask);
            }
        }
    }

    let difference = |k: usize| {
        let values = |side: usize| {
            let sums: Vec<f64> = sums.chunks_exact(trials.len()).flat_map(|sums| sums[k][side]).collect();
            systems[side].values_of(&sums)
        };
        values(0).iter().zip(values(1)).map(|(one, other)| one - other).collect()
    };
    (0..trials.len()).map(difference).collect()
}

/// Fills the tables from the rows of both systems.
fn fill(tables: &mut Tables, one: &[Row; TILE], other: &[Row; TILE]) {
    let fours = one.as_chunks::<4>().0.iter().zip(other.as_chunks::<4>().0);
    for (table, (one, other)) in tables.iter_mut().zip(fours) {
        table[0] = [0.0; LANES];
        for image in 0..4 {
            let (kept, exchanged) = table[..2 << image].split_at_mut(1 << image);
            for (kept, exchanged) in kept.iter_mut().zip(exchanged) {
                *exchanged = *kept;
                add(kept, &one[image]);
                add(exchanged, &other[image]);
            }
        }
    }
}

/// Adds the rows of some images to the sums of both systems, four by four; a bit that is set exchanges an image.
fn add_chosen(sums: &mut [Row; 2], tables: &Tables, mut mask: u64) {
    let [mut one, mut other] = *sums;
    for table in tables {
        let choice = mask as usize % 16;
        add(&mut one, &table[choice]);
        add(&mut other, &table[15 - choice]);
        mask >>= 4;
    }
    *sums = [one, other];
}

#[cfg(test)]
mod tests {
    use super::super::system::tests::{Family, means};
    use super::*;

    /// A mean and a ratio, which is undefined where the last sum is 0; small whole numbers, so sums are exact.
    fn runs_of(images: usize, runs: usize, seed: u64) -> Vec<Vec<Family<3, 2>>> {
        let mut generator = Generator::new(&[seed]);
        let mut rows = || (0..images).map(|_| std::array::from_fn(|_| generator.below(9) as f64)).collect();
        (0..runs)
            .map(|_| vec![Family { rows: rows(), values: |sums, images| [sums[0] / images as f64, sums[1] / sums[2]] }])
            .collect()
    }

    /// The values of one system whose image `i` is of `choice(i)`.
    fn values(systems: &[Vec<Vec<Family<3, 2>>>; 2], images: usize, choice: impl Fn(usize) -> usize) -> [f64; 2] {
        let mut values = [0.0; 2];
        for (one, other) in systems[0].iter().zip(&systems[1]) {
            let mut sums = [0.0; 3];
            for image in 0..images {
                let row = [one, other][choice(image)][0].rows[image];
                (0..3).for_each(|k| sums[k] += row[k]);
            }
            values[0] += sums[0] / images as f64;
            values[1] += sums[1] / sums[2];
        }
        values.map(|value| value / systems[0].len() as f64)
    }

    #[test]
    fn a_trial_exchanges_the_images_of_its_bits() {
        for (images, runs) in [(1, 1), (3, 1), (4, 2), (5, 1), (63, 1), (64, 3), (65, 1), (200, 2), (1000, 4)] {
            let runs = [1, 2].map(|seed| runs_of(images, runs, seed));
            let [a, b] = runs.each_ref().map(|runs| System::new(runs).unwrap());
            for (trial, found) in (5..).zip(differences([&a, &b], 5..25, 9)) {
                let mut generator = Generator::new(&[9, PURPOSE, trial]);
                let words: Vec<u64> = (0..images.div_ceil(64)).map(|_| generator.next()).collect();
                let bit = |image: usize| (words[image / 64] >> (image % 64) & 1) as usize;
                let one = values(&runs, images, bit);
                let other = values(&runs, images, |image| 1 - bit(image));
                for (k, found) in found.into_iter().enumerate() {
                    let expected = one[k] - other[k];
                    let same = found == expected || found.is_nan() && expected.is_nan();
                    assert!(same, "{images} images, trial {trial}: {found}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn trials_do_not_depend_on_their_group() {
        let rows = |seed: f64| (0..130).map(|k| [(f64::from(k) * seed).sin()]).collect();
        let runs = [0.7, 0.9].map(|seed| [vec![Family { rows: rows(seed), values: means }]]);
        let [a, b] = runs.each_ref().map(|runs| System::new(runs).unwrap());
        let together = differences([&a, &b], 0..40, 3);
        for size in [1, 7, 39] {
            let apart: Vec<Vec<f64>> =
                (0..40).step_by(size).flat_map(|k| differences([&a, &b], k..40.min(k + size), 3)).collect();
            assert_eq!(apart, together, "{size}");
        }
        let least = together.iter().map(|differences| differences[0].abs()).fold(0.0, f64::max);
        assert_eq!(reached([&a, &b], &[least], 40, 3), [1]);
    }
}
