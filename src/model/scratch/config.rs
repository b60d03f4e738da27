//! The settings of models that are learned from scratch.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// No model that is worth training here comes near; without a limit, a slip of the pen asks for all the memory there is.
const WIDEST: usize = 1 << 12;

/// Fails if an image encoder cannot have these sizes, whether settings or a config.json name them.
pub(super) fn check_network(image_size: usize, channels: &[usize], blocks: usize, dim: usize) -> Result<()> {
    ensure!((1..=1024).contains(&image_size), "image_size must be from 1 to 1024 pixels, not {image_size}");
    ensure!(
        (1..=8).contains(&channels.len()),
        "channels must name at least one stage and at most 8, not {}",
        channels.len()
    );
    ensure!(blocks <= 64, "blocks must be at most 64, not {blocks}");
    let fit = channels.iter().chain([&dim]).all(|width| (1..=WIDEST).contains(width));
    ensure!(fit, "channels {channels:?} and the {dim} numbers of a vector must be 1 to {WIDEST}");
    Ok(())
}

/// How the small CLIP-style pair of encoders is built and trained.
///
/// The defaults are for about 1,700 pictures of 128 pixels and two cores; `epochs` sets the time, which is
/// proportional to pictures, epochs and the area of `crop`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScratchClipConfig {
    /// The side in pixels to which pictures are scaled first, and at which they are embedded.
    pub image_size: usize,
    /// The side in pixels of the random views that are trained on, at most `image_size`.
    pub crop: usize,
    /// Channels after each halving of the resolution; one stage each, the first without residual blocks.
    pub channels: Vec<usize>,
    /// Residual blocks (two 3 x 3 convolutions) per stage.
    pub blocks: usize,
    /// The size of the vectors that pictures and captions share.
    pub dim: usize,
    /// The hidden width of the text encoder.
    pub text_width: usize,
    /// A term enters the vocabulary when it occurs in the captions of this many training pictures.
    pub min_pictures: usize,
    /// Passes over the training pictures.
    pub epochs: usize,
    /// Pictures per step (a last, smaller batch is left out).
    pub batch: usize,
    /// The highest learning rate; it rises linearly from 0 and then falls to 0 along a cosine.
    pub lr: f64,
    /// The share of all steps in which the learning rate rises.
    pub warmup: f64,
    /// Weight decay of matrices and windows.
    pub weight_decay: f64,
    /// What cosines are divided by before the softmax, at the beginning; it is learned.
    pub temperature: f64,
    /// How quickly another picture's caption stops being a positive as its picture's captions grow less alike.
    pub target_temperature: f64,
    /// The weight of the second task, telling which terms a picture's captions contain.
    pub terms_weight: f64,
    /// Also train on mirrored pictures and quarter turns (the eight symmetries of a square).
    pub flips: bool,
    /// The largest relative change of the side of the square that is cut out and scaled to `crop`.
    pub zoom: f64,
    /// The largest relative change of contrast and the largest shift of brightness, in standard deviations.
    pub jitter: f64,
    /// How many of the eight symmetries [`ScratchVision`](super::ScratchVision) averages over: 1, 2, 4 or 8.
    pub views: usize,
    /// Where all random numbers begin.
    pub seed: u64,
}

impl Default for ScratchClipConfig {
    fn default() -> Self {
        Self {
            image_size: 80,
            crop: 64,
            channels: vec![24, 48, 96, 192],
            blocks: 1,
            dim: 256,
            text_width: 256,
            min_pictures: 3,
            epochs: 60,
            batch: 48,
            lr: 2e-3,
            warmup: 0.05,
            weight_decay: 0.05,
            temperature: 0.1,
            target_temperature: 0.1,
            terms_weight: 1.0,
            flips: true,
            zoom: 0.2,
            jitter: 0.2,
            views: 1,
            seed: 0,
        }
    }
}

