//! Names what a file really is when it is not the weights that it should be.

/// How a zip archive, and so a current PyTorch checkpoint, begins.
pub(super) const ZIP: &[u8] = b"PK\x03\x04";

/// Says what is wrong with `bytes` and what to do, or nothing if they may be weights.
pub(super) fn describe(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii_start();
    if bytes.is_empty() {
        Some("the file is empty: download it again")
    } else if bytes.starts_with(b"version https://git-lfs") {
        Some("the file is a Git LFS pointer, not the weights: run `git lfs pull`, or download the file itself")
    } else if text.starts_with(b"<") {
        Some("the file is a web page, not weights: download it again (a login page or a wrong link gives such a file)")
    } else if bytes.starts_with(b"{") {
        Some("the file is JSON text, not weights: download it again (a refused request gives such a file)")
    } else if bytes.starts_with(b"\x80\x02") || bytes.starts_with(b"\x80\x04") {
        Some("the file is in the format of PyTorch before 1.6: load and save it with a current PyTorch")
    } else if bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\xfd7zXZ") {
        Some("the file is compressed: unpack it")
    } else {
        None
    }
}
