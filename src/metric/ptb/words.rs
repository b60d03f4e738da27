//! Rules for words: contractions, abbreviations, compounds.

use super::class::{is_apostrophe, is_blank, is_digit, is_latin, is_letter, is_wide_digit, is_word};
use super::text::{Found, Text, chain};

/// Two words written as one, and the length of the first.
const TWINS: [(&str, usize); 9] = [
    ("cannot", 3),
    ("gonna", 3),
    ("gotta", 3),
    ("lemme", 3),
    ("gimme", 3),
    ("wanna", 3),
    ("'tis", 2),
    ("'twas", 2),
    ("y'all", 2),
];

/// `cannot`, `gonna`, `y'all`: the first of two words written as one.
pub(super) fn twin(text: Text) -> Option<Found> {
    let (word, first) = TWINS.into_iter().find(|(word, _)| text.has(0, word))?;
    let end = word.len();
    let goes_on = text.is(end, is_word) || (text.is(end, is_apostrophe) && text.is(end + 1, is_letter));
    if goes_on { None } else { Found::plain(first).map(|found| found.seeing(end + 1)) }
}

/// The length of an apostrophe ending such as `'re` at `from`.
///
/// After a straight apostrophe no letter may follow, or it would be an opening quote.
fn ending(text: Text, from: usize) -> Option<usize> {
    let curly = text.is(from, |c| is_apostrophe(c) && c != '\'');
    if !curly && !text.is(from, |c| c == '\'') {
        return None;
    }
    let letters = ["s", "m", "d", "re", "ve", "ll"].into_iter().find(|letters| {
        let end = from + 1 + letters.len();
        text.has(from + 1, letters) && (curly || !text.is(end, |c| c.is_ascii_alphabetic()))
    })?;
    Some(1 + letters.len())
}

fn is_negation(text: Text, from: usize) -> bool {
    text.has(from, "n") && text.is(from + 1, is_apostrophe) && text.has(from + 2, "t")
}

/// A word before `n't` or `'s`, and these endings themselves.
pub(super) fn contraction(text: Text) -> Option<Found> {
    if let Some(len) = ending(text, 0) {
        return Found::plain(len).map(|found| found.seeing(len + 1));
    }
    if is_negation(text, 0) {
        return Found::plain(3);
    }
    let letters = text.run(0, |c| c.is_ascii_alphabetic() || c == '\u{ad}');
    if letters > 1 && is_negation(text, letters - 1) {
        return Found::plain(letters - 1).map(|found| found.seeing(letters + 2));
    }
    let end = letters + ending(text, letters)?;
    Found::plain(letters).map(|found| found.seeing(end))
}

/// Words with an apostrophe that belongs to them: `o'clock`, `d'être`, `'em`, `'90s`.
pub(super) fn elided(text: Text) -> Option<Found> {
    if text.is(0, is_apostrophe) {
        return clipped(text);
    }
    if let Some(word) = ["ma'am", "dunkin'"].into_iter().find(|word| text.has(0, word)) {
        return Found::plain(word.len());
    }
    let fits = text.is(0, |c| "dlojncDLOJNC".contains(c)) && text.is(1, is_apostrophe);
    let tail = match text.at(0) {
        _ if !fits => 0,
        Some('n' | 'N') => text.run(2, is_letter),
        _ => text.run(2, is_word),
    };
    if tail > 0 { Found::plain(2 + tail) } else { None }
}

/// Words that begin with an apostrophe.
fn clipped(text: Text) -> Option<Found> {
    if text.is(1, |c| c.is_ascii_digit()) && text.is(2, |c| c.is_ascii_digit()) && text.has(3, "s") {
        return Found::plain(4);
    }
    if let Some(word) = ["em", "til", "cause"].into_iter().find(|word| text.has(1, word)) {
        return if text.is(1 + word.len(), is_word) { None } else { Found::plain(1 + word.len()) };
    }
    let straight_goes_on = text.is(0, |c| c == '\'') && text.is(2, |c| c.is_ascii_alphabetic());
    if text.has(1, "n") && !straight_goes_on {
        return Found::plain(2 + usize::from(text.is(2, is_apostrophe)));
    }
    None
}

/// Abbreviations that keep their full stop in whatever case.
const ABBREVIATIONS: &[&str] = &[
    "adm", "apr", "assn", "aug", "ave", "bldg", "blvd", "bros", "capt", "cf", "cmdr", "co", "col", "corp", "dec",
    "dept", "det", "dr", "eds", "elec", "eq", "esq", "etc", "exec", "feb", "fri", "ft", "gov", "hon", "inc", "insp",
    "jan", "jr", "jul", "jun", "lieut", "lt", "ltd", "maj", "messrs", "mon", "mr", "mrs", "ms", "mt", "nos", "nov",
    "oct", "ph", "pp", "pres", "prof", "rd", "rev", "sen", "sep", "sept", "seq", "sgt", "sr", "st", "supt", "thu",
    "thur", "thurs", "tue", "tues", "univ", "vol", "vs",
];

