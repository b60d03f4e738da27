//! METEOR's own normaliser, which runs on text that is already tokenised.
//!
//! It follows the rules of the Moses tokenizer, one function per rule, each working from left to right without
//! looking back at what it has just replaced (so `a,b,c` becomes `a , b,c`).
//! Source: observed output of METEOR 1.5 `-l en -norm`, every character of the basic plane in nine contexts.

/// Words before which a full stop does not end a sentence.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Prefixes {
    /// Sorted; upper and lower case differ.
    always: Vec<String>,
    /// Sorted; these count only before a number.
    before_number: Vec<String>,
}

impl Prefixes {
    /// Reads a Moses list: one prefix per line, `#` for remarks, `#NUMERIC_ONLY#` behind what counts before numbers.
    pub(super) fn new(list: &str) -> Self {
        let mut prefixes = Self::default();
        for line in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once("#NUMERIC_ONLY#") {
                Some((prefix, _)) => prefixes.before_number.push(prefix.trim().to_owned()),
                None => prefixes.always.push(line.to_owned()),
            }
        }
        prefixes.always.sort_unstable();
        prefixes.before_number.sort_unstable();
        prefixes
    }

    fn always(&self, word: &str) -> bool {
        self.always.binary_search_by(|prefix| prefix.as_str().cmp(word)).is_ok()
    }

    fn before_number(&self, word: &str) -> bool {
        self.before_number.binary_search_by(|prefix| prefix.as_str().cmp(word)).is_ok()
    }
}

/// Stands for every blank outside ASCII, which is a sign of its own up to the end.
const NO_BREAK_SPACE: char = '\u{a0}';

/// The words METEOR compares, in lower case and joined by one blank.
///
/// Letters are Latin and Cyrillic; any other sign, each Han character for one, becomes a word of its own.
pub(super) fn normalize(text: &str, prefixes: &Prefixes) -> String {
    let mut text = characters(text);
    if text.contains(&',') {
        text = commas(&text);
    }
    if text.contains(&'-') {
        text = hyphens(&text);
    }
    if text.contains(&'\'') {
        text = apostrophes(&text);
    }
    let text: String = text.into_iter().collect();
    full_stops(text.trim_end_matches(' '), prefixes).to_lowercase()
}

/// One kind of blank and quote; blanks around every other sign and around runs of full stops.
fn characters(text: &str) -> Vec<char> {
    let text = text.trim_matches(|c| c <= ' ');
    let mut out = Vec::with_capacity(text.len() + 16);
    out.push(' ');
    let mut signs = text.chars().map(plain).peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '\'' if signs.peek() == Some(&'\'') => {
                signs.next();
                out.extend([' ', '"', ' ']);
            }
            '.' if signs.peek() == Some(&'.') => {
                out.extend([' ', '.']);
                while signs.next_if_eq(&'.').is_some() {
                    out.push('.');
                }
                out.push(' ');
            }
            '\u{2013}' => out.extend([' ', '-', ' ']),
            ' ' | '\u{b}' | '.' | '\'' | ',' | '-' => out.push(sign),
            _ if is_word(sign) => out.push(sign),
            _ => out.extend([' ', sign, ' ']),
        }
    }
    out.push(' ');
    out
}

fn plain(sign: char) -> char {
    match sign {
        '\t' | '\n' | '\u{c}' | '\r' => ' ',
        '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => NO_BREAK_SPACE,
        '`' | '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        _ => sign,
    }
}

fn is_letter(sign: char) -> bool {
    matches!(sign, 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{17e}'
        | '\u{400}'..='\u{527}' | '\u{1d00}'..='\u{1d7f}' | '\u{a640}'..='\u{a66e}' | '\u{a67e}'..='\u{a697}')
}

fn is_word(sign: char) -> bool {
    sign.is_ascii_digit() || is_letter(sign)
}

/// Commas stand alone unless between two digits.
fn commas(text: &[char]) -> Vec<char> {
    let alone = |wanted: fn(bool, bool) -> bool| {
        move |a: char, b: char, c: char| {
            (b == ',' && wanted(a.is_ascii_digit(), c.is_ascii_digit())).then_some(&[' ', ',', ' '][..])
        }
    };
    let text = replace(text, alone(|before, after| !before && !after));
    let text = replace(&text, alone(|before, after| before && !after));
    replace(&text, alone(|before, after| !before && after))
}

/// Of two hyphens one stays; then one between letters or digits becomes a blank.
fn hyphens(text: &[char]) -> Vec<char> {
    let mut single = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [sign, behind @ ..] = rest {
        single.push(*sign);
        rest = if *sign == '-' { behind.strip_prefix(&['-']).unwrap_or(behind) } else { behind };
    }
    replace(&single, |a, b, c| (b == '-' && (is_word(a) || a == '.') && is_word(c)).then_some(&[' '][..]))
}

/// Apostrophes stand alone, or begin the word behind them if they stand between letters (`it 's`).
fn apostrophes(text: &[char]) -> Vec<char> {
    const ALONE: &[char] = &[' ', '\'', ' '];
    const JOINED: &[char] = &[' ', '\''];
    let text = replace(text, |a, b, c| (b == '\'' && !is_letter(a) && !is_letter(c)).then_some(ALONE));
    let text = replace(&text, |a, b, c| (b == '\'' && !is_word(a) && is_letter(c)).then_some(ALONE));
    let text = replace(&text, |a, b, c| (b == '\'' && is_letter(a) && !is_letter(c)).then_some(ALONE));
    let text = replace(&text, |a, b, c| (b == '\'' && is_letter(a) && is_letter(c)).then_some(JOINED));
    replace(&text, |a, b, c| (b == '\'' && a.is_ascii_digit() && c == 's').then_some(JOINED))
}

/// Replaces the middle of every three signs that `middle` has an answer for; the search goes on behind all three.
fn replace<'a>(text: &[char], middle: impl Fn(char, char, char) -> Option<&'a [char]>) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut rest = text;
    while let [a, b, c, behind @ ..] = rest {
        out.push(*a);
        if let Some(signs) = middle(*a, *b, *c) {
            out.extend_from_slice(signs);
            out.push(*c);
            rest = behind;
        } else {
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest);
    out
}

/// A last full stop becomes a word, or stays with a known prefix or before a word in lower case; dots inside go.
fn full_stops(text: &str, prefixes: &Prefixes) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        if word.starts_with(NO_BREAK_SPACE) {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        let stem = word.strip_suffix('.').filter(|stem| !stem.is_empty() && !stem.ends_with('.'));
        let Some(stem) = stem else {
            out.push_str(word);
            continue;
        };
        let next = words.peek().and_then(|word| word.chars().next()).unwrap_or(' ');
        if stem.contains('.') && stem.chars().any(is_letter) {
            out.extend(stem.chars().filter(|sign| *sign != '.'));
        } else if prefixes.always(stem)
            || next.is_ascii_lowercase()
            || (prefixes.before_number(stem) && next.is_ascii_digit())
        {
            out.push_str(word);
        } else {
            out.push_str(stem);
            out.push_str(" .");
        }
    }
    out
}
