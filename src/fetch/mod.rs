//! Getting what is not ours to ship.

pub mod hub;
mod meteor;

pub use meteor::{FetchError, Source, fetch_meteor};
