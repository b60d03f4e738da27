//! What the types of `pipeline.toml` cannot say: names, references between tables, ranges.

use std::collections::BTreeMap;

use super::text::{near, place_of_key};
use super::{CheckpointConfig, Config, ConfigError};
use crate::cache::RemoteSettings;
use crate::pipeline::graph::Floor;
use crate::pipeline::models::SCRATCH;

/// Two of them, a suffix and an extension make a file name, which may have 255 bytes.
const LONGEST_NAME: usize = 80;

impl Config {
    /// What types cannot say.
    pub(super) fn check(&self, text: &str) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: String, hint: Option<String>| {
            Err(ConfigError::Invalid { place: place_of_key(text, key), text: message, hint })
        };
        if let Some(Err(error)) = self.store.remote.as_ref().map(RemoteSettings::check) {
            return wrong("store.remote", error.to_string(), None);
        }
        for (table, name) in self.names() {
            if name.len() > LONGEST_NAME {
                let key = format!("{table}.{name}");
                return wrong(&key, format!("a name in [{table}] is longer than {LONGEST_NAME} bytes"), None);
            }
        }
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
        for (name, attention) in &self.attention {
            let key = format!("attention.{name}");
            if !is_name(name) || name.ends_with("_ft") || is_floor(name) {
                let floors = Floor::ALL.map(Floor::name).join("`, `");
                let rule = format!("may hold only a-z, 0-9, `-` and `_`, not end in `_ft`, and not be `{floors}`");
                return wrong(&key, format!("attention name `{name}` {rule}"), None);
            }
            if let Some(dataset) =
                self.datasets.keys().find(|dataset| self.dataset_of(dataset).is_some_and(|(_, model)| model == name))
            {
                let why = format!("attention `{name}` on another dataset would have the name of dataset `{dataset}`");
                return wrong(&key, why, Some("give one of them another name".to_owned()));
            }
            if let Err(error) = attention.check() {
                return wrong(&key, format!("attention `{name}`: {error:#}"), None);
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

    /// All names that become parts of file names, with the tables that they stand in.
    fn names(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let datasets = self.datasets.keys().map(|name| ("datasets", name));
        let mappers = self.mappers.keys().map(|name| ("mappers", name));
        let attention = self.attention.keys().map(|name| ("attention", name));
        let captions = self.captions.keys().map(|name| ("captions", name));
        datasets
            .chain(mappers)
            .chain(attention)
            .chain(captions)
            .chain(self.checkpoints.keys().map(|name| ("checkpoints", name)))
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

    /// The names of what captions a dataset (floors, captions made elsewhere, mappers and attention models with all their runs), each with
    /// the key that defines it.
    pub fn models(&self, dataset: &str) -> Vec<(String, String)> {
        let mut models: Vec<(String, String)> =
            Floor::ALL.iter().map(|floor| (floor.name().to_owned(), "datasets".to_owned())).collect();
        let files = self.captions.iter().filter(|(_, captions)| captions.files.contains_key(dataset));
        models.extend(files.map(|(name, _)| (name.clone(), format!("captions.{name}"))));
        let own = |name: &&String| self.dataset_of(name).is_some_and(|(owner, _)| owner == dataset);
        let checkpoints = self.checkpoints.keys().filter(own);
        models.extend(checkpoints.map(|name| (name[dataset.len() + 1..].to_owned(), format!("checkpoints.{name}"))));
        let mappers = self.mappers.keys();
        let mappers = mappers
            .flat_map(|name| [name.clone(), format!("{name}_gpt")].map(|model| (model, format!("mappers.{name}"))));
        let attention = self.attention.iter().flat_map(|(name, attention)| {
            // A scratch encoder is not fine-tuned.
            let tuned = (attention.encoder != SCRATCH).then(|| format!("{name}_ft"));
            [Some(name.clone()), tuned].into_iter().flatten().map(move |model| (model, format!("attention.{name}")))
        });
        for (model, key) in mappers.chain(attention) {
            if self.train.seeds.len() > 1 {
                let runs = self.train.seeds.iter().map(|seed| format!("{model}_seed{seed}"));
                models.extend(runs.map(|run| (run, key.clone())));
            }
            models.push((model, key));
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
