//! `caption/<dataset>_constant`: the floor that every model has to beat, one train caption for all images.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{Float64Array, StringArray, UInt32Array};
use serde::{Deserialize, Serialize};

use super::{Context, Inputs, Outcome};
use crate::language::{Language, Split};
use crate::metric;
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

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
        let sentences = inputs.table("sentences")?;
        let of_split = |split: Split| -> Result<BTreeSet<u32>> {
            let splits = table::strings(&images, "split")?.iter();
            let pairs = table::u32s(&images, "image_id")?.values().iter().zip(splits);
            Ok(pairs.filter(|(_, of)| *of == Some(split.name())).map(|(id, _)| *id).collect())
        };
        let train = of_split(Split::Train)?;
        let captioned: Vec<u32> = of_split(self.split)?.into_iter().collect();
        if captioned.is_empty() {
            bail!("the {} split has no images", self.split.name());
        }
        context.progress.begin("consensus", 1, "passes");
        let references = super::score::references(&sentences, &train)?;
        let caption = metric::floor::constant_caption(&references, self.language)?;
        context.progress.advance(1);
        let mut outcome = Outcome::default();
        outcome.log.push(format!("constant caption: {caption}"));
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(UInt32Array::from(captioned.clone())),
            Arc::new(StringArray::from(vec![caption.as_str(); captioned.len()])),
            table::u32_list_array(&vec![Vec::new(); captioned.len()]),
            Arc::new(Float64Array::from(vec![0.0; captioned.len()])),
        ];
        outcome.table("captions", table::make(table::captions(), columns)?);
        Ok(outcome)
    }
}
