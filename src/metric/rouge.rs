//! ROUGE-L: the longest common subsequence of caption and reference.

use anyhow::Result;
use polars::prelude::*;

use super::arithmetic::power;
use super::ngram::{Block, numbers};

/// How much recall counts against precision.
const BETA: f64 = 1.2;

/// ROUGE-L of every image of a block.
///
/// Precision and recall are the best over the references, each on its own. Words are what the blank separates,
/// so an empty text is one empty word, and an empty caption equals an empty reference: 1.0.
pub(super) fn scores(block: &Block) -> Result<Vec<f64>> {
    let sentences = numbers(&block.references, "hypothesis")?.into_iter().zip(numbers(&block.references, "reference")?);
    let (mut precision, mut recall, mut row) = (Vec::new(), Vec::new(), Vec::new());
    for (hypothesis, reference) in sentences {
        let (hypothesis, reference) = (&block.blank_words[hypothesis as usize], &block.blank_words[reference as usize]);
        let common = common_subsequence(hypothesis, reference, &mut row) as f64;
        precision.push(common / hypothesis.len() as f64);
        recall.push(common / reference.len() as f64);
    }
    let overlaps = DataFrame::new_infer_height(vec![
        block.references.column("image")?.clone(),
        Column::new("precision".into(), precision),
        Column::new("recall".into(), recall),
    ])?;
    let best =
        overlaps.lazy().group_by_stable([col("image")]).agg([col("precision").max(), col("recall").max()]).collect()?;
    let pairs =
        best.column("precision")?.f64()?.into_no_null_iter().zip(best.column("recall")?.f64()?.into_no_null_iter());
    Ok(pairs.map(|(precision, recall)| f_measure(precision, recall)).collect())
}

fn f_measure(precision: f64, recall: f64) -> f64 {
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    let square = power(BETA, 2.0);
    ((1.0 + square) * precision * recall) / (recall + square * precision)
}

/// The length of the longest common subsequence; `row` is room to work in.
fn common_subsequence(a: &[u32], b: &[u32], row: &mut Vec<u32>) -> u32 {
    if a == b {
        return a.len() as u32;
    }
    row.clear();
    row.resize(b.len() + 1, 0);
    for word in a {
        let mut above_left = 0;
        for (k, other) in b.iter().enumerate() {
            let above = row[k + 1];
            row[k + 1] = if word == other { above_left + 1 } else { above.max(row[k]) };
            above_left = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_subsequences() {
        // By hand.
        for (a, b, expected) in [
            (&[][..], &[][..], 0),
            (&[1], &[2], 0),
            (&[1, 2, 3], &[1, 2, 3], 3),
            (&[1, 2, 3, 4], &[2, 4, 3], 2),
            (&[1, 1, 2], &[1, 2, 1], 2),
            (&[5, 1, 2, 3], &[1, 9, 2, 9, 3], 3),
        ] {
            assert_eq!(common_subsequence(a, b, &mut Vec::new()), expected, "{a:?} {b:?}");
            assert_eq!(common_subsequence(b, a, &mut Vec::new()), expected, "{b:?} {a:?}");
        }
    }

    #[test]
    fn the_measure_leans_to_recall() {
        assert_eq!(f_measure(0.0, 1.0), 0.0);
        assert_eq!(f_measure(1.0, 1.0), 1.0);
        assert!(f_measure(0.5, 1.0) > f_measure(1.0, 0.5));
    }
}
