//! Truncated, changed and lying files.
