//! Why a caption file cannot be used.

/// Captions that cannot be scored; every message names the file and, where there is one, the place in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// Something else than captions, known by how it begins or by what it holds.
    #[error("{file} is {found}; {remedy}")]
    Foreign {
        /// The file's name.
        file: String,
        /// What it is instead.
        found: &'static str,
        /// What to do about it.
        remedy: &'static str,
        /// The command to type, if one helps.
        hint: Option<&'static str>,
    },
    /// No caption in it.
    #[error("{file} holds no captions; was it written to its end?")]
    Empty {
        /// The file's name.
        file: String,
    },
    /// Not UTF-8.
    #[error("{file}:{line}:{column}: not UTF-8 (byte {byte} of the file); save the file as UTF-8")]
    NotUtf8 {
        /// The file's name.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// Byte of the file, from 1.
        byte: usize,
    },
    /// Not JSON, or a JSON value that is neither an image nor a caption.
    #[error("{file}:{line}:{column}: {cause}")]
    Json {
        /// The file's name.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1 (0 for an end of file at the start of a line).
        column: usize,
        /// What is wrong there, and what is wanted.
        cause: String,
    },
    /// A row of a CSV or TSV file without one image and one caption.
    #[error("{file}:{line}: {cause}")]
    Row {
        /// The file's name.
        file: String,
        /// Line on which the row begins, from 1.
        line: usize,
        /// What is wrong there, and what is wanted.
        cause: String,
    },
    /// The captions are not those of the split; all that is wrong, a line each.
    #[error("{}", lines(file, problems))]
    Unfit {
        /// The file's name.
        file: String,
        /// At least one; each counts its cases and names the first few.
        problems: Vec<String>,
        /// What the user could do, if one command helps.
        hint: Option<String>,
    },
}

impl CandidateError {
    /// The command that helps, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign { hint, .. } => hint.map(ToOwned::to_owned),
            Self::Unfit { hint, .. } => hint.clone(),
            Self::Empty { .. } | Self::NotUtf8 { .. } | Self::Json { .. } | Self::Row { .. } => None,
        }
    }
}

fn lines(file: &str, problems: &[String]) -> String {
    problems.iter().map(|problem| format!("{file}: {problem}")).collect::<Vec<_>>().join("\n")
}
