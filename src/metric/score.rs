//! All metrics over one set of captions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, bail, ensure};
use polars::prelude::{Column, DataFrame};
use rayon::prelude::*;

use super::family::{Family, Metric, Variant};
use super::ngram::{BLOCK, Counter, Item};
use super::words::Words;
use super::{bleu, cider, cosine, meteor, nltk, rouge};
use crate::language::Language;

/// What [`score`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The images, in the order of the captions.
    pub image_ids: Vec<u32>,
    /// The metrics, in the order of the report.
    pub families: Vec<Family>,
}

impl Scores {
    /// The corpus value of a metric; `None` if it was not computed.
    pub fn corpus(&self, metric: &str, variant: Variant) -> Option<f64> {
        let mut families = self.families.iter().filter(|family| family.variant == variant);
        families.find_map(|family| {
            let at = family.metric.names().iter().position(|name| *name == metric)?;
            Some(family.corpus()[at])
        })
    }
}

/// What some metrics need besides captions and references; without it they are not computed.
#[derive(Clone, Copy, Default)]
pub struct Resources<'a> {
    /// METEOR's synonyms, paraphrases and function words.
    pub meteor: Option<&'a meteor::Tables>,
    /// SPICE of each image, as another program computed it.
    pub spice: Option<&'a BTreeMap<u32, f64>>,
}

/// The frame of references that [`score`] reads: `image_id`, `raw`. Fails if the lengths differ.
pub fn references(image_id: Vec<u32>, raw: Vec<&str>) -> Result<DataFrame> {
    let columns = vec![Column::new("image_id".into(), image_id), Column::new("raw".into(), raw)];
    DataFrame::new_infer_height(columns).context("the columns of the references differ in length")
}

/// The frame of captions that [`score`] reads: `image_id`, `caption`. Fails if the lengths differ.
pub fn captions(image_id: Vec<u32>, caption: Vec<&str>) -> Result<DataFrame> {
    let columns = vec![Column::new("image_id".into(), image_id), Column::new("caption".into(), caption)];
    DataFrame::new_infer_height(columns).context("the columns of the captions differ in length")
}

/// What is computed for a language: variant, words, metrics.
pub type Measure = (Variant, Words, &'static [Metric]);

/// What is computed for a language.
pub fn measures(language: Language) -> &'static [Measure] {
    use Metric::{Bleu, CharacterCosine, Cider, CiderD, Meteor, NltkBleu, RougeL, Spice};
    match language {
        Language::En => &[
            (Variant::Ptb, Words::Ptb, &[Bleu, Meteor, RougeL, CiderD, Cider, Spice]),
            (Variant::Seed, Words::JiebaAndBlanks, &[NltkBleu]),
        ],
        Language::Zh => &[
            (Variant::Jieba, Words::Jieba, &[Bleu, RougeL, CiderD, Cider]),
            (Variant::Characters, Words::Characters, &[Bleu, RougeL, CiderD, Cider]),
            (Variant::Seed, Words::JiebaAndBlanks, &[NltkBleu]),
            (Variant::Seed, Words::Ptb, &[CharacterCosine]),
        ],
    }
}

/// Scores captions against references.
///
/// - `references`: `image_id` u32, `raw` str; one row per sentence, several per image.
/// - `captions`: `image_id` u32, `caption` str; one row per image.
///
/// Fails if there is no caption, if an image has two captions, or if captions and references are not of the same
/// images; the error names them.
pub fn score(
    references: &DataFrame,
    captions: &DataFrame,
    language: Language,
    resources: Resources<'_>,
) -> Result<Scores> {
    let (image_ids, pairs) = pairs(references, captions)?;
    let of_measure = |&measure: &Measure| {
        let mut families = measured(&pairs, measure, resources, BLOCK)?;
        if let (true, Some(spice)) = (measure.2.contains(&Metric::Spice), resources.spice) {
            families.push(of_spice(&image_ids, spice, measure.0)?);
        }
        Ok(families)
    };
    let families = measures(language).par_iter().map(of_measure).collect::<Result<Vec<_>>>()?;
    Ok(Scores { image_ids, families: families.concat() })
}

