//! Networks, on candle alone: no tables; weights arrive as files that are read piece by piece, and leave as bytes.

pub mod adamw;
pub mod attend;
pub mod bundle;
pub mod captioner;
pub mod checkpoint;
pub mod clip;
pub mod feature_map;
pub mod gpt2;
pub mod init;
pub mod kernel;
pub mod mapper;
pub mod ops;
pub mod resnet;
mod saved;
pub mod scratch;
pub mod search;
pub mod tokenizer;
pub mod train;
pub mod weights;

pub use bundle::{Bundle, Content};
