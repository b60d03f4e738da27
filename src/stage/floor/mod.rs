//! `caption/<dataset>_constant`, `_class`, `_knn`, `_human`, `_human_distinct`: floors and ceilings as ordinary captions.

mod class;
mod constant;
mod human;
mod knn;

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use arrow::array::RecordBatch;

use crate::language::Split;
use crate::table;

pub use class::ByClass;
pub use constant::Constant;
pub use human::Human;
pub use knn::Nearest;

/// History: 1, the first; 2, captions have no log-probability instead of 0; 3, of equally frequent captions of a class the
/// first in published order.
pub const VERSION: u32 = 3;

/// The images of a split, in published order. Fails if there are none.
fn of_split(images: &RecordBatch, split: Split) -> Result<Vec<u32>> {
    let splits = table::strings(images, "split")?.iter();
    let pairs = table::u32s(images, "image_id")?.values().iter().zip(splits);
    let ids: Vec<u32> = pairs.filter(|(_, of)| *of == Some(split.name())).map(|(id, _)| *id).collect();
    if ids.is_empty() {
        bail!("the {} split has no images", split.name());
    }
    Ok(ids)
}

/// The train images.
fn train_images(images: &RecordBatch) -> Result<BTreeSet<u32>> {
    Ok(of_split(images, Split::Train)?.into_iter().collect())
}
