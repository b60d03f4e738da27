//! Chinese words: jieba's default dictionary with its hidden Markov model.

use std::sync::OnceLock;

use jieba_rs::Jieba;

/// Raised when any caption is cut otherwise.
pub const VERSION: u32 = 1;

/// The words of a caption, white space included: joined, they give the caption again.
///
/// Equal to `jieba.cut` of Python, except around characters outside the basic plane (emoji, rare ideographs),
/// which may stick to their neighbours. The first call with a Chinese caption loads the dictionary.
pub fn cut(raw: &str) -> Vec<String> {
    if raw.chars().any(needs_dictionary) { cut_chinese(raw) } else { cut_others(raw) }
}

/// Ideographs, and the signs of the dictionary's only words without any: AT&T, c# and c++.
fn needs_dictionary(c: char) -> bool {
    matches!(c, '&' | '#' | '+' | '\u{3400}'..) && !matches!(c, '\u{ff00}'..='\u{ffef}')
}

/// Without ideographs the rules alone decide: compounds are taken apart, any other character is a word.
fn cut_others(raw: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = raw;
    while let Some(first) = rest.chars().next() {
        let compound = rest.bytes().take_while(|byte| is_compound(*byte)).count();
        let end = match compound {
            0 if rest.starts_with("\r\n") => 2,
            0 => first.len_utf8(),
            end => end,
        };
        if compound > 0 {
            resplit(&rest[..end], &mut words);
        } else {
            words.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
    }
    words
}

fn cut_chinese(raw: &str) -> Vec<String> {
    static DICTIONARY: OnceLock<Jieba> = OnceLock::new();
    let tokens = DICTIONARY.get_or_init(Jieba::new).cut(raw, true);
    let mut words = Vec::with_capacity(tokens.len());
    for token in tokens {
        if token.word.bytes().all(is_compound) {
            resplit(token.word, &mut words);
        } else {
            words.push(token.word.to_owned());
        }
    }
    words
}

/// The words of a caption that are not white space, joined by one blank.
pub fn tokenize(caption: &str) -> String {
    let mut words = cut(caption);
    words.retain(|word| !word.chars().all(is_white));
    words.join(" ")
}

/// White space as Python sees it: Unicode's, and the four ASCII separators.
pub(super) fn is_white(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// The bytes of the ASCII compounds that jieba-rs keeps whole and Python's jieba takes apart.
fn is_compound(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+#&._%-".contains(&byte)
}

/// Takes an ASCII compound apart: letters and digits, with decimals and a per cent sign, and runs of marks.
fn resplit(word: &str, words: &mut Vec<String>) {
    let bytes = word.as_bytes();
    let run = |from: usize, test: fn(&u8) -> bool| bytes[from..].iter().take_while(|&byte| test(byte)).count();
    let mut start = 0;
    while start < bytes.len() {
        let mut end = start + run(start, u8::is_ascii_alphanumeric);
        if end == start {
            end += run(start, |byte| !byte.is_ascii_alphanumeric());
        } else {
            if bytes.get(end) == Some(&b'.') {
                let decimals = run(end + 1, u8::is_ascii_digit);
                end += if decimals > 0 { 1 + decimals } else { 0 };
            }
            end += usize::from(bytes.get(end) == Some(&b'%'));
        }
        words.push(word[start..end].to_owned());
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_of_known_sentences() {
        // Expected words: jieba 0.42.1, `jieba.lcut(text)`.
        for (text, expected) in [
            ("", vec![]),
            ("机场上停着飞机", vec!["机场", "上", "停", "着", "飞机"]),
            ("well-known 3.5%", vec!["well", "-", "known", " ", "3.5%"]),
            ("blue-green U.S ...", vec!["blue", "-", "green", " ", "U", ".", "S", " ", "..."]),
            ("道路 \u{3000}.", vec!["道路", " ", "\u{3000}", "."]),
        ] {
            assert_eq!(cut(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn rules_alone_cut_what_has_no_ideograph(text in "[a-zA-Z0-9 .,%_'\"!?()/:;\r\n\t\u{a0}-é€—-]{0,40}") {
            prop_assume!(!text.chars().any(needs_dictionary));
            prop_assert_eq!(cut_others(&text), cut_chinese(&text));
        }
    }

    #[test]
    fn white_space_is_no_word() {
        assert_eq!(tokenize(" 机场 \u{3000}\u{1c} 。\n"), "机场 。");
        assert_eq!(tokenize(" \t\n"), "");
    }

    #[test]
    fn agrees_with_python_on_all_golden_strings() {
        let Some(path) = crate::shared::path("golden/metrics/jieba_strings.json") else { return };
        let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let (mut all, mut different) = (0, Vec::new());
        for item in golden["strings"].as_array().unwrap() {
            let text = item["text"].as_str().unwrap();
            let expected: Vec<&str> = item["tokens"].as_array().unwrap().iter().filter_map(|t| t.as_str()).collect();
            all += 1;
            if cut(text) != expected {
                assert!(text.chars().any(|c| c > '\u{ffff}'), "{text:?}: {:?}, not {expected:?}", cut(text));
                different.push(text);
            }
        }
        println!("{} of {all} strings agree; the rest hold characters outside the basic plane", all - different.len());
        assert!(different.len() <= 21, "{different:?}");
    }
}
