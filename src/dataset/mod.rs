//! Published annotation files -> rows, with a linter for everything odd in them.
