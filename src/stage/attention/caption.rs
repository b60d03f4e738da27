//! `caption/<dataset>_<attention model>`: feature maps and a trained decoder -> captions of one split.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::super::caption::{caption_columns, image_ids, images_at_once, outcome};
use super::super::per_image::rows_by_id;
use super::super::{Context, Inputs, Outcome};
use super::{maps, vocabulary};
use crate::language::{Language, Split};
use crate::model::attend::{Captioner, Decoder, ImageRow};
use crate::model::search::DecodeConfig;
use crate::table;

/// History: 1, the first.
pub const CAPTION_VERSION: u32 = 1;

/// Reads `images`, `features`, `vocabulary` and the decoder's `weights`; writes what [`Caption`](super::super::caption::Caption) writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionByAttention {
    /// The language of the captions.
    pub language: Language,
    /// The split to caption.
    pub split: Split,
    /// Cells along a side of the grid to which maps are averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<usize>,
    /// The longest caption in tokens, its end among them.
    pub max_tokens: usize,
    /// How to search.
    pub decoding: DecodeConfig,
    /// Whether `captions` has the column `attention`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_attention: bool,
}

impl CaptionByAttention {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let features = inputs.table("features")?;
        let row_of = rows_by_id(&images, &features, "feature map")?;
        let maps = maps::stored(features, self.grid)?;
        let vocabulary = vocabulary::read(&inputs.table("vocabulary")?)?;
        let decoder = Decoder::load(&inputs.content("weights")?)?;
        let captioner = Captioner::new(&decoder, &vocabulary, self.language)?;
        let ids = image_ids(&images, self.split)?;
        let rows: Vec<ImageRow> = ids.iter().map(|id| ImageRow { id: *id, row: row_of[id] }).collect();
        context.progress.begin("captions", ids.len() as u64, "images");
        let (batch, decoding) = (images_at_once(&self.decoding), &self.decoding);
        let made = captioner.caption(&maps, &rows, decoding, self.max_tokens, batch, context.progress)?;
        let mut outcome = outcome(&ids, &made, self.decoding.n)?;
        if self.keep_attention {
            let first = made.iter().map(|captions| captions.first()).collect::<Option<Vec<_>>>();
            let first = first.context("the search found no caption")?;
            let tokens: Vec<&[u32]> = first.iter().map(|caption| caption.ids.as_slice()).collect();
            let weights = captioner.attention(&maps, &rows, &tokens, batch)?;
            let mut columns = caption_columns(&ids, &first);
            columns.push(table::f32_list_array(&weights));
            outcome.replace("captions", table::make(table::captions_with_attention(), columns)?);
        }
        Ok(outcome)
    }
}
