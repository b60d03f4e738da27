//! The alphabet of byte-level BPE, in which every byte is a printable character.
//!
//! Printable Latin-1 stands for itself; the other 68 bytes follow in order from U+0100 on (source: GPT-2's encoder).

/// Whether a byte stands for itself.
fn printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

/// The 256 characters of the alphabet in GPT-2's id order: code points ascending.
pub(super) fn alphabet() -> Vec<char> {
    let mut own: Vec<char> = (0..=255).filter(|&byte| printable(byte)).map(char::from).collect();
    own.extend(('\u{100}'..).take(256 - own.len()));
    own
}

/// The byte that a character of the alphabet stands for.
fn byte(character: char) -> Option<u8> {
    let code = character as u32;
    match u8::try_from(code) {
        Ok(byte) => printable(byte).then_some(byte),
        Err(_) => (0..=255).filter(|&byte| !printable(byte)).nth(code as usize - 256),
    }
}

/// The text of some tokens; bytes that are not UTF-8 are dropped.
pub(super) fn decode(tokens: impl Iterator<Item = String>) -> String {
    let mut bytes = Vec::new();
    for token in tokens {
        match token.chars().map(byte).collect::<Option<Vec<u8>>>() {
            Some(spelled) => bytes.extend(spelled),
            // An added token is plain text.
            None => bytes.extend(token.bytes()),
        }
    }
    let valid: String = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect();
    valid.replace('\u{fffd}', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        let mut bytes: Vec<u8> = alphabet().into_iter().map(|c| byte(c).unwrap()).collect();
        // Ids 0, 13 and 220 of GPT-2's vocabulary are "!", "." and the blank.
        assert_eq!((bytes[0], bytes[13], bytes[220]), (b'!', b'.', b' '));
        bytes.sort_unstable();
        assert!(bytes.into_iter().eq(0..=255));
        assert_eq!((byte('\u{ad}'), byte('\u{144}')), (None, None));
    }
}
