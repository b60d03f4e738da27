//! Where the tests find the golden data that are kept outside the project.

use std::path::PathBuf;

/// The path of a golden file, or `None` with a visible remark when the shared folder is not there.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("RSIC_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {name} is not there (set RSIC_SHARED to the folder that holds it)");
    None
}
