//! Why an annotation file cannot be used.

use crate::language::Language;

/// An annotation file that cannot become rows; every message names the file and the place in it.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Not JSON, or not JSON of the expected form.
    #[error("{file}:{line}:{column}: {cause}")]
    Json {
        /// The file's name.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1 (0 for an end of file at the start of a line).
        column: usize,
        /// What is wrong there.
        cause: String,
    },
    /// The list of images is empty.
    #[error("{file}: `images` is empty; an annotation file lists at least one image")]
    NoImages {
        /// The file's name.
        file: String,
    },
    /// A split other than train, val and test.
    #[error("{file}: image {position} (`{filename}`): unknown split `{found}`; splits are train, val and test")]
    UnknownSplit {
        /// The file's name.
        file: String,
        /// Which entry of `images`, from 1.
        position: usize,
        /// The image's file name.
        filename: String,
        /// The text that stands where the split should.
        found: String,
    },
    /// A file name that could lead out of the image folder, or none.
    #[error("{file}: image {position}: file name {filename:?} {cause}; a plain name such as `1.tif` is wanted")]
    UnsafeName {
        /// The file's name.
        file: String,
        /// Which entry of `images`, from 1.
        position: usize,
        /// The name as published.
        filename: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// Two images share what must be unique.
    #[error("{file}: image {second} repeats the {field} {value} of image {first}; each image needs its own")]
    Repeated {
        /// The file's name.
        file: String,
        /// The JSON field.
        field: &'static str,
        /// The repeated value.
        value: String,
        /// Which entry of `images` has it first, from 1.
        first: usize,
        /// Which entry of `images` repeats it, from 1.
        second: usize,
    },
    /// Captions without text in the wanted language.
    #[error("{file}: {missing} of {total} captions have no `{field}`, first in {examples}; {remedy}",
        field = field(*language), remedy = remedy(*language))]
    MissingText {
        /// The file's name.
        file: String,
        /// The wanted language.
        language: Language,
        /// How many captions lack it.
        missing: usize,
        /// How many captions there are.
        total: usize,
        /// The first few, by image and sentence.
        examples: String,
    },
}

/// The JSON field that holds a caption in `language`.
pub(super) fn field(language: Language) -> &'static str {
    match language {
        Language::En => "raw",
        Language::Zh => "raw_chinese",
    }
}

fn remedy(language: Language) -> &'static str {
    match language {
        Language::En => "every sentence needs its text",
        Language::Zh => "is this the English file? English captions are never used for a Chinese set",
    }
}
