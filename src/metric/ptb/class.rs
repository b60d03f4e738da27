//! Character classes of the PTB tokenizer.

/// White space: separates tokens and leaves nothing behind.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{feff}')
}

/// A letter of any script of the basic plane, or the soft hyphen, which hides inside words.
pub(super) fn is_letter(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '\u{ad}' => true,
        '\0'..='\u{7f}' => false,
        _ => c < '\u{10000}' && !is_unknown(c) && (c.is_alphabetic() || is_combining(c)),
    }
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{3099}' | '\u{309a}')
}

/// ASCII and full-width digits.
pub(super) fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || is_wide_digit(c)
}

/// Digits that number rules do not know, but words do.
pub(super) fn is_wide_digit(c: char) -> bool {
    matches!(c, '\u{660}'..='\u{669}' | '\u{ff10}'..='\u{ff19}')
}

/// What words are made of.
pub(super) fn is_word(c: char) -> bool {
    is_letter(c) || is_digit(c)
}

/// A letter of an alphabet, for rules that do not hold between ideographs or kana.
pub(super) fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || (c > '\u{7f}' && c < '\u{250}' && c.is_alphabetic()) || c == '\u{ad}'
}

/// Characters the tokenizer does not know; they vanish without a trace.
pub(super) fn is_unknown(c: char) -> bool {
    matches!(c,
        '\u{2150}'..='\u{218f}' // number forms, Roman numerals
        | '\u{3008}'..='\u{3011}' // 〈〉《》「」『』【】
        | '\u{3014}'..='\u{301f}'
        | '\u{3200}'..='\u{33ff}' // enclosed and squared signs
        | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}' | '\u{10000}'..)
        && !matches!(c, '\u{2153}' | '\u{2154}' | '\u{215b}'..='\u{215e}')
}

/// Straight and curly apostrophes.
pub(super) fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{92}')
}
