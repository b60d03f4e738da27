//! CIDEr-D: how alike caption and references are as bags of rare n-grams.
//!
//! An n-gram weighs its count times the logarithm of (images / images that have it in a reference). The
//! similarity of caption and reference is the cosine of their weights, caption weights clipped to the
//! reference's, times a penalty on the difference of lengths; the score is the mean over the four orders and the
//! references, times 10. Floating-point sums run in order of first occurrence, as in the published code.

use anyhow::Result;
use polars::lazy::dsl::min_horizontal;
use polars::prelude::*;

use super::arithmetic::{mean, power};
use super::ngram::{Block, ORDERS, numbers, sums_in_order};

/// The width of the length penalty, in words.
const SIGMA: f64 = 6.0;

/// Adds to `frequency`, per n-gram, the number of images of the block with it in any reference.
pub(super) fn add_document_frequency(block: &Block, frequency: &mut [u32]) -> Result<()> {
    let document_frequency = block
        .in_best_reference
        .clone()
        .lazy()
        .group_by_stable([col("ngram")])
        .agg([len().alias("images")])
        .collect()?;
    let images = document_frequency.column("images")?.cast(&DataType::UInt32)?;
    for (ngram, images) in numbers(&document_frequency, "ngram")?.into_iter().zip(images.u32()?.into_no_null_iter()) {
        frequency[ngram as usize] += images;
    }
    Ok(())
}

/// The weight of one occurrence of each n-gram, given how many of `images` images have it in a reference.
pub(super) fn inverse_frequency(frequency: &[u32], images: usize) -> Result<DataFrame> {
    let all = (images as f64).ln();
    let idf: Vec<f64> = frequency.iter().map(|&images| all - f64::from(images.max(1)).ln()).collect();
    let ngram: Vec<u32> = (0..frequency.len() as u32).collect();
    Ok(DataFrame::new_infer_height(vec![Column::new("ngram".into(), ngram), Column::new("idf".into(), idf)])?)
}

/// The n-grams of a block with their weights: `sentence`, `n`, `ngram`, `weight`, in the block's order.
pub(super) fn tf_idf(block: &Block, idf: &DataFrame) -> Result<DataFrame> {
    let weighted = block
        .ngrams
        .clone()
        .lazy()
        .join_builder()
        .with(idf.clone().lazy())
        .how(JoinType::Left)
        .on([col("ngram")])
        .maintain_order(MaintainOrderJoin::Left)
        .finish();
    let weight = (col("count").cast(DataType::Float64) * col("idf")).alias("weight");
    Ok(weighted.select([col("sentence"), col("n"), col("ngram"), weight]).collect()?)
}

/// The Euclidean length of each sentence's weights, per order.
pub(super) fn norms(block: &Block, tf_idf: &DataFrame) -> Result<Vec<[f64; ORDERS]>> {
    let squares: Vec<f64> = tf_idf.column("weight")?.f64()?.into_no_null_iter().map(|w| power(w, 2.0)).collect();
    let squared = DataFrame::new_infer_height(vec![
        tf_idf.column("sentence")?.clone(),
        tf_idf.column("n")?.clone(),
        Column::new("square".into(), squares),
    ])?;
    let by_order = squared.lazy().group_by_stable([col("sentence"), col("n")]).agg([col("square")]).collect()?;
    let mut norms = vec![[0.0; ORDERS]; block.lengths.len()];
    let keys = numbers(&by_order, "sentence")?.into_iter().zip(numbers(&by_order, "n")?);
    for ((sentence, n), sum) in keys.zip(sums_in_order(&by_order, "square")?) {
        norms[sentence as usize][n as usize - 1] = sum.sqrt();
    }
    Ok(norms)
}

/// A number per order and per form: plain, and clipped as CIDEr-D wants it.
type ByForm = [[f64; ORDERS]; 2];

/// The dot products of each caption with each of its references, per order.
fn dots(block: &Block, tf_idf: &DataFrame) -> Result<Vec<ByForm>> {
    let weights = |of: &str, name: &str| {
        block
            .references
            .clone()
            .lazy()
            .select([col("pair"), col(of)])
            .join_builder()
            .with(tf_idf.clone().lazy().rename(["weight"], [name], true))
            .left_on([col(of)])
            .right_on([col("sentence")])
            .how(JoinType::Inner)
            .maintain_order(MaintainOrderJoin::LeftRight)
            .finish()
            .select([col("pair"), col("n"), col("ngram"), col(name)])
    };
    let in_both = weights("hypothesis", "hypothesis_weight")
        .join_builder()
        .with(weights("reference", "reference_weight"))
        .on([col("pair"), col("ngram")])
        .how(JoinType::Inner)
        .maintain_order(MaintainOrderJoin::Left)
        .finish();
    let clipped = min_horizontal([col("hypothesis_weight"), col("reference_weight")])?;
    let products = in_both.select([
        col("pair"),
        col("n"),
        (col("hypothesis_weight") * col("reference_weight")).alias("plain"),
        (clipped * col("reference_weight")).alias("clipped"),
    ]);
    let by_order = products.group_by_stable([col("pair"), col("n")]).agg([col("plain"), col("clipped")]).collect()?;
    let mut dots = vec![ByForm::default(); block.references.height()];
    let keys = numbers(&by_order, "pair")?.into_iter().zip(numbers(&by_order, "n")?);
    let sums = sums_in_order(&by_order, "plain")?.into_iter().zip(sums_in_order(&by_order, "clipped")?);
    for ((pair, n), (plain, clipped)) in keys.zip(sums) {
        dots[pair as usize][0][n as usize - 1] = plain;
        dots[pair as usize][1][n as usize - 1] = clipped;
    }
    Ok(dots)
}

/// Plain CIDEr and CIDEr-D of every image of a block.
pub(super) fn scores(block: &Block, idf: &DataFrame) -> Result<[Vec<f64>; 2]> {
    let tf_idf = tf_idf(block, idf)?;
    let norms = norms(block, &tf_idf)?;
    let dots = dots(block, &tf_idf)?;
    let mut sums = vec![(ByForm::default(), 0_u32); block.images];
    let images = numbers(&block.references, "image")?;
    let sentences = numbers(&block.references, "hypothesis")?.into_iter().zip(numbers(&block.references, "reference")?);
    for (pair, (hypothesis, reference)) in sentences.enumerate() {
        let (hypothesis, reference) = (hypothesis as usize, reference as usize);
        let penalties = [1.0, length_penalty(block.lengths[hypothesis], block.lengths[reference])];
        let (sum, references) = &mut sums[images[pair] as usize];
        for ((sum, dots), penalty) in sum.iter_mut().zip(&dots[pair]).zip(penalties) {
            for n in 0..ORDERS {
                let (a, b) = (norms[hypothesis][n], norms[reference][n]);
                let mut similarity = dots[n];
                if a != 0.0 && b != 0.0 {
                    similarity /= a * b;
                }
                sum[n] += similarity * penalty;
            }
        }
        *references += 1;
    }
    let form = |k: usize| sums.iter().map(|(sum, references)| mean(&sum[k]) / f64::from(*references) * 10.0).collect();
    Ok([form(0), form(1)])
}

/// Lengths are counted in bigrams, so an empty text and a single word are equally long.
fn length_penalty(hypothesis: u32, reference: u32) -> f64 {
    let bigrams = |words: u32| f64::from(words.saturating_sub(1));
    let delta = bigrams(hypothesis) - bigrams(reference);
    power(std::f64::consts::E, -power(delta, 2.0) / (2.0 * power(SIGMA, 2.0)))
}
