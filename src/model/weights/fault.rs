//! Files that are often saved as weights and are none.

/// What a zip archive begins with.
pub(super) const ZIP: &[u8] = b"PK\x03\x04";

/// The number that PyTorch before 1.6 begins its pickles with.
const OLD_PYTORCH: &[u8] = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19";

/// What the file is, by its first bytes, and what to do about it; `None` if it may hold weights.
pub(super) fn describe(head: &[u8]) -> Option<&'static str> {
    let text = head.trim_ascii_start();
    let pickle = head.first() == Some(&0x80) && head.get(1).is_some_and(|protocol| (1..=5).contains(protocol));
    if head.is_empty() {
        Some("the file is empty: download it again")
    } else if head.starts_with(b"version https://git-lfs") {
        Some("the file is a Git LFS pointer, not the weights: run `git lfs pull`, or download the file itself")
    } else if text.starts_with(b"<") {
        Some("the file is a web page, not weights: download it again (a login page or a wrong link gives such a file)")
    } else if head.starts_with(b"{") {
        Some("the file is JSON text, not weights: download it again (a refused request gives such a file)")
    } else if pickle && head[2..].starts_with(OLD_PYTORCH) {
        Some(
            "the file is in the format of PyTorch before 1.6: write it anew with a current PyTorch, \
             `torch.save(torch.load(FILE, map_location=\"cpu\"), NEW_FILE)`",
        )
    } else if pickle {
        Some("the file is a bare Python pickle, which is never executed here: save the state_dict with `torch.save`")
    } else if head.starts_with(b"\x89HDF") {
        Some("the file is HDF5 (TensorFlow or Keras weights): get the PyTorch or SafeTensors weights of the model")
    } else if head.starts_with(b"GGUF") {
        Some("the file is GGUF (llama.cpp): get the PyTorch or SafeTensors weights of the model")
    } else if head.starts_with(b"\x93NUMPY") {
        Some("the file is a NumPy array, not named tensors: save a dictionary of tensors with `torch.save`")
    } else if head.starts_with(b"\x1f\x8b") || head.starts_with(b"\xfd7zXZ") || head.starts_with(b"BZh") {
        Some("the file is compressed: unpack it")
    } else {
        None
    }
}
