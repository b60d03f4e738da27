//! Scores of captions against references, as Polars queries over the tables.
//!
//! [`score()`] takes the references and the captions as frames and returns every metric per image and over all
//! images. Values equal those of the COCO caption evaluation bit for bit, words being those of [`ptb`] for
//! English and of [`jieba`] for Chinese. The definitions stand one per file: [`bleu`], [`rouge`], [`cider`].

pub mod bleu;
pub mod cider;
pub mod floor;
pub mod jieba;
pub mod ptb;
pub mod rouge;
pub mod seed_format;

mod arithmetic;
mod ngram;
mod score;

#[cfg(test)]
mod golden_tests;

pub use score::{CorpusScore, ImageScore, Scores, captions, references, score};

use crate::language::Language;

/// How sentences of a language are split into words, as written in the `variant` column.
pub fn variant(language: Language) -> &'static str {
    match language {
        Language::En => "ptb",
        Language::Zh => "jieba",
    }
}

/// The words of a caption, joined by one blank.
pub fn words(language: Language, caption: &str) -> String {
    match language {
        Language::En => ptb::tokenize(caption),
        Language::Zh => jieba::tokenize(caption),
    }
}
