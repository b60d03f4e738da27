//! The whole-program tests, in one binary.
