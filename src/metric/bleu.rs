//! BLEU-1 to BLEU-4 with the closest reference length, as the COCO caption evaluation computes them.

use anyhow::Result;
use polars::lazy::dsl::min_horizontal;
use polars::prelude::*;

use super::arithmetic::power;
use super::ngram::{Block, ORDERS, numbers};

/// What BLEU counts: per image, or summed over a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Words of the caption.
    pub length: u64,
    /// Words of the reference whose length is closest; of two, the shorter.
    pub reference_length: u64,
    /// Per order 1 to 4: n-grams of the caption.
    pub guess: [u64; ORDERS],
    /// Per order: those that a reference has as often.
    pub correct: [u64; ORDERS],
}

impl Counts {
    /// The sum of the counts of several images.
    pub fn total<'a>(images: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for image in images {
            total.length += image.length;
            total.reference_length += image.reference_length;
            for n in 0..ORDERS {
                total.guess[n] += image.guess[n];
                total.correct[n] += image.correct[n];
            }
        }
        total
    }

    /// BLEU-1 to BLEU-4 of these counts.
    ///
    /// The geometric mean of the precisions, times the brevity penalty; the two small numbers are those of the
    /// reference implementation and keep empty captions from dividing by zero.
    pub fn bleu(&self) -> [f64; ORDERS] {
        const SMALL: f64 = 1e-9;
        const TINY: f64 = 1e-15;
        let mut product = 1.0;
        let mut bleu = [0.0; ORDERS];
        for (n, value) in bleu.iter_mut().enumerate() {
            product *= (self.correct[n] as f64 + TINY) / (self.guess[n] as f64 + SMALL);
            *value = power(product, 1.0 / (n as f64 + 1.0));
        }
        let ratio = (self.length as f64 + TINY) / (self.reference_length as f64 + SMALL);
        if ratio < 1.0 {
            let penalty = (1.0 - 1.0 / ratio).exp();
            for value in &mut bleu {
                *value *= penalty;
            }
        }
        bleu
    }
}

/// How often each n-gram occurs in the reference of an image that has it most: `image`, `ngram`, `best`.
pub(super) fn in_best_reference(block: &Block) -> LazyFrame {
    block
        .references
        .clone()
        .lazy()
        .join(block.ngrams.clone().lazy(), [col("reference")], [col("sentence")], JoinArgs::new(JoinType::Inner))
        .group_by_stable([col("image"), col("ngram")])
        .agg([col("count").max().alias("best")])
}

/// The counts of every image of a block.
pub(super) fn counts(block: &Block) -> Result<Vec<Counts>> {
    let in_hypothesis = block.hypotheses.clone().lazy().join(
        block.ngrams.clone().lazy(),
        [col("hypothesis")],
        [col("sentence")],
        JoinArgs::new(JoinType::Inner),
    );
    let on_image_and_ngram = [col("image"), col("ngram")];
    let clipped = in_hypothesis
        .join(in_best_reference(block), &on_image_and_ngram, &on_image_and_ngram, JoinArgs::new(JoinType::Inner))
        .select([col("image"), col("n"), min_horizontal([col("count"), col("best")])?.alias("clipped")]);
    let correct = clipped.group_by_stable([col("image"), col("n")]).agg([col("clipped").sum()]).collect()?;

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

    let mut counts = vec![Counts::default(); block.images];
    let lengths = numbers(&closest, "length")?.into_iter().zip(numbers(&closest, "reference_length")?);
    for (image, (length, reference_length)) in numbers(&closest, "image")?.into_iter().zip(lengths) {
        let guess = std::array::from_fn(|n| u64::from(length.saturating_sub(n as u32)));
        let (length, reference_length) = (u64::from(length), u64::from(reference_length));
        counts[image as usize] = Counts { length, reference_length, guess, correct: [0; ORDERS] };
    }
    let orders = numbers(&correct, "n")?.into_iter().zip(numbers(&correct, "clipped")?);
    for (image, (n, clipped)) in numbers(&correct, "image")?.into_iter().zip(orders) {
        counts[image as usize].correct[n as usize - 1] = u64::from(clipped);
    }
    Ok(counts)
}
