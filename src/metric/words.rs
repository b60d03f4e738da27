//! How captions are cut into words, which decides every score: each way has a name and a version.

use super::{jieba, ptb};
use crate::language::Language;

/// A way to cut captions into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Words {
    /// Penn Treebank words in lower case without punctuation, as the COCO caption evaluation cuts English.
    Ptb,
    /// jieba's words without white space.
    Jieba,
    /// Characters without white space.
    Characters,
    /// jieba's words, every blank being a word too: the original's way, for English as well.
    JiebaAndBlanks,
}

/// Stands between the words of [`Words::JiebaAndBlanks`]; no character, so no caption has it.
const NO_CHARACTER: &str = "\u{ffff}";

impl Words {
    /// All ways.
    pub const ALL: [Self; 4] = [Self::Ptb, Self::Jieba, Self::Characters, Self::JiebaAndBlanks];

    /// The words that comparisons in a language usually count.
    pub fn of(language: Language) -> Self {
        match language {
            Language::En => Self::Ptb,
            Language::Zh => Self::Jieba,
        }
    }

    /// The name and version of the rules, as signatures show it.
    pub fn signature(self) -> String {
        match self {
            Self::Ptb => format!("ptb.{}", ptb::VERSION),
            Self::Jieba => format!("jieba.{}", jieba::VERSION),
            Self::Characters => "characters.1".to_owned(),
            Self::JiebaAndBlanks => format!("jieba+blanks.{}", jieba::VERSION),
        }
    }

    /// The words of a caption.
    pub fn list(self, caption: &str) -> Vec<String> {
        self.parts(&self.cut(caption)).map(str::to_owned).collect()
    }

    /// The words of a caption, joined by what [`Words::parts`] splits at.
    pub(super) fn cut(self, caption: &str) -> String {
        match self {
            Self::Ptb => ptb::tokenize(caption),
            Self::Jieba => jieba::tokenize(caption),
            Self::Characters => {
                let mut words = String::with_capacity(caption.len() * 4 / 3);
                for c in caption.chars().filter(|&c| !jieba::is_white(c)) {
                    if !words.is_empty() {
                        words.push(' ');
                    }
                    words.push(c);
                }
                words
            }
            Self::JiebaAndBlanks => jieba::cut(caption).join(NO_CHARACTER),
        }
    }

    /// The words of a caption that depend on the captions after it in a file; `None` for all usual ones.
    pub(super) fn cut_before(self, caption: &str, following: &[&str]) -> Option<String> {
        (self == Self::Ptb && ptb::looks_ahead(caption)).then(|| ptb::tokenize_before(caption, following))
    }

    /// The words of a text that was cut; n-gram metrics never see an empty one.
    pub(super) fn parts(self, text: &str) -> impl Iterator<Item = &str> {
        let blanks_too = self == Self::JiebaAndBlanks;
        let between = move |c: char| if blanks_too { NO_CHARACTER.contains(c) } else { jieba::is_white(c) };
        text.split(between).filter(|word| !word.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_cut() {
        // By hand; the first column also holds what Python's `split()` makes of U+00A0.
        for (words, caption, expected) in [
            (Words::Ptb, "A plane , two planes.", vec!["a", "plane", "two", "planes"]),
            (Words::Ptb, "1 1/2 acres", vec!["1", "1/2", "acres"]),
            (Words::Jieba, "机场 上停着飞机.", vec!["机场", "上", "停", "着", "飞机", "."]),
            (Words::Characters, " 机 场a\u{3000}.", vec!["机", "场", "a", "."]),
            (Words::JiebaAndBlanks, "A plane.", vec!["A", " ", "plane", "."]),
            (Words::JiebaAndBlanks, "", vec![]),
        ] {
            assert_eq!(words.parts(&words.cut(caption)).collect::<Vec<_>>(), expected, "{words:?} {caption:?}");
        }
    }
}
