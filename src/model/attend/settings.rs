//! The settings of a training run.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// `[attention.NAME.train]`: the settings of a run; the defaults are the tutorial's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttendTraining {
    /// How often every caption is seen, at most.
    pub epochs: u32,
    /// Captions per step. It is a parameter of the optimisation, so it is in the key.
    pub batch_size: usize,
    /// The learning rate at the beginning.
    pub lr: f64,
    /// Every element of a gradient is limited to plus or minus this.
    pub grad_clip: f32,
    /// How much it counts that every cell be looked at.
    pub alpha_c: f64,
    /// Share of the state that the output layer does not see.
    pub dropout: f64,
    /// The learning rate is multiplied by this ...
    pub lr_decay: f64,
    /// ... after this many epochs without gain on the validation images, and again after as many.
    pub decay_after: u32,
    /// Training ends after this many epochs without gain.
    pub stop_after: u32,
    /// What gain is.
    pub select: Selection,
}

/// The score of free-running captions of the validation images by which an epoch is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// CIDEr-D.
    #[default]
    CiderD,
    /// BLEU-4.
    #[serde(rename = "bleu_4")]
    Bleu4,
}

impl Default for AttendTraining {
    fn default() -> Self {
        Self {
            epochs: 120,
            batch_size: 32,
            lr: 4e-4,
            grad_clip: 5.0,
            alpha_c: 1.0,
            dropout: 0.5,
            lr_decay: 0.8,
            decay_after: 8,
            stop_after: 20,
            select: Selection::CiderD,
        }
    }
}

impl AttendTraining {
    /// What types cannot say.
    pub fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0 && self.batch_size > 0, "`epochs` and `batch_size` must be at least 1");
        ensure!(self.decay_after > 0 && self.stop_after > 0, "`decay_after` and `stop_after` must be at least 1");
        for (name, value) in [("lr", self.lr), ("grad_clip", f64::from(self.grad_clip))] {
            ensure!(value.is_finite() && value > 0.0, "`{name}` must be a positive number, not {value}");
        }
        ensure!(self.alpha_c.is_finite() && self.alpha_c >= 0.0, "`alpha_c` must be a number from 0 on");
        ensure!((0.0..1.0).contains(&self.dropout), "`dropout` must lie in [0, 1), not {}", self.dropout);
        ensure!(self.lr_decay > 0.0 && self.lr_decay <= 1.0, "`lr_decay` must lie in (0, 1], not {}", self.lr_decay);
        Ok(())
    }
}
