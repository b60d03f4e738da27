//! The file of the stat cache: a line with a check sum, then one line per fact.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use super::{Fact, Slot, Stamp};
use crate::digest::Digest;

/// How the first line begins; the digest of all other lines follows.
const HEAD: &str = "rsic stat cache 1 ";

/// Writes `device inode size mtime ctime kind path payload` lines, sorted by path.
pub(super) fn write(facts: &BTreeMap<Slot, Fact>) -> String {
    let mut body = String::with_capacity(facts.len() * 200);
    for (slot, fact) in facts {
        let Stamp { device, inode, size, mtime, ctime } = fact.stamp;
        let _ = write!(body, "{device} {inode} {size} {mtime} {ctime} ");
        escape(slot.kind.as_bytes(), &mut body);
        body.push(' ');
        escape(slot.path.as_bytes(), &mut body);
        let _ = writeln!(body, " {}", fact.payload);
    }
    format!("{HEAD}{}\n{body}", Digest::of(body.as_bytes()))
}

/// Reads what [`write()`] wrote; `None` for anything else.
pub(super) fn read(text: &str) -> Option<BTreeMap<Slot, Fact>> {
    let (check, body) = text.strip_prefix(HEAD)?.split_once('\n')?;
    if check.parse::<Digest>().ok()? != Digest::of(body.as_bytes()) {
        return None;
    }
    let mut kind: Arc<str> = "".into();
    body.lines().map(|line| read_line(line, &mut kind)).collect()
}

/// - `kind`: that of the line before, and then of this one.
fn read_line(line: &str, kind: &mut Arc<str>) -> Option<(Slot, Fact)> {
    let mut words = line.splitn(8, ' ');
    let mut number = || words.next();
    let stamp = Stamp {
        device: number()?.parse().ok()?,
        inode: number()?.parse().ok()?,
        size: number()?.parse().ok()?,
        mtime: number()?.parse().ok()?,
        ctime: number()?.parse().ok()?,
    };
    let named = String::from_utf8(unescape(words.next()?)?).ok()?;
    if **kind != *named {
        *kind = named.into();
    }
    let path = OsString::from_vec(unescape(words.next()?)?);
    Some((Slot { path, kind: kind.clone() }, Fact { stamp, payload: words.next()?.to_owned() }))
}

/// Writes any bytes as one word of visible ASCII: `%` and two digits for the others.
pub(in crate::cache) fn escape(bytes: &[u8], text: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' {
            text.push(byte as char);
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
    }
}

/// Reads what [`escape`] wrote; `None` for anything else.
pub(in crate::cache) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(n: u64, payload: &str) -> Fact {
        let mtime = i128::from(n) - 5;
        Fact { stamp: Stamp { device: n, inode: u64::MAX, size: 0, mtime, ctime: 7 }, payload: payload.to_owned() }
    }

    fn facts() -> BTreeMap<Slot, Fact> {
        let slot = |path: &[u8], kind: &str| Slot { path: OsString::from_vec(path.to_vec()), kind: kind.into() };
        BTreeMap::from([
            (slot(b"/a b/%41\n.png", "pixels 1"), fact(1, "{\"a b\":[1,\"\\n \"]}")),
            (slot(b"/\xff\xfe/\xe4\xb8\xad.png", "blake3"), fact(2, "\"\u{4e2d}\"")),
            (slot(b"/plain", ""), fact(3, "null")),
        ])
    }

    #[test]
    fn any_path_and_payload_round_trips() {
        let text = write(&facts());
        assert_eq!(read(&text).unwrap(), facts());
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn any_damage_is_noticed() {
        let text = write(&facts());
        for (name, damaged) in [
            ("empty", String::new()),
            ("truncated", text[..text.len() - 1].to_owned()),
            ("another version", text.replace("cache 1", "cache 2")),
            ("one digit", text.replacen("null", "nulL", 1)),
            ("a line lost", text.split_inclusive('\n').take(3).collect()),
        ] {
            assert!(read(&damaged).is_none(), "{name}");
        }
    }
}
