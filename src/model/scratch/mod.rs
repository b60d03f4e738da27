//! Models learned from the captions at hand alone, for machines without downloaded weights.
//!
//! [`pretrain_clip`] learns a small image encoder against a still smaller text encoder, contrastively;
//! [`pretrain_gpt2`] learns a small GPT-2 with a vocabulary of its own. Both take the training split, give a
//! [`Bundle`], say nothing about where it goes, and come to the same bytes whatever the thread count and however often
//! they were interrupted.

mod clip;
mod config;
mod encoder;
mod gpt2;
mod loss;
mod normalisation;
mod optimizer;
mod state;
mod terms;
mod views;
mod vision;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::Bundle;
use crate::picture::Picture;

pub use clip::pretrain_clip;
pub use config::{ScratchClipConfig, ScratchGpt2Config};
pub use gpt2::pretrain_gpt2;
pub use vision::ScratchVision;

/// Pictures with their captions; both lists have one entry per picture and may be empty.
#[derive(Clone, Copy, Debug)]
pub struct PairData<'a> {
    /// Pictures of any size.
    pub images: &'a [Picture],
    /// The captions of each picture; one without captions is passed over.
    pub captions: &'a [Vec<String>],
}

/// A model and how it came about.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// The model's files.
    pub bundle: Bundle,
    /// One entry per epoch.
    pub history: Vec<EpochLoss>,
}

/// What one pass over the training data came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLoss {
    /// Counted from 1.
    pub epoch: u32,
    /// Steps done so far.
    pub step: u32,
    /// The learning rate of the last step.
    pub lr: f64,
    /// The mean loss over the epoch's steps, in nats.
    pub train_loss: f64,
    /// The mean loss over the validation data, in nats, if there are any.
    pub val_loss: Option<f64>,
}
