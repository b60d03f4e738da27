//! `rsic`: remote sensing image captioning as a dataflow pipeline on a content-addressed cache.
//!
//! Layers point one way, from the bottom up:
//!
//! | layer | modules | job |
//! | --- | --- | --- |
//! | 0 | [`digest`], [`language`], [`table`] | hashes, languages and splits, schemas of all tables |
//! | 1 | [`cache`], [`dataset`], [`fetch`], [`picture`], [`metric`], [`model`], [`sample`] | bytes; annotation and caption files; downloads; pixels; scores; networks; the demo's data |
//! | 2 | [`stage`] | one file per stage kind: the only place where tables and models meet |
//! | 3 | [`pipeline`] | `pipeline.toml` -> graph -> plan -> run; decides only from keys |
//! | 4 | [`command`], [`ui`] | one file per subcommand; the only code that prints |

pub mod digest;
pub mod language;
pub mod progress;
pub mod table;

pub mod cache;
pub mod dataset;
pub mod fetch;
pub mod metric;
pub mod model;
pub mod picture;
pub mod sample;

pub mod stage;

pub mod pipeline;

pub mod command;
pub mod ui;

#[cfg(test)]
pub(crate) mod shared;
