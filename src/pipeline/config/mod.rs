//! `pipeline.toml` as checked types; a mistake is reported with its line, column, key and near spellings.

mod check;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::{RemoteSettings, without_credentials};
use crate::language::Language;
use crate::model::checkpoint::Profile;
use crate::model::scratch::{ScratchClipConfig, ScratchGpt2Config};
use crate::model::search::DecodeConfig;
use crate::stage::attention::AttentionSettings;
use crate::stage::embed::Embed;
use crate::stage::score::Scoring;
use crate::stage::train::{MapperSettings, Training};

pub use text::near;
use text::{invalid_file, near_spelling, set};

/// The file that makes a folder a workspace.
pub const FILE: &str = "pipeline.toml";

/// What `pipeline.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The datasets by name, such as `ucm` and `ucm_cn`.
    pub datasets: BTreeMap<String, DatasetConfig>,
    /// Where the frozen models come from.
    pub models: ModelsConfig,
    /// The mappers by name, such as `amht`.
    pub mappers: BTreeMap<String, MapperSettings>,
    /// The attention encoder-decoders by name, such as `r50`.
    #[serde(default)]
    pub attention: BTreeMap<String, AttentionSettings>,
    /// How images become vectors.
    #[serde(default)]
    pub embed: Embed,
    /// How mappers are trained.
    #[serde(default)]
    pub train: Training,
    /// How captions are decoded.
    #[serde(default)]
    pub caption: Captioning,
    /// Captions that other programs made, by the name of their model.
    #[serde(default)]
    pub captions: BTreeMap<String, CaptionsConfig>,
    /// Mappers that other programs trained, by instance, such as `ucm_clipcap`.
    #[serde(default)]
    pub checkpoints: BTreeMap<String, CheckpointConfig>,
    /// How captions are scored.
    #[serde(default)]
    pub score: ScoreConfig,
    /// The sizes of models that are trained from scratch.
    #[serde(default)]
    pub scratch: ScratchConfig,
    /// Where results are shared.
    #[serde(default)]
    pub store: StoreConfig,
}

/// `[store]`: where results are shared; no key sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `[store.remote]`: a bucket or a folder that other machines use too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteSettings>,
}

/// One dataset: a published annotation file and its image folder, relative to the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// The annotation file.
    pub annotations: PathBuf,
    /// The image folder.
    pub images: PathBuf,
    /// The language of the captions to use.
    pub language: Language,
    /// The dataset whose image embeddings this one shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_of: Option<String>,
}

/// Where the frozen models come from: a local folder in Hugging Face layout (`./path`, `/path`), a hub id
/// with optional revision (`openai/clip-vit-base-patch32@main`), or `scratch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelsConfig {
    /// The image encoder.
    pub clip: String,
    /// The language model by caption language.
    pub gpt2: BTreeMap<Language, String>,
}

/// `[captions.NAME]`: captions made elsewhere, scored as `score/<dataset>_NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionsConfig {
    /// Dataset -> caption file (JSON, JSONL, CSV, TSV or Parquet), relative to the workspace.
    pub files: BTreeMap<String, PathBuf>,
    /// Leave images without a caption out instead of refusing the file.
    #[serde(default)]
    pub allow_missing: bool,
}

/// `[checkpoints.DATASET_MODEL]`: a mapper trained elsewhere, captioned and scored as `score/DATASET_MODEL`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// The file, relative to the workspace.
    pub file: PathBuf,
    /// Attention heads of a transformer mapper, which its weights do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Whether the mapper was trained on image vectors of length 1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub normalize: bool,
    /// Whether the file holds the language model's weights too; its configuration and vocabulary are still those of `gpt2`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_gpt2: bool,
    /// Another image encoder than `models.clip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<String>,
    /// Another language model than `models.gpt2` of the dataset's language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpt2: Option<String>,
    /// Texts that end a caption, besides those of `caption.decoding`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_texts: Vec<String>,
}

impl CheckpointConfig {
    /// What is in the key besides the file.
    pub fn profile(&self) -> Profile {
        Profile { heads: self.heads, normalize: self.normalize, with_gpt2: self.with_gpt2 }
    }
}

