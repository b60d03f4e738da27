//! Whether a JPEG file is whole; the decoder fills what is missing with grey and says nothing.

/// Whether the end-of-image marker follows the last scan.
///
/// Walks the marker segments; inside entropy-coded data `FF 00` is a stuffed byte and `FF D0`..`FF D7` restart it.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // To the next marker: over entropy-coded data, fill bytes and whatever a careless writer left between segments.
        match bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF)) {
            Some(skip) => at += skip + 1,
            None => return false,
        }
        match bytes.get(at) {
            None => return false,
            Some(0xFF) => {}
            Some(0x00 | 0x01 | 0xD0..=0xD8) => at += 1,
            Some(0xD9) => return true,
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(length) => at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2),
                None => return false,
            },
        }
    }
}

/// Whether so many pixels can come out of so many bytes.
///
/// Every 8 x 8 block of the component with the most samples takes at least one bit. A file that has fewer is an empty frame: its
/// decoder makes up what is missing, and the end-of-image marker is there all the same.
pub(super) fn can_hold(bytes: usize, width: u32, height: u32) -> bool {
    let blocks = u64::from(width).div_ceil(8) * u64::from(height).div_ceil(8);
    blocks <= bytes as u64 * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_marker_outside_segments_ends_a_file() {
        for (name, bytes, whole) in [
            ("nothing after the start", &[0xFF, 0xD8][..], false),
            ("end at once", &[0xFF, 0xD8, 0xFF, 0xD9], true),
            ("an end inside a segment is data", &[0xFF, 0xD8, 0xFF, 0xE1, 0, 4, 0xFF, 0xD9], false),
            ("an end after the segment", &[0xFF, 0xD8, 0xFF, 0xE1, 0, 4, 0xFF, 0xD9, 0xFF, 0xD9], true),
            ("stuffed bytes and restarts go on", &[0xFF, 0xD8, 0xFF, 0xDA, 0, 2, 7, 0xFF, 0, 0xFF, 0xD3, 9], false),
            ("and may end", &[0xFF, 0xD8, 0xFF, 0xDA, 0, 2, 7, 0xFF, 0, 0xFF, 0xD3, 9, 0xFF, 0xD9, 1, 2], true),
            ("fill bytes before a marker", &[0xFF, 0xD8, 0xFF, 0xFF, 0xFF, 0xD9], true),
            (
                "a segment that says it is longer than the file",
                &[0xFF, 0xD8, 0xFF, 0xE1, 0xFF, 0xFF, 0xFF, 0xD9],
                false,
            ),
            ("cut inside a length", &[0xFF, 0xD8, 0xFF, 0xE1, 0], false),
        ] {
            assert_eq!(is_whole(bytes), whole, "{name}");
        }
    }
}
