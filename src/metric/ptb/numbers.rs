//! Rules for numbers.

use super::class::is_digit;
use super::text::{Found, Kind, Text, chain};

fn ascii(c: char) -> bool {
    c.is_ascii_digit()
}

/// `1,234.56`, `12:30`, `.5`, `+1`, `1/2`.
pub(super) fn number(text: Text) -> Option<Found> {
    let sign = usize::from(text.is(0, |c| matches!(c, '+' | '-')));
    let whole = text.run(sign, ascii);
    if whole > 0 && sign == 0 && text.is(whole, |c| c == '/') {
        let below = text.run(whole + 1, ascii);
        if below > 0 {
            return Found::plain(whole + 1 + below);
        }
    }
    let mut len = sign + whole;
    while text.is(len, |c| matches!(c, '.' | ',' | ':')) && text.is(len + 1, is_digit) {
        len += 1 + text.run(len + 1, is_digit);
    }
    if len == sign { None } else { Found::plain(len) }
}

/// `1 1/2` and `555 123 4567`, `(02) 555 1234`: groups that make one token.
pub(super) fn groups(text: Text) -> Option<Found> {
    if text.is(0, |c| c == '(') {
        let area = text.run(1, ascii);
        let from = 2 + area + text.run(2 + area, |c| c == ' ');
        let fits = (2..=3).contains(&area) && text.is(1 + area, |c| c == ')');
        return if fits { local_number(text, from).and_then(|end| Found::of(Kind::Joined, end)) } else { None };
    }
    let first = text.run(0, ascii);
    if !(1..=4).contains(&first) || !text.is(first, |c| matches!(c, ' ' | '\u{a0}' | '-')) {
        return None;
    }
    let above = text.run(first + 1, ascii);
    let fraction = chain(text, first + 1 + above, |c| c == '/', |i| text.run(i, ascii));
    if above > 0 && fraction > first + 1 + above {
        return Found::of(Kind::Joined, fraction);
    }
    if first < 2 || text.is(first, |c| c == '-') {
        return None;
    }
    local_number(text, first + 1).and_then(|end| Found::of(Kind::Joined, end))
}

/// The end of `555 1234` from `from` on.
fn local_number(text: Text, from: usize) -> Option<usize> {
    let head = text.run(from, ascii);
    let gap = from + head;
    let tail = text.run(gap + 1, ascii);
    let fits =
        (2..=4).contains(&head) && text.is(gap, |c| matches!(c, ' ' | '\u{a0}' | '-')) && (3..=5).contains(&tail);
    fits.then_some(gap + 1 + tail)
}
