//! Rules for words that keep a full stop: abbreviations and acronyms.

use super::class::{is_digit, is_latin, is_space, is_word};
use super::text::{Found, Kind, Text};

/// Titles and the like, which a name follows; also single letters.
const BEFORE_NAMES: &[&str] = &[
    "adj", "adm", "adv", "alex", "assoc", "asst", "atty", "ave", "brig", "capt", "cf", "cie", "cmdr", "col", "comdr",
    "cpl", "dept", "det", "dr", "drs", "elec", "ens", "ft", "gen", "gov", "govs", "hon", "insp", "invt", "jos",
    "lieut", "lt", "maj", "messrs", "mlle", "mme", "mr", "mrs", "ms", "msgr", "mt", "natl", "pfc", "ph", "pres",
    "prof", "profs", "pvt", "rep", "reps", "rev", "sen", "sens", "sfc", "sgt", "spc", "st", "ste", "supt", "vs", "wm",
];

/// Abbreviations that can end a sentence; they also split off before a single letter (`Jan.a field`).
const ENDING: &[&str] = &[
    "al", "ala", "apr", "ariz", "assn", "aug", "bhd", "bldg", "blvd", "bros", "calif", "co", "colo", "conn", "corp",
    "cos", "ct", "dak", "dec", "esq", "est", "etc", "ext", "feb", "fla", "fri", "ga", "inc", "ind", "intl", "jan",
    "jr", "jul", "jun", "kan", "kans", "ky", "ltd", "mar", "md", "mich", "minn", "mo", "mon", "mont", "neb", "nev",
    "nov", "oct", "okla", "penn", "plc", "rd", "rt", "sep", "sept", "seq", "sq", "sr", "sys", "tel", "tenn", "thu",
    "thurs", "tue", "tues", "univ", "va", "vt", "wed", "wis", "wisc", "wyo",
];

/// Those of them that are also words: with a capital only.
const CAPITAL: &[&str] = &["ark", "az", "del", "ill", "la", "mass", "miss", "ore", "pa", "tex", "wash"];

/// Those without a form in capitals: only the first letter may be one.
const SMALL: &[&str] = &["ppte", "ppty", "pte", "ptes", "pty", "ptys"];

/// Abbreviations before a number.
const BEFORE_NUMBERS: &[&str] = &["art", "ca", "fig", "figs", "no", "nos", "op", "pp", "prop"];

/// Words that show that the full stop before them ended a sentence.
const STARTERS: &[&str] = &[
    "a",
    "about",
    "according",
    "additionally",
    "after",
    "an",
    "as",
    "at",
    "but",
    "earlier",
    "he",
    "her",
    "here",
    "however",
    "if",
    "in",
    "it",
    "last",
    "many",
    "more",
    "mr.",
    "ms.",
    "now",
    "once",
    "one",
    "other",
    "our",
    "she",
    "since",
    "so",
    "some",
    "such",
    "that",
    "the",
    "their",
    "then",
    "there",
    "these",
    "they",
    "this",
    "we",
    "what",
    "when",
    "while",
    "yet",
    "you",
];

/// Whether `word` is one of the sorted lower-case `words`, in whatever case.
fn in_list(word: &[char], words: &[&str]) -> bool {
    let lower = || word.iter().map(char::to_ascii_lowercase);
    words.binary_search_by(|known| known.chars().cmp(lower())).is_ok()
}

/// Whether `word` is an abbreviation only before a number.
pub(super) fn before_number(word: &[char]) -> bool {
    in_list(word, BEFORE_NUMBERS)
}

/// `Mr.`, `etc.`, any single letter with its dot, and `No.` before a number.
pub(super) fn abbreviation(text: Text) -> Option<Found> {
    const LONGEST: usize = 8;
    let letters = text.head(text.len().min(LONGEST + 1)).iter().take_while(|&&c| is_latin(c)).count();
    let end = letters + 1;
    if letters == 0 || !text.is(letters, |c| c == '.') {
        return None;
    }
    let word = text.head(letters);
    if letters == 1 && word[0].is_ascii() {
        return if starts_sentence(text, end) { None } else { Found::plain(end) };
    }
    if before_number(word) {
        let number = end + usize::from(text.is(end, is_space));
        return if text.is(number, is_digit) { Found::plain(end).map(|found| found.seeing(number + 1)) } else { None };
    }
    if in_list(word, BEFORE_NAMES) || (in_list(word, &["mfg", "mtg"]) && is_small(&word[1..])) {
        return Found::plain(end);
    }
    let known = in_list(word, ENDING)
        || (in_list(word, CAPITAL) && word[0].is_ascii_uppercase())
        || (in_list(word, SMALL) && is_small(&word[1..]));
    let word_follows = text.is(end, is_word) && text.is(end + 1, is_word);
    let seen = if word_follows { end } else { text.len().min(end + 2) };
    if known { Found::plain(end).map(|found| found.seeing(seen)) } else { None }
}

fn is_small(letters: &[char]) -> bool {
    letters.iter().all(char::is_ascii_lowercase)
}

/// Whether white space and a capitalised word that often begins sentences stand at `from`.
fn starts_sentence(text: Text, from: usize) -> bool {
    let word = from + text.run(from, is_space);
    if word == from || !text.is(word, |c| c.is_ascii_uppercase()) {
        return false;
    }
    let letters = text.run(word, |c| c.is_ascii_alphabetic() || c == '.');
    let end = word + letters;
    text.is(end, is_space) && in_list(&text.head(end)[word..], STARTERS)
}

/// `U.S.`, `e.g.`, `x-U.S.`, `AT&T`, `US$`, `C#`.
pub(super) fn acronym(text: Text) -> Option<Found> {
    if matches!(text.first(), 'c' | 'C' | 'f' | 'F') && text.is(1, |c| c == '#') {
        return Found::plain(2);
    }
    if text.has(0, "c++") {
        return Found::plain(3);
    }
    let capitals = text.run(0, |c| c.is_ascii_uppercase());
    if capitals > 0 && text.is(capitals, |c| c == '$') {
        return Found::plain(capitals + 1);
    }
    let joined = joined_capitals(text, capitals);
    if joined > capitals {
        return Found::of(Kind::Ending, joined);
    }
    Found::plain(letters_with_stops(text, 0).max(compound(text)))
}

/// The length of capitals joined by `&` or `+`; the first of them end at `first`.
fn joined_capitals(text: Text, first: usize) -> usize {
    let mut len = first;
    while len > 0 && text.is(len, |c| matches!(c, '&' | '+')) {
        let link = if text.has(len, "&amp;") && text.is(len + 1, |c| c == 'a') { 5 } else { 1 };
        let more = text.run(len + link, |c| c.is_ascii_uppercase());
        if more == 0 {
            break;
        }
        len += link + more;
    }
    len
}

/// The length of two or more letters with a full stop each, at `from`.
fn letters_with_stops(text: Text, from: usize) -> usize {
    let mut end = from;
    while text.is(end, |c| c.is_ascii_alphabetic()) && text.is(end + 1, |c| c == '.') {
        end += 2;
    }
    if end >= from + 4 { end - from } else { 0 }
}

/// ASCII parts joined by hyphens, the last of them an acronym.
fn compound(text: Text) -> usize {
    let mut end = text.numeric_end();
    let mut longest = 0;
    while text.is(end, |c| c == '-') {
        let acronym = letters_with_stops(text, end + 1);
        if acronym > 0 {
            longest = end + 1 + acronym;
        }
        let part = text.run(end + 1, |c| c.is_ascii_alphanumeric());
        if part == 0 {
            break;
        }
        end += 1 + part;
    }
    longest
}
