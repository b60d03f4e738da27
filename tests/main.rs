//! The whole-program tests, in one binary: they type what users type and look at what users see.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on should stop")]

mod accept;
mod attention;
mod checkpoints;
mod cli;
mod errors;
mod fetch;
mod full_disk;
mod hostile;
mod interop;
mod keys;
mod layers;
mod mounts;
mod plan;
mod remote;
mod repeat;
mod sandbox;
mod scale;
mod scoring;
mod stale;
mod store;
mod store_damage;
mod store_refused;
mod store_rights;
mod together;
mod unsteady;
mod versions;