impl ScratchClipConfig {
    /// Fails if a setting cannot work, and says which.
    pub fn check(&self) -> Result<()> {
        ensure!((8..=1024).contains(&self.crop), "crop must be 8 to 1024 pixels, not {}", self.crop);
        let size = self.image_size;
        ensure!(size >= self.crop, "image_size must be from crop to 1024 pixels, not {size}");
        let sizes = [self.text_width, self.min_pictures, self.epochs];
        ensure!(sizes.iter().all(|&size| size > 0), "text_width, min_pictures and epochs must be positive");
        check_network(size, &self.channels, self.blocks, self.dim)?;
        ensure!(self.text_width <= WIDEST, "text_width must be at most {WIDEST}, not {}", self.text_width);
        ensure!(self.batch <= WIDEST, "batch must be at most {WIDEST}, not {}", self.batch);
        ensure!(self.batch >= 2, "batch must be at least 2: captions are told apart within a batch");
        let rates = [self.temperature, self.target_temperature];
        ensure!(rates.iter().all(|&rate| rate > 0.0), "temperature and target_temperature must be positive");
        ensure!((0.0..1.0).contains(&self.zoom), "zoom must be at least 0 and below 1, not {}", self.zoom);
        ensure!((0.0..1.0).contains(&self.jitter), "jitter must be at least 0 and below 1, not {}", self.jitter);
        ensure!(self.lr.is_finite() && self.lr > 0.0, "lr must be a positive number, not {}", self.lr);
        ensure!((0.0..1.0).contains(&self.warmup), "warmup must be at least 0 and below 1, not {}", self.warmup);
        ensure!([1, 2, 4, 8].contains(&self.views), "views must be 1, 2, 4 or 8, not {}", self.views);
        Ok(())
    }
}

/// How the small GPT-2 is built and trained.
///
/// The defaults are for some ten thousand short captions and two cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScratchGpt2Config {
    /// The most tokens of the English byte-pair vocabulary; Chinese has one token per character.
    pub vocab_size: usize,
    /// Positions: the most tokens the model can see at once.
    pub positions: usize,
    /// The width of the hidden states.
    pub width: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Attention heads; they divide `width`.
    pub heads: usize,
    /// Documents begin at random positions up to this one, so that text after a prefix is at home.
    pub max_offset: usize,
    /// Passes over the training documents.
    pub epochs: usize,
    /// Documents per step.
    pub batch: usize,
    /// The highest learning rate; it rises linearly from 0 and then falls to 0 along a cosine.
    pub lr: f64,
    /// The share of all steps in which the learning rate rises.
    pub warmup: f64,
    /// Weight decay of matrices.
    pub weight_decay: f64,
    /// Where all random numbers begin.
    pub seed: u64,
}

impl Default for ScratchGpt2Config {
    fn default() -> Self {
        Self {
            vocab_size: 1000,
            positions: 192,
            width: 192,
            layers: 4,
            heads: 4,
            max_offset: 24,
            epochs: 8,
            batch: 16,
            lr: 1e-3,
            warmup: 0.05,
            weight_decay: 0.05,
            seed: 0,
        }
    }
}

impl ScratchGpt2Config {
    /// Fails if a setting cannot work, and says which.
    pub fn check(&self) -> Result<()> {
        let sizes = [self.width, self.layers, self.heads, self.epochs, self.batch];
        ensure!(sizes.iter().all(|&size| size > 0), "width, layers, heads, epochs and batch must be positive");
        ensure!(
            sizes.iter().all(|&size| size <= WIDEST) && self.positions <= WIDEST && self.vocab_size <= WIDEST * WIDEST,
            "width, layers, heads, epochs, batch and positions must be at most {WIDEST}, and vocab_size its square"
        );
        ensure!(self.width.is_multiple_of(self.heads), "heads must divide width, {} by {}", self.width, self.heads);
        let shortest = self.max_offset.saturating_add(8);
        ensure!(self.positions >= shortest, "positions must be at least max_offset + 8 = {shortest}");
        ensure!(self.lr.is_finite() && self.lr > 0.0, "lr must be a positive number, not {}", self.lr);
        ensure!((0.0..1.0).contains(&self.warmup), "warmup must be at least 0 and below 1, not {}", self.warmup);
        Ok(())
    }
}

/// The learning rate of one step: a linear rise, then half a cosine down to 0.
pub(super) fn learning_rate(highest: f64, warmup: f64, step: usize, steps: usize) -> f64 {
    let (at, rise) = ((step + 1) as f64 / steps as f64, warmup.max(1e-9));
    if at < rise {
        return highest * at / rise;
    }
    let done = ((at - rise) / (1.0 - rise)).min(1.0);
    highest * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}
