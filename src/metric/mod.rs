//! Scores of captions against references: Polars queries where a definition is relational (n-grams of captions joined
//! with those of references), functions per sentence or per image elsewhere (cutting words, alignments, resampling).
//!
//! [`score()`] takes the references and the captions as frames and returns every metric per image and over all
//! images, each as a [`Family`]: numbers per image whose sums decide the corpus value. Values equal those of the COCO
//! caption evaluation bit for bit. The definitions stand one per file: [`bleu`], [`meteor`], [`rouge`], [`cider`], and what
//! the original code prints, [`nltk`] and [`cosine`]. [`resample`] gives intervals and paired tests, [`floor`] what every
//! model has to beat.

pub mod bleu;
pub mod cider;
pub mod cosine;
pub mod family;
pub mod floor;
pub mod jieba;
pub mod meteor;
pub mod nltk;
pub mod ptb;
pub mod resample;
pub mod rouge;
pub mod seed_format;
pub mod signature;
pub mod words;

mod arithmetic;
mod ngram;
mod score;

#[cfg(test)]
mod golden_tests;

pub use family::{Family, Metric, Variant};
pub use score::{Measure, Resources, Scores, captions, measures, references, score, score_by};
pub use words::Words;
