//! `tokenize/<dataset>_<attention model>`: the words of the train captions, and captions as their numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{Array as _, RecordBatch, StringArray, UInt32Array};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::{Context, Inputs, Outcome};
use super::VocabularySettings;
use crate::language::{Language, Split};
use crate::metric::Words;
use crate::model::attend::{SPECIAL, Vocabulary};
use crate::table;

/// History: 1, the first; 2, with `references`.
pub const VOCABULARY_VERSION: u32 = 2;

/// Reads `images` and `sentences`; writes `vocabulary`, of the train captions alone, `tokens` of the train and validation captions, and
/// `references`, the validation captions as they are. So no later stage of training reads a test caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildVocabulary {
    /// The language of the captions.
    language: Language,
    /// How captions are cut into words: as for scoring.
    words: String,
    /// Which words and captions count.
    vocabulary: VocabularySettings,
}

impl BuildVocabulary {
    /// The stage for captions in a language.
    pub fn new(language: Language, vocabulary: VocabularySettings) -> Self {
        Self { language, words: Words::of(language).signature(), vocabulary }
    }

    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let sentences = inputs.table("sentences")?;
        let splits = splits(&inputs.table("images")?)?;
        let raw = table::strings(&sentences, "raw")?;
        context.progress.begin("sentences", raw.len() as u64, "sentences");
        let cut = |row: usize| Words::of(self.language).list(raw.value(row));
        let words: Vec<Vec<String>> = (0..raw.len()).into_par_iter().map(cut).collect();
        context.progress.advance(raw.len() as u64);
        let (ids, numbers) =
            (table::u32s(&sentences, "image_id")?.values(), table::u32s(&sentences, "sent_id")?.values());
        let split = |row: usize| splits.get(&ids[row]).map(String::as_str);
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for row in (0..raw.len()).filter(|&row| split(row) == Some(Split::Train.name())) {
            words[row].iter().for_each(|word| *counts.entry(word.clone()).or_default() += 1);
        }
        if counts.is_empty() {
            bail!("the train captions have no words");
        }
        let vocabulary = Vocabulary::of_counts(&counts, self.vocabulary.min_word_freq);
        if vocabulary.words().len() == SPECIAL.len() {
            bail!(
                "no word occurs more than {} times in the train captions: lower `vocabulary.min_word_freq`",
                self.vocabulary.min_word_freq
            );
        }
        let known = [Split::Train, Split::Val].map(|split| Some(split.name()));
        let of_use = |row: &usize| (1..=self.vocabulary.max_words).contains(&words[*row].len());
        let (kept, left_out): (Vec<usize>, Vec<usize>) =
            (0..raw.len()).filter(|&row| known.contains(&split(row))).partition(of_use);
        if !kept.iter().any(|&row| split(row) == Some(Split::Train.name())) {
            bail!("no train caption has 1 to {} words: raise `vocabulary.max_words`", self.vocabulary.max_words);
        }
        let mut outcome = Outcome::default();
        outcome.log.push(format!("{} words of {}", vocabulary.words().len() - SPECIAL.len(), counts.len()));
        if !left_out.is_empty() {
            let most = self.vocabulary.max_words;
            outcome.log.push(format!("{} captions of 0 or more than {most} words are left out", left_out.len()));
        }
        let encoded: Vec<Vec<u32>> =
            kept.iter().map(|&row| vocabulary.encode(words[row].iter().map(String::as_str))).collect();
        let column = |values: &[u32]| Arc::new(UInt32Array::from_iter_values(kept.iter().map(|&row| values[row])));
        let columns = vec![column(ids) as _, column(numbers) as _, table::u32_list_array(&encoded)];
        outcome.table("tokens", table::make(table::tokens(), columns)?);
        let of_val: Vec<usize> = (0..raw.len()).filter(|&row| split(row) == Some(Split::Val.name())).collect();
        outcome.table("references", references(&of_val, ids, raw)?);
        outcome.table("vocabulary", vocabulary_table(&vocabulary, &counts)?);
        Ok(outcome)
    }
}

fn references(rows: &[usize], ids: &[u32], raw: &StringArray) -> Result<RecordBatch> {
    let owners = UInt32Array::from_iter_values(rows.iter().map(|&row| ids[row]));
    let texts = StringArray::from_iter_values(rows.iter().map(|&row| raw.value(row)));
    table::make(table::references(), vec![Arc::new(owners), Arc::new(texts)])
}

/// The split of every image.
fn splits(images: &RecordBatch) -> Result<BTreeMap<u32, String>> {
    let names = table::strings(images, "split")?.iter().map(|name| name.unwrap_or_default().to_owned());
    Ok(table::u32s(images, "image_id")?.values().iter().copied().zip(names).collect())
}

fn vocabulary_table(vocabulary: &Vocabulary, counts: &BTreeMap<String, u32>) -> Result<RecordBatch> {
    let words = vocabulary.words();
    let count = |(id, word): (usize, &String)| counts.get(word).copied().filter(|_| id >= SPECIAL.len());
    table::make(
        table::vocabulary(),
        vec![
            Arc::new(UInt32Array::from_iter_values(0..words.len() as u32)),
            Arc::new(StringArray::from_iter_values(words)),
            Arc::new(words.iter().enumerate().map(count).collect::<UInt32Array>()),
        ],
    )
}

/// Reads a `vocabulary` table.
pub(super) fn read(table: &RecordBatch) -> Result<Vocabulary> {
    Vocabulary::of_words(
        table::strings(table, "word")?.iter().map(|word| word.unwrap_or_default().to_owned()).collect(),
    )
}
