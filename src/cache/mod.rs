//! The content-addressed store: bytes, keys and records; it knows nothing of their meaning.
