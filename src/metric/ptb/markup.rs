//! Rules for entities, tags and addresses.

use super::class::is_letter;
use super::text::{Found, Kind, Text};
use super::words::dotted;

/// What ends an address: ASCII control characters and the blank, and marks that addresses do not hold.
fn ends_address(c: char) -> bool {
    matches!(c, '\0'..=' ' | '"' | '(' | ')' | '{' | '}' | '|')
}

/// What ends the name of a mail address.
pub(super) fn ends_name(c: char) -> bool {
    ends_address(c) || matches!(c, '<' | '>' | '@' | '\u{a0}')
}

/// A bracket that was written out before, such as `-LRB-`; it stays as it is.
pub(super) fn bracket(text: Text) -> Option<Found> {
    const NAMES: [&str; 6] = ["-lrb-", "-rrb-", "-lsb-", "-rsb-", "-lcb-", "-rcb-"];
    if NAMES.iter().any(|name| text.has(0, name)) { Found::plain(NAMES[0].len()) } else { None }
}

/// `&amp;` and its like; `&nbsp;` leaves nothing. Quotes must be named in lower case, others need not.
pub(super) fn entity(text: Text) -> Option<Found> {
    const NAMED: [(&str, &str); 6] =
        [("&nbsp;", ""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "''"), ("&apos;", "'")];
    if let Some((name, sign)) = NAMED.into_iter().find(|(name, _)| text.has(0, name)) {
        let as_written = name.chars().enumerate().all(|(k, c)| text.at(k) == Some(c));
        let quote = sign.ends_with('\'');
        return if quote && !as_written { Found::plain(name.len()) } else { Found::of(Kind::Always(sign), name.len()) };
    }
    let digits = if text.is(1, |c| c == '#') { text.run(2, |c| c.is_ascii_digit()) } else { 0 };
    if digits > 0 && text.is(2 + digits, |c| c == ';') { Found::plain(3 + digits) } else { None }
}

/// `<b>`, `</b>`, `<img src='x'>`, `<!-- x -->`.
pub(super) fn tag(text: Text) -> Option<Found> {
    let end = match text.at(1)? {
        '/' => blanks(text, 2 + tag_name(text, 2)),
        '!' | '?' => 2 + text.run(2, |c| !matches!(c, '<' | '>' | '\n')),
        _ => {
            let attributes = attributes(text, 1 + tag_name(text, 1));
            attributes + usize::from(text.is(attributes, |c| c == '/'))
        }
    };
    let marked = text.is(1, |c| matches!(c, '!' | '?'));
    let first = 1 + usize::from(marked || text.is(1, |c| c == '/'));
    let starts = text.is(first, |c| c.is_ascii_alphabetic() || (marked && c == '-'));
    if starts && text.is(end, |c| c == '>') { Found::of(Kind::Joined, end + 1) } else { None }
}

fn tag_name(text: Text, from: usize) -> usize {
    text.run(from, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))
}

fn blanks(text: Text, from: usize) -> usize {
    from + text.run(from, |c| c == ' ')
}

/// The end of a tag's attributes, with or without values in quotes, and of the blanks after them.
fn attributes(text: Text, from: usize) -> usize {
    let mut end = from;
    loop {
        let start = blanks(text, end);
        if start == end || !text.is(start, |c| c.is_ascii_alphabetic()) {
            return start;
        }
        end = start + tag_name(text, start);
        if text.is(end, |c| c == '=') {
            let Some(quote @ ('"' | '\'')) = text.at(end + 1) else { return end };
            end += 2 + text.run(end + 2, |c| c != quote && c != '\n');
            end += usize::from(text.is(end, |c| c == quote));
        }
    }
}

/// `http://...`, and `example.com/...` of the best-known kinds, without the full stop that ends the sentence.
pub(super) fn address(text: Text) -> Option<Found> {
    if let Some(scheme) = ["https://", "http://"].into_iter().find(|scheme| text.has(0, scheme)) {
        return path(text, scheme.len(), |c| !ends_address(c) && !matches!(c, '<' | '>'));
    }
    let host = dotted(text);
    let ends = |ending: &str| host > ending.len() && text.has(host - ending.len(), ending);
    let known = text.has(0, "www.") || [".com", ".net", ".org", ".edu"].into_iter().any(ends);
    if !known || !text.is(host, |c| c == '/') {
        return None;
    }
    path(text, host + 1, |c| matches!(c, '{' | '}') || (!ends_address(c) && !matches!(c, '<' | '>')))
}

/// What goes before `from`, and at least two characters more.
fn path(text: Text, from: usize, holds: impl Fn(char) -> bool) -> Option<Found> {
    let mut end = from + text.run(from, holds);
    while end > from && text.is(end - 1, |c| matches!(c, '.' | ',' | '!' | '?' | '-')) {
        end -= 1;
    }
    if end < from + 2 { None } else { Found::of(Kind::Verbatim, end) }
}

/// `name@host.org`, also `<name@host.org`; hosts may hold nearly anything.
pub(super) fn mail(text: Text) -> Option<Found> {
    let from = usize::from(text.first() == '<');
    let at = text.name_end();
    if at <= from || !text.is(at, |c| c == '@') || !text.is(from, |c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let mut end = at + 1;
    while text.is(end, |c| !ends_address(c) && !matches!(c, '<' | '>' | '\u{a0}')) && !text.has(end, "..") {
        end += 1;
    }
    if text.is(end - 1, |c| c == '.') {
        end -= 1;
    }
    if end == at + 1 || text.is(at + 1, |c| c == '.') {
        return None;
    }
    Found::of(Kind::Verbatim, end + usize::from(text.is(end, |c| c == '>')))
}

/// `#topic` and `@name`.
pub(super) fn tagged(text: Text) -> Option<Found> {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    let len = match text.first() {
        '#' => text.run(1, is_letter),
        '@' if text.is(1, is_start) => text.run(1, |c| is_start(c) || c.is_ascii_digit()),
        _ => 0,
    };
    if len == 0 { None } else { Found::plain(1 + len) }
}
