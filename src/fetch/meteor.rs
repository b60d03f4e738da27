//! METEOR's tables, out of the `pycocoevalcap` package.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::digest::Digest;

/// The package that carries the tables, with its version.
const PACKAGE: &str = "pycocoevalcap==1.2";

/// The files in the package, what they are called here, and their digests in that version.
const FILES: [(&str, &str, &str); 2] = [
    ("pycocoevalcap/meteor/meteor-1.5.jar", "meteor-1.5.jar", JAR_DIGEST),
    ("pycocoevalcap/meteor/data/paraphrase-en.gz", "data/paraphrase-en.gz", PARAPHRASES_DIGEST),
];
const JAR_DIGEST: &str = "4f10815d172e797cf51db3d36a5496d6ac225f53a9eeaad47f255682f887c728";
const PARAPHRASES_DIGEST: &str = "e90eaea2eaba84d432687676791fe9fc7ed63eba7120b27bde8c3a52776acade";

/// Where the package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The package index, through the pip of this Python.
    Pip(PathBuf),
    /// A wheel that is here already.
    Wheel(PathBuf),
}

/// Why there are no tables.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no such Python.
    #[error("cannot run {python}: {error}", python = python.display())]
    NoPython {
        /// What was called.
        python: PathBuf,
        /// Why it did not run.
        error: io::Error,
    },
    /// Pip did not bring the package; it has said why.
    #[error("pip did not bring {PACKAGE} ({status})")]
    Pip {
        /// How pip ended.
        status: std::process::ExitStatus,
    },
    /// The file is no such package.
    #[error("{file} holds no METEOR: {why}", file = file.display())]
    Package {
        /// The wheel.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file or folder cannot be written or read.
    #[error("cannot write {path}: {error}", path = path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl FetchError {
    /// What the user could do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoPython { .. } | Self::Pip { .. } => {
                Some(format!("download the wheel of {PACKAGE} on another machine and give it with `--from FILE.whl`"))
            }
            Self::Package { .. } => Some(format!("give the wheel of {PACKAGE}")),
            Self::Io { .. } => None,
        }
    }
}

/// Puts METEOR's tables into `folder`, whole or not at all.
///
/// Returns the names of files that are not those of the known version: METEOR may give other numbers with them.
pub fn fetch_meteor(source: &Source, folder: &Path) -> Result<Vec<&'static str>, FetchError> {
    let parent = folder.parent().unwrap_or(folder);
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |error| FetchError::Io { path, error }
    };
    fs::create_dir_all(parent).map_err(fail(parent))?;
    let work = tempfile::Builder::new().prefix(".meteor-").tempdir_in(parent).map_err(fail(parent))?;
    let wheel = match source {
        Source::Wheel(file) => file.clone(),
        Source::Pip(python) => download(python, work.path())?,
    };
    let fresh = work.path().join("meteor");
    fs::create_dir_all(fresh.join("data")).map_err(fail(&fresh))?;
    let unusual = unpack(&wheel, &fresh)?;
    if folder.exists() {
        let old = work.path().join("old");
        fs::rename(folder, &old).map_err(fail(folder))?;
    }
    fs::rename(&fresh, folder).map_err(fail(folder))?;
    Ok(unusual)
}

/// Lets pip download the wheel; what pip says goes to the user.
fn download(python: &Path, folder: &Path) -> Result<PathBuf, FetchError> {
    let status = Command::new(python)
        .args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest"])
        .arg(folder)
        .arg(PACKAGE)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(|error| FetchError::NoPython { python: python.to_owned(), error })?;
    let found = fs::read_dir(folder).ok().into_iter().flatten().flatten().map(|entry| entry.path());
    let wheel = found.filter(|path| path.extension().is_some_and(|extension| extension == "whl")).min();
    wheel.filter(|_| status.success()).ok_or(FetchError::Pip { status })
}

fn unpack(wheel: &Path, folder: &Path) -> Result<Vec<&'static str>, FetchError> {
    let package = |why: String| FetchError::Package { file: wheel.to_owned(), why };
    let file = File::open(wheel).map_err(|error| package(error.to_string()))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| package(error.to_string()))?;
    let mut unusual = Vec::new();
    for (inside, name, digest) in FILES {
        let mut entry = archive.by_name(inside).map_err(|error| package(format!("{inside}: {error}")))?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut entry, &mut bytes).map_err(|error| package(format!("{inside}: {error}")))?;
        if Digest::of(&bytes).to_hex() != digest {
            unusual.push(name);
        }
        let path = folder.join(name);
        let write = File::create(&path).and_then(|mut file| {
            io::Write::write_all(&mut file, &bytes)?;
            file.sync_all()
        });
        write.map_err(|error| FetchError::Io { path, error })?;
    }
    Ok(unusual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_is_unpacked_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("share/meteor");
        let wheel = root.path().join("a.whl");
        // (entries of the wheel, whether it is taken)
        for (entries, taken) in [(&FILES[..1], false), (&FILES[..], true)] {
            let mut archive = zip::ZipWriter::new(File::create(&wheel).unwrap());
            for (inside, ..) in entries {
                archive.start_file(*inside, zip::write::SimpleFileOptions::default()).unwrap();
                io::Write::write_all(&mut archive, inside.as_bytes()).unwrap();
            }
            archive.finish().unwrap();
            let fetched = fetch_meteor(&Source::Wheel(wheel.clone()), &folder);
            assert_eq!(fetched.is_ok(), taken, "{fetched:?}");
            assert_eq!(folder.exists(), taken);
            let left = fs::read_dir(root.path().join("share")).unwrap().count();
            assert_eq!(left, usize::from(taken), "nothing else is left behind");
        }
        assert_eq!(fs::read(folder.join(FILES[0].1)).unwrap(), FILES[0].0.as_bytes());
    }

    #[test]
    fn what_is_no_wheel_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let wheel = root.path().join("a.whl");
        fs::write(&wheel, "<html>").unwrap();
        let error = fetch_meteor(&Source::Wheel(wheel), &root.path().join("meteor")).unwrap_err();
        assert!(error.to_string().contains("holds no METEOR") && error.hint().is_some());
        let python = root.path().join("no-python");
        let error = fetch_meteor(&Source::Pip(python), &root.path().join("meteor")).unwrap_err();
        assert!(matches!(error, FetchError::NoPython { .. }));
    }
}
