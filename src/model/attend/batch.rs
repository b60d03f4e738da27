//! Captions of different lengths without padding.

use anyhow::{Result, bail, ensure};

/// One caption to learn from or to explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caption<'a> {
    /// Its image's row of the features; several captions may be of one image.
    pub image: usize,
    /// Its word ids, the start and the end among them.
    pub ids: &'a [u32],
}

/// Captions, longest first, cut into steps: step `t` reads word `t` of every caption that still predicts one, and predicts word `t + 1`.
///
/// The rows of all steps lie one after the other.
pub(super) struct Batch {
    /// For every caption, longest first: its place in the list as it was given.
    pub(super) order: Vec<usize>,
    /// For every caption, longest first: its image.
    pub(super) images: Vec<usize>,
    /// Of every step: its first row. Its captions are the first ones.
    pub(super) firsts: Vec<usize>,
    /// Of every row: the word that is read.
    pub(super) words: Vec<u32>,
    /// Of every row: the word that is predicted.
    pub(super) targets: Vec<u32>,
}

impl Batch {
    /// Fails if an image or word does not exist, or a caption has no word.
    pub(super) fn new(captions: &[Caption], images: usize, vocab: usize) -> Result<Self> {
        for Caption { image, ids } in captions {
            ensure!(*image < images, "a caption is of image {image}, but there are {images}");
            ensure!(!ids.is_empty(), "a caption has no start");
            if let Some(id) = ids.iter().find(|id| **id as usize >= vocab) {
                bail!("a caption has word {id}, but the vocabulary {vocab} words");
            }
        }
        let mut order: Vec<usize> = (0..captions.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(captions[at].ids.len()));
        let (mut firsts, mut words, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let steps = order.first().map_or(0, |&longest| captions[longest].ids.len() - 1);
        for step in 0..steps {
            firsts.push(words.len());
            for pair in order.iter().map_while(|&at| captions[at].ids.get(step..step + 2)) {
                words.push(pair[0]);
                targets.push(pair[1]);
            }
        }
        let images = order.iter().map(|&at| captions[at].image).collect();
        Ok(Self { order, images, firsts, words, targets })
    }

    /// Number of captions.
    pub(super) fn captions(&self) -> usize {
        self.order.len()
    }

    /// Number of rows of all steps.
    pub(super) fn rows(&self) -> usize {
        self.words.len()
    }

    /// Number of steps of the longest caption.
    pub(super) fn steps(&self) -> usize {
        self.firsts.len()
    }

    /// The rows of a step.
    pub(super) fn step(&self, step: usize) -> std::ops::Range<usize> {
        self.firsts[step]..self.firsts.get(step + 1).copied().unwrap_or(self.rows())
    }

    /// The rows of one caption (counted longest first), in time.
    pub(super) fn rows_of(&self, caption: usize) -> impl Iterator<Item = usize> {
        (0..self.steps()).map(|step| self.step(step)).map_while(move |rows| rows.clone().nth(caption))
    }
}
