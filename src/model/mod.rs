//! Networks, on candle alone: no paths, no tables; weights arrive and leave as bytes.

pub mod adamw;
pub mod captioner;
pub mod clip;
pub mod gpt2;
pub mod init;
pub mod kernel;
pub mod mapper;
pub mod ops;
pub mod scratch;
pub mod search;
pub mod tokenizer;
pub mod train;
pub mod weights;

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

/// The files of one model in Hugging Face layout (`config.json`, `model.safetensors`, `tokenizer.json`, ...), by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// File name -> content.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What messages call this model: a hub id, a folder or an instance.
    pub name: String,
}

impl Bundle {
    /// The content of a file that must be there.
    pub fn file(&self, name: &str) -> Result<&[u8]> {
        let missing = || anyhow!("model {} has no file `{name}` (it has {:?})", self.name, self.files.keys());
        self.files.get(name).map(Vec::as_slice).ok_or_else(missing)
    }
}
