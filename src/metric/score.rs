//! All metrics over one set of captions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, bail, ensure};
use polars::prelude::{Column, DataFrame};

use super::arithmetic::mean;
use super::bleu::Counts;
use super::ngram::{BLOCK, Counter, Item};
use super::{bleu, cider, rouge, variant, words};
use crate::language::Language;

const BLEU: [&str; 4] = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"];

/// One metric of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageScore {
    /// The image.
    pub image_id: u32,
    /// `BLEU-1` to `BLEU-4`, `ROUGE-L`, `CIDEr-D`.
    pub metric: &'static str,
    /// How words were split: `ptb` or `jieba`.
    pub variant: &'static str,
    /// From 0; BLEU and ROUGE-L up to 1, CIDEr-D up to 10.
    pub value: f64,
}

/// One metric over all images.
#[derive(Clone, Debug, PartialEq)]
pub struct CorpusScore {
    /// As in [`ImageScore`].
    pub metric: &'static str,
    /// As in [`ImageScore`].
    pub variant: &'static str,
    /// As in [`ImageScore`]. BLEU is that of the summed counts, the others are means over the images.
    pub value: f64,
}

/// What [`score`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Image by image in the order of the captions, metrics in one order.
    pub images: Vec<ImageScore>,
    /// In the same order of metrics.
    pub corpus: Vec<CorpusScore>,
    /// How many images were scored.
    pub n: usize,
}

impl Scores {
    /// The corpus value of a metric.
    pub fn corpus(&self, metric: &str) -> Option<f64> {
        self.corpus.iter().find(|row| row.metric == metric).map(|row| row.value)
    }
}

/// The frame of references that [`score`] reads: `image_id`, `sent_id`, `raw`. Fails if the lengths differ.
pub fn references(image_id: Vec<u32>, sent_id: Vec<u32>, raw: Vec<&str>) -> Result<DataFrame> {
    let columns = vec![
        Column::new("image_id".into(), image_id),
        Column::new("sent_id".into(), sent_id),
        Column::new("raw".into(), raw),
    ];
    DataFrame::new_infer_height(columns).context("the columns of the references differ in length")
}

/// The frame of captions that [`score`] reads: `image_id`, `caption`. Fails if the lengths differ.
pub fn captions(image_id: Vec<u32>, caption: Vec<&str>) -> Result<DataFrame> {
    let columns = vec![Column::new("image_id".into(), image_id), Column::new("caption".into(), caption)];
    DataFrame::new_infer_height(columns).context("the columns of the captions differ in length")
}

/// Scores captions against references.
///
/// - `references`: `image_id` u32, `sent_id` u32, `raw` str; one row per sentence, several per image.
/// - `captions`: `image_id` u32, `caption` str; one row per image.
///
/// Fails if there is no caption, if an image has two captions, or if captions and references are not of the same
/// images; the error names them.
pub fn score(references: &DataFrame, captions: &DataFrame, language: Language) -> Result<Scores> {
    score_in_blocks(references, captions, language, BLOCK)
}

pub(super) fn score_in_blocks(
    references: &DataFrame,
    captions: &DataFrame,
    language: Language,
    size: usize,
) -> Result<Scores> {
    let mut texts = Texts::new(language);
    let (ids, items) = items(references, captions, &mut texts)?;
    let mut counter = Counter::new(&texts.tokenized);
    let blocks = items.chunks(size).map(|items| counter.block(items)).collect::<Result<Vec<_>>>()?;
    let mut frequency = vec![0; counter.ngrams()];
    for block in &blocks {
        cider::add_document_frequency(block, &mut frequency)?;
    }
    let idf = cider::inverse_frequency(&frequency, items.len())?;

    let (mut counts, mut rouge_l, mut cider_d) = (Vec::new(), Vec::new(), Vec::new());
    for block in &blocks {
        counts.extend(bleu::counts(block)?);
        rouge_l.extend(rouge::scores(block)?);
        cider_d.extend(cider::scores(block, &idf)?);
    }
    let per_image = counts.iter().map(Counts::bleu).zip(rouge_l.iter().zip(&cider_d));
    let images = ids.iter().zip(per_image).flat_map(|(&image_id, (bleu, (&rouge_l, &cider_d)))| {
        rows(bleu, rouge_l, cider_d).map(|(metric, value)| ImageScore {
            image_id,
            metric,
            variant: variant(language),
            value,
        })
    });
    let corpus = rows(Counts::total(&counts).bleu(), mean(&rouge_l), mean(&cider_d))
        .map(|(metric, value)| CorpusScore { metric, variant: variant(language), value });
    Ok(Scores { images: images.collect(), corpus: corpus.to_vec(), n: ids.len() })
}

