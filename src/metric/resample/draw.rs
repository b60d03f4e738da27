//! Images drawn with replacement.

use super::generator::Generator;

/// Sets apart the streams of resamples from those of trials.
const PURPOSE: u64 = 1;

/// Draws one resample: how often it has each image, `counts.len()` in all.
///
/// A byte holds every count that occurs: the chance that one image is drawn 256 times is below 1/256!, and with up to
/// 255 images it cannot be.
pub(super) fn draw(counts: &mut [u8], seed: u64, index: usize) {
    let mut generator = Generator::new(&[seed, PURPOSE, index as u64]);
    counts.fill(0);
    for _ in 0..counts.len() {
        let image = generator.below(counts.len() as u64) as usize;
        counts[image] = counts[image].saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resample_has_as_many_images() {
        for images in [0, 1, 2, 255, 1000] {
            let mut counts = vec![9; images];
            draw(&mut counts, 3, 5);
            assert_eq!(counts.iter().map(|&count| usize::from(count)).sum::<usize>(), images);
        }
    }

    #[test]
    fn counts_are_binomial() {
        // n = 10 draws with chance 1/10: none 0.9^10, one 0.9^9; over 10 x 20,000 counts. Counts of one resample are
        // weakly dependent, and five times sqrt(0.35 x 0.65 / 200,000) is 0.0053.
        let (mut counts, mut seen) = (vec![0; 10], [0_u32; 11]);
        for index in 0..20_000 {
            draw(&mut counts, 11, index);
            for &count in &counts {
                seen[usize::from(count)] += 1;
            }
        }
        for (times, chance) in [(0, 0.9_f64.powi(10)), (1, 0.9_f64.powi(9))] {
            let share = f64::from(seen[times]) / 200_000.0;
            assert!((share - chance).abs() < 0.0053, "{times}: {share}, not {chance}");
        }
    }
}
