//! Getting what is not ours to ship.

mod meteor;

pub use meteor::{FetchError, Source, fetch_meteor};
