//! What can be wrong with a checkpoint.

use std::io;

use zip::result::ZipError;

/// Why a PyTorch checkpoint cannot be read or written, with the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The file is something else.
    #[error("the file is not a checkpoint of torch.save: {why}")]
    NotTorch {
        /// What was found in its place.
        why: &'static str,
    },
    /// The file is a program with weights, written by `torch.jit.save`.
    #[error(
        "the file is a TorchScript program: load it with torch.jit.load(...) and save its weights with \
         torch.save(model.state_dict(), ...)"
    )]
    TorchScript,
    /// The weights lie inside a Python object, which only its own program can take apart.
    #[error(
        "the file holds an object of the Python class `{class}`, not tensors by name: load it in Python and save its \
         weights with torch.save(model.state_dict(), ...)"
    )]
    WholeModel {
        /// `module.name` of the class.
        class: String,
    },
    /// No tensor has a name.
    #[error("the file holds no tensors by name ({what}): save the weights with torch.save(model.state_dict(), ...)")]
    NoTensors {
        /// What it holds.
        what: String,
    },
    /// The archive is cut short or contradicts itself.
    #[error("the file is damaged or cut short: {what}; download it again or save it again")]
    Damaged {
        /// The contradiction.
        what: String,
    },
    /// `data.pkl` is damaged, hostile or uses what no checkpoint needs.
    #[error(
        "cannot read data.pkl at byte {offset} ({opcode}): {why}; if PyTorch loads the file, save its weights alone with \
         torch.save(model.state_dict(), ...)"
    )]
    Pickle {
        /// Where the instruction begins, in bytes from the start of `data.pkl`.
        offset: usize,
        /// Its name in Python's `pickletools`.
        opcode: String,
        /// What is wrong with it.
        why: String,
    },
    /// A tensor does not fit the bytes that it lies in.
    #[error("cannot read a tensor in storage `{storage}`: {why}")]
    Storage {
        /// Key of the storage: `data/KEY` in the archive.
        storage: String,
        /// What does not fit.
        why: String,
    },
    /// The tensors to write contradict each other.
    #[error("cannot write the checkpoint: {what}")]
    Unwritable {
        /// The contradiction.
        what: String,
    },
    /// Reading or writing itself failed.
    #[error("cannot access the checkpoint: {0}")]
    Io(#[from] io::Error),
}

impl From<ZipError> for TorchError {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) if !damage(error.kind()) => Self::Io(error),
            error => Self::Damaged { what: error.to_string() },
        }
    }
}

/// Fault of the bytes, not of the medium: the zip reader tells of both through `io::Error`.
fn damage(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

/// Takes an error that came while the content of an archive was read.
pub(super) fn content(error: io::Error) -> TorchError {
    TorchError::from(ZipError::Io(error))
}
