//! Files that are no captions at all: known by how they begin, and named for what they are.

use super::CandidateError;

/// (how it begins, what it is, the remedy)
const MAGIC: &[(&[u8], &str, &str)] = &[
    (b"PAR1", "a Parquet file", "it is read by its columns, not as text"),
    (b"PK\x03\x04", "a zip archive", "unpack it, and give the file with the captions"),
    (b"\x1F\x8B", "packed with gzip", "unpack it with `gunzip`"),
    (b"\x28\xB5\x2F\xFD", "packed with zstd", "unpack it with `unzstd`"),
    (b"\xFD7zXZ\0", "packed with xz", "unpack it with `unxz`"),
    (b"BZh", "packed with bzip2", "unpack it with `bunzip2`"),
    (b"\x93NUMPY", "a NumPy array", "write the captions with Python's `json.dump`"),
    (b"\x80\x02", PICKLE, "write the captions with Python's `json.dump`"),
    (b"\x80\x03", PICKLE, "write the captions with Python's `json.dump`"),
    (b"\x80\x04", PICKLE, "write the captions with Python's `json.dump`"),
    (b"\x80\x05", PICKLE, "write the captions with Python's `json.dump`"),
    (b"\xFF\xFE", "UTF-16 text", "save it as UTF-8"),
    (b"\xFE\xFF", "UTF-16 text", "save it as UTF-8"),
];

const PICKLE: &str = "a Python pickle";

/// Fails if the file begins as something that holds no captions, or holds nothing but blanks.
pub(super) fn refuse_foreign(bytes: &[u8], file_name: &str) -> Result<(), CandidateError> {
    let file = || file_name.to_owned();
    if let Some(&(_, found, remedy)) = MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Err(CandidateError::Foreign { file: file(), found, remedy, hint: None });
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    if text.is_empty() {
        return Err(CandidateError::Foreign {
            file: file(),
            found: "empty",
            remedy: "was it written to its end?",
            hint: None,
        });
    }
    if text.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Err(CandidateError::Foreign {
            file: file(),
            found: "a Git LFS pointer",
            remedy: "the captions themselves are still to be fetched",
            hint: Some("fetch them with `git lfs pull`"),
        });
    }
    if text.starts_with(b"<") {
        return Err(CandidateError::Foreign {
            file: file(),
            found: "HTML or XML",
            remedy: "a download may have saved a web page in its place: fetch the raw file",
            hint: None,
        });
    }
    Ok(())
}

/// The error for the annotation file of a dataset.
pub(super) fn annotations(file_name: &str) -> CandidateError {
    CandidateError::Foreign {
        file: file_name.to_owned(),
        found: "the annotation file of a dataset (it has `images` with `sentences`)",
        remedy: "give the file with the captions of a model",
        hint: None,
    }
}
