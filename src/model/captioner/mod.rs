//! Image vectors to captions: mapper, language model, search and tokenizer together.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};

use super::checkpoint::read_weights;
use super::gpt2::{Gpt2, Gpt2Config, Writer};
use super::mapper::Mapper;
use super::search::{DecodeConfig, Hypothesis, Watched, search};
use super::tokenizer::CaptionTokenizer;
use super::{Bundle, Content};
use crate::language::Language;
use crate::progress::{Interrupted, Progress};

/// A caption and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Caption {
    /// The text: one line, without special tokens.
    pub text: String,
    /// All tokens, the one that ended it among them.
    pub ids: Vec<u32>,
    /// Sum of the natural logarithms of the probabilities that the model gave them.
    pub log_prob: f64,
}

/// The images to caption.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// What they are called; a drawn caption depends on it.
    pub ids: &'a [u32],
    /// Their vectors, `f32[n, dim]`, row by row.
    pub vectors: &'a [f32],
    /// The length of a vector.
    pub dim: usize,
}

/// Everything that turns image vectors into captions.
#[derive(Clone, Debug)]
pub struct Captioner {
    mapper: Mapper,
    writer: Writer,
    tokenizer: CaptionTokenizer,
}

impl Captioner {
    /// Reads trained weights and the language model they were trained with.
    ///
    /// `mapper_weights` is what training wrote (see [`read_weights`]): `clip_project.*`, the mapper's settings in its metadata, and `gpt.*` if the language model was fine-tuned, which then takes the place of the bundle's weights.
    pub fn load(mapper_weights: &Content, gpt2: &Bundle, language: Language) -> Result<Self> {
        let trained = read_weights(mapper_weights)?;
        let tokenizer = CaptionTokenizer::load(gpt2, language)?;
        let gpt2 = match trained.gpt2 {
            None => Gpt2::load(gpt2)?,
            Some(tuned) => Gpt2::from_tensors(Gpt2Config::load(gpt2)?, tuned)?,
        };
        Self::new(&trained.mapper, gpt2, tokenizer)
    }

    /// Puts the parts together; fails if they do not fit each other.
    pub fn new(mapper: &Mapper, gpt2: Gpt2, tokenizer: CaptionTokenizer) -> Result<Self> {
        let width = mapper.config().width;
        ensure!(
            width == gpt2.width(),
            "the mapper was trained for a width of {width}, the language model has {}",
            gpt2.width()
        );
        let (words, vocab) = (tokenizer.vocab_size(), gpt2.vocab());
        ensure!(
            words <= vocab,
            "the tokenizer has {words} tokens, the language model {vocab}: they do not belong together"
        );
        Ok(Self { mapper: mapper.fold()?, writer: gpt2.into_writer()?, tokenizer })
    }

    /// `config.n` captions per image (fewer only if a beam holds fewer), best first or in the order of the draws.
    ///
    /// - `max_tokens`: the most tokens of a caption, the one that ends it among them.
    /// - `batch`: how many images run together; it changes speed and memory, never a caption.
    ///
    /// Fails with [`Interrupted`] when asked to stop, and if the settings do not fit the model.
    pub fn caption(
        &self,
        images: Images<'_>,
        config: &DecodeConfig,
        max_tokens: usize,
        batch: usize,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<Caption>>> {
        self.check(images, config, max_tokens)?;
        ensure!(batch > 0, "a batch must hold at least one image");
        let stops = config.stops(&self.tokenizer)?;
        let mut captions = Vec::with_capacity(images.ids.len());
        progress.begin("captions", images.ids.len() as u64, "images");
        for (ids, vectors) in images.ids.chunks(batch).zip(images.vectors.chunks(batch * images.dim)) {
            if progress.cancelled() {
                return Err(Interrupted.into());
            }
            let prefix = self.prefixes(vectors, images.dim)?;
            for found in search(&Watched { decoder: &self.writer, progress }, &prefix, ids, config, max_tokens, &stops)?
            {
                captions.push(found.into_iter().map(|sequence| self.write(sequence)).collect());
            }
            progress.advance(ids.len() as u64);
        }
        Ok(captions)
    }

    /// Fails if the request is impossible.
    fn check(&self, images: Images<'_>, config: &DecodeConfig, max_tokens: usize) -> Result<()> {
        let Images { ids, vectors, dim } = images;
        let wanted = self.mapper.config().clip_dim;
        ensure!(dim == wanted, "the mapper was trained on vectors of {wanted} numbers, these have {dim}");
        ensure!(vectors.len().is_multiple_of(dim), "{} numbers are not rows of {dim}", vectors.len());
        ensure!(vectors.len() / dim == ids.len(), "{} image ids for {} vectors", ids.len(), vectors.len() / dim);
        config.check(max_tokens)?;
        let before = self.mapper.config().prefix_length + usize::from(self.tokenizer.bos().is_some());
        let room = self.writer.config().n_positions.saturating_sub(before);
        // The last token is predicted, but never read.
        ensure!(
            max_tokens <= room + 1,
            "max_tokens is {max_tokens}, but the language model has room for {} after the prefix",
            room + 1
        );
        Ok(())
    }

    /// What the language model reads before the caption: `f32[n, k, d]`, the start token's embedding among it.
    fn prefixes(&self, vectors: &[f32], dim: usize) -> Result<Tensor> {
        let rows = vectors.len() / dim;
        let prefix = self.mapper.prefixes(&Tensor::from_slice(vectors, (rows, dim), &Device::Cpu)?)?;
        let Some(bos) = self.tokenizer.bos() else { return Ok(prefix) };
        let bos = Tensor::full(bos, (rows, 1), &Device::Cpu)?;
        Ok(Tensor::cat(&[prefix, self.writer.embed_tokens(&bos)?], 1)?)
    }

    /// Turns tokens into a line of text.
    fn write(&self, sequence: Hypothesis) -> Caption {
        let text = self.tokenizer.decode(&sequence.ids);
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        let line: String = text.chars().map(|c| if breaks(c) { ' ' } else { c }).collect();
        Caption { text: line.trim().to_owned(), ids: sequence.ids, log_prob: sequence.log_prob }
    }
}

#[cfg(test)]
mod tests;
