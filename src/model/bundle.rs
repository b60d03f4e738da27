//! The files of a model: read as a whole or piece by piece, from memory or from disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;

/// Where the content of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// On disk; large files are read in pieces.
    File(PathBuf),
}

/// What can be read from any place.
pub trait Source: Read + Seek {}

impl<T: Read + Seek> Source for T {}

impl Content {
    /// All of it.
    pub fn read(&self) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                Ok(bytes.into())
            }
        }
    }

    /// A reader that starts at the beginning.
    pub fn open(&self) -> Result<Box<dyn Source>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            Self::File(path) => {
                let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
                Ok(Box::new(BufReader::new(file)))
            }
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// The files of one model in Hugging Face layout (`config.json`, `model.safetensors`, `tokenizer.json`, ...), by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// File name -> content.
    pub files: BTreeMap<String, Content>,
    /// What messages call this model: a hub id, a folder or an instance.
    pub name: String,
}

impl Bundle {
    /// The whole content of a file that must be there.
    pub fn file(&self, name: &str) -> Result<Bytes> {
        self.content(name)?.read()
    }

    /// A file that must be there.
    pub fn content(&self, name: &str) -> Result<&Content> {
        let missing = || anyhow!("model {} has no file `{name}` (it has {:?})", self.name, self.files.keys());
        self.files.get(name).ok_or_else(missing)
    }
}
