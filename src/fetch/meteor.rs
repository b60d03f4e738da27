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
    let old = work.path().join("old");
    if folder.exists() {
        fs::rename(folder, &old).map_err(fail(folder))?;
    }
    if let Err(error) = fs::rename(&fresh, folder) {
        if old.exists() {
            fs::rename(&old, folder).map_err(fail(folder))?;
        }
        return Err(fail(folder)(error));
    }
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
        check(name, &bytes).map_err(|why| package(format!("{inside}: {why}")))?;
        let write = File::create(&path).and_then(|mut file| {
            io::Write::write_all(&mut file, &bytes)?;
            file.sync_all()
        });
        write.map_err(|error| FetchError::Io { path, error })?;
    }
    Ok(unusual)
}

/// Refuses what only has the name of a table.
fn check(name: &str, bytes: &[u8]) -> Result<(), String> {
    if name == FILES[1].1 {
        let mut first = [0];
        let unpacked = io::Read::read_exact(&mut flate2::read::GzDecoder::new(bytes), &mut first);
        return unpacked.map_err(|error| format!("not gzip: {error}"));
    }
    let mut jar = zip::ZipArchive::new(io::Cursor::new(bytes)).map_err(|error| error.to_string())?;
    jar.by_name("synonym/english.synsets").map(|_| ()).map_err(|error| format!("synonym/english.synsets: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in files {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            io::Write::write_all(&mut archive, bytes).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    /// A file of the right kind.
    fn content(inside: &str) -> Vec<u8> {
        if inside == FILES[0].0 {
            return zipped(&[("synonym/english.synsets", Vec::new())]);
        }
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packed, b"a table").unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn a_wheel_is_unpacked_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("share/meteor");
        let wheel = root.path().join("a.whl");
        // (entries of the wheel, whether it is taken)
        for (entries, taken) in [(&FILES[..1], false), (&FILES[..], true)] {
            let files: Vec<(&str, Vec<u8>)> = entries.iter().map(|(inside, ..)| (*inside, content(inside))).collect();
            fs::write(&wheel, zipped(&files)).unwrap();
            let fetched = fetch_meteor(&Source::Wheel(wheel.clone()), &folder);
            assert_eq!(fetched.is_ok(), taken, "{fetched:?}");
            assert_eq!(folder.exists(), taken);
            let left = fs::read_dir(root.path().join("share")).unwrap().count();
            assert_eq!(left, usize::from(taken), "nothing else is left behind");
        }
        assert_eq!(fs::read(folder.join(FILES[0].1)).unwrap(), content(FILES[0].0));
        // What has the names only does not replace what is there.
        let files: Vec<(&str, Vec<u8>)> = FILES.iter().map(|(inside, ..)| (*inside, b"no table".to_vec())).collect();
        fs::write(&wheel, zipped(&files)).unwrap();
        assert!(fetch_meteor(&Source::Wheel(wheel), &folder).is_err());
        assert_eq!(fs::read(folder.join(FILES[0].1)).unwrap(), content(FILES[0].0));
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
