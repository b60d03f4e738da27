//! The words of a caption by Penn Treebank rules, as the COCO caption evaluation splits them.
//!
//! Written from the observed behaviour of the tokenizer that the published scores use: at each place of the
//! line every rule says how far its token reaches, and the rule that saw most characters wins. Output is in
//! lower case, without the punctuation that the evaluation removes.
//!
//! Two things differ on purpose. A caption's words never depend on its neighbours (the original looks past the
//! line end after `No.` and single letters), and a line separator inside a caption is a blank (in the original it moves
//! all later captions by one).

mod class;
mod numbers;
mod signs;
mod text;
mod words;

#[cfg(test)]
mod tests;

use text::{Found, Kind, Text};

/// The tokens that do not count as words. Brackets come out in lower case and so stay.
const REMOVED: [&str; 14] = ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", ""];

/// The rules; of two that saw equally much, the earlier wins.
const RULES: [fn(Text) -> Option<Found>; 18] = [
    signs::entity,
    signs::tag,
    signs::address,
    signs::mail,
    signs::tagged,
    words::twin,
    words::contraction,
    words::elided,
    words::abbreviation,
    words::acronym,
    numbers::groups,
    numbers::number,
    words::word,
    signs::quote,
    signs::dots,
    signs::dashes,
    signs::emoticon,
    signs::marks,
];

/// The words of each caption, joined by one blank.
///
/// A U+00A0 inside a token (phone numbers, mixed fractions) stays: scorers that split on white space take such
/// a token for several words, those that split on the blank for one.
pub fn tokenize_all(captions: &[&str]) -> Vec<String> {
    captions.iter().map(|caption| tokenize(caption)).collect()
}

/// The words of one caption, joined by one blank.
pub fn tokenize(caption: &str) -> String {
    let mut words = tokens(caption);
    words.retain(|word| !REMOVED.contains(&word.as_str()));
    words.join(" ").trim_end().to_owned()
}

/// All tokens of one caption, punctuation included, in lower case.
fn tokens(caption: &str) -> Vec<String> {
    let line: Vec<char> = caption.chars().collect();
    let mut tokens = Vec::new();
    let mut place = 0;
    while place < line.len() {
        if class::is_blank(line[place]) || class::is_unknown(line[place]) {
            place += 1;
            continue;
        }
        let found = longest(Text(&line[place..]));
        tokens.push(write(&line[place..place + found.len], found.kind));
        place += found.len;
    }
    tokens
}

/// The token at the start of `text`; a character that no rule knows is one.
fn longest(text: Text) -> Found {
    let mut best = Found { len: 1, seen: 0, kind: Kind::Plain };
    for rule in RULES {
        if let Some(new) = rule(text)
            && new.seen > best.seen
        {
            best = new;
        }
    }
    best
}

fn write(text: &[char], kind: Kind) -> String {
    let raw = || text.iter().collect::<String>().to_lowercase();
    match kind {
        Kind::Plain => plain(text),
        Kind::Joined => plain(text).replace(' ', "\u{a0}"),
        Kind::Verbatim => raw(),
        Kind::Smiley => raw().replace('(', "-lrb-").replace(')', "-rrb-"),
        Kind::Quotes => text.iter().map(|&c| ascii_quote(c)).collect(),
        Kind::Always(written) => written.to_owned(),
    }
}

fn ascii_quote(c: char) -> &'static str {
    match c {
        '“' => "``",
        '”' => "''",
        '‘' | '`' => "`",
        _ => "'",
    }
}

fn plain(text: &[char]) -> String {
    if text == ['\u{ad}'] {
        return "-".to_owned();
    }
    // The clipped `’n` is the one word that keeps its curly apostrophe.
    let keeps_apostrophe = text.starts_with(&['’', 'n']);
    let mut out = String::with_capacity(text.len());
    for &c in text {
        match c {
            '\u{ad}' => {}
            '(' => out.push_str("-lrb-"),
            ')' => out.push_str("-rrb-"),
            '[' => out.push_str("-lsb-"),
            ']' => out.push_str("-rsb-"),
            '{' => out.push_str("-lcb-"),
            '}' => out.push_str("-rcb-"),
            '£' => out.push('#'),
            '€' => out.push('$'),
            '¼' => out.push_str("1/4"),
            '½' => out.push_str("1/2"),
            '¾' => out.push_str("3/4"),
            '⅓' => out.push_str("1/3"),
            '⅔' => out.push_str("2/3"),
            '’' if !keeps_apostrophe => out.push('\''),
            _ => out.push(c),
        }
    }
    out.to_lowercase()
}
