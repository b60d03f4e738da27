//! Rules for everything that is neither word nor number: marks, quotes, entities, tags, addresses.

use super::class::{is_apostrophe, is_latin, is_letter, is_word};
use super::text::{Found, Kind, Text};

/// What ends an address: ASCII control characters and the blank, and marks that addresses do not hold.
fn ends_address(c: char) -> bool {
    matches!(c, '\0'..=' ' | '"' | '(' | ')' | '{' | '}' | '|')
}

/// `&amp;` and its like; `&nbsp;` leaves nothing.
pub(super) fn entity(text: Text) -> Option<Found> {
    const NAMED: [(&str, &str); 6] =
        [("&nbsp;", ""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "''"), ("&apos;", "'")];
    if !text.is(0, |c| c == '&') {
        return None;
    }
    if let Some((name, sign)) = NAMED.into_iter().find(|(name, _)| text.has(0, name)) {
        return Found::of(Kind::Always(sign), name.len());
    }
    let digits = if text.is(1, |c| c == '#') { text.run(2, |c| c.is_ascii_digit()) } else { 0 };
    if digits > 0 && text.is(2 + digits, |c| c == ';') { Found::plain(3 + digits) } else { None }
}

/// `<b>`, `</b>`, `<img src='x'>`.
pub(super) fn tag(text: Text) -> Option<Found> {
    if !text.is(0, |c| c == '<') {
        return None;
    }
    let from = 1 + usize::from(text.is(1, |c| matches!(c, '/' | '!' | '?')));
    let body = text.run(from, |c| !matches!(c, '<' | '>'));
    let closed = text.is(from, |c| c.is_ascii_alphabetic()) && text.is(from + body, |c| c == '>');
    if closed { Found::of(Kind::Joined, from + body + 1) } else { None }
}

/// `http://...` and `www...`, without the full stop that ends the sentence.
pub(super) fn address(text: Text) -> Option<Found> {
    let head = ["https://", "http://", "ftp://", "www."].into_iter().find(|head| text.has(0, head))?;
    let mut end = head.len() + text.run(head.len(), |c| !ends_address(c) && !matches!(c, '<' | '>' | '[' | ']'));
    while end > head.len() && matches!(text.0[end - 1], '.' | ',' | '!' | '?' | ';' | ':' | '-' | '\'') {
        end -= 1;
    }
    if end == head.len() { None } else { Found::of(Kind::Verbatim, end) }
}

/// `name@host.org`, also `<name@host.org`; hosts may hold nearly anything.
pub(super) fn mail(text: Text) -> Option<Found> {
    let from = usize::from(text.is(0, |c| c == '<'));
    if !text.is(from, |c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let at = from + text.run(from, |c| !ends_address(c) && !matches!(c, '<' | '>' | '@' | '\u{a0}'));
    if !text.is(at, |c| c == '@') {
        return None;
    }
    let mut end = at + 1 + text.run(at + 1, |c| !ends_address(c) && c != '<');
    if let Some(two_dots) = (at + 1..end).find(|&i| text.0[i] == '.' && text.is(i + 1, |c| c == '.')) {
        end = two_dots;
    }
    while text.0[end - 1] == '.' {
        end -= 1;
    }
    if end == at + 1 { None } else { Found::of(Kind::Verbatim, end) }
}

/// `#topic` and `@name`.
pub(super) fn tagged(text: Text) -> Option<Found> {
    let fits = match text.at(0)? {
        '#' => text.is(1, is_letter),
        '@' => text.is(1, |c| c.is_ascii_alphabetic()),
        _ => false,
    };
    if fits { Found::plain(1 + text.run(1, |c| is_word(c) || c == '_')) } else { None }
}

/// Straight and curly quotation marks; a straight one opens before a letter and closes elsewhere.
pub(super) fn quote(text: Text) -> Option<Found> {
    let curly_or_grave = |c: char| matches!(c, '`' | '‘' | '’' | '“' | '”');
    let (first, second) = (text.at(0)?, text.at(1));
    if curly_or_grave(first) && second.is_some_and(curly_or_grave) && (first, second) != ('`', Some('`')) {
        return Found::of(Kind::Quotes, 2);
    }
    let opens = second.is_some_and(|c| c.is_ascii_alphanumeric() || c == '$');
    let (written, len) = match first {
        '"' if opens => ("``", 1),
        '"' | '”' => ("''", 1),
        '“' | '„' => ("``", 1),
        '`' if second == Some('`') => ("``", 2),
        '\'' if second == Some('\'') => ("''", 2),
        '`' | '‘' | '‛' => ("`", 1),
        '\'' if text.is(1, is_latin) && text.is(2, |c| !matches!(c, '\0'..=' ' | '\u{a0}')) => {
            return Found::of(Kind::Always("`"), 1).map(|found| found.seeing(3));
        }
        c if is_apostrophe(c) => ("'", 1),
        _ => return None,
    };
    Found::of(Kind::Always(written), len)
}

/// `...`, `. . .` and `…`; two dots are two tokens.
pub(super) fn dots(text: Text) -> Option<Found> {
    if text.is(0, |c| c == '…') {
        return Found::of(Kind::Always("..."), 1);
    }
    let mut count = text.run(0, |c| c == '.');
    let mut len = count;
    if count == 1 {
        while text.is(len, |c| c == ' ') && text.is(len + 1, |c| c == '.') {
            len += 2;
            count += 1;
        }
    }
    if count >= 3 { Found::of(Kind::Always("..."), len) } else { None }
}

/// Two to four hyphens and long dashes; more hyphens are a ruler and stay.
pub(super) fn dashes(text: Text) -> Option<Found> {
    if text.is(0, |c| matches!(c, '–' | '—' | '―')) {
        return Found::of(Kind::Always("--"), 1);
    }
    match text.run(0, |c| c == '-') {
        0 | 1 => None,
        len @ 2..=4 => Found::of(Kind::Always("--"), len),
        len => Found::plain(len),
    }
}

/// `:)`, `;-)`, `>:]`, `^_^`, unless a letter or digit follows.
pub(super) fn emoticon(text: Text) -> Option<Found> {
    if text.has(0, "^_^") {
        return Found::plain(3);
    }
    let eyes = usize::from(text.is(0, |c| matches!(c, '<' | '>')));
    if !text.is(eyes, |c| matches!(c, ':' | ';' | '=')) {
        return None;
    }
    let nose = usize::from(text.is(eyes + 1, |c| matches!(c, '-' | 'o' | '\'')));
    let mouth = eyes + 1 + nose;
    let mouths = |c| matches!(c, ')' | '(' | ']' | '[' | '{' | '}' | 'D' | 'd' | 'P' | 'p' | '\\' | '@');
    let ends = !text.is(mouth + 1, |c| c.is_ascii_alphanumeric());
    if text.is(mouth, mouths) && ends { Found::of(Kind::Smiley, mouth + 1) } else { None }
}

/// `?!`, `###`, `>>`, `\*`: marks that stay together.
pub(super) fn marks(text: Text) -> Option<Found> {
    let len = match text.at(0)? {
        '!' | '?' => text.run(0, |c| matches!(c, '!' | '?')),
        '#' => text.run(0, |c| c == '#'),
        '>' => text.run(0, |c| c == '>').min(2),
        '\\' if text.is(1, |c| c == '*') => 2,
        _ => 0,
    };
    Found::plain(len)
}
