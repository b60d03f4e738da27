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

/// METEOR's files by the setting `score.meteor`; a folder that is named there or by `$RSIC_METEOR` is taken even if nothing
/// is in it, so that a wrong name is an error and not another table.
pub fn meteor(source: &str, root: &Path) -> Option<MeteorFiles> {
    match source {
        OFF => None,
        AUTO => match std::env::var_os("RSIC_METEOR") {
            Some(folder) => Some(MeteorFiles::in_folder(Path::new(&folder))),
            None => usual_places().iter().map(|place| MeteorFiles::in_folder(place)).find(MeteorFiles::exist),
        },
        folder => Some(MeteorFiles::in_folder(&expand(folder, root))),
    }
}

/// The folder that `rsic fetch meteor` writes: `$XDG_DATA_HOME/rsic/meteor`, by default `~/.local/share/rsic/meteor`.
pub fn fetched_meteor() -> Option<PathBuf> {
    Some(user_folder("XDG_DATA_HOME", ".local/share")?.join("rsic/meteor"))
}

/// What was fetched, then installed packages: active environments, the Pythons on the path, the user's.
fn usual_places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = fetched_meteor().into_iter().collect();
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

/// The program that the setting `score.java` names: a path like others, or a name to look for on the path.
pub fn java(program: &str, root: &Path) -> PathBuf {
    if program.contains('/') { expand(program, root) } else { program.into() }
}

/// A path of pipeline.toml: below the home folder where it begins with `~/`, else relative to the workspace.
pub(super) fn expand(path: &str, root: &Path) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => root.join(path),
    }
}

/// A folder of the user by the variable that names it, else below the home folder (XDG base directories).
pub fn user_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(std::env::home_dir()?.join(below_home)))
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
        assert_eq!(java("java", root), Path::new("java"));
        assert_eq!(java("./jdk/java", root), root.join("./jdk/java"));
    }
}
