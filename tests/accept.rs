//! Tables of what the program said when somebody accepted it.

use std::fs;
use std::path::Path;

/// How to accept what the program says now, for the tests of a module.
pub(crate) fn command(module: &str) -> String {
    format!("`RSIC_ACCEPT=1 cargo test --release --test rsic {module}::`, and commit what it writes")
}

/// The accepted text; with `RSIC_ACCEPT` set, `now` becomes it and there is nothing to compare.
pub(crate) fn table(path: &Path, head: &str, now: &str) -> Option<String> {
    if std::env::var_os("RSIC_ACCEPT").is_some() {
        fs::write(path, format!("{head}{now}")).unwrap();
        return None;
    }
    Some(fs::read_to_string(path).unwrap_or_default())
}
