//! CIDEr-D: how alike caption and references are as bags of rare n-grams.
//!
//! An n-gram weighs its count times the logarithm of (images / images that have it in a reference). The
//! similarity of caption and reference is the cosine of their weights, caption weights clipped to the
//! reference's, times a penalty on the difference of lengths; the score is the mean over the four orders and the
//! references, times 10. Floating-point sums run in order of first occurrence, as in the published code.

use anyhow::Result;
use polars::prelude::*;

use super::arithmetic::{mean, power};
use super::ngram::{Block, ORDERS, numbers, place, places};

/// The width of the length penalty, in words.
const SIGMA: f64 = 6.0;

/// Adds to `frequency`, per n-gram, the number of images of the block with it in any reference.
pub(super) fn add_document_frequency(block: &Block, frequency: &mut [u32]) -> Result<()> {
    for (_, ngram) in places(&block.in_best_reference)? {
        frequency[ngram as usize] += 1;
    }
    Ok(())
}

/// The weight of one occurrence of each n-gram, given how many of `images` images have it in a reference.
pub(super) fn inverse_frequency(frequency: &[u32], images: usize) -> Vec<f64> {
    let all = (images as f64).ln();
    frequency.iter().map(|&images| all - f64::from(images.max(1)).ln()).collect()
}

/// The n-grams of a block with their weights: `sentence`, `n`, `ngram`, `weight`, in the block's order.
pub(super) fn tf_idf(block: &Block, idf: &[f64]) -> Result<DataFrame> {
    let counts = numbers(&block.ngrams, "count")?.into_iter().zip(numbers(&block.ngrams, "ngram")?);
    let weights: Vec<f64> = counts.map(|(count, ngram)| f64::from(count) * idf[ngram as usize]).collect();
    let mut weighted = block.ngrams.select(["sentence", "n", "ngram"])?;
    weighted.with_column(Column::new("weight".into(), weights))?;
    Ok(weighted)
}

/// The Euclidean length of each sentence's weights, per order.
pub(super) fn norms(block: &Block, tf_idf: &DataFrame) -> Result<Vec<[f64; ORDERS]>> {
    let mut norms = vec![[0.0; ORDERS]; block.lengths.len()];
    let keys = numbers(tf_idf, "sentence")?.into_iter().zip(numbers(tf_idf, "n")?);
    for ((sentence, n), weight) in keys.zip(tf_idf.column("weight")?.f64()?.into_no_null_iter()) {
        norms[sentence as usize][n as usize - 1] += power(weight, 2.0);
    }
    norms.iter_mut().flatten().for_each(|sum| *sum = sum.sqrt());
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
            .select([place("pair", "ngram"), col("n"), col(name)])
    };
    let in_both = weights("hypothesis", "hypothesis_weight")
        .join_builder()
        .with(weights("reference", "reference_weight").select([col("place"), col("reference_weight")]))
        .on([col("place")])
        .how(JoinType::Inner)
        .maintain_order(MaintainOrderJoin::Left)
        .finish()
        .collect()?;
    let mut dots = vec![ByForm::default(); block.references.height()];
    let weights = |name: &str| Ok::<_, PolarsError>(in_both.column(name)?.f64()?.into_no_null_iter());
    let both = weights("hypothesis_weight")?.zip(weights("reference_weight")?);
    for (((pair, _), n), (hypothesis, reference)) in
        places(&in_both)?.into_iter().zip(numbers(&in_both, "n")?).zip(both)
    {
        let [plain, clipped] = &mut dots[pair as usize];
        plain[n as usize - 1] += hypothesis * reference;
        clipped[n as usize - 1] += hypothesis.min(reference) * reference;
    }
    Ok(dots)
}

/// Plain CIDEr and CIDEr-D of every image of a block.
pub(super) fn scores(block: &Block, idf: &[f64]) -> Result<[Vec<f64>; 2]> {
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