/// The same for one measure alone, without METEOR and SPICE.
pub fn score_by(references: &DataFrame, captions: &DataFrame, measure: Measure) -> Result<Scores> {
    let (image_ids, pairs) = pairs(references, captions)?;
    let families = measured(&pairs, measure, Resources::default(), BLOCK)?;
    Ok(Scores { image_ids, families })
}

fn of_spice(ids: &[u32], values: &BTreeMap<u32, f64>, variant: Variant) -> Result<Family> {
    let value = |id: &u32| values.get(id).copied().with_context(|| format!("image {id} has no SPICE value"));
    Ok(Family { metric: Metric::Spice, variant, rows: ids.iter().map(value).collect::<Result<_>>()? })
}

/// The metrics of one way to cut words. SPICE is not among them: no words of ours go into it.
pub(super) fn measured(
    pairs: &[Pair<'_>],
    (variant, words, metrics): Measure,
    resources: Resources<'_>,
    size: usize,
) -> Result<Vec<Family>> {
    let mut texts = Texts::new(words);
    // The original cuts all references, then all captions, each as one file.
    let sentences: Vec<&str> = pairs.iter().flat_map(|pair| pair.references.iter().copied()).collect();
    let hypotheses: Vec<&str> = pairs.iter().map(|pair| pair.caption).collect();
    let mut places = texts.places(&sentences).into_iter();
    let hypotheses = texts.places(&hypotheses);
    let items: Vec<Item> = hypotheses
        .into_iter()
        .zip(pairs)
        .map(|(hypothesis, pair)| Item {
            hypothesis,
            references: places.by_ref().take(pair.references.len()).collect(),
        })
        .collect();
    let mut rows = counted(&texts.tokenized, words, &items, metrics, resources, size)?;
    let family = |&metric: &Metric| Some(Family { metric, variant, rows: rows.remove(&metric)? });
    Ok(metrics.iter().filter_map(family).collect())
}

/// What each image adds, by metric, from texts that are cut already.
pub(super) fn counted(
    texts: &[String],
    words: Words,
    items: &[Item],
    metrics: &[Metric],
    resources: Resources<'_>,
    size: usize,
) -> Result<BTreeMap<Metric, Vec<f64>>> {
    let wanted = |metric| metrics.contains(&metric);
    let tables = resources.meteor.filter(|_| wanted(Metric::Meteor));
    let (rows, meteor) = rayon::join(
        || relational(texts, words, items, metrics, size),
        || tables.map(|tables| (Metric::Meteor, meteor_rows(tables, texts, items))),
    );
    let mut rows = rows?;
    rows.extend(meteor);
    Ok(rows)
}

/// The metrics that are queries over counted n-grams and alignments of words.
fn relational(
    texts: &[String],
    words: Words,
    items: &[Item],
    metrics: &[Metric],
    size: usize,
) -> Result<BTreeMap<Metric, Vec<f64>>> {
    let wanted = |metric| metrics.contains(&metric);
    let mut counter = Counter::new(texts, words);
    let blocks = items.chunks(size).map(|items| counter.block(items)).collect::<Result<Vec<_>>>()?;
    let mut rows: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
    let mut add = |metric, values: Vec<f64>| rows.entry(metric).or_default().extend(values);
    if wanted(Metric::CiderD) || wanted(Metric::Cider) {
        let mut frequency = vec![0; counter.ngrams()];
        for block in &blocks {
            cider::add_document_frequency(block, &mut frequency)?;
        }
        let idf = cider::inverse_frequency(&frequency, items.len());
        for block in &blocks {
            let [plain, clipped] = cider::scores(block, &idf)?;
            add(Metric::Cider, plain);
            add(Metric::CiderD, clipped);
        }
    }
    for block in &blocks {
        if wanted(Metric::Bleu) {
            add(Metric::Bleu, bleu::counts(block)?);
        }
        if wanted(Metric::NltkBleu) {
            add(Metric::NltkBleu, nltk::counts(bleu::counts(block)?));
        }
        if wanted(Metric::RougeL) {
            add(Metric::RougeL, rouge::scores(block)?);
        }
        if wanted(Metric::CharacterCosine) {
            add(Metric::CharacterCosine, cosine::scores(block)?);
        }
    }
    Ok(rows)
}

/// What METEOR counts, image by image; each distinct text is prepared once.
fn meteor_rows(tables: &meteor::Tables, texts: &[String], items: &[Item]) -> Vec<f64> {
    let sentences: Vec<_> = texts.par_iter().map(|text| tables.references(text)).collect();
    let rows = items.par_iter().map(|item| {
        let hypothesis = tables.hypothesis(&texts[item.hypothesis]);
        let references = item.references.iter().flat_map(|&place| &sentences[place]);
        let all = references.map(|reference| meteor::align(tables, &hypothesis, reference));
        meteor::Statistics::best(all).map_or([0.0; meteor::COUNTS], |(statistics, _)| statistics.sums())
    });
    rows.collect::<Vec<_>>().concat()
}

/// Captions cut into words, each distinct one once.
pub(super) struct Texts {
    pub(super) words: Words,
    places: BTreeMap<String, usize>,
    pub(super) tokenized: Vec<String>,
}

impl Texts {
    pub(super) fn new(words: Words) -> Self {
        Self { words, places: BTreeMap::new(), tokenized: Vec::new() }
    }

    /// The places of the words of all captions of a file, in order; a few odd ones depend on what follows them.
    pub(super) fn places(&mut self, captions: &[&str]) -> Vec<usize> {
        let place = |k: usize| match self.words.cut_before(captions[k], &captions[k + 1..]) {
            None => self.place(captions[k]),
            Some(words) => {
                self.tokenized.push(words);
                self.tokenized.len() - 1
            }
        };
        (0..captions.len()).map(place).collect()
    }

    /// The place of a caption's words.
    pub(super) fn place(&mut self, raw: &str) -> usize {
        if let Some(&place) = self.places.get(raw) {
            return place;
        }
        self.tokenized.push(self.words.cut(raw));
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

/// The caption and the references of one image.
#[derive(Clone, Debug)]
pub(super) struct Pair<'a> {
    pub(super) caption: &'a str,
    pub(super) references: Vec<&'a str>,
}

/// The images in the order of the captions, each with its caption and references.
pub(super) fn pairs<'a>(references: &'a DataFrame, captions: &'a DataFrame) -> Result<(Vec<u32>, Vec<Pair<'a>>)> {
    let (order, hypotheses) = columns(captions, "captions to score", "caption")?;
    ensure!(!order.is_empty(), "there are no captions to score");
    let mut places = BTreeMap::new();
    let mut pairs = Vec::with_capacity(order.len());
    for (&id, caption) in order.iter().zip(hypotheses) {
        if places.insert(id, pairs.len()).is_some() {
            bail!("image {id} has two captions");
        }
        pairs.push(Pair { caption, references: Vec::new() });
    }
    let (ids, sentences) = columns(references, "references to score against", "raw")?;
    let mut without_caption = BTreeSet::new();
    for (id, sentence) in ids.into_iter().zip(sentences) {
        match places.get(&id) {
            Some(&place) => pairs[place].references.push(sentence),
            None => _ = without_caption.insert(id),
        }
    }
    let without_references: BTreeSet<u32> =
        order.iter().zip(&pairs).filter(|(_, pair)| pair.references.is_empty()).map(|(&id, _)| id).collect();
    for (what, ids) in [("references", without_references), ("a caption", without_caption)] {
        if !ids.is_empty() {
            return Err(anyhow!("{} without {what}: {}", plural(ids.len()), first_few(&ids)))
                .context("captions and references must be of the same images");
        }
    }
    Ok((order, pairs))
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
