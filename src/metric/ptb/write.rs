//! How tokens are written.

use super::signs::ascii_quote;
use super::text::Kind;

/// The tokens that do not count as words. Brackets come out in lower case and so stay.
const REMOVED: [&str; 14] = ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", ""];

/// Appends a word of ASCII letters.
pub(super) fn word(letters: &[char], out: &mut String) {
    if !out.is_empty() {
        out.push(' ');
    }
    out.extend(letters.iter().map(char::to_ascii_lowercase));
}

/// Appends a token, unless it is punctuation that does not count; whether it did.
pub(super) fn token(text: &[char], kind: Kind, out: &mut String) -> bool {
    let before = out.len();
    if before > 0 {
        out.push(' ');
    }
    let start = out.len();
    match kind {
        Kind::Plain => text.iter().for_each(|&c| plain(c, out)),
        Kind::Joined => text.iter().for_each(|&c| plain(if c == ' ' { '\u{a0}' } else { c }, out)),
        Kind::Ending => ending(text, out),
        Kind::Verbatim => out.extend(text),
        Kind::Smiley => text.iter().for_each(|&c| smiley(c, out)),
        Kind::Quotes => out.extend(text.iter().filter_map(|&c| ascii_quote(c))),
        Kind::Always(written) => out.push_str(written),
    }
    if REMOVED.contains(&&out[start..]) {
        out.truncate(before);
        return false;
    }
    if out[start..].is_ascii() {
        out[start..].make_ascii_lowercase();
    } else {
        let lower = out[start..].to_lowercase();
        out.truncate(start);
        out.push_str(&lower);
    }
    true
}

/// Brackets, currency signs and fractions in ASCII; soft hyphens leave nothing.
fn plain(c: char, out: &mut String) {
    out.push_str(match c {
        '\u{ad}' => "",
        '(' => "-lrb-",
        ')' => "-rrb-",
        '[' => "-lsb-",
        ']' => "-rsb-",
        '{' => "-lcb-",
        '}' => "-rcb-",
        '£' => "#",
        '€' | '¤' | '₠' | '\u{80}' => "$",
        '¢' => "cents",
        '¼' => "1/4",
        '½' => "1/2",
        '¾' => "3/4",
        '⅓' => "1/3",
        '⅔' => "2/3",
        _ => return out.push(c),
    });
}

/// The same, with straight apostrophes, and `&apos;` and `&amp;` as the signs they stand for.
fn ending(text: &[char], out: &mut String) {
    const AMPERSAND: [char; 5] = ['&', 'a', 'm', 'p', ';'];
    const APOSTROPHE: [char; 6] = ['&', 'a', 'p', 'o', 's', ';'];
    let mut rest = text;
    while let Some(&c) = rest.first() {
        let len = match c {
            '&' if rest.starts_with(&AMPERSAND) => AMPERSAND.len(),
            '&' if rest.starts_with(&APOSTROPHE) => APOSTROPHE.len(),
            _ => 1,
        };
        match c {
            '’' | '\u{92}' => out.push('\''),
            '‘' | '‛' | '\u{91}' => out.push('`'),
            '&' if len == APOSTROPHE.len() => out.push('\''),
            _ => plain(c, out),
        }
        rest = &rest[len..];
    }
}

fn smiley(c: char, out: &mut String) {
    match c {
        '(' | ')' => plain(c, out),
        _ => out.push(c),
    }
}
