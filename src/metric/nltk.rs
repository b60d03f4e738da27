//! BLEU as nltk's `corpus_bleu` computes it, with the settings of the original code.
//!
//! Those inflate English scores: captions are cut by jieba, which makes every blank a word of its own, case and full
//! stops are kept, and BLEU-3 is weighted .33, .33, .33. The numbers stand under the variant `seed`, so that they can be
//! compared with what that code printed, and with nothing else.

use super::bleu::{self, WIDTH};
use super::ngram::ORDERS;

/// The original's weights of the four orders, for BLEU-1 to BLEU-4.
const WEIGHTS: [[f64; ORDERS]; ORDERS] =
    [[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.33, 0.33, 0.33, 0.0], [0.25, 0.25, 0.25, 0.25]];

/// nltk's `SmoothingFunction().method1`: what an order without any match counts as.
const EPSILON: f64 = 0.1;

/// The names of the values.
pub(super) const NAMES: [&str; ORDERS] = bleu::NAMES;

/// Turns the counts of [`bleu`](super::bleu) into nltk's: a caption too short for an order guesses once, in vain.
pub(super) fn counts(mut counts: Vec<f64>) -> Vec<f64> {
    for row in counts.chunks_mut(WIDTH) {
        for guess in &mut row[2..2 + ORDERS] {
            *guess = guess.max(1.0);
        }
    }
    counts
}

/// BLEU-1 to BLEU-4 of the counts of one image, or of their sums over a corpus.
pub(super) fn values(sums: &[f64]) -> [f64; ORDERS] {
    weighted(sums, &WEIGHTS)
}

/// BLEU-3 with weights of exactly one third each, which the original rounds to .33.
#[cfg(test)]
pub(super) fn with_exact_thirds(sums: &[f64]) -> f64 {
    let third = 1.0 / 3.0;
    weighted(sums, &[[third, third, third, 0.0]; ORDERS])[2]
}

fn weighted(sums: &[f64], weights: &[[f64; ORDERS]; ORDERS]) -> [f64; ORDERS] {
    let (guess, correct) = (&sums[2..2 + ORDERS], &sums[2 + ORDERS..WIDTH]);
    if correct[0] == 0.0 {
        return [0.0; ORDERS];
    }
    let penalty = if sums[0] > sums[1] { 1.0 } else { (1.0 - sums[1] / sums[0]).exp() };
    let logs: [f64; ORDERS] =
        std::array::from_fn(|n| (if correct[n] == 0.0 { EPSILON } else { correct[n] } / guess[n]).ln());
    weights.map(|weights| penalty * exact_sum(&std::array::from_fn(|n| weights[n] * logs[n])).exp())
}

/// The sum, rounded once (Python's `math.fsum`; Shewchuk's non-overlapping partial sums).
fn exact_sum(values: &[f64; ORDERS]) -> f64 {
    let mut partials: Vec<f64> = Vec::with_capacity(ORDERS);
    for &value in values {
        let mut x = value;
        let mut kept = 0;
        for k in 0..partials.len() {
            let y = partials[k];
            let (large, small) = if x.abs() < y.abs() { (y, x) } else { (x, y) };
            let sum = large + small;
            let rest = small - (sum - large);
            if rest != 0.0 {
                partials[kept] = rest;
                kept += 1;
            }
            x = sum;
        }
        partials.truncate(kept);
        partials.push(x);
    }
    let Some(mut sum) = partials.pop() else { return 0.0 };
    while let Some(y) = partials.pop() {
        let x = sum;
        sum = x + y;
        let rest = y - (sum - x);
        if rest == 0.0 {
            continue;
        }
        // Halfway between two doubles: what follows decides the direction.
        if let Some(below) = partials.last()
            && (rest < 0.0) == (*below < 0.0)
        {
            let twice = rest * 2.0;
            if twice == (sum + twice) - sum {
                sum += twice;
            }
        }
        break;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_rounded_once() {
        // Python 3.11: `math.fsum(values)`.
        for (values, expected) in [
            ([1e100, 1.0, -1e100, 1e-100], 1.0),
            ([0.1, 0.2, 0.3, -0.6], 2.7755575615628914e-17),
            ([1.0, 1e-16, 1e-16, 0.0], 1.0000000000000002),
            ([0.0, -0.0, 0.0, 0.0], 0.0),
        ] {
            assert_eq!(exact_sum(&values), expected, "{values:?}");
        }
    }

    #[test]
    fn corpora_of_a_few_words() {
        // nltk 3.10.4: `corpus_bleu` with `method1` and the weights above.
        // Hypothesis "a b c d e", reference "a b c x e": 4 of 5, 2 of 4, 1 of 3, 0 of 2.
        let sums = [5.0, 5.0, 5.0, 4.0, 3.0, 2.0, 4.0, 2.0, 1.0, 0.0];
        let expected = [0.8, 0.6324555320336759, 0.5143157015215767, 0.28574404296988];
        for (value, expected) in values(&sums).into_iter().zip(expected) {
            assert!((value - expected).abs() < 1e-12, "{value}, not {expected}");
        }
        assert_eq!(values(&counts(vec![0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])), [0.0; 4]);
    }
}