fn rows(bleu: [f64; 4], rouge_l: f64, cider_d: f64) -> [(&'static str, f64); 6] {
    let [b1, b2, b3, b4] = bleu;
    [(BLEU[0], b1), (BLEU[1], b2), (BLEU[2], b3), (BLEU[3], b4), ("ROUGE-L", rouge_l), ("CIDEr-D", cider_d)]
}

/// Captions split into words, each distinct one once.
pub(super) struct Texts {
    language: Language,
    places: BTreeMap<String, usize>,
    pub(super) tokenized: Vec<String>,
}

impl Texts {
    pub(super) fn new(language: Language) -> Self {
        Self { language, places: BTreeMap::new(), tokenized: Vec::new() }
    }

    /// The place of a caption's words.
    pub(super) fn place(&mut self, raw: &str) -> usize {
        if let Some(&place) = self.places.get(raw) {
            return place;
        }
        self.tokenized.push(words(self.language, raw));
        self.places.insert(raw.to_owned(), self.tokenized.len() - 1);
        self.tokenized.len() - 1
    }
}

/// The image ids and the texts of a frame. Fails if a column is missing, of another type or has empty cells.
pub(super) fn columns<'a>(frame: &'a DataFrame, what: &str, text: &str) -> Result<(Vec<u32>, Vec<&'a str>)> {
    let ids = frame.column("image_id").and_then(|ids| ids.u32()).with_context(|| what.to_owned())?;
    let texts = frame.column(text).and_then(|texts| texts.str()).with_context(|| what.to_owned())?;
    ensure!(ids.null_count() + texts.null_count() == 0, "{what}: `image_id` or `{text}` has empty cells");
    Ok((ids.iter().flatten().collect(), texts.iter().flatten().collect()))
}

/// The images in the order of the captions, each with the places of its caption and references.
fn items(references: &DataFrame, captions: &DataFrame, texts: &mut Texts) -> Result<(Vec<u32>, Vec<Item>)> {
    let (ids, hypotheses) = columns(captions, "captions to score", "caption")?;
    ensure!(!ids.is_empty(), "there are no captions to score");
    let mut places = BTreeMap::new();
    let mut order = Vec::with_capacity(ids.len());
    let mut items = Vec::with_capacity(ids.len());
    for (id, hypothesis) in ids.into_iter().zip(hypotheses) {
        if places.insert(id, items.len()).is_some() {
            bail!("image {id} has two captions");
        }
        order.push(id);
        items.push(Item { hypothesis: texts.place(hypothesis), references: Vec::new() });
    }
    let (ids, sentences) = columns(references, "references to score against", "raw")?;
    let mut without_caption = BTreeSet::new();
    for (id, sentence) in ids.into_iter().zip(sentences) {
        match places.get(&id) {
            Some(&place) => items[place].references.push(texts.place(sentence)),
            None => _ = without_caption.insert(id),
        }
    }
    let without_references: BTreeSet<u32> =
        order.iter().zip(&items).filter(|(_, item)| item.references.is_empty()).map(|(&id, _)| id).collect();
    for (what, ids) in [("references", without_references), ("a caption", without_caption)] {
        if !ids.is_empty() {
            return Err(anyhow!("{} without {what}: {}", plural(ids.len()), first_few(&ids)))
                .context("captions and references must be of the same images");
        }
    }
    Ok((order, items))
}

fn plural(images: usize) -> String {
    if images == 1 { "1 image".to_owned() } else { format!("{images} images") }
}

fn first_few(ids: &BTreeSet<u32>) -> String {
    let mut names: Vec<String> = ids.iter().take(5).map(u32::to_string).collect();
    if ids.len() > names.len() {
        names.push("...".to_owned());
    }
    names.join(", ")
}
