//! Rules for punctuation: quotes, dots, dashes, emoticons.

use super::class::is_latin;
use super::text::{Found, Kind, Text};

/// Typographic quotation marks, and those of Windows-1252, in ASCII.
pub(super) fn ascii_quote(c: char) -> Option<&'static str> {
    match c {
        '“' | '«' | '\u{93}' => Some("``"),
        '”' | '»' | '\u{94}' => Some("''"),
        '‘' | '‹' | '\u{91}' | '`' => Some("`"),
        '’' | '›' | '\u{92}' => Some("'"),
        _ => None,
    }
}

/// Quotation marks; a straight one opens before a letter and closes elsewhere.
pub(super) fn quote(text: Text) -> Option<Found> {
    let (first, second) = (text.first(), text.at(1));
    if ascii_quote(first).is_some() && second.is_some_and(|c| ascii_quote(c).is_some()) {
        return Found::of(Kind::Quotes, 2);
    }
    let opens = second.is_some_and(|c| c.is_ascii_alphanumeric() || c == '$');
    let (written, len) = match first {
        '"' if opens => ("``", 1),
        '"' => ("''", 1),
        '\'' if second == Some('\'') => ("''", 2),
        '\'' if text.is(1, is_latin) && text.is(2, |c| !matches!(c, '\0'..=' ' | '\u{a0}')) => {
            return Found::of(Kind::Always("`"), 1).map(|found| found.seeing(3));
        }
        '\'' => ("'", 1),
        '‛' => ("`", 1),
        _ => (ascii_quote(first)?, 1),
    };
    Found::of(Kind::Always(written), len)
}

/// `...`, `. . .` and `…`; two dots are two tokens.
pub(super) fn dots(text: Text) -> Option<Found> {
    if text.is(0, |c| matches!(c, '…' | '\u{85}')) {
        return Found::of(Kind::Always("..."), 1);
    }
    let mut count = text.head(text.len().min(5)).iter().take_while(|&&c| c == '.').count();
    let mut len = count;
    if count == 1 {
        while count < 5 && text.is(len, |c| c == ' ') && text.is(len + 1, |c| c == '.') {
            len += 2;
            count += 1;
        }
    }
    if count >= 3 { Found::of(Kind::Always("..."), len) } else { None }
}

/// Two to four hyphens and long dashes; more hyphens are a ruler and stay.
pub(super) fn dashes(text: Text) -> Option<Found> {
    if text.is(0, |c| matches!(c, '–' | '—' | '―' | '\u{96}' | '\u{97}')) {
        return Found::of(Kind::Always("--"), 1);
    }
    match text.run(0, |c| c == '-') {
        0 | 1 => None,
        len @ 2..=4 => Found::of(Kind::Always("--"), len),
        len => Found::plain(len),
    }
}

/// The mouth of an emoticon.
pub(super) fn is_mouth(c: char) -> bool {
    matches!(c, ')' | '(' | ']' | '[' | '{' | '|' | 'D' | 'd' | 'O' | 'P' | 'p' | '\\' | '@')
}

fn is_eyes(c: char) -> bool {
    matches!(c, ':' | ';' | '=')
}

fn is_nose(c: char) -> bool {
    matches!(c, '-' | 'o' | '*' | '\'')
}

/// Whether `c` can stand before a mouth.
pub(super) fn precedes_mouth(c: char) -> bool {
    is_eyes(c) || is_nose(c)
}

/// `:)`, `;-)`, `>:]`, unless an ASCII letter or digit follows, or nothing at all, not even the line's end.
pub(super) fn emoticon(text: Text) -> Option<Found> {
    let eyes = usize::from(matches!(text.first(), '<' | '>'));
    if !text.is(eyes, is_eyes) {
        return None;
    }
    let mouth = eyes + 1 + usize::from(text.is(eyes + 1, is_nose));
    let ends = text.is(mouth + 1, |c| !c.is_ascii_alphanumeric());
    let found = if text.is(mouth, is_mouth) && ends { Found::of(Kind::Smiley, mouth + 1) } else { None };
    found.map(|found| found.seeing(mouth + 2))
}

/// `^_^`, `>_<`, `-_-`.
pub(super) fn face(text: Text) -> Option<Found> {
    let is_eye = |c| matches!(c, '^' | 'x' | '=' | '~' | '<' | '>' | '\'' | '-');
    let fits = text.is(0, is_eye) && text.is(1, |c| c == '_') && text.is(2, is_eye);
    if fits { Found::plain(3) } else { None }
}

/// `?!`, `###`, `@@`, `>>`, `__`, `\*`, `¹²`: marks that stay together.
pub(super) fn marks(text: Text) -> Option<Found> {
    let len = match text.first() {
        '!' | '?' => text.run(0, |c| matches!(c, '!' | '?')),
        first @ ('#' | '_' | '@' | '*') => text.run(0, |c| c == first),
        first @ ('<' | '>') => 1 + usize::from(text.is(1, |c| c == first)),
        '\\' if text.is(1, |c| c == '*') => 2,
        sign if is_raised(sign) => text.run(0, is_raised),
        sign if is_lowered(sign) => text.run(0, is_lowered),
        '⁺' | '⁻' => 1 + text.run(1, is_raised).max(text.run(1, is_lowered)),
        _ => 0,
    };
    Found::plain(len)
}

fn is_raised(c: char) -> bool {
    matches!(c, '¹' | '²' | '³' | '\u{2070}' | '\u{2074}'..='\u{2079}')
}

fn is_lowered(c: char) -> bool {
    matches!(c, '\u{2080}'..='\u{2089}')
}
