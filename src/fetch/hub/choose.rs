//! Which files of a repository are wanted.

use super::error::HubError;
use super::name::{check_file, printable};

/// Which files of a model are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files<'a> {
    /// All that a model is read from: configuration, weights in one form, tokenizer and preprocessor.
    Model,
    /// All but the weights.
    Tokenizer,
    /// Exactly these, by their names in the repository, such as `RemoteCLIP-ViT-B-32.pt`.
    Named(&'a [&'a str]),
}

/// What every model has.
pub const CONFIG: &str = "config.json";
/// Weights, best first: whole before in shards, safetensors before PyTorch's. A list of shards ends in `.index.json`.
const WEIGHTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
/// How pictures are prepared for an image encoder.
pub const PREPROCESSOR: &str = "preprocessor_config.json";
/// What tokenizers of all kinds are read from.
pub const TOKENIZER: &[&str] = &[
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

impl Files<'_> {
    /// Chooses from the files that the repository of the model `id` has; the shards of weights come later.
    ///
    /// Small files come first: what is wrong with them is known before the large ones are fetched.
    pub(super) fn choose(self, id: &str, there: &[String]) -> Result<Vec<String>, HubError> {
        let has = |name: &str| there.iter().any(|file| file == name);
        let lacks = |lacks| {
            let loadable = |file: &&String| [".pt", ".safetensors", ".bin"].iter().any(|end| file.ends_with(end));
            let others = there.iter().filter(loadable).map(|file| printable(file)).take(5).collect();
            HubError::NoModel { id: id.to_owned(), lacks, others }
        };
        if let Self::Named(names) = self {
            for name in names {
                check_file(name)?;
            }
            return Ok(names.iter().map(|name| (*name).to_owned()).collect());
        }
        if !has(CONFIG) {
            return Err(lacks(CONFIG));
        }
        let mut chosen = vec![CONFIG];
        let beside = std::iter::once(PREPROCESSOR).chain(TOKENIZER.iter().copied());
        chosen.extend(beside.filter(|name| has(name)));
        if self == Self::Model {
            let weights = WEIGHTS.into_iter().find(|name| has(name));
            chosen.push(weights.ok_or_else(|| lacks("model.safetensors or pytorch_model.bin"))?);
        }
        Ok(chosen.into_iter().map(str::to_owned).collect())
    }
}

/// Whether the file lists the shards of weights.
pub(super) fn lists_shards(name: &str) -> bool {
    WEIGHTS.contains(&name) && name.ends_with(".index.json")
}

/// The shards that the list of weights `index` names, sorted; `None` if it is no such list.
pub(super) fn shards(index: &[u8]) -> Result<Option<Vec<String>>, HubError> {
    let json: serde_json::Value = serde_json::from_slice(index).unwrap_or_default();
    let Some(map) = json["weight_map"].as_object() else { return Ok(None) };
    let mut names: Vec<String> = map.values().filter_map(|name| name.as_str()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    for name in &names {
        check_file(name)?;
    }
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn one_form_of_weights_and_what_stands_beside_it() {
        for (name, files, there, expected) in [
            (
                "safetensors win",
                Files::Model,
                &["README.md", "pytorch_model.bin", "model.safetensors", "config.json", "tf_model.h5"][..],
                &["config.json", "model.safetensors"][..],
            ),
            (
                "PyTorch's, with its tokenizer",
                Files::Model,
                &["vocab.txt", "pytorch_model.bin", "config.json", "../vocab.json"],
                &["config.json", "vocab.txt", "pytorch_model.bin"],
            ),
            (
                "shards of safetensors before PyTorch's whole",
                Files::Model,
                &["config.json", "pytorch_model.bin", "model.safetensors.index.json"],
                &["config.json", "model.safetensors.index.json"],
            ),
            (
                "no weights for a tokenizer",
                Files::Tokenizer,
                &["config.json", "model.safetensors", "tokenizer.json"],
                &["config.json", "tokenizer.json"],
            ),
            ("named files need not be listed", Files::Named(&["a/x.pt"]), &[], &["a/x.pt"]),
        ] {
            assert_eq!(files.choose("a/b", &owned(there)).unwrap(), owned(expected), "{name}");
        }
    }

    #[test]
    fn what_is_no_model_is_said() {
        for (there, message, hint) in [
            (&["x.pt", "README.md"][..], "a/b has no config.json", "rsic fetch a/b --file x.pt"),
            (&["config.json"], "a/b has no model.safetensors or pytorch_model.bin", "refs/pr/N"),
            (&["config.json", "flax.safetensors"], "a/b has no model.safetensors or", "--file flax.safetensors"),
        ] {
            let error = Files::Model.choose("a/b", &owned(there)).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        }
        let error = Files::Named(&["../x.pt"]).choose("a/b", &[]).unwrap_err();
        assert!(matches!(error, HubError::BadFileName { .. }));
    }

    #[test]
    fn shards_are_read_from_the_list() {
        let index = br#"{"weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}}"#;
        assert_eq!(shards(index).unwrap(), Some(owned(&["m-1.safetensors", "m-2.safetensors"])));
        assert_eq!(shards(b"[]").unwrap(), None);
        assert!(matches!(shards(br#"{"weight_map": {"a": "../m"}}"#), Err(HubError::BadFileName { .. })));
        assert!(lists_shards("model.safetensors.index.json") && !lists_shards("model.safetensors"));
    }
}
