//! Sentences as counted n-grams: the frames from which all n-gram metrics are queried.

use std::collections::HashMap;

use anyhow::Result;
use polars::prelude::*;

use super::words::Words;

/// The longest n-grams that count.
pub(super) const ORDERS: usize = 4;

/// How many images are scored at once. The scores do not depend on it; memory does.
pub(super) const BLOCK: usize = 4096;

/// One image to score: its caption and its references, as places in a list of tokenised texts.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) hypothesis: usize,
    pub(super) references: Vec<usize>,
}

/// Numbers things in the order of their first appearance.
struct Numbering<K>(HashMap<K, u32>);

impl<K: std::hash::Hash + Eq> Numbering<K> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn number(&mut self, key: K) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(key).or_insert(next)
    }
}

/// Gives words and n-grams their numbers, the same in every block.
pub(super) struct Counter<'a> {
    texts: &'a [String],
    cut: Words,
    words: Numbering<&'a str>,
    ngrams: Numbering<(u32, u32)>,
    /// Per n-gram: the sentence that counted it last, and its row there.
    last: Vec<(usize, usize)>,
    sentences: usize,
}

/// A block of images as frames of numbers. Sentences are numbered within the block, each distinct text once.
pub(super) struct Block {
    /// The number of images.
    pub(super) images: usize,
    /// `image`, `hypothesis`, `length`: one row per image.
    pub(super) hypotheses: DataFrame,
    /// `image`, `pair`, `hypothesis`, `reference`, `reference_length`: one row per reference, in order.
    pub(super) references: DataFrame,
    /// `sentence`, `n`, `ngram`, `count`: n-grams in order of first occurrence, all unigrams first.
    pub(super) ngrams: DataFrame,
    /// How often each n-gram occurs in the reference of an image that has it most: `place` (image, n-gram), `best`.
    pub(super) in_best_reference: DataFrame,
    /// Per sentence: its text, words joined by one blank.
    pub(super) texts: Vec<String>,
    /// Per sentence: its words as the blank separates them, numbered. An empty text is one empty word.
    pub(super) blank_words: Vec<Vec<u32>>,
    /// Per sentence: how many words white space separates.
    pub(super) lengths: Vec<u32>,
}

#[derive(Default)]
struct Rows {
    sentence: Vec<u32>,
    n: Vec<u32>,
    ngram: Vec<u32>,
    count: Vec<u32>,
}

impl<'a> Counter<'a> {
    /// Starts over texts that were cut into words in this way.
    pub(super) fn new(texts: &'a [String], cut: Words) -> Self {
        Self { texts, cut, words: Numbering::new(), ngrams: Numbering::new(), last: Vec::new(), sentences: 0 }
    }

    /// How many different n-grams were met so far.
    pub(super) fn ngrams(&self) -> usize {
        self.last.len()
    }

    /// Counts the n-grams of some images.
    pub(super) fn block(&mut self, items: &[Item]) -> Result<Block> {
        let texts = self.texts;
        let mut numbers = HashMap::new();
        let mut rows = Rows::default();
        let (mut sentences, mut blank_words, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        let mut sentence = |text: usize| {
            *numbers.entry(texts[text].as_str()).or_insert_with_key(|text| {
                sentences.push((*text).to_owned());
                blank_words.push(text.split(' ').map(|word| self.words.number(word)).collect());
                let words: Vec<u32> = self.cut.parts(text).map(|word| self.words.number(word)).collect();
                lengths.push(words.len() as u32);
                let number = lengths.len() as u32 - 1;
                count(&mut self.ngrams, &mut self.last, self.sentences, number, &words, &mut rows);
                self.sentences += 1;
                number
            })
        };
        let mut hypotheses = Vec::with_capacity(items.len());
        let (mut image, mut hypothesis, mut reference) = (Vec::new(), Vec::new(), Vec::new());
        for (k, item) in items.iter().enumerate() {
            hypotheses.push(sentence(item.hypothesis));
            for &text in &item.references {
                image.push(k as u32);
                hypothesis.push(hypotheses[k]);
                reference.push(sentence(text));
            }
        }
        let length = |sentences: &[u32]| sentences.iter().map(|&s| lengths[s as usize]).collect();
        let references = frame(vec![
            ("image", image),
            ("pair", (0..reference.len() as u32).collect()),
            ("hypothesis", hypothesis),
            ("reference_length", length(&reference)),
            ("reference", reference),
        ])?;
        let ngrams =
            frame(vec![("sentence", rows.sentence), ("n", rows.n), ("ngram", rows.ngram), ("count", rows.count)])?;
        Ok(Block {
            images: items.len(),
            hypotheses: frame(vec![
                ("image", (0..items.len() as u32).collect()),
                ("length", length(&hypotheses)),
                ("hypothesis", hypotheses),
            ])?,
            in_best_reference: in_best_reference(&references, &ngrams)?,
            references,
            ngrams,
            texts: sentences,
            blank_words,
            lengths,
        })
    }
}

fn in_best_reference(references: &DataFrame, ngrams: &DataFrame) -> Result<DataFrame> {
    let in_references = references.clone().lazy().select([col("image"), col("reference")]).join(
        ngrams.clone().lazy(),
        [col("reference")],
        [col("sentence")],
        JoinArgs::new(JoinType::Inner),
    );
    let placed = in_references.select([place("image", "ngram"), col("count")]);
    Ok(placed.group_by_stable([col("place")]).agg([col("count").max().alias("best")]).collect()?)
}

/// Two numbers as one, `place`: queries compare it quicker than the two.
pub(super) fn place(high: &str, low: &str) -> Expr {
    let wide = |name: &str| col(name).cast(DataType::UInt64);
    (wide(high) * lit(1_u64 << 32) + wide(low)).alias("place")
}

/// The two numbers of places made by [`place`].
pub(super) fn places(frame: &DataFrame) -> Result<Vec<(u32, u32)>> {
    let places = frame.column("place")?.u64()?;
    Ok(places.into_no_null_iter().map(|place| ((place >> 32) as u32, place as u32)).collect())
}

/// Adds the rows of one sentence. An n-gram is numbered by its first n-1 words and its last.
fn count(
    ngrams: &mut Numbering<(u32, u32)>,
    last: &mut Vec<(usize, usize)>,
    stamp: usize,
    sentence: u32,
    words: &[u32],
    rows: &mut Rows,
) {
    // Number 0 stands for the empty n-gram, so numbers of real ones are shifted by one inside keys.
    let mut prefixes = vec![0; words.len()];
    for n in 1..=ORDERS.min(words.len()) {
        for end in n..=words.len() {
            let ngram = ngrams.number((prefixes[end - n], words[end - 1]));
            prefixes[end - n] = ngram + 1;
            if ngram as usize == last.len() {
                last.push((usize::MAX, 0));
            }
            let (met, row) = last[ngram as usize];
            if met == stamp {
                rows.count[row] += 1;
                continue;
            }
            last[ngram as usize] = (stamp, rows.count.len());
            rows.sentence.push(sentence);
            rows.n.push(n as u32);
            rows.ngram.push(ngram);
            rows.count.push(1);
        }
    }
}

/// A frame of numbers.
pub(super) fn frame(columns: Vec<(&str, Vec<u32>)>) -> Result<DataFrame> {
    let columns = columns.into_iter().map(|(name, values)| Column::new(name.into(), values)).collect();
    Ok(DataFrame::new_infer_height(columns)?)
}

/// A column of numbers without nulls.
pub(super) fn numbers(frame: &DataFrame, name: &str) -> Result<Vec<u32>> {
    Ok(frame.column(name)?.u32()?.into_no_null_iter().collect())
}
