//! The words of a caption by Penn Treebank rules, as the COCO caption evaluation splits them.
//!
//! Written from the observed behaviour of the tokenizer that the published scores use: at each place of the
//! line every rule says how far its token reaches, and the rule that saw most characters wins. Output is in
//! lower case, without the punctuation that the evaluation removes.
//!
//! The original reads all captions as the lines of one file, and a few tokens at a line's end depend on how the
//! file goes on (`type B.` keeps its full stop unless the next caption begins with a word such as `The`).
//! [`tokenize_all`] and [`tokenize_before`] do the same; [`looks_ahead`] says when it matters.
//!
//! One thing differs on purpose: a line separator inside a caption (CR, VT, FF, U+2028, U+2029) is a blank. In the
//! original it moves all later captions by one, so that captions are scored as those of other images.

mod abbreviations;
mod apostrophes;
mod class;
mod markup;
mod numbers;
mod rules;
mod signs;
mod text;
mod words;
mod write;

#[cfg(test)]
mod tests;

use text::{Places, Text};

/// The version of the rules; part of the key of whatever keeps their output.
///
/// Raised by every change after which some caption has other words, and by nothing else (not by speed).
/// 1: agrees with the original on all golden lines.
pub const VERSION: u32 = 1;

/// The words of each caption, joined by one blank: the captions are the lines of one file, in this order.
///
/// A U+00A0 inside a token (phone numbers, mixed fractions) stays: scorers that split on white space take such
/// a token for several words, those that split on the blank for one.
pub fn tokenize_all(captions: &[&str]) -> Vec<String> {
    (0..captions.len()).map(|i| tokenize_before(captions[i], &captions[i + 1..])).collect()
}

/// The words of one caption that ends its file, joined by one blank.
pub fn tokenize(caption: &str) -> String {
    tokenize_before(caption, &[])
}

/// The words of one caption, joined by one blank; `following` are the captions after it in its file.
pub fn tokenize_before(caption: &str, following: &[&str]) -> String {
    let mut line = characters(caption);
    let end = line.len();
    if may_look_ahead(&line) {
        append_start(&mut line, following);
    } else if !following.is_empty() {
        line.push('\n');
    }
    words(&line, end)
}

/// Whether the words of a caption can depend on the captions that follow it; no ordinary caption's do.
///
/// Where this is false, `tokenize_before` gives the words of `tokenize` whatever follows.
pub fn looks_ahead(caption: &str) -> bool {
    // What the rules can tell apart behind a caption: nothing, any line, a number, a word that starts sentences.
    const FOLLOWING: [&str; 3] = ["", "5", "The one"];
    if !may_look_ahead(&characters(caption)) {
        return false;
    }
    let alone = tokenize(caption);
    FOLLOWING.iter().any(|next| tokenize_before(caption, &[next]) != alone)
}

/// The characters of a caption; only a line feed is the end of a line, so none is left inside.
fn characters(caption: &str) -> Vec<char> {
    let mut line = Vec::with_capacity(caption.len() + 16);
    line.extend(caption.chars().map(|c| if c == '\n' { ' ' } else { c }));
    line
}

/// A quick test that is true for all captions whose words may depend on what follows, and for few others.
fn may_look_ahead(line: &[char]) -> bool {
    let trimmed = line.iter().rposition(|&c| !class::is_space(c)).map_or(0, |last| last + 1);
    let Some((&last, before)) = line[..trimmed].split_last() else { return false };
    let run_before = |test: fn(&char) -> bool| before.iter().rev().take_while(|&c| test(c)).count();
    if last == '.' {
        let letters = run_before(char::is_ascii_alphabetic);
        return (1..=2).contains(&letters) || abbreviations::before_number(&before[before.len() - letters..]);
    }
    if signs::is_mouth(last) && before.last().is_some_and(|&c| signs::precedes_mouth(c)) {
        return true;
    }
    let years = run_before(char::is_ascii_digit) == 1 && last.is_ascii_digit();
    let word = 1 + run_before(char::is_ascii_alphanumeric);
    let stop_before = || line[..trimmed - word].iter().rev().find(|&&c| !class::is_space(c)) == Some(&'.');
    years || (class::is_word(last) && word < 16 && stop_before())
}

/// Appends the end of the line and the start of the next that is not blank, as far as rules look.
fn append_start(line: &mut Vec<char>, following: &[&str]) {
    const ENOUGH: usize = 16;
    for (i, next) in following.iter().enumerate() {
        line.push('\n');
        let word = next.trim_start();
        let start = next[..next.len() - word.len()].chars().chain(word.chars().take(ENOUGH));
        line.extend(start.map(|c| if c == '\n' { ' ' } else { c }));
        if !word.is_empty() {
            if i + 1 < following.len() && word.chars().nth(ENOUGH).is_none() {
                line.push('\n');
            }
            return;
        }
    }
}

/// The tokens of `line[..end]` that count as words, joined by one blank; `line[end..]` is what follows in the file.
fn words(line: &[char], end: usize) -> String {
    let mut out = String::with_capacity(end + end / 4);
    let mut places = Places::default();
    let mut place = 0;
    let mut kept = false;
    while place < end {
        if !class::is_known(line[place]) {
            place += 1;
            continue;
        }
        if let Some(len) = words::simple(&line[place..]) {
            write::word(&line[place..place + len], &mut out);
            place += len;
            kept = true;
            continue;
        }
        let found = rules::longest(Text::new(line, place, &mut places));
        kept = write::token(&line[place..place + found.len], found.kind, &mut out);
        place += found.len;
    }
    if kept {
        out.truncate(out.trim_end().len());
    }
    out
}
