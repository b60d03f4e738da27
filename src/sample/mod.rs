//! The sample dataset that `rsic demo` renders: drawn scenes with captions in two languages.
