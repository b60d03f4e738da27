//! PyTorch checkpoints, the files of `torch.save`: read without executing what is pickled in them, and written.
//!
//! A checkpoint is a zip archive: `NAME/data.pkl` is a pickle of everything but the tensors' elements, which lie in
//! `NAME/data/KEY`, one entry for each storage. The format is described at
//! <https://docs.pytorch.org/docs/stable/notes/serialization.html>, pickles in Python's `pickletools`.

mod archive;
mod error;
mod known;
mod named;
mod opcode;
mod pickle;
mod resolve;
mod stream;
mod value;
mod view;
mod write;

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use zip::ZipArchive;

pub use error::TorchError;
pub use named::{Entry, Named, named_tensors};
pub use value::{Dtype, TensorInfo, Value};
pub use write::{Item, write};

/// Where notes lie in the archive.
const NOTES: &str = "notes/";
/// The longest note, in bytes.
const MAX_NOTE: u64 = 1 << 20;

/// An open checkpoint. Only the directory of the archive and `data.pkl` are in memory.
#[derive(Debug)]
pub struct TorchFile<R> {
    archive: ZipArchive<R>,
    /// What stands before `data.pkl` in the names of the archive: `NAME/`.
    folder: String,
    /// Whether the elements lie in big-endian order.
    big: bool,
    root: Value,
}

impl<R: Read + Seek> TorchFile<R> {
    /// Reads the directory and `data.pkl`; the tensors' elements stay where they are.
    ///
    /// `reader` is a zip archive: what else a file may be is told before. Fails with the kind of archive if it is no checkpoint, and where `data.pkl` is damaged or larger than 64 MB.
    pub fn open(reader: R) -> Result<Self, TorchError> {
        let mut archive = ZipArchive::new(reader)?;
        let folder = archive::folder(&archive)?;
        let pickle = archive::entry(&mut archive, &format!("{folder}data.pkl"), pickle::MAX_BYTES)?;
        let order = format!("{folder}byteorder");
        let big = match archive.index_for_name(&order) {
            // PyTorch before 2.1 does not say; it was hardly ever run on a big-endian machine.
            None => false,
            Some(_) => match archive::entry(&mut archive, &order, 16)?.trim_ascii() {
                b"little" => false,
                b"big" => true,
                _ => return Err(TorchError::Damaged { what: format!("`{order}` is neither `little` nor `big`") }),
            },
        };
        let root = pickle::parse(&pickle)?;
        Ok(Self { archive, folder, big, root })
    }

    /// The texts that [`write()`] put beside the tensors, by name.
    pub fn notes(&mut self) -> Result<BTreeMap<String, String>, TorchError> {
        let folder = format!("{}{NOTES}", self.folder);
        let names = self.archive.file_names().filter_map(|name| name.ok().map(String::from));
        let names: Vec<String> = names.filter(|name| name.starts_with(&folder)).collect();
        let mut notes = BTreeMap::new();
        for name in names {
            let bytes = archive::entry(&mut self.archive, &name, MAX_NOTE)?;
            notes.insert(name[folder.len()..].to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(notes)
    }

    /// Everything that was saved.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// Reads the elements of a tensor: little-endian, in row-major order, `elements * dtype.size()` bytes.
    ///
    /// Of an uncompressed archive only the bytes from the tensor's first to its last element are read. Fails with
    /// [`TorchError::Storage`] if the tensor reaches beyond its storage, and with [`TorchError::Damaged`] if the
    /// archive ends early or, where a tensor fills its storage, if the checksum is wrong.
    pub fn read(&mut self, info: &TensorInfo) -> Result<Vec<u8>, TorchError> {
        let span = view::span(info)?;
        if span.is_empty() {
            return Ok(Vec::new());
        }
        let name = format!("{}data/{}", self.folder, info.storage);
        let index = self.archive.index_for_name(&name);
        let index = index.ok_or_else(|| info.fault(format!("the archive has no entry `{name}`")))?;
        let mut bytes = view::bytes(&mut self.archive, index, info, &span)?;
        if !view::is_contiguous(info) {
            bytes = view::gather(&bytes, info)?;
        }
        if self.big {
            bytes.chunks_exact_mut(info.dtype.swapped()).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
