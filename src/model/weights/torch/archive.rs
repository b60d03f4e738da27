//! The zip archive around a checkpoint.

use std::io::{Read, Seek};

use zip::ZipArchive;
use zip::read::{ZipFile, ZipReadOptions};
use zip::result::ZipError;

use super::{TorchError, error};

/// What stands before `data.pkl` in the names of an archive.
pub(super) fn folder<R: Read + Seek>(archive: &ZipArchive<R>) -> Result<String, TorchError> {
    if archive.has_duplicate_names() {
        return Err(TorchError::Damaged { what: "two entries of the archive have one name".to_owned() });
    }
    let names = archive.file_names().filter_map(|name| name.ok().map(String::from)).collect::<Vec<_>>();
    let pickles = names.iter().filter_map(|name| name.strip_suffix("data.pkl"));
    let folder = pickles.filter(|folder| folder.is_empty() || folder.ends_with('/')).min_by_key(|folder| folder.len());
    let folder = folder.ok_or(TorchError::NotTorch { why: "it is a zip archive without data.pkl" })?;
    let program = |name: &String| {
        name.strip_prefix(folder).is_some_and(|name| name == "constants.pkl" || name.starts_with("code/"))
    };
    if names.iter().any(program) { Err(TorchError::TorchScript) } else { Ok(folder.to_owned()) }
}

/// The whole content of a small entry.
pub(super) fn entry<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    limit: u64,
) -> Result<Vec<u8>, TorchError> {
    let mut bytes = Vec::new();
    let index = archive.index_for_name(name).ok_or(ZipError::FileNotFound)?;
    open(archive, index)?.take(limit + 1).read_to_end(&mut bytes).map_err(error::content)?;
    if bytes.len() as u64 > limit {
        return Err(TorchError::Damaged { what: format!("`{name}` has more than {limit} bytes") });
    }
    Ok(bytes)
}

/// Opens an entry. PyTorch writes a checksum of 0 where it was told to compute none.
pub(super) fn open<R: Read + Seek>(archive: &mut ZipArchive<R>, index: usize) -> Result<ZipFile<'_, R>, TorchError> {
    let unknown = archive.by_index_data(index)?.crc32() == 0;
    Ok(archive.by_index_with_options(index, ZipReadOptions::new().ignore_crc32(unknown))?)
}
