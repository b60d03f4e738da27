//! What is true of one drawn scene, in words of both languages.

use std::collections::BTreeMap;

use crate::language::Language;

/// A text in English and in Chinese.
pub(super) type Words = [&'static str; 2];

/// The slots that captions of one image may fill, each with its English and its Chinese text.
///
/// A text may itself hold alternatives, `[few|some]`.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts(BTreeMap<&'static str, Words>);

impl Facts {
    /// Notes a fact; captions that name its `slot` become possible.
    pub(super) fn put(&mut self, slot: &'static str, words: Words) {
        self.0.insert(slot, words);
    }

    /// The words of a slot, or `None` where the scene has no such fact.
    pub(super) fn get(&self, slot: &str, language: Language) -> Option<&'static str> {
        let [english, chinese] = self.0.get(slot)?;
        Some(match language {
            Language::En => english,
            Language::Zh => chinese,
        })
    }
}
