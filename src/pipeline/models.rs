//! Where the frozen models come from: a folder, the user's Hugging Face cache, or `scratch`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::resources;
use crate::fetch::hub::{CONFIG, PREPROCESSOR, TOKENIZER, cache_folder};

/// The source that means: train a small one from the data at hand.
pub const SCRATCH: &str = "scratch";

/// What a model is read for, which decides the files that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Images to vectors.
    ImageEncoder,
    /// Images to feature maps.
    MapEncoder,
    /// Text to token ids.
    Tokenizer,
    /// Token ids to text: weights and tokenizer.
    LanguageModel,
    /// What kind of network it is.
    Config,
}

const WEIGHTS: &[&str] = &["model.safetensors", "pytorch_model.bin"];
/// Lists of weights in several files, in the order of [`WEIGHTS`].
const SHARDS: &[&str] = &["model.safetensors.index.json", "pytorch_model.bin.index.json"];

impl Role {
    /// Whether a file of the model is read in this role.
    pub fn reads(self, file: &str) -> bool {
        let groups: &[&[&str]] = match self {
            Self::ImageEncoder => &[&[CONFIG], WEIGHTS, &[PREPROCESSOR]],
            Self::MapEncoder => &[&[CONFIG], WEIGHTS],
            Self::Tokenizer => &[&[CONFIG], TOKENIZER],
            Self::LanguageModel => &[&[CONFIG], WEIGHTS, TOKENIZER],
            Self::Config => &[&[CONFIG]],
        };
        groups.iter().any(|group| group.contains(&file))
    }

    /// Where pipeline.toml names such a model.
    fn setting(self) -> &'static str {
        match self {
            Self::MapEncoder => "`encoder` of the [attention.NAME] table",
            _ => "`models`",
        }
    }

    fn needs_weights(self) -> bool {
        matches!(self, Self::ImageEncoder | Self::MapEncoder | Self::LanguageModel)
    }
}

/// A model's files that are read in one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// What messages call the model.
    pub name: String,
    /// File name -> path.
    pub files: BTreeMap<String, PathBuf>,
}

/// Why a model cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoModel {
    /// The reason.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

/// Looks for each model once, however many instances read it.
pub struct Finder {
    root: PathBuf,
    found: RefCell<BTreeMap<(String, Role), Result<ModelFiles, NoModel>>>,
}

impl Finder {
    /// Has found nothing yet; relative folders are below `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), found: RefCell::default() }
    }

    /// The files of `source` that are read in one role; see [`find`].
    pub fn find(&self, source: &str, role: Role) -> Result<ModelFiles, NoModel> {
        let mut found = self.found.borrow_mut();
        found.entry((source.to_owned(), role)).or_insert_with(|| find(source, &self.root, role)).clone()
    }
}

/// Finds the files of `source` on this machine; nothing is downloaded.
pub fn find(source: &str, root: &Path, role: Role) -> Result<ModelFiles, NoModel> {
    let folder = if is_folder(source) { folder(source, root, role)? } else { in_hub_cache(source, role)? };
    let mut files = BTreeMap::new();
    for name in [&[CONFIG], WEIGHTS, &[PREPROCESSOR], TOKENIZER].concat() {
        let path = folder.join(name);
        if role.reads(name) && path.is_file() {
            files.insert(name.to_owned(), path);
        }
    }
    if role.needs_weights() {
        keep_one_form_of_weights(&folder, &mut files);
    }
    let lacks = |what: &str| NoModel {
        why: format!("model {source}: {} has no {what}", folder.display()),
        hint: "the folder must be in Hugging Face layout: config.json, model.safetensors, tokenizer files".to_owned(),
    };
    if !files.contains_key(CONFIG) {
        return Err(lacks("config.json"));
    }
    if role.needs_weights() && !WEIGHTS.iter().chain(SHARDS).any(|name| files.contains_key(*name)) {
        return Err(lacks("model.safetensors or pytorch_model.bin"));
    }
    Ok(ModelFiles { name: source.to_owned(), files })
}

/// Of several forms of the same weights one is read: safetensors before PyTorch's, whole before in shards.
fn keep_one_form_of_weights(folder: &Path, files: &mut BTreeMap<String, PathBuf>) {
    for (whole, list) in WEIGHTS.iter().zip(SHARDS) {
        if let Some(found) = files.remove(*whole) {
            for other in WEIGHTS {
                files.remove(*other);
            }
            files.insert((*whole).to_owned(), found);
            return;
        }
        let path = folder.join(list);
        let Ok(text) = std::fs::read(&path) else { continue };
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let shards = json["weight_map"].as_object().into_iter().flat_map(|map| map.values());
        // A list that climbs out of its folder is not followed; loading then names the missing shard.
        let shards = shards.filter_map(|name| name.as_str()).filter(|name| !name.contains(['/', '\\']));
        for name in shards {
            files.insert(name.to_owned(), folder.join(name));
        }
        files.insert((*list).to_owned(), path);
        return;
    }
}

/// Whether a source is a hub id.
pub fn is_on_hub(source: &str) -> bool {
    source != SCRATCH && !is_folder(source)
}

/// Hub id and revision of a source, `ORG/NAME@REVISION`; the revision is `main` where none is named.
pub fn id_and_revision(source: &str) -> (&str, &str) {
    source.split_once('@').unwrap_or((source, "main"))
}

fn is_folder(source: &str) -> bool {
    source.starts_with('.') || source.starts_with('/') || source.starts_with('~')
}

fn folder(source: &str, root: &Path, role: Role) -> Result<PathBuf, NoModel> {
    let path = resources::expand(source, root);
    if path.is_dir() {
        return Ok(path);
    }
    Err(NoModel {
        why: format!("model folder {} does not exist", path.display()),
        hint: format!("set {} in pipeline.toml to a folder, a hub id, or \"scratch\"", role.setting()),
    })
}

fn in_hub_cache(source: &str, role: Role) -> Result<PathBuf, NoModel> {
    let (id, revision) = id_and_revision(source);
    let cache = cache_folder(&|name| std::env::var_os(name));
    let repo = cache.join(format!("models--{}", id.replace('/', "--")));
    // A revision is a branch, a tag or `refs/pr/N` (a file that holds the commit), or the commit itself.
    let read = |name: &str| std::fs::read_to_string(repo.join("refs").join(name));
    let short = revision.strip_prefix("refs/").unwrap_or(revision);
    let commit = read(revision).or_else(|_| read(short));
    let commit = commit.map_or_else(|_| revision.to_owned(), |text| text.trim().to_owned());
    let snapshot = repo.join("snapshots").join(&commit);
    if snapshot.is_dir() {
        return Ok(snapshot);
    }
    Err(NoModel {
        why: format!("model {source} is not in the Hugging Face cache {}", cache.display()),
        hint: match role {
            Role::MapEncoder => format!(
                "fetch it with `rsic fetch {source}`, or train a small one from the data: `-p attention.NAME.encoder=scratch`"
            ),
            _ => format!(
                "fetch it with `rsic fetch {source}`, or train small models from the data: \
                 `-p models.clip=scratch -p models.gpt2.en=scratch -p models.gpt2.zh=scratch`"
            ),
        },
    })
}
