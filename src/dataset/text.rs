//! The two repairs that captions get, and what is odd about one caption.

use crate::language::Language;

/// A caption after the repairs, and which were made.
pub(super) struct Repaired {
    pub(super) text: String,
    pub(super) batch_mark: bool,
    pub(super) control: bool,
}

/// Removes batch marks with the blanks around them, and turns control characters and line breaks into blanks.
pub(super) fn repair(raw: &str) -> Repaired {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let control = raw.contains(breaks);
    let text = if control { raw.replace("\r\n", "\n").replace(breaks, " ") } else { raw.to_owned() };
    match without_batch_marks(&text) {
        Some(rest) => Repaired { text: rest.to_owned(), batch_mark: true, control },
        None => Repaired { text, batch_mark: false, control },
    }
}

/// The caption without `###` (or more of them) at its ends, or `None` if it has none there.
fn without_batch_marks(text: &str) -> Option<&str> {
    let first = Some(text.trim_start()).filter(|text| text.starts_with("###"));
    let first = first.map(|text| text.trim_start_matches('#').trim_start());
    let inner = first.unwrap_or(text);
    let last = Some(inner.trim_end()).filter(|text| text.ends_with("###"));
    let last = last.map(|text| text.trim_end_matches('#').trim_end());
    last.or(first)
}

/// Whether nothing in the caption says anything.
pub(super) fn is_blank(text: &str) -> bool {
    !text.contains(char::is_alphanumeric)
}

/// Whether there are blanks at the ends or several between words.
pub(super) fn has_extra_blanks(text: &str) -> bool {
    text.starts_with(' ') || text.ends_with(' ') || text.contains("  ")
}

/// The punctuation and blanks after the last word.
pub(super) fn ending(text: &str) -> &str {
    let in_ending = |c: char| c.is_whitespace() || ".,!?;:。，！？；：、".contains(c);
    &text[text.trim_end_matches(in_ending).len()..]
}

/// The characters that captions in `language` do not need, each once.
pub(super) fn odd_characters(text: &str, language: Language) -> String {
    let usual = |c: char| match language {
        Language::En => c.is_ascii_alphanumeric() || " .,'-".contains(c),
        Language::Zh => c.is_ascii_alphanumeric() || is_chinese(c) || " .,。，、；：！？（）“”".contains(c),
    };
    let mut odd = String::new();
    for c in text.chars().filter(|&c| !usual(c)) {
        if !odd.contains(c) {
            odd.push(c);
        }
    }
    odd
}

fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3007}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{323AF}')
}

/// Whether published tokens are the caption's words: English captions split at blanks, full stops and commas,
/// Chinese ones joined without blanks.
pub(super) fn tokens_agree(raw: &str, tokens: &[String], language: Language) -> bool {
    match language {
        Language::En => {
            raw.split(|c: char| c.is_whitespace() || ".,".contains(c)).filter(|word| !word.is_empty()).eq(tokens)
        }
        Language::Zh => {
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            letters(&tokens.concat()) == letters(raw)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs() {
        for (name, raw, want, batch_mark, control) in [
            ("plain", "a plane .", "a plane .", false, false),
            ("blanks stay", "  a  plane . ", "  a  plane . ", false, false),
            ("mark", "房屋.###", "房屋.", true, false),
            ("blanks before the mark", "房屋.  ###", "房屋.", true, false),
            ("blanks after it", "房屋. ### ", "房屋.", true, false),
            ("more of it", "a plane . ####", "a plane .", true, false),
            ("at the start", "### a plane . ", "a plane . ", true, false),
            ("nothing but the mark", "###", "", true, false),
            ("two signs are no mark", "a#b ##", "a#b ##", false, false),
            ("in the middle it stays", "a ### b", "a ### b", false, false),
            ("tabulator", "a\tplane .", "a plane .", false, true),
            ("line break of two bytes", "a\r\nplane .", "a plane .", false, true),
            ("unicode line break", "a\u{2028}plane .", "a plane .", false, true),
            ("mark and line break", "房屋.###\n", "房屋.", true, true),
        ] {
            let got = repair(raw);
            assert_eq!((got.text.as_str(), got.batch_mark, got.control), (want, batch_mark, control), "{name}");
        }
    }

    #[test]
    fn endings() {
        for (text, want) in [("a .", " ."), ("a.", "."), ("a", ""), ("a. .", ". ."), (" .", " ."), ("房，房。", "。")]
        {
            assert_eq!(ending(text), want, "{text}");
        }
    }

    #[test]
    fn oddities_of_one_caption() {
        assert_eq!(odd_characters("field(2 a#b it\u{2019}s ##", Language::En), "(#\u{2019}");
        assert_eq!(odd_characters("T形的岛，有〇.", Language::Zh), "");
        assert_eq!(odd_characters("房ｘ#", Language::Zh), "ｘ#");
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(tokens_agree("A plane.  It, flies . .", &words("A plane It flies"), Language::En));
        assert!(!tokens_agree("a lake .", &words("a leak"), Language::En));
        assert!(tokens_agree("一个 房屋.", &words("一个 房屋 ."), Language::Zh));
        assert!(!tokens_agree("一个房屋.", &words("房屋 一个 ."), Language::Zh));
    }
}
