//! `caption/<dataset>_<name>` of `[captions.<name>]`: captions that another program made.

use anyhow::{Context as _, Result, anyhow, bail};
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use super::floor::captions_table;
use super::{Context, Inputs, Outcome};
use crate::dataset::candidates::{self, CAPTION, Entry, ImageKey, KEY_NAMES, Target};
use crate::language::Split;
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads `file` and `entries`; writes `captions`, one per image of the split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The split that the captions must be of.
    pub split: Split,
    /// Whether images without a caption are left out instead of being an error.
    pub allow_missing: bool,
}

impl Import {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, _: &mut Context<'_>) -> Result<Outcome> {
        let name = inputs.path("file")?.display().to_string();
        let bytes = inputs.bytes("file")?;
        let entries = if bytes.starts_with(b"PAR1") {
            from_parquet(bytes).with_context(|| name.clone())?
        } else {
            candidates::read(&bytes, &name)?
        };
        let images = inputs.table("entries")?;
        let assigned = candidates::assign(entries, &targets(&images)?, self.split, self.allow_missing, &name)?;
        let mut outcome = Outcome::default();
        if !assigned.missing.is_empty() {
            let (few, all) = (assigned.captions.len(), assigned.captions.len() + assigned.missing.len());
            outcome.log.push(format!("{few} of the {all} images of the {} split have a caption", self.split.name()));
        }
        outcome.table("captions", captions_table(&assigned.captions)?);
        Ok(outcome)
    }
}

fn targets(images: &RecordBatch) -> Result<Vec<Target<'_>>> {
    let ids = table::u32s(images, "image_id")?.values().iter();
    let (names, splits) = (table::strings(images, "filename")?, table::strings(images, "split")?);
    ids.zip(names)
        .zip(splits)
        .map(|((id, name), split)| {
            let split = Split::ALL.into_iter().find(|known| Some(known.name()) == split);
            let split = split.with_context(|| format!("image {id} has an unknown split"))?;
            Ok(Target { image_id: *id, filename: name.unwrap_or_default(), split })
        })
        .collect()
}

/// The rows of a Parquet file with one of the usual id columns and a `caption`; integers and texts of any width.
fn from_parquet(bytes: Vec<u8>) -> Result<Vec<Entry>> {
    let batch = table::read(bytes)?;
    let named = KEY_NAMES.iter().filter_map(|name| Some((*name, batch.column_by_name(name)?))).collect::<Vec<_>>();
    let [(id_name, ids)] = named[..] else {
        let columns: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        bail!(
            "needs one id column ({}), has {}",
            KEY_NAMES.join(" or "),
            if columns.is_empty() { "none".to_owned() } else { columns.join(" and ") }
        );
    };
    let captions = batch.column_by_name(CAPTION).with_context(|| format!("has no column `{CAPTION}`"))?;
    let as_text = |column, name: &str| {
        arrow::compute::cast(column, &DataType::Utf8)
            .with_context(|| format!("column `{name}` is neither text nor numbers"))
    };
    if !matches!(captions.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        bail!("column `{CAPTION}` has type {}, not text", captions.data_type());
    }
    let (ids, captions) = (as_text(ids, id_name)?, as_text(captions, CAPTION)?);
    let (ids, captions) = (table::as_strings(&ids)?, table::as_strings(&captions)?);
    let entry = |row: usize| {
        let line = row + 1;
        if ids.is_null(row) || captions.is_null(row) {
            bail!("row {line} has no {}", if ids.is_null(row) { id_name } else { CAPTION });
        }
        let key = ImageKey::from_text(ids.value(row)).map_err(|error| anyhow!("row {line}: {error}"))?;
        Ok(Entry { key, also: None, caption: captions.value(row).to_owned(), line })
    };
    (0..batch.num_rows()).map(entry).collect()
}
