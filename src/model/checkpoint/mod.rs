//! Trained mappers as files: what training here writes, and what other programs wrote (ClipCap and code made from it).
//!
//! Every file becomes the same thing: tensors under ClipCap's names, `clip_project.*` for the mapper and, where the
//! language model was trained along, `gpt.transformer.*`, with the mapper's configuration as JSON in the file's notes.

mod adopt;
mod export;
mod infer;
mod inspect;
mod trained;

pub use adopt::{Adopted, Profile};
pub use export::{Export, ExportFormat, export};
pub use infer::{Gpt2Shape, MapperShape};
pub use inspect::{Guess, Inspection, TensorRow, inspect};
pub(crate) use trained::named;
pub use trained::{GPT_PREFIX, MAPPER_KEY, MAPPER_PREFIX, TrainedWeights, read_weights, save_weights};

#[cfg(test)]
mod tests;
