//! Metrics as sums: what one image adds, and how values are read off the sums.
//!
//! Every corpus value here is a function of sums over images. So one form serves a single image, a corpus, a bootstrap
//! resample and two systems whose captions are exchanged.

use super::arithmetic::mean;
use super::resample::Additive;
use super::{bleu, meteor, nltk};
use crate::language::Language;

/// A metric, or several that share their counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// BLEU-1 to BLEU-4 of the COCO caption evaluation.
    Bleu,
    /// METEOR 1.5.
    Meteor,
    /// ROUGE-L.
    RougeL,
    /// CIDEr-D.
    CiderD,
    /// Plain CIDEr.
    Cider,
    /// SPICE.
    Spice,
    /// BLEU-1 to BLEU-4 of nltk with the original's weights.
    NltkBleu,
    /// What the original calls CIDEr for Chinese.
    CharacterCosine,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 8] = [
        Self::Bleu,
        Self::Meteor,
        Self::RougeL,
        Self::CiderD,
        Self::Cider,
        Self::Spice,
        Self::NltkBleu,
        Self::CharacterCosine,
    ];

    /// The names of its values, as in the `metric` column.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Bleu => &bleu::NAMES,
            Self::Meteor => &["METEOR"],
            Self::RougeL => &["ROUGE-L"],
            Self::CiderD => &["CIDEr-D"],
            Self::Cider => &["CIDEr"],
            Self::Spice => &["SPICE"],
            Self::NltkBleu => &nltk::NAMES,
            Self::CharacterCosine => &["character-cosine"],
        }
    }

    /// The name of the whole family, as in the `family` column of stored statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bleu => "BLEU",
            Self::NltkBleu => "nltk-BLEU",
            single => single.names()[0],
        }
    }

    /// How many numbers an image adds.
    pub fn width(self) -> usize {
        match self {
            Self::Bleu | Self::NltkBleu => bleu::WIDTH,
            Self::Meteor => meteor::COUNTS,
            Self::RougeL | Self::CiderD | Self::Cider | Self::Spice | Self::CharacterCosine => 1,
        }
    }

    /// The values of `images` images whose numbers have these sums, one per name.
    pub fn values(self, sums: &[f64], images: usize) -> Vec<f64> {
        match self {
            Self::Bleu => bleu::values(sums).to_vec(),
            Self::NltkBleu => nltk::values(sums).to_vec(),
            Self::Meteor => vec![sums.first_chunk().map_or(f64::NAN, meteor::score_of_sums)],
            Self::RougeL | Self::CiderD | Self::Cider | Self::Spice | Self::CharacterCosine => {
                vec![sums[0] / images as f64]
            }
        }
    }
}

/// A named set of metrics over one way of cutting words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// Penn Treebank words: what English captioning papers report.
    Ptb,
    /// jieba's words, for Chinese.
    Jieba,
    /// Characters, for Chinese.
    Characters,
    /// What the original code prints; for comparison with its numbers alone.
    Seed,
}

impl Variant {
    /// All variants.
    pub const ALL: [Self; 4] = [Self::Ptb, Self::Jieba, Self::Characters, Self::Seed];

    /// The variant that captions of a language are usually compared by.
    pub fn of(language: Language) -> Self {
        match language {
            Language::En => Self::Ptb,
            Language::Zh => Self::Jieba,
        }
    }

    /// The name in the `variant` column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ptb => "ptb",
            Self::Jieba => "jieba",
            Self::Characters => "characters",
            Self::Seed => "seed",
        }
    }
}

/// One metric over one set of captions.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The metric.
    pub metric: Metric,
    /// The variant it belongs to.
    pub variant: Variant,
    /// What each image adds, row-major `f64[images, width]`.
    pub rows: Vec<f64>,
}

impl Family {
    /// The values of one image.
    pub fn image(&self, image: usize) -> Vec<f64> {
        let width = self.metric.width();
        self.metric.values(&self.rows[image * width..][..width], 1)
    }

    /// The values over all images, rounded as the reference implementations round: means by pairwise sums.
    pub fn corpus(&self) -> Vec<f64> {
        let width = self.metric.width();
        if width == 1 {
            return vec![mean(&self.rows)];
        }
        self.metric.values(&self.sums(), self.rows.len() / width)
    }

    /// The sums over all images. Where there are several they are whole numbers, so exact in any order.
    pub(super) fn sums(&self) -> Vec<f64> {
        let width = self.metric.width();
        let mut sums = vec![0.0; width];
        for row in self.rows.chunks(width) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        sums
    }
}

impl Additive for Family {
    fn width(&self) -> usize {
        self.metric.width()
    }

    fn rows(&self) -> &[f64] {
        &self.rows
    }

    fn values(&self, sums: &[f64], images: usize) -> Vec<f64> {
        self.metric.values(sums, images)
    }
}
