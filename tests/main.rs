//! The whole-program tests, in one binary: they type what users type and look at what users see.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on should stop")]

mod attention;
mod checkpoints;
mod cli;
mod errors;
mod fetch;
mod interop;
mod layers;
mod remote;
mod repeat;
mod sandbox;
mod scoring;
mod stale;
mod store;
