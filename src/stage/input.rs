//! The declared inputs of a stage, loaded when they are asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::RecordBatch;

use crate::cache::CacheError;
use crate::digest::Digest;
use crate::model::{Bundle, Content};

/// Where an output of another stage is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The instance that made it.
    pub instance: String,
    /// The output.
    pub output: String,
    /// The file.
    pub path: PathBuf,
}

/// An output whose digest is right and which is no table all the same: whoever wrote it is another program.
#[derive(Debug, thiserror::Error)]
#[error("output `{}` of {} is no table of ours: {}: {why}", origin.output, origin.instance, origin.path.display())]
pub struct ForeignTable {
    /// The output.
    pub origin: Origin,
    /// What is wrong with it.
    pub why: String,
}

impl ForeignTable {
    /// Decodes a table that was read from `origin`.
    pub fn read(bytes: Vec<u8>, origin: &Origin) -> Result<RecordBatch, Self> {
        let foreign = |error: anyhow::Error| Self { origin: origin.clone(), why: format!("{error:#}") };
        crate::table::read(bytes).map_err(foreign)
    }

    /// What the user can do about it.
    pub fn hint(&self) -> String {
        format!("`rsic clean --cache {}` forgets it; the next build makes it anew", self.origin.instance)
    }
}

/// The digests that source files had when the key was made; nothing is expected of other files.
#[derive(Clone, Debug, Default)]
pub struct Expected(pub Arc<BTreeMap<PathBuf, Digest>>);

impl Expected {
    /// Fails with [`CacheError::ChangedWhileRead`] if the file is another one; `digest` is that of what was read.
    pub fn check(&self, path: &Path, digest: impl FnOnce() -> std::io::Result<Digest>) -> Result<()> {
        let Some(expected) = self.0.get(path) else { return Ok(()) };
        let found = digest().with_context(|| format!("cannot read {}", path.display()))?;
        if found == *expected { Ok(()) } else { Err(CacheError::ChangedWhileRead(path.to_owned()).into()) }
    }
}

/// One input, with the means to load it.
pub enum Loaded {
    /// The verified bytes of an output of another stage, and where they are from.
    Object(Box<dyn Fn() -> Result<Vec<u8>> + Send + Sync>, Origin),
    /// A source file.
    File(PathBuf, Expected),
    /// A folder of source files, known by what the tables say of its files.
    Folder(PathBuf, Expected),
    /// The files of a model, by name.
    Model {
        /// What messages call the model.
        name: String,
        /// The files and the means to load each.
        files: BTreeMap<String, Loaded>,
    },
}

impl Loaded {
    fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::Object(load, _) => load(),
            Self::File(path, expected) => {
                let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                expected.check(path, || Ok(Digest::of(&bytes)))?;
                Ok(bytes)
            }
            Self::Folder(path, _) => bail!("{} is a folder", path.display()),
            Self::Model { name, .. } => bail!("{name} is a model, not a file"),
        }
    }

    /// Sources stay on disk until they are read; they are verified now and again after the stage. Outputs of others are loaded.
    fn content(&self) -> Result<Content> {
        match self {
            Self::File(path, expected) => {
                expected.check(path, || Digest::of_reader(File::open(path)?))?;
                Ok(Content::File(path.clone()))
            }
            other => Ok(other.bytes()?.into()),
        }
    }
}

/// All inputs of a stage, by name.
#[derive(Default)]
pub struct Inputs(pub BTreeMap<String, Loaded>);

impl Inputs {
    fn get(&self, name: &str) -> Result<&Loaded> {
        self.0.get(name).ok_or_else(|| anyhow!("the stage asked for the input `{name}`, which it does not declare"))
    }

    /// Whether the stage was given this input.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A table input.
    pub fn table(&self, name: &str) -> Result<RecordBatch> {
        let loaded = self.get(name)?;
        let bytes = loaded.bytes()?;
        match loaded {
            Loaded::Object(_, origin) => Ok(ForeignTable::read(bytes, origin)?),
            _ => crate::table::read(bytes).with_context(|| format!("input `{name}`")),
        }
    }

    /// The bytes of a file input.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        self.get(name)?.bytes()
    }

    /// The path of a source file or folder.
    pub fn path(&self, name: &str) -> Result<&Path> {
        match self.get(name)? {
            Loaded::File(path, _) | Loaded::Folder(path, _) => Ok(path),
            _ => bail!("input `{name}` is not a source"),
        }
    }

    /// What the files of a source file or folder must be.
    pub fn expected(&self, name: &str) -> Result<&Expected> {
        match self.get(name)? {
            Loaded::File(_, expected) | Loaded::Folder(_, expected) => Ok(expected),
            _ => bail!("input `{name}` is not a source"),
        }
    }

    /// A file input that need not be read as a whole.
    pub fn content(&self, name: &str) -> Result<Content> {
        self.get(name)?.content()
    }

    /// The files of a model input.
    pub fn bundle(&self, name: &str) -> Result<Bundle> {
        let Loaded::Model { name: model, files } = self.get(name)? else { bail!("input `{name}` is not a model") };
        let mut bundle = Bundle { name: model.clone(), ..Bundle::default() };
        for (file, loaded) in files {
            bundle.files.insert(file.clone(), loaded.content()?);
        }
        Ok(bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_not_the_expected_one_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dataset.json");
        std::fs::write(&path, "new").unwrap();
        for (name, expected, fails) in [
            ("nothing is known", None, false),
            ("the same", Some(&b"new"[..]), false),
            ("another", Some(&b"old"[..]), true),
        ] {
            let digests = expected.map(|bytes| (path.clone(), Digest::of(bytes))).into_iter().collect();
            let source = Loaded::File(path.clone(), Expected(Arc::new(digests)));
            let inputs = Inputs(BTreeMap::from([("annotations".to_owned(), source)]));
            for read in [inputs.bytes("annotations").map(|_| ()), inputs.content("annotations").map(|_| ())] {
                let changed = read.as_ref().is_err_and(
                    |error| matches!(error.downcast_ref(), Some(CacheError::ChangedWhileRead(file)) if *file == path),
                );
                assert_eq!((read.is_err(), changed), (fails, fails), "{name}");
            }
        }
    }
}
