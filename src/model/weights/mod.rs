//! Tensors from files: SafeTensors or PyTorch checkpoints, whole or in shards, always as `f32` where they are floats.
//!
//! Only what a file says of its tensors is read at first; the numbers of a tensor are read when a network takes it. A
//! PyTorch checkpoint is read as data: nothing in it is ever executed.

mod convert;
mod fault;
mod file;
mod tensors;
pub mod torch;

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::Tensor;

use super::{Bundle, Content};

pub use file::{Beside, Entry, Format, TensorFile};
pub use tensors::Tensors;
pub use torch::Dtype;

/// Tensors by name.
pub type Weights = BTreeMap<String, Tensor>;

/// Reads all weights of a model; see [`Tensors::open`].
///
/// Floats of any width become `f32`; integer tensors keep their type.
pub fn load(bundle: &Bundle) -> Result<Weights> {
    Tensors::open(bundle)?.into_weights()
}

/// Reads all tensors of a file in memory.
pub fn parse(bytes: &[u8]) -> Result<Weights> {
    TensorFile::open(&Content::from(bytes.to_vec()))?.into_weights()
}

#[cfg(test)]
mod tests;
