//! Rules for numbers.

use super::class::is_digit;
use super::text::{Found, Kind, Text};

/// `1,234.56`, `12:30`, `.5`, `+1`, `1/2`.
pub(super) fn number(text: Text) -> Option<Found> {
    let sign = usize::from(text.is(0, |c| matches!(c, '+' | '-' | '\u{ad}')));
    let whole = text.run(sign, is_digit);
    if whole > 0 && sign == 0 && text.is(whole, is_slash) {
        let below = text.run(whole + 1, is_digit);
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

/// `12/31-99` and `1/2/2005`: day, month and year.
pub(super) fn date(text: Text) -> Option<Found> {
    let link = |i| text.is(i, |c| matches!(c, '/' | '-'));
    let day = text.run(0, is_digit);
    let month = text.run(day + 1, is_digit);
    let year = day + month + 2;
    let fits = (1..=2).contains(&day) && link(day) && (1..=2).contains(&month) && link(year - 1);
    let digits = if fits { text.run(year, is_digit).min(4) } else { 0 };
    if digits < 2 { None } else { Found::plain(year + digits) }
}

/// `1 1/2`: a number and a fraction that make one token.
pub(super) fn mixed(text: Text) -> Option<Found> {
    let whole = text.run(0, is_digit);
    let above = text.run(whole + 1, is_digit);
    let slash = whole + 1 + above;
    let below = text.run(slash + 1, is_digit);
    let fits = (1..=4).contains(&whole) && is_gap(text, whole) && above > 0 && text.is(slash, is_slash) && below > 0;
    if fits { Found::of(Kind::Joined, slash + 1 + below) } else { None }
}

/// `555 123 4567`, `(02) 555 1234`, `+86 5551234`: a telephone number, its area before it.
pub(super) fn telephone(text: Text) -> Option<Found> {
    let bracket = text.is(0, |c| c == '(');
    let sign = usize::from(bracket || text.is(0, |c| c == '+'));
    let area = text.run(sign, is_digit);
    let end = sign + area;
    let from = if bracket { end + 1 + usize::from(text.is(end + 1, |c| matches!(c, ' ' | '\u{a0}'))) } else { end + 1 };
    let closed = if bracket { text.is(end, |c| c == ')') } else { is_gap(text, end) };
    if !closed || area < 2 || area > if bracket { 3 } else { 4 } {
        return None;
    }
    let head = text.run(from, is_digit);
    if (6..=9).contains(&head) {
        return Found::of(Kind::Joined, from + head);
    }
    let tail = text.run(from + head + 1, is_digit).min(5);
    let fits = (3..=4).contains(&head) && is_gap(text, from + head) && tail >= 3;
    if fits { Found::of(Kind::Joined, from + head + 1 + tail) } else { None }
}

fn is_gap(text: Text, i: usize) -> bool {
    text.is(i, |c| matches!(c, ' ' | '\u{a0}' | '-'))
}

fn is_slash(c: char) -> bool {
    matches!(c, '/' | '\u{2044}')
}
