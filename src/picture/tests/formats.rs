//! One row per colour type and container.
