//! Files that belong to no workspace: what `score --annotations FILE` and `lint FILE` build stays in the user's
//! cache folder, so that it is not computed twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Global;
use crate::digest::Digest;
use crate::language::Language;
use crate::pipeline::Config;
use crate::pipeline::config::DatasetConfig;
use crate::pipeline::resources::user_folder;
use crate::pipeline::target::UsageError;

/// A name for what a file holds, made of what names may hold.
pub fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect();
    if name.is_empty() { "captions".to_owned() } else { name }
}

/// The settings of a workspace whose one dataset is an annotation file; also its folder and the dataset's name.
pub fn workspace(
    annotations: &Path,
    images: Option<&Path>,
    language: Language,
    global: &Global,
) -> Result<(PathBuf, Config, String)> {
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| format!("cannot name {}", path.display()));
    let annotations = absolute(annotations)?;
    if !annotations.is_file() {
        let text = format!("{} is not a file", annotations.display());
        return Err(UsageError { text, hint: "name an annotation file".to_owned() }.into());
    }
    let images = absolute(images.or(annotations.parent()).unwrap_or(&annotations))?;
    // Files of equal names must not take each other's place.
    let path = Digest::of(annotations.as_os_str().as_encoded_bytes()).short();
    let name = format!("{}_{}", name_of(&annotations), &path[..8]);
    let text = "[datasets]\n[models]\nclip = \"scratch\"\ngpt2 = { en = \"scratch\", zh = \"scratch\" }\n[mappers]\n";
    let mut config = Config::parse(text, &global.parameters)?;
    let dataset = DatasetConfig { annotations, images, language, images_of: None };
    config.datasets = BTreeMap::from([(name.clone(), dataset)]);
    Ok((folder()?, config, name))
}

/// `$XDG_CACHE_HOME/rsic`, by default `~/.cache/rsic`.
fn folder() -> Result<PathBuf> {
    Ok(user_folder("XDG_CACHE_HOME", ".cache").context("there is no home folder; set XDG_CACHE_HOME")?.join("rsic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (file, expected) in [
            ("results/My Model (v2).json", "my_model__v2_"),
            ("ucm_amht.json", "ucm_amht"),
            ("机场.csv", "__"),
            ("", "captions"),
        ] {
            assert_eq!(name_of(Path::new(file)), expected);
        }
    }
}
