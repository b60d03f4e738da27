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

/// Fails unless the largest difference of `what` from its reference is below what it may be; both are printed, so that
/// `cargo test -- --nocapture` gives the table of all of them.
#[track_caller]
pub(crate) fn parity(what: &str, off: f64, allowed: f64) {
    println!("PARITY {what}: {off:.1e} of {allowed:.0e}");
    assert!(off < allowed, "{what}: off by {off}, allowed is {allowed}");
}
