//! Character classes of the PTB tokenizer.

/// Whether the tokenizer sees `c` at all. White space, control characters, emoji, most brackets of East Asia
/// and whatever else it does not know separate tokens and vanish without a trace.
pub(super) fn is_known(c: char) -> bool {
    match c {
        '!'..='~' => true,
        '\0'..='\u{7f}' => false,
        '\u{80}'..='\u{9f}' => matches!(c, '\u{80}' | '\u{85}' | '\u{91}'..='\u{94}' | '\u{96}' | '\u{97}'),
        _ => is_word(c) || is_sign(c),
    }
}

/// White space that rules look through to what follows.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace()
}

/// A letter of any script of the basic plane, or the soft hyphen, which hides inside words.
pub(super) fn is_letter(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '\u{ad}' | '\u{4e00}'..='\u{9fa5}' => true,
        '\0'..='\u{7f}' | '\u{10000}'.. => false,
        _ => (c.is_alphabetic() && !is_other_alphabetic(c)) || is_mark(c),
    }
}

/// Alphabetic by Unicode, but signs or nothing to the tokenizer.
fn is_other_alphabetic(c: char) -> bool {
    matches!(c, '\u{2150}'..='\u{2182}' | '\u{2185}'..='\u{218f}')
        || matches!(c, '\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3038}'..='\u{303a}')
        || is_sign(c)
}

/// Accents and tone marks that stand after their letter.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{2b0}'..='\u{36f}' | '\u{3099}' | '\u{309a}')
}

/// ASCII digits and those of other scripts.
pub(super) fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || is_wide_digit(c)
}

/// Digits of other scripts, full-width ones among them.
pub(super) fn is_wide_digit(c: char) -> bool {
    if c < '\u{660}' || ('\u{1c5a}'..'\u{a620}').contains(&c) {
        return false;
    }
    let zeros_to_here = ZEROS.partition_point(|&zero| zero <= u32::from(c));
    zeros_to_here > 0 && u32::from(c) < ZEROS[zeros_to_here - 1] + 10
}

/// What words are made of.
pub(super) fn is_word(c: char) -> bool {
    is_letter(c) || is_digit(c)
}

/// A letter of an alphabet, for rules that do not hold between ideographs or kana.
pub(super) fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || (c > '\u{7f}' && c < '\u{250}' && c.is_alphabetic()) || c == '\u{ad}'
}

/// A sign that is not ASCII.
fn is_sign(c: char) -> bool {
    let up_to_here = SIGNS.partition_point(|&(first, _)| first <= c);
    up_to_here > 0 && c <= SIGNS[up_to_here - 1].1
}

/// The zero of each script that has digits of its own; sorted.
#[rustfmt::skip]
const ZEROS: &[u32] = &[
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0xf20, 0x1040,
    0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900,
    0xa9d0, 0xaa50, 0xabf0, 0xff10,
];

/// Signs that make one token each, from first to last; sorted, without ASCII.
#[rustfmt::skip]
const SIGNS: &[(char, char)] = &[
    ('\u{a1}', '\u{a9}'), ('\u{ab}', '\u{ac}'), ('\u{ae}', '\u{b4}'), ('\u{b6}', '\u{b9}'), ('\u{bb}', '\u{bf}'),
    ('\u{d7}', '\u{d7}'), ('\u{f7}', '\u{f7}'), ('\u{37e}', '\u{37e}'), ('\u{387}', '\u{387}'),
    ('\u{589}', '\u{589}'), ('\u{5be}', '\u{5be}'), ('\u{5c0}', '\u{5c0}'), ('\u{5c3}', '\u{5c3}'),
    ('\u{5c6}', '\u{5c6}'), ('\u{5f3}', '\u{5f4}'), ('\u{600}', '\u{603}'), ('\u{606}', '\u{60c}'),
    ('\u{614}', '\u{614}'), ('\u{61b}', '\u{61b}'), ('\u{61e}', '\u{61f}'), ('\u{66a}', '\u{66a}'),
    ('\u{66d}', '\u{66d}'), ('\u{6d4}', '\u{6d4}'), ('\u{700}', '\u{70d}'), ('\u{7f6}', '\u{7f8}'),
    ('\u{964}', '\u{965}'), ('\u{e3f}', '\u{e3f}'), ('\u{e4f}', '\u{e4f}'), ('\u{1fbd}', '\u{1fbd}'),
    ('\u{2013}', '\u{2023}'), ('\u{2026}', '\u{2026}'), ('\u{2030}', '\u{203b}'), ('\u{203e}', '\u{2042}'),
    ('\u{2044}', '\u{2044}'), ('\u{2070}', '\u{2070}'), ('\u{2074}', '\u{207e}'), ('\u{2080}', '\u{208e}'),
    ('\u{20a0}', '\u{20a0}'), ('\u{20a4}', '\u{20a4}'), ('\u{20ac}', '\u{20ac}'), ('\u{2100}', '\u{2101}'),
    ('\u{2103}', '\u{2106}'), ('\u{2108}', '\u{2109}'), ('\u{2114}', '\u{2114}'), ('\u{2116}', '\u{2118}'),
    ('\u{211e}', '\u{2123}'), ('\u{2125}', '\u{2125}'), ('\u{2127}', '\u{2127}'), ('\u{2129}', '\u{2129}'),
    ('\u{212e}', '\u{212e}'), ('\u{213a}', '\u{213b}'), ('\u{2140}', '\u{2144}'), ('\u{214a}', '\u{214d}'),
    ('\u{214f}', '\u{214f}'), ('\u{2153}', '\u{215e}'), ('\u{2190}', '\u{2bff}'), ('\u{3001}', '\u{3002}'),
    ('\u{3012}', '\u{3012}'), ('\u{30fb}', '\u{30fb}'), ('\u{ff01}', '\u{ff0f}'), ('\u{ff1a}', '\u{ff20}'),
    ('\u{ff3b}', '\u{ff40}'), ('\u{ff5b}', '\u{ff65}'), ('\u{ffe0}', '\u{ffe1}'), ('\u{ffe5}', '\u{ffe6}'),
];
