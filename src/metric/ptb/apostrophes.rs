//! Rules for words with an apostrophe.

use super::class::{is_letter, is_space, is_word};
use super::text::{Found, Kind, Text};
use super::words::dotted;

/// The length of an apostrophe at `i`: straight, curly, or `&apos;`; 0 where there is none.
pub(super) fn apostrophe(text: Text, i: usize) -> usize {
    match text.at(i) {
        Some('\'' | '\u{2019}' | '\u{92}') => 1,
        Some('&') if text.has(i, "&apos;") => 6,
        _ => 0,
    }
}

/// The length of an apostrophe or of an opening quote that stands for one.
fn any_apostrophe(text: Text, i: usize) -> usize {
    match text.at(i) {
        Some('`' | '‘' | '‛' | '\u{91}') => 1,
        _ => apostrophe(text, i),
    }
}

/// The length of an apostrophe ending such as `'re` at `from`; 0 where there is none.
fn ending(text: Text, from: usize) -> usize {
    let quote = apostrophe(text, from);
    if quote == 0 {
        return 0;
    }
    let letters = ["s", "m", "d", "re", "ve", "ll"].into_iter().find(|letters| text.has(from + quote, letters));
    letters.map_or(0, |letters| quote + letters.len())
}

/// The length of `n't` at `from`; 0 where there is none.
fn negation(text: Text, from: usize) -> usize {
    let quote = any_apostrophe(text, from + 1);
    if quote > 0 && text.has(from, "n") && text.has(from + 1 + quote, "t") { quote + 2 } else { 0 }
}

/// A word before `n't` or `'s`, and these endings themselves.
pub(super) fn contraction(text: Text) -> Option<Found> {
    let alone = ending(text, 0);
    if alone > 0 {
        // After a straight apostrophe no letter may follow, or it would be an opening quote.
        let quotes = text.first() == '\'' && text.is(alone, |c| c.is_ascii_alphabetic());
        return if quotes { None } else { Found::of(Kind::Ending, alone).map(|found| found.seeing(alone + 1)) };
    }
    let alone = negation(text, 0);
    if alone > 0 {
        return Found::of(Kind::Ending, alone);
    }
    let letters = text.run(0, |c| c.is_ascii_alphabetic() || c == '\u{ad}');
    if letters > 1 && !text.has(letters - 2, "n") {
        let end = negation(text, letters - 1);
        if end > 0 {
            return Found::plain(letters - 1).map(|found| found.seeing(letters - 1 + end));
        }
    }
    let before = [letters, dotted(text)].into_iter().find(|&len| ending(text, len) > 0)?;
    Found::plain(before).map(|found| found.seeing(before + ending(text, before)))
}

/// Whole words that end or go on after an apostrophe, and their letters before and after it.
const SPOKEN: [(&str, &str); 10] = [
    ("c", "est"),
    ("c", "mon"),
    ("cap", "n"),
    ("dunkin", ""),
    ("e", "er"),
    ("li", "l"),
    ("nat", "l"),
    ("ol", ""),
    ("s", "mores"),
    ("somethin", ""),
];

/// `c'mon`, `somethin'`.
pub(super) fn spoken(text: Text) -> Option<Found> {
    SPOKEN.into_iter().find_map(|(before, after)| {
        let quote = if text.has(0, before) { apostrophe(text, before.len()) } else { 0 };
        let from = before.len() + quote;
        if quote > 0 && text.has(from, after) { Found::plain(from + after.len()) } else { None }
    })
}

/// The length of `d'`, `l'` or `o'` at `from`, which join the word after them; 0 where there is none.
pub(super) fn article(text: Text, from: usize) -> usize {
    if text.is(from, |c| matches!(c, 'd' | 'D' | 'l' | 'L' | 'o' | 'O')) {
        let quote = any_apostrophe(text, from + 1);
        let joins = quote > 0 && text.is(from + 1 + quote, is_word) && text.is(from + 2 + quote, is_word);
        return if joins { 1 + quote } else { 0 };
    }
    0
}

/// Words with an apostrophe that belongs to them (`D'Arcy`, `N'Djamena`, `ma'am`, `Hawai'i`), and `d'`, `j'`, `y'`.
pub(super) fn name(text: Text) -> Option<Found> {
    let letters = text.run(0, |c| is_letter(c) && c != '\u{ad}');
    let quote = any_apostrophe(text, letters);
    if quote == 0 {
        return None;
    }
    let tail = letters + quote;
    let more = text.run(tail, |c| is_letter(c) && c != '\u{ad}');
    let is_vowel = |c: char| "aeiou".contains(c.to_ascii_lowercase());
    if letters > 1 {
        let between_vowels = text.is(letters - 1, |c| is_vowel(c) || c == 'y' || c == 'Y')
            && text.is(tail, |c| is_vowel(c) || c.is_ascii_uppercase());
        return if between_vowels { Found::plain(tail + more) } else { None };
    }
    let first = text.first();
    if more > 1 && matches!(first, 'A'..='H' | 'J'..='X' | 'Z' | 'n') {
        return Found::plain(tail + more);
    }
    if apostrophe(text, letters) == 0 {
        return None;
    }
    match first {
        'd' | 'D' | 'l' | 'L' | 'j' | 'J' => Found::plain(tail),
        'y' | 'Y' if more > 0 => Found::plain(tail).map(|found| found.seeing(tail + 1)),
        _ => None,
    }
}

/// Words that begin with an apostrophe: `'90s`, `'14` at a word's end, `'em`, `'n'`.
pub(super) fn clipped(text: Text) -> Option<Found> {
    let quote = apostrophe(text, 0);
    if quote == 0 {
        return None;
    }
    let years = text.is(quote, |c| c.is_ascii_digit()) && text.is(quote + 1, |c| c.is_ascii_digit());
    if years && text.has(quote + 1, "0s") && text.is(quote, |c| c >= '2') {
        return Found::plain(quote + 3);
    }
    if years && text.is(quote + 2, is_space) {
        return Found::plain(quote + 2).map(|found| found.seeing(quote + 3));
    }
    if let Some(word) = ["em", "till", "til", "cause"].into_iter().find(|word| text.has(quote, word)) {
        return Found::plain(quote + word.len());
    }
    let straight_goes_on = text.first() == '\'' && text.is(2, |c| c.is_ascii_alphabetic());
    if text.has(quote, "n") && !straight_goes_on {
        return Found::plain(quote + 1 + apostrophe(text, quote + 1));
    }
    None
}
