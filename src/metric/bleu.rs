//! BLEU-1 to BLEU-4 with the closest reference length, as the COCO caption evaluation computes them.

use anyhow::Result;
use polars::lazy::dsl::min_horizontal;
use polars::prelude::*;

use super::arithmetic::power;
use super::ngram::{Block, ORDERS, numbers, place, places};

/// How many numbers BLEU counts per image: caption length, reference length, and per order 1 to 4 the caption's n-grams
/// and those of them that a reference has as often.
pub(super) const WIDTH: usize = 2 + 2 * ORDERS;

/// The names of the values.
pub(super) const NAMES: [&str; ORDERS] = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"];

/// BLEU-1 to BLEU-4 of the counts of one image, or of their sums over a corpus.
///
/// The geometric mean of the precisions, times the brevity penalty; the two small numbers are those of the
/// reference implementation and keep empty captions from dividing by zero.
pub(super) fn values(sums: &[f64]) -> [f64; ORDERS] {
    const SMALL: f64 = 1e-9;
    const TINY: f64 = 1e-15;
    let (guess, correct) = (&sums[2..2 + ORDERS], &sums[2 + ORDERS..WIDTH]);
    let mut product = 1.0;
    let mut bleu = [0.0; ORDERS];
    for (n, value) in bleu.iter_mut().enumerate() {
        product *= (correct[n] + TINY) / (guess[n] + SMALL);
        *value = power(product, 1.0 / (n as f64 + 1.0));
    }
    let ratio = (sums[0] + TINY) / (sums[1] + SMALL);
    if ratio < 1.0 {
        let penalty = (1.0 - 1.0 / ratio).exp();
        for value in &mut bleu {
            *value *= penalty;
        }
    }
    bleu
}

/// The counts of every image of a block, [`WIDTH`] numbers each.
///
/// The reference length is the closest one; of two, the shorter.
pub(super) fn counts(block: &Block) -> Result<Vec<f64>> {
    let in_hypothesis = block
        .hypotheses
        .clone()
        .lazy()
        .join(block.ngrams.clone().lazy(), [col("hypothesis")], [col("sentence")], JoinArgs::new(JoinType::Inner))
        .select([place("image", "ngram"), col("n"), col("count")]);
    let clipped = in_hypothesis
        .join(block.in_best_reference.clone().lazy(), [col("place")], [col("place")], JoinArgs::new(JoinType::Inner))
        .select([col("place"), col("n"), min_horizontal([col("count"), col("best")])?.alias("clipped")])
        .collect()?;

    let closest = block
        .references
        .clone()
        .lazy()
        .join(block.hypotheses.clone().lazy(), [col("image")], [col("image")], JoinArgs::new(JoinType::Inner))
        .with_columns([when(col("reference_length").gt(col("length")))
            .then(col("reference_length") - col("length"))
            .otherwise(col("length") - col("reference_length"))
            .alias("distance")])
        .sort(["image", "distance", "reference_length"], SortMultipleOptions::default())
        .group_by_stable([col("image")])
        .agg([col("length").first(), col("reference_length").first()])
        .collect()?;

    let mut counts = vec![0.0; block.images * WIDTH];
    let lengths = numbers(&closest, "length")?.into_iter().zip(numbers(&closest, "reference_length")?);
    for (image, (length, reference_length)) in numbers(&closest, "image")?.into_iter().zip(lengths) {
        let row = &mut counts[image as usize * WIDTH..][..WIDTH];
        row[0] = f64::from(length);
        row[1] = f64::from(reference_length);
        for (n, guess) in row[2..2 + ORDERS].iter_mut().enumerate() {
            *guess = f64::from(length.saturating_sub(n as u32));
        }
    }
    let orders = numbers(&clipped, "n")?.into_iter().zip(numbers(&clipped, "clipped")?);
    for ((image, _), (n, clipped)) in places(&clipped)?.into_iter().zip(orders) {
        counts[image as usize * WIDTH + 2 + ORDERS + n as usize - 1] += f64::from(clipped);
    }
    Ok(counts)
}
