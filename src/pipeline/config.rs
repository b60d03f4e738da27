//! `pipeline.toml` as checked types; a mistake is reported with its line, column, key and near spellings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::graph::Floor;
use super::models::SCRATCH;
use crate::language::Language;
use crate::model::checkpoint::Profile;
use crate::model::scratch::{ScratchClipConfig, ScratchGpt2Config};
use crate::model::search::DecodeConfig;
use crate::stage::embed::Embed;
use crate::stage::score::Scoring;
use crate::stage::train::{MapperSettings, Training};

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
                let bad = |text: String, hint| ConfigError::Invalid { place: format!("-p {item}"), text, hint };
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
                ConfigError::Invalid { text, hint, .. } if file_is_right => {
                    ConfigError::Invalid { place: format!("-p {}", overrides.join(" -p ")), text, hint }
                }
                other => other,
            });
        }
        Ok(config)
    }

    /// Checks settings that were changed after they were read.
    pub fn recheck(&self) -> Result<(), ConfigError> {
        self.check("")
    }

    /// What types cannot say.
    fn check(&self, text: &str) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: String, hint: Option<String>| {
            Err(ConfigError::Invalid { place: place_of_key(text, key), text: message, hint })
        };
        for (name, dataset) in &self.datasets {
            let key = format!("datasets.{name}");
            if !is_name(name) {
                return wrong(&key, format!("dataset name `{name}` may hold only a-z, 0-9, `-` and `_`"), None);
            }
            if !self.models.gpt2.contains_key(&dataset.language) {
                let code = dataset.language.code();
                return wrong(
                    "models",
                    format!("dataset `{name}` has captions in `{code}`, but `models.gpt2` names no model for it"),
                    Some(format!("add `{code} = \"...\"` to `gpt2`")),
                );
            }
            let Some(base) = &dataset.images_of else { continue };
            match self.datasets.get(base) {
                None => {
                    let hint = near(base, self.datasets.keys().map(String::as_str));
                    return wrong(
                        &key,
                        format!("`images_of` of dataset `{name}` names `{base}`, which is no dataset"),
                        hint,
                    );
                }
                Some(other) if other.images_of.is_some() => {
                    return wrong(
                        &key,
                        format!("`images_of` goes in a circle or a chain: `{name}` -> `{base}` -> ..."),
                        Some("name the dataset that owns the images".to_owned()),
                    );
                }
                Some(_) => {}
            }
        }
        for (name, mapper) in &self.mappers {
            let key = format!("mappers.{name}");
            if !is_name(name) || name.ends_with("_gpt") || is_floor(name) {
                let floors = Floor::ALL.map(Floor::name).join("`, `");
                let rule = format!("may hold only a-z, 0-9, `-` and `_`, not end in `_gpt`, and not be `{floors}`");
                let why = format!("mapper name `{name}` {rule}");
                return wrong(&key, why, None);
            }
            if let Err(message) = mapper.check() {
                return wrong(&key, format!("mapper `{name}`: {message}"), None);
            }
        }
        for (name, captions) in &self.captions {
            let key = format!("captions.{name}");
            if !is_name(name) || is_floor(name) {
                let floors = Floor::ALL.map(Floor::name).join("`, `");
                let rule = format!("may hold only a-z, 0-9, `-` and `_`, and not be `{floors}`");
                return wrong(&key, format!("captions name `{name}` {rule}"), None);
            }
            if let Some(dataset) = captions.files.keys().find(|dataset| !self.datasets.contains_key(*dataset)) {
                let hint = near(dataset, self.datasets.keys().map(String::as_str));
                return wrong(
                    &key,
                    format!("`files` of captions `{name}` names `{dataset}`, which is no dataset"),
                    hint,
                );
            }
        }
        for (name, checkpoint) in &self.checkpoints {
            let key = format!("checkpoints.{name}");
            if let Err((message, hint)) = self.check_checkpoint(name, checkpoint) {
                return wrong(&key, message, Some(hint));
            }
        }
        if let Err(message) = self.train.check() {
            return wrong("train", message, None);
        }
        if let Err((key, message)) = self.check_model_names() {
            return wrong(&key, message, Some("give one of them another name".to_owned()));
        }
        if let Err(message) = self.score.scoring().check() {
            return wrong("score", message, None);
        }
        for (key, checked) in [("scratch.clip", self.scratch.clip.check()), ("scratch.gpt2", self.scratch.gpt2.check())]
        {
            if let Err(error) = checked {
                return wrong(key, format!("[{key}]: {error:#}"), None);
            }
        }
        for &max_tokens in self.caption.max_tokens.values() {
            if let Err(error) = self.caption.decoding.check(max_tokens) {
                return wrong("caption", format!("[caption]: {error:#}"), None);
            }
        }
        for language in self.models.gpt2.keys() {
            if self.caption.max_tokens.get(language).is_none_or(|&n| n == 0) {
                let code = language.code();
                return wrong("caption", format!("`caption.max_tokens` needs a positive number for `{code}`"), None);
            }
        }
        Ok(())
    }

    fn check_checkpoint(&self, name: &str, checkpoint: &CheckpointConfig) -> Result<(), (String, String)> {
        let Some((_, model)) = self.dataset_of(name) else {
            let datasets: Vec<&str> = self.datasets.keys().map(String::as_str).collect();
            let hint = format!("there are the datasets {}", datasets.join(", "));
            return Err((format!("checkpoint `{name}` is not named DATASET_MODEL, such as `ucm_clipcap`"), hint));
        };
        if self.datasets.contains_key(name) {
            let hint = "choose another name for the model".to_owned();
            return Err((format!("checkpoint `{name}` has the name of a dataset"), hint));
        }
        if !is_name(model) || model.ends_with("_gpt") || is_floor(model) {
            let message = format!("checkpoint `{name}`: `{model}` cannot be the name of a model");
            return Err((message, "a-z, 0-9, `-` and `_`, not ending in `_gpt`, and not that of a floor".to_owned()));
        }
        if checkpoint.heads == Some(0) {
            return Err((format!("checkpoint `{name}`: `heads` must be at least 1"), "ClipCap's have 8".to_owned()));
        }
        if checkpoint.gpt2.as_deref() == Some(SCRATCH) || checkpoint.clip.as_deref() == Some(SCRATCH) {
            let message = format!("checkpoint `{name}`: \"scratch\" is a setting of [models] alone");
            return Err((message, "name a folder or a hub id".to_owned()));
        }
        Ok(())
    }

    /// Dataset and model of an instance `DATASET_MODEL`; of several datasets that fit, the one with the longest name.
    pub fn dataset_of<'a>(&self, instance: &'a str) -> Option<(&'a str, &'a str)> {
        let split = |dataset: &String| {
            let model = instance.strip_prefix(dataset.as_str())?.strip_prefix('_')?;
            Some((&instance[..dataset.len()], model))
        };
        self.datasets.keys().filter_map(split).max_by_key(|(dataset, _)| dataset.len())
    }

    /// The names of what captions a dataset (floors, captions made elsewhere, and mappers with all their runs), each with
    /// the key that defines it.
    pub fn models(&self, dataset: &str) -> Vec<(String, String)> {
        let mut models: Vec<(String, String)> =
            Floor::ALL.iter().map(|floor| (floor.name().to_owned(), "datasets".to_owned())).collect();
        let files = self.captions.iter().filter(|(_, captions)| captions.files.contains_key(dataset));
        models.extend(files.map(|(name, _)| (name.clone(), format!("captions.{name}"))));
        let own = |name: &&String| self.dataset_of(name).is_some_and(|(owner, _)| owner == dataset);
        let checkpoints = self.checkpoints.keys().filter(own);
        models.extend(checkpoints.map(|name| (name[dataset.len() + 1..].to_owned(), format!("checkpoints.{name}"))));
        for mapper in self.mappers.keys() {
            for model in [mapper.clone(), format!("{mapper}_gpt")] {
                if self.train.seeds.len() > 1 {
                    let runs = self.train.seeds.iter().map(|seed| format!("{model}_seed{seed}"));
                    models.extend(runs.map(|run| (run, format!("mappers.{mapper}"))));
                }
                models.push((model, format!("mappers.{mapper}")));
            }
        }
        models
    }

    /// Every `<dataset>_<model>` must mean one thing; else the key to blame and what is wrong.
    fn check_model_names(&self) -> Result<(), (String, String)> {
        let mut known: BTreeMap<String, (&str, String, String)> = BTreeMap::new();
        for dataset in self.datasets.keys() {
            for (model, key) in self.models(dataset) {
                let name = format!("{dataset}_{model}");
                if let Some((other, other_model, other_key)) =
                    known.insert(name.clone(), (dataset, model.clone(), key.clone()))
                {
                    let message = if other == dataset {
                        format!("`{name}` is defined twice, by [{other_key}] and by [{key}]")
                    } else {
                        format!(
                            "`{name}` could be `{model}` on dataset `{dataset}` or `{other_model}` on dataset `{other}`"
                        )
                    };
                    return Err((key, message));
                }
            }
        }
        Ok(())
    }
}

