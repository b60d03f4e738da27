//! The floor that every model has to beat: one train caption for all images.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::super::unscored::captions_table;
use super::super::{Context, Inputs, Outcome, score};
use super::{of_split, train_images};
use crate::language::{Language, Split};
use crate::metric::floor::constant_caption;

/// Reads `images` and `sentences`; writes `captions`, the same for every image of the split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constant {
    /// The language of the captions.
    pub language: Language,
    /// The split to caption.
    pub split: Split,
}

impl Constant {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        context.progress.begin("consensus", 1, "passes");
        let references = score::references(&inputs.table("sentences")?, &train_images(&images)?)?;
        let caption = constant_caption(&references, self.language)?;
        context.progress.advance(1);
        let mut outcome = Outcome::default();
        outcome.log.push(format!("constant caption: {caption}"));
        let captions: Vec<_> = of_split(&images, self.split)?.into_iter().map(|id| (id, caption.clone())).collect();
        outcome.table("captions", captions_table(&captions)?);
        Ok(outcome)
    }
}
