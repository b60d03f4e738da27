//! Rules for words and compounds.

use super::apostrophes::article;
use super::class::{is_digit, is_letter, is_space, is_word};
use super::text::{Found, Text, chain};

/// Two words written as one, and the length of the first.
const TWINS: [(&str, usize); 8] =
    [("cannot", 3), ("gonna", 3), ("gotta", 3), ("lemme", 3), ("gimme", 3), ("wanna", 3), ("'tis", 2), ("'twas", 2)];

/// The length of a word of ASCII letters before a blank, about which no rule has more to say.
pub(super) fn simple(line: &[char]) -> Option<usize> {
    let len = line.iter().take_while(|c| c.is_ascii_alphabetic()).count();
    let apart = len > 0 && line.get(len).is_none_or(|&c| matches!(c, ' ' | '\n'));
    let twin = matches!(len, 5 | 6) && TWINS.iter().any(|(twin, _)| twin.len() == len && is_same(&line[..len], twin));
    (apart && !twin).then_some(len)
}

fn is_same(word: &[char], lower: &str) -> bool {
    word.iter().map(char::to_ascii_lowercase).eq(lower.chars())
}

/// `cannot`, `gonna`: the first of two words written as one.
pub(super) fn twin(text: Text) -> Option<Found> {
    let (word, first) = TWINS.into_iter().find(|(word, _)| text.has(0, word))?;
    Found::plain(first).map(|found| found.seeing(word.len()))
}

/// Letters and digits, with what joins them: `word.word`, `t-shaped`, `word_word`, `and/or`.
pub(super) fn word(text: Text) -> Option<Found> {
    let plain = text.run(0, is_word);
    let ascii = text.first().is_ascii();
    if ascii && plain > 0 && text.at(plain).is_none_or(|c| matches!(c, ' ' | '\n' | ',')) && text.numeric_end() <= plain
    {
        return Found::plain(plain);
    }
    if text.head(plain).iter().all(|&c| c == '\u{ad}') {
        return Found::plain(plain);
    }
    // Soft hyphens hide inside words, but not behind numbers.
    let plain = if is_digit(text.first()) { text.run(0, |c| is_word(c) && c != '\u{ad}') } else { plain };
    let len = plain.max(hyphenated(text)).max(dotted(text)).max(numeric(text));
    // A full stop before another mark stays with the word.
    let stop = text.is(len, |c| c == '.') && text.is(len + 1, |c| matches!(c, ',' | ';' | ':' | '、'));
    let (len, seen) = if stop { (len + 1, len + 2) } else { (len, len) };
    let other = slashed(text);
    if other > seen { Found::plain(other) } else { Found::plain(len).map(|found| found.seeing(seen)) }
}

/// Parts that begin with a letter, joined by full stops, question or exclamation marks.
pub(super) fn dotted(text: Text) -> usize {
    let part = |i| if text.is(i, is_letter) { text.run(i, is_word) } else { 0 };
    chain(text, part(0), |c| matches!(c, '.' | '?' | '!'), part)
}

/// Words joined by underscores and hyphens, each part perhaps with `d'`, `l'` or `o'`.
fn hyphenated(text: Text) -> usize {
    let visible = |c| is_word(c) && c != '\u{ad}';
    let part = |i| match article(text, i) {
        0 if text.is(i, visible) => text.run(i, is_word),
        0 => 0,
        article => article + text.run(i + article, visible),
    };
    let len = chain(text, part(0), |c| matches!(c, '-' | '_' | '\u{2010}' | '\u{2011}'), part);
    if len > part(0) || article(text, 0) > 0 { len } else { 0 }
}

/// The endings of file names.
const FILES: &[&str] = &[
    "bat", "bmp", "c", "cgi", "class", "cpp", "dll", "doc", "docx", "exe", "gif", "gz", "h", "htm", "html", "jar",
    "java", "jpeg", "jpg", "mov", "mp3", "pdf", "php", "pl", "png", "ppt", "ps", "py", "sql", "tar", "txt", "wav", "x",
    "xml", "zip",
];

/// `12.jpg` before white space or the end of a sentence; other words keep their endings anyway.
pub(super) fn file(text: Text) -> Option<Found> {
    const PARTS: usize = 4;
    let mut found = None;
    let mut end = text.run(0, is_word);
    for _ in 1..PARTS {
        let more = text.run(end + 1, is_word);
        if more == 0 || !text.is(end, |c| c == '.') {
            break;
        }
        let known = FILES.iter().any(|file| file.len() == more && text.has(end + 1, file));
        end += 1 + more;
        if known && text.is(end, |c| is_space(c) || matches!(c, '.' | ',' | '!' | '?')) {
            found = Found::plain(end).map(|found| found.seeing(end + 1));
        }
    }
    found
}

/// A number or abbreviation in ASCII, and parts joined to it by hyphens: `1.5-inch`, `u.s.-based`.
fn numeric(text: Text) -> usize {
    let first = text.numeric_end();
    let len = chain(text, first, |c| c == '-', |i| text.run(i, |c| c.is_ascii_alphanumeric()));
    if len > first { len } else { 0 }
}

/// Two or three ASCII parts joined by slashes, each with at most two hyphens, before letters only.
fn slashed(text: Text) -> usize {
    let part = |from: usize| {
        let mut end = from + text.run(from, |c| c.is_ascii_alphanumeric());
        for _ in 0..2 {
            let more = text.run(end + 1, |c| c.is_ascii_alphabetic());
            if end > from && more > 0 && text.is(end, |c| c == '-') {
                end += 1 + more;
            }
        }
        end - from
    };
    let mut len = part(0);
    for _ in 0..2 {
        let more = if len > 0 && text.is(len, |c| c == '/') { part(len + 1) } else { 0 };
        if more > 0 {
            len += 1 + more;
        }
    }
    len
}