/// Abbreviations that are also words, or parts of addresses: only with a capital.
const CAPITAL: &[&str] = &[
    "Al", "Ariz", "Ark", "Calif", "Colo", "Conn", "Del", "Ed", "Fig", "Fla", "Ga", "Gen", "Ill", "Ind", "Kan", "Ky",
    "La", "Mar", "Mass", "Md", "Mich", "Minn", "Miss", "Mo", "Mont", "Neb", "Nev", "Okla", "Ore", "Pa", "Penn", "Rep",
    "Sec", "Tenn", "Tex", "Va", "Vt", "Wash", "Wis", "Wyo",
];

/// Abbreviations that also split off before a single letter (`Jan.a field`).
const LOOSE: [&str; 13] = ["jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "etc"];

/// `Mr.`, `etc.`, any single letter with its dot, and `No.` before a number.
pub(super) fn abbreviation(text: Text) -> Option<Found> {
    let letters = text.run(0, is_latin);
    if letters == 0 || letters > 8 || !text.is(letters, |c| c == '.') {
        return None;
    }
    let end = letters + 1;
    let word: String = text.head(letters).iter().collect();
    let lower = word.to_ascii_lowercase();
    if lower == "no" {
        let number = end + text.run(end, is_blank);
        return if text.is(number, is_digit) { Found::plain(end).map(|found| found.seeing(number + 1)) } else { None };
    }
    let single_follows = text.is(end, is_word) && text.is(end + 1, |c| !is_word(c));
    if LOOSE.contains(&lower.as_str()) && single_follows {
        return Found::plain(end).map(|found| found.seeing(end + 2));
    }
    let known = ABBREVIATIONS.contains(&lower.as_str()) || CAPITAL.contains(&word.as_str());
    if known || (letters == 1 && word.is_ascii()) { Found::plain(end) } else { None }
}

/// `U.S.`, `e.g.`, `AT&T`, `US$`.
pub(super) fn acronym(text: Text) -> Option<Found> {
    let capitals = text.run(0, |c| c.is_ascii_uppercase());
    if capitals > 0 && text.is(capitals, |c| c == '$') {
        return Found::plain(capitals + 1);
    }
    if capitals > 0 && text.is(capitals, |c| c == '&') && text.is(capitals + 1, |c| c.is_ascii_uppercase()) {
        return Found::plain(capitals + 1 + text.run(capitals + 1, |c| c.is_ascii_uppercase()));
    }
    let mut len = 0;
    while text.is(len, |c| c.is_ascii_alphabetic()) && text.is(len + 1, |c| c == '.') {
        len += 2;
    }
    if len >= 4 { Found::plain(len) } else { None }
}

/// Letters and digits, with what joins them: `word.word`, `t-shaped`, `word_word`, `and/or`.
pub(super) fn word(text: Text) -> Option<Found> {
    let plain = text.run(0, is_word);
    if plain == 0 {
        return None;
    }
    if text.head(plain).iter().all(|&c| c == '\u{ad}') {
        return Found::plain(1);
    }
    let underscored = chain(text, plain, |c| c == '_', |i| text.run(i, is_word));
    let dotted = dotted(text);
    let len = underscored.max(dotted).max(hyphenated(text)).max(plain);
    // A full stop before another mark stays with the word.
    let stop = text.is(len, |c| c == '.') && text.is(len + 1, |c| matches!(c, ',' | ';' | ':' | '、'));
    if stop && len == dotted { Found::plain(len + 1).map(|found| found.seeing(len + 2)) } else { Found::plain(len) }
}

/// Parts that begin with a letter, joined by full stops, question or exclamation marks.
fn dotted(text: Text) -> usize {
    let part = |i| if text.is(i, is_letter) { text.run(i, is_word) } else { 0 };
    chain(text, part(0), |c| matches!(c, '.' | '?' | '!'), part)
}

/// Parts joined by hyphens; the first may be a number, dotted, or joined by slashes.
fn hyphenated(text: Text) -> usize {
    let visible = |c| is_word(c) && c != '\u{ad}';
    let slashed = slashed(text);
    let without_digits = if text.head(slashed).iter().any(char::is_ascii_digit) { 0 } else { slashed };
    let numeric = text.run(0, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | ','));
    let first = numeric.max(text.run(0, visible)).max(without_digits);
    let whole = chain(text, first, |c| c == '-', |i| text.run(i, visible));
    if whole > first { whole } else { slashed }
}

/// ASCII parts joined by slashes.
fn slashed(text: Text) -> usize {
    let part = |i| text.run(i, |c| c.is_ascii_alphanumeric() || is_wide_digit(c));
    chain(text, part(0), |c| c == '/', part)
}
