//! Where METEOR's tables and the SPICE program are on this machine.

use std::path::{Path, PathBuf};

/// The source that means: look in the usual places.
const AUTO: &str = "auto";
/// The source that means: do without.
const OFF: &str = "off";

/// The two files of METEOR 1.5 that hold its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeteorFiles {
    /// The program's archive, with synonyms and function words in it.
    pub jar: PathBuf,
    /// The paraphrases.
    pub paraphrases: PathBuf,
}

impl MeteorFiles {
    /// The files in a METEOR folder, or in a pycocoevalcap package; they need not be there.
    pub fn in_folder(folder: &Path) -> Self {
        let inner = folder.join("meteor");
        let folder = if inner.is_dir() { &inner } else { folder };
        Self { jar: folder.join("meteor-1.5.jar"), paraphrases: folder.join("data/paraphrase-en.gz") }
    }

    /// Whether both are there.
    pub fn exist(&self) -> bool {
        self.jar.is_file() && self.paraphrases.is_file()
    }
}

/// METEOR's files by the setting `score.meteor`; a folder that was named is taken even if nothing is in it.
pub fn meteor(source: &str, root: &Path) -> Option<MeteorFiles> {
    match source {
        OFF => None,
        AUTO => usual_places().iter().map(|place| MeteorFiles::in_folder(place)).find(MeteorFiles::exist),
        folder => Some(MeteorFiles::in_folder(&expand(folder, root))),
    }
}

/// The folder that `rsic fetch meteor` writes: `$XDG_DATA_HOME/rsic/meteor`, by default `~/.local/share/rsic/meteor`.
pub fn fetched_meteor() -> Option<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let data = data.or_else(|| Some(std::env::home_dir()?.join(".local/share")))?;
    Some(data.join("rsic/meteor"))
}

/// `$RSIC_METEOR`, what was fetched, then installed packages: active environments, the Pythons on the path, the user's.
fn usual_places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = std::env::var_os("RSIC_METEOR").map(PathBuf::from).into_iter().collect();
    places.extend(fetched_meteor());
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(std::env::var_os).map(PathBuf::from).collect();
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        if folder.join("python3").exists() {
            prefixes.extend(folder.parent().map(Path::to_owned));
        }
    }
    prefixes.extend(std::env::home_dir().map(|home| home.join(".local")));
    for prefix in prefixes {
        let Ok(versions) = std::fs::read_dir(prefix.join("lib")) else { continue };
        let mut versions: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
        versions.retain(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python3")));
        versions.sort();
        for packages in versions.iter().flat_map(|v| [v.join("site-packages"), v.join("dist-packages")]) {
            places.push(packages.join("pycocoevalcap"));
        }
    }
    places
}

/// The SPICE program and its libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiceFiles {
    /// The program.
    pub jar: PathBuf,
    /// The folder of its libraries.
    pub lib: PathBuf,
}

/// SPICE's files by the setting `score.spice`.
pub fn spice(source: &str, root: &Path) -> Option<SpiceFiles> {
    if source == OFF {
        return None;
    }
    let folder = expand(source, root);
    Some(SpiceFiles { jar: folder.join("spice-1.0.jar"), lib: folder.join("lib") })
}

fn expand(folder: &str, root: &Path) -> PathBuf {
    match (folder.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => root.join(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_folder_is_taken_as_it_is_and_a_package_is_entered() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(meteor(OFF, root), None);
        assert_eq!(spice(OFF, root), None);
        assert_eq!(meteor("m", root).unwrap().jar, root.join("m/meteor-1.5.jar"));
        std::fs::create_dir_all(root.join("m/meteor/data")).unwrap();
        let files = meteor("m", root).unwrap();
        assert_eq!(files.paraphrases, root.join("m/meteor/data/paraphrase-en.gz"));
        assert!(!files.exist());
        assert_eq!(spice("s", root).unwrap().lib, root.join("s/lib"));
    }
}
