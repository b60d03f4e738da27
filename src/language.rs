//! The closed sets that every layer names: caption languages and dataset splits.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The language of a caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Language {
    /// The ISO 639-1 code, as written in tables and in pipeline.toml.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

impl FromStr for Language {
    type Err = &'static str;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        [Self::En, Self::Zh].into_iter().find(|known| known.code() == code).ok_or("en or zh")
    }
}

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What models learn from.
    Train,
    /// What settings and epochs are chosen by.
    Val,
    /// What is reported.
    Test,
}

impl Split {
    /// All splits, in published order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The name as published: `train`, `val`, `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

impl FromStr for Split {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.name() == name).ok_or("train, val or test")
    }
}
