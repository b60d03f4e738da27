//! Feature maps to captions: decoder, search and vocabulary together.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::batch::Caption as Given;
use super::features::MapSource;
use super::vocabulary::{END, START, Vocabulary};
use super::{Decoder, Writer};
use crate::language::Language;
use crate::model::captioner::Caption;
use crate::model::search::{DecodeConfig, Watched, search};
use crate::progress::{Interrupted, Progress};

/// One image to caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRow {
    /// What it is called; a drawn caption depends on it.
    pub id: u32,
    /// The number of its feature map.
    pub row: u32,
}

/// Everything that turns feature maps into captions.
pub struct Captioner<'a> {
    writer: Writer,
    vocabulary: &'a Vocabulary,
    language: Language,
}

impl<'a> Captioner<'a> {
    /// Puts the parts together; fails if the decoder was trained with another number of words.
    pub fn new(decoder: &Decoder, vocabulary: &'a Vocabulary, language: Language) -> Result<Self> {
        let (words, trained) = (vocabulary.words().len(), decoder.config().vocab_size);
        ensure!(words == trained, "the decoder was trained with {trained} words, the vocabulary has {words}");
        let never = (0..words as u32).filter(|id| !Vocabulary::is_written(*id)).collect();
        Ok(Self { writer: decoder.writer(START)?.without(never), vocabulary, language })
    }

    /// `config.n` captions per image (fewer only if a beam holds fewer), best first or in the order of the draws; at least one.
    ///
    /// - `max_tokens`: the most words of a caption, its end among them.
    /// - `batch`: how many images run together; it changes speed and memory, never a caption.
    ///
    /// Fails with [`Interrupted`] when asked to stop, and if the settings do not fit the vocabulary.
    pub fn caption(
        &self,
        features: &dyn MapSource,
        images: &[ImageRow],
        config: &DecodeConfig,
        max_tokens: usize,
        batch: usize,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<Caption>>> {
        ensure!(batch > 0, "a batch must hold at least one image");
        let stops = self.stops(config)?;
        let decoder = Watched { decoder: &self.writer, progress };
        let mut captions = Vec::with_capacity(images.len());
        for images in images.chunks(batch) {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            let ids: Vec<u32> = images.iter().map(|image| image.id).collect();
            for found in search(&decoder, &features.cells(&rows(images))?, &ids, config, max_tokens, &stops)? {
                let write = |found: crate::model::search::Hypothesis| Caption {
                    text: self.vocabulary.decode(&found.ids, self.language),
                    ids: found.ids,
                    log_prob: found.log_prob,
                };
                captions.push(found.into_iter().map(write).collect());
            }
            progress.advance(images.len() as u64);
        }
        Ok(captions)
    }

    /// Where the decoder looked: for every image the weights of all cells at each token of its caption, `[tokens, cells]`.
    ///
    /// - `tokens`: of every image, as [`Captioner::caption`] gives them.
    pub fn attention(
        &self,
        features: &dyn MapSource,
        images: &[ImageRow],
        tokens: &[&[u32]],
        batch: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let mut weights = Vec::with_capacity(images.len());
        for (images, tokens) in images.chunks(batch).zip(tokens.chunks(batch)) {
            let given: Vec<Given> = tokens.iter().enumerate().map(|(image, ids)| Given { image, ids }).collect();
            weights.extend(self.writer.attention(&features.cells(&rows(images))?, &given)?);
        }
        Ok(weights)
    }

    /// The words that end a caption.
    fn stops(&self, config: &DecodeConfig) -> Result<BTreeSet<u32>> {
        let words = self.vocabulary.words();
        let mut stops: BTreeSet<u32> = config.end_token.then_some(END).into_iter().collect();
        for &id in &config.stop_ids {
            ensure!((id as usize) < words.len(), "stop id {id} is outside the vocabulary of {} words", words.len());
            stops.insert(id);
        }
        for text in &config.stop_texts {
            let at = words.iter().position(|word| word == text);
            stops.insert(at.with_context(|| format!("the stop text {text:?} is no word of the vocabulary"))? as u32);
        }
        Ok(stops)
    }
}

fn rows(images: &[ImageRow]) -> Vec<u32> {
    images.iter().map(|image| image.row).collect()
}
