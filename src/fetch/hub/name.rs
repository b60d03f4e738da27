//! Names that become paths and addresses: checked once, at the edge.

use super::error::HubError;

/// Checks a hub id, `NAME` or `ORG/NAME`, by the rules of Hugging Face's own clients.
pub(super) fn check_id(id: &str) -> Result<(), HubError> {
    let part = |text: &str| {
        (1..=96).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !text.starts_with(['-', '.'])
            && !text.ends_with(['-', '.'])
    };
    let fine = id.split('/').count() <= 2
        && id.split('/').all(part)
        && !id.contains("--")
        && !id.contains("..")
        && id.strip_suffix(".git").is_none();
    if fine { Ok(()) } else { Err(HubError::BadId { id: id.to_owned() }) }
}

/// Checks a revision: a branch, a tag, `refs/pr/N` or a commit. It names a file under `refs/`.
pub(super) fn check_revision(revision: &str) -> Result<(), HubError> {
    let fine = is_relative_path(revision) && !revision.contains([' ', '~', '^', '?', '*', '[']);
    if fine { Ok(()) } else { Err(HubError::BadRevision { revision: revision.to_owned() }) }
}

/// Checks a file name that came from outside: it must stay in the snapshot's folder on every system.
pub(super) fn check_file(name: &str) -> Result<(), HubError> {
    if is_relative_path(name) { Ok(()) } else { Err(HubError::BadFileName { name: name.to_owned() }) }
}

/// Whether the text is a path of plain names: no root, no drive, no `..`, nothing that a system would read otherwise.
fn is_relative_path(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.len() <= 255 && part != "." && part != "..";
    text.len() <= 1024
        && !text.chars().any(|char| char.is_control() || ['\\', ':'].contains(&char))
        && text.split('/').all(plain)
}

/// Whether the text is a full commit: 40 lower-case hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

/// Whether the text is `digits` lower-case hexadecimal digits.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The etag of a header without its quotes and weakness mark, if it can name a blob.
pub(super) fn etag(header: &str) -> Option<String> {
    let text = header.trim();
    let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    let fine = (1..=128).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    fine.then(|| text.to_owned())
}

/// Percent-encodes what is not unreserved in addresses (RFC 3986); `slash` says whether `/` stays.
pub(super) fn encode(text: &str, slash: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || slash && byte == b'/' {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(format!("%{byte:02X}").chars());
        }
    }
    encoded
}

/// What a server says, fit to print: one line, no control characters, not long.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_and_revisions() {
        let long = "a".repeat(97);
        for (id, fine) in [
            ("gpt2", true),
            ("openai/clip-vit-base-patch32", true),
            ("IDEA-CCNL/Wenzhong2.0-GPT2-110M_x", true),
            ("", false),
            ("a/b/c", false),
            ("/b", false),
            ("a/", false),
            ("a--b", false),
            ("a/..", false),
            ("-a/b", false),
            ("a/b.git", false),
            ("a b", false),
            ("café", false),
            (&long, false),
        ] {
            assert_eq!(check_id(id).is_ok(), fine, "{id:?}");
        }
        for (revision, fine) in [
            ("main", true),
            ("refs/pr/15", true),
            ("v1.0", true),
            ("", false),
            ("../main", false),
            ("/main", false),
            ("a//b", false),
            ("a b", false),
            ("a\nb", false),
            ("C:x", false),
        ] {
            assert_eq!(check_revision(revision).is_ok(), fine, "{revision:?}");
        }
    }

    #[test]
    fn etags_become_file_names_or_nothing() {
        for (header, expected) in [
            ("\"abc\"", Some("abc")),
            ("W/\"abc-1\"", Some("abc-1")),
            ("Wabc", Some("Wabc")),
            ("\"\"", None),
            ("\"../x\"", None),
            ("\".\"", None),
            ("\"a/b\"", None),
            ("\"a\\b\"", None),
        ] {
            assert_eq!(etag(header).as_deref(), expected, "{header:?}");
        }
    }

    #[test]
    fn addresses_are_encoded() {
        for (text, slash, expected) in [
            ("refs/pr/15", false, "refs%2Fpr%2F15"),
            ("a b/ü?#%.txt", true, "a%20b/%C3%BC%3F%23%25.txt"),
            ("model-0_1.~", false, "model-0_1.~"),
        ] {
            assert_eq!(encode(text, slash), expected);
        }
    }

    #[test]
    fn hostile_file_names_are_refused() {
        for name in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "\\\\host\\share",
            "a\\b",
            "C:",
            "C:/x",
            "c:x",
            "a\0b",
            "a\nb",
            "file:stream",
        ] {
            assert!(check_file(name).is_err(), "{name:?}");
        }
        for name in ["config.json", "onnx/model.onnx", "a b.txt", "..a", "a..", "模型.bin"] {
            assert!(check_file(name).is_ok(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_passes_stays_in_its_folder(
            parts in prop::collection::vec(r"\.{0,3}|[a-c:\\ \x00é]{0,3}|\PC{0,4}", 0..6),
        ) {
            let name = parts.join("/");
            if check_file(&name).is_ok() {
                let path = Path::new(&name);
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(path.components().count(), name.split('/').count());
                prop_assert!(!name.contains('\\') && !name.contains(':'));
                prop_assert!(Path::new("/cache").join(path).starts_with("/cache"));
            }
        }
    }
}
