//! Files outside the cache that commands write.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use crate::model::Bundle;

/// Writes a file that is whole or not there; one that is there keeps its permissions, and a link its target.
pub(super) fn write(path: &Path, content: impl FnOnce(&mut dyn std::io::Write) -> Result<()>) -> Result<()> {
    let what = || format!("cannot write {}", path.display());
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let permissions = std::fs::metadata(path).ok().map(|old| old.permissions());
    // Without an old file, the user's mask decides, as for any new file.
    let permissions = permissions.unwrap_or_else(|| std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        BufWriter::new(tempfile::Builder::new().permissions(permissions).tempfile_in(folder).with_context(what)?);
    content(&mut file)?;
    file.flush().with_context(what)?;
    let file = file.into_inner().map_err(|error| anyhow!(error.into_error())).with_context(what)?;
    file.as_file().sync_all().with_context(what)?;
    file.persist(path).with_context(what)?;
    Ok(())
}

/// Writes the files of a model into a folder.
pub(super) fn write_bundle(bundle: &Bundle, folder: &Path) -> Result<()> {
    for (name, content) in &bundle.files {
        write(&folder.join(name), |out| Ok(out.write_all(&content.read()?)?))?;
    }
    Ok(())
}
