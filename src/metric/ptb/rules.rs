//! Which rules can find a token, by its first character.

use super::text::{Found, Kind, Text};
use super::{abbreviations, apostrophes, class, markup, numbers, signs, words};

type Rule = fn(Text) -> Option<Found>;

/// The token at the start of `text`; a character that no rule knows is one.
pub(super) fn longest(text: Text) -> Found {
    let mut best = Found { len: 1, seen: 0, kind: Kind::Plain };
    for rule in starting_with(text.first()) {
        if let Some(new) = rule(text)
            && new.seen > best.seen
        {
            best = new;
        }
    }
    best
}

/// The rules for tokens that begin with `first`; of two that saw equally much, the earlier wins.
fn starting_with(first: char) -> &'static [Rule] {
    const ASCII_LETTER: &[Rule] = &[
        markup::address,
        markup::mail,
        words::twin,
        apostrophes::contraction,
        apostrophes::spoken,
        apostrophes::name,
        abbreviations::abbreviation,
        abbreviations::acronym,
        words::file,
        words::word,
    ];
    const SOFT_HYPHEN: &[Rule] = &[apostrophes::contraction, abbreviations::abbreviation, numbers::number, words::word];
    const DIGIT: &[Rule] = &[
        markup::mail,
        abbreviations::acronym,
        words::file,
        numbers::date,
        numbers::mixed,
        numbers::telephone,
        numbers::number,
        words::file,
        words::word,
    ];
    const APOSTROPHE: &[Rule] =
        &[words::twin, apostrophes::contraction, apostrophes::clipped, signs::face, signs::quote];
    match first {
        'a'..='z' | 'A'..='Z' => ASCII_LETTER,
        '0'..='9' => DIGIT,
        '\u{ad}' => SOFT_HYPHEN,
        '.' => &[numbers::number, signs::dots],
        ',' => &[numbers::number],
        '\'' | '\u{2019}' | '\u{92}' => APOSTROPHE,
        '"' | '`' | '‘' | '‛' | '“' | '”' | '‹' | '›' | '«' | '»' | '\u{91}' | '\u{93}' | '\u{94}' => {
            &[signs::quote]
        }
        '-' => &[markup::bracket, numbers::number, signs::dashes, signs::face],
        '+' => &[numbers::telephone, numbers::number],
        '(' => &[numbers::telephone],
        '…' | '\u{85}' => &[signs::dots],
        '–' | '—' | '―' | '\u{96}' | '\u{97}' => &[signs::dashes],
        '!'
        | '?'
        | '\\'
        | '_'
        | '*'
        | '¹'
        | '²'
        | '³'
        | '\u{2070}'
        | '\u{2074}'..='\u{207b}'
        | '\u{2080}'..='\u{2089}' => &[signs::marks],
        '#' | '@' => &[markup::tagged, signs::marks],
        '&' => &[markup::entity, apostrophes::contraction, apostrophes::clipped],
        '<' => &[markup::tag, markup::mail, signs::emoticon, signs::face, signs::marks],
        '>' => &[signs::emoticon, signs::face, signs::marks],
        ':' => &[numbers::number, signs::emoticon],
        ';' => &[signs::emoticon],
        '=' => &[signs::emoticon, signs::face],
        '^' | '~' => &[signs::face],
        _ if class::is_wide_digit(first) => DIGIT,
        _ if class::is_word(first) => &[apostrophes::contraction, apostrophes::name, words::word],
        _ => &[],
    }
}
