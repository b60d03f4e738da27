//! Scores of captions against references, as Polars queries over the tables.
