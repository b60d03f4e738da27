//! The attention baseline: a network's feature maps, a vocabulary of words, and a decoder that looks at the cells of a map.

mod caption;
mod maps;
mod train;
mod vocabulary;

use anyhow::{Result, ensure};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::features::Store;
use crate::model::attend::AttendTraining;
use crate::model::search::{DecodeConfig, Method};

pub use caption::{CAPTION_VERSION, CaptionByAttention};
pub use train::{TRAIN_VERSION, TrainAttention};
pub use vocabulary::{BuildVocabulary, VOCABULARY_VERSION};

/// `[attention.NAME]`: an attention encoder-decoder, captioned and scored as `score/<dataset>_NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionSettings {
    /// The network that makes feature maps: a `ResNet` as a folder or hub id, or `scratch`, the small image encoder that is trained from
    /// the data at hand.
    pub encoder: String,
    /// How feature maps are stored.
    #[serde(default)]
    pub store: Store,
    /// Cells along a side of the grid to which maps are averaged; absent, the decoder looks at a map as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<usize>,
    /// Which words there are.
    #[serde(default)]
    pub vocabulary: VocabularySettings,
    /// The decoder's widths.
    #[serde(default)]
    pub decoder: Widths,
    /// How the decoder is trained.
    #[serde(default)]
    pub train: AttendTraining,
    /// How the encoder is trained along in `<dataset>_NAME_ft`, which there is unless the encoder is `scratch`.
    #[serde(default)]
    pub finetune: Finetune,
    /// How captions are searched for.
    #[serde(default = "beam_of_five", deserialize_with = "set_aside_unless_told")]
    pub decoding: DecodeConfig,
    /// Whether the weights of the cells are kept as a column of the captions.
    #[serde(default)]
    pub keep_attention: bool,
}

/// Which words a decoder knows, and which captions it learns from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VocabularySettings {
    /// A word must occur more often than this in the train captions.
    pub min_word_freq: u32,
    /// Captions of more words are not learnt from, and none longer are written.
    pub max_words: usize,
}

impl Default for VocabularySettings {
    fn default() -> Self {
        Self { min_word_freq: 5, max_words: 50 }
    }
}

/// The widths of a decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Widths {
    /// In which cells and state are compared.
    pub attention_dim: usize,
    /// Of a word's embedding.
    pub embed_dim: usize,
    /// Of the LSTM's state.
    pub decoder_dim: usize,
}

impl Default for Widths {
    fn default() -> Self {
        Self { attention_dim: 512, embed_dim: 512, decoder_dim: 512 }
    }
}

/// How an encoder is trained along with the decoder; the defaults are the tutorial's.
///
/// Statistics of batch normalisations stay as they are, which the tutorial's do not. Training sees maps as 32-bit floats, captioning as they
/// are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Finetune {
    /// The learning rate at the beginning; it falls with the decoder's.
    pub lr: f64,
    /// The first of the stages 1 to 4 that is trained.
    pub from_stage: usize,
}

impl Default for Finetune {
    fn default() -> Self {
        Self { lr: 1e-4, from_stage: 2 }
    }
}

fn beam_of_five() -> DecodeConfig {
    DecodeConfig { method: Method::BeamSetAside, width: 5, ..DecodeConfig::default() }
}

/// Decoding settings whose method, where none is named, is that of [`beam_of_five`].
fn set_aside_unless_told<'de, D: Deserializer<'de>>(given: D) -> Result<DecodeConfig, D::Error> {
    let mut given = Map::<String, Value>::deserialize(given)?;
    given.entry("method").or_insert_with(|| Method::BeamSetAside.name().into());
    serde_json::from_value(given.into()).map_err(D::Error::custom)
}

/// The largest side of a grid: of more cells than a picture has pixels nothing is learnt.
const LARGEST_GRID: usize = 256;
/// The largest width of a decoder: one of this width has 2 GB of weights.
const WIDEST: usize = 1 << 13;

impl AttentionSettings {
    /// What types cannot say.
    pub fn check(&self) -> Result<()> {
        let grid = self.grid.unwrap_or(1);
        ensure!((1..=LARGEST_GRID).contains(&grid), "`grid` must be 1 to {LARGEST_GRID}, not {grid}");
        let Widths { attention_dim, embed_dim, decoder_dim } = self.decoder;
        for (name, width) in [("attention_dim", attention_dim), ("embed_dim", embed_dim), ("decoder_dim", decoder_dim)]
        {
            ensure!((1..=WIDEST).contains(&width), "`decoder.{name}` must be 1 to {WIDEST}, not {width}");
        }
        ensure!(self.vocabulary.max_words > 0, "`vocabulary.max_words` must be at least 1");
        let Finetune { lr, from_stage } = self.finetune;
        ensure!(lr.is_finite() && lr > 0.0, "`finetune.lr` must be a positive number, not {lr}");
        ensure!((1..=4).contains(&from_stage), "`finetune.from_stage` must be 1 to 4, not {from_stage}");
        self.train.check()?;
        self.decoding.check(self.max_tokens())
    }

    /// The longest caption in tokens, its end among them.
    pub fn max_tokens(&self) -> usize {
        self.vocabulary.max_words + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_the_tutorials_value() {
        let parse = |text: &str| toml::from_str::<AttentionSettings>(&format!("encoder = \"x\"\n{text}"));
        let plain = parse("").unwrap();
        assert_eq!(plain.decoding, beam_of_five());
        assert_eq!((plain.train.lr, plain.train.stop_after, plain.vocabulary.max_words), (4e-4, 20, 50));
        // The rest of a table that is given in part keeps its defaults, the method among them.
        let wider = parse("decoding = { width = 3 }").unwrap().decoding;
        assert_eq!(wider, DecodeConfig { width: 3, ..beam_of_five() });
        let greedy = parse("decoding = { method = \"greedy\" }").unwrap().decoding;
        assert_eq!(greedy.method, Method::Greedy);
        for (text, words) in [("decoding = { widht = 3 }", "widht"), ("decoding = { method = \"best\" }", "best")] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("line 2"), "{error}");
        }
    }
}