fn is_floor(name: &str) -> bool {
    Floor::ALL.iter().any(|floor| floor.name() == name)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Puts `a.b.c=value` into `table`; the value is TOML, or a string when it is not valid TOML.
fn set(table: &mut toml::Table, item: &str) -> Result<(), String> {
    let (path, value) = item.split_once('=').ok_or("an override is written KEY=VALUE")?;
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok();
    let value = parsed.and_then(|mut t| t.remove("value")).unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or("the key is empty")?;
    let mut here = table;
    for key in keys {
        let next = here.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        here = next.as_table_mut().ok_or_else(|| format!("`{key}` is a value, not a table"))?;
    }
    here.insert(last.to_owned(), value);
    Ok(())
}

fn invalid_file(text: &str, error: &toml::de::Error) -> ConfigError {
    let place = match error.span() {
        Some(span) => position(text, span.start),
        None => FILE.to_owned(),
    };
    let line = error.span().and_then(|span| {
        let start = text[..span.start.min(text.len())].rfind('\n').map_or(0, |at| at + 1);
        text[start..].lines().next().map(|line| format!("\n  | {}", line.trim_end()))
    });
    let message = error.message().replace('\n', ", ");
    let hint = near_spelling(error.message());
    ConfigError::Invalid { place, text: format!("{message}{}", line.unwrap_or_default()), hint }
}

fn position(text: &str, offset: usize) -> String {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |s| s.chars().count()) + 1;
    format!("{FILE}:{line}:{column}")
}

/// The position of the table header `[key]`, or of its parent, for errors that concern a whole table.
fn place_of_key(text: &str, key: &str) -> String {
    let parent = key.rsplit_once('.').map_or(key, |(parent, _)| parent);
    let line_of = |key: &str| text.lines().position(|line| line.trim_start().starts_with(&format!("[{key}]")));
    line_of(key).or_else(|| line_of(parent)).map_or_else(|| FILE.to_owned(), |line| format!("{FILE}:{}:1", line + 1))
}

/// Reads serde's ``unknown field `x`, expected one of `a`, `b` `` and proposes the nearest name.
fn near_spelling(message: &str) -> Option<String> {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let is_unknown = message.contains("unknown field") || message.contains("unknown variant");
    let (&wrong, expected) = quoted.split_first().filter(|_| is_unknown)?;
    near(wrong, expected.iter().copied())
}

/// `did you mean ...?` for the candidates close to `wrong`.
pub fn near<'a>(wrong: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut scored: Vec<(f64, &str)> =
        candidates.map(|name| (strsim::jaro_winkler(wrong, name), name)).filter(|(score, _)| *score > 0.75).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.truncate(3);
    let names: Vec<String> = scored.iter().map(|(_, name)| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
}
