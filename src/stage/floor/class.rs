//! Class look-up: the most frequent train caption of the image's scene class.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::super::unscored::captions_table;
use super::super::{Context, Inputs, Outcome};
use super::{of_split, train_images};
use crate::language::Split;
use crate::metric::floor::ClassCaptions;
use crate::table;

/// Reads `images` (with classes) and `sentences`; writes `captions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByClass {
    /// The split to caption.
    pub split: Split,
}

impl ByClass {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, _: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let sentences = inputs.table("sentences")?;
        let classes = table::strings(&images, "class")?;
        let ids = table::u32s(&images, "image_id")?.values();
        let class_of: BTreeMap<u32, Option<&str>> = ids.iter().copied().zip(classes).collect();
        let class = |id: &u32| class_of.get(id).copied().flatten();
        let train = train_images(&images)?;
        let owners = table::u32s(&sentences, "image_id")?.values().iter();
        let train = owners
            .zip(table::strings(&sentences, "raw")?)
            .filter(|(id, _)| train.contains(id))
            .map(|(id, raw)| (class(id), raw.unwrap_or_default()));
        let known = ClassCaptions::new(train).context("the train split has no captions")?;
        let captions: Vec<_> =
            of_split(&images, self.split)?.into_iter().map(|id| (id, known.of(class(&id)).to_owned())).collect();
        let mut outcome = Outcome::default();
        let without = captions.iter().filter(|(id, _)| class(id).is_none()).count();
        if without > 0 {
            outcome.warnings.push(format!(
                "{without} of {} images have no class: all of them get the most frequent caption of such train images",
                captions.len()
            ));
        }
        outcome.table("captions", captions_table(&captions)?);
        Ok(outcome)
    }
}