/// `[score]`: how intervals are made, and where METEOR and SPICE are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreConfig {
    /// How many bootstrap resamples an interval is made of.
    pub resamples: usize,
    /// The seed of the resamples.
    pub seed: u64,
    /// The share of resamples that an interval holds.
    pub confidence: f64,
    /// Where METEOR's tables are: `auto` (`$RSIC_METEOR`, fetched, or in an installed pycocoevalcap, in this order), `off`,
    /// or a folder with `meteor-1.5.jar` and `data/paraphrase-en.gz`.
    pub meteor: String,
    /// `off`, or the folder with `spice-1.0.jar` and `lib/`.
    pub spice: String,
    /// The Java that runs SPICE.
    pub java: String,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        let Scoring { resamples, seed, confidence } = Scoring::default();
        let (meteor, spice, java) = ("auto".to_owned(), "off".to_owned(), "java".to_owned());
        Self { resamples, seed, confidence, meteor, spice, java }
    }
}

impl ScoreConfig {
    /// What is in the key of scores.
    pub fn scoring(&self) -> Scoring {
        Scoring { resamples: self.resamples, seed: self.seed, confidence: self.confidence }
    }
}

/// `[caption]`: which split, and how to decode; a language may have settings of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Captioning {
    /// The split to caption: `train`, `val` or `test`.
    pub split: crate::language::Split,
    /// The longest caption in tokens, by language.
    pub max_tokens: BTreeMap<Language, usize>,
    /// The decoding settings of all languages.
    pub decoding: DecodeConfig,
}

impl Default for Captioning {
    fn default() -> Self {
        Self {
            split: crate::language::Split::Test,
            max_tokens: BTreeMap::from([(Language::En, 67), (Language::Zh, 80)]),
            decoding: DecodeConfig::default(),
        }
    }
}

/// `[scratch.clip]` and `[scratch.gpt2]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScratchConfig {
    /// The small image and text pair.
    pub clip: ScratchClipConfig,
    /// The small language model.
    pub gpt2: ScratchGpt2Config,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no workspace here.
    #[error("no {FILE} in {0}")]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is not valid; the text names line, column and key.
    #[error("{place}: {text}")]
    Invalid {
        /// File, line and column, or the `-p` override.
        place: String,
        /// What is wrong, with the offending line.
        text: String,
        /// A near spelling.
        hint: Option<String>,
    },
}

impl ConfigError {
    /// What the user could do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) => {
                Some("go to a workspace, name one with `-C DIR`, or make one with `rsic demo DIR`".to_owned())
            }
            Self::Unreadable(..) => None,
            Self::Invalid { hint, .. } => hint.clone(),
        }
    }
}

impl Config {
    /// Reads `pipeline.toml` of the workspace `root` and applies `overrides` such as `train.epochs=3`.
    pub fn load(root: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let path = root.join(FILE);
        // A pipe that nobody writes to would be waited for without end.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(ConfigError::Unreadable(path, std::io::Error::other("it is not a file")));
        }
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ConfigError::Missing(root.to_owned()));
            }
            Err(error) => return Err(ConfigError::Unreadable(path, error)),
        };
        Self::parse(&text, overrides)
    }

    /// Parses the text of a `pipeline.toml`.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| invalid_file(text, &error))?;
        if !overrides.is_empty() {
            let mut table: toml::Table = toml::from_str(text).map_err(|error| invalid_file(text, &error))?;
            for item in overrides {
                let bad = |text: String, hint| ConfigError::Invalid {
                    place: without_credentials(&format!("-p {item}")),
                    text,
                    hint,
                };
                set(&mut table, item).map_err(|text| bad(text, None))?;
                config = table.clone().try_into().map_err(|error: toml::de::Error| {
                    bad(error.message().to_owned(), near_spelling(error.message()))
                })?;
            }
        }
        if let Err(wrong) = config.check(text) {
            // If the file alone is in order, an override is to blame.
            let file_is_right = toml::from_str::<Self>(text).is_ok_and(|file| file.check(text).is_ok());
            return Err(match wrong {
                ConfigError::Invalid { text, hint, .. } if file_is_right => ConfigError::Invalid {
                    place: without_credentials(&format!("-p {}", overrides.join(" -p "))),
                    text,
                    hint,
                },
                other => other,
            });
        }
        Ok(config)
    }

    /// Checks settings that were changed after they were read.
    pub fn recheck(&self) -> Result<(), ConfigError> {
        self.check("")
    }
}
