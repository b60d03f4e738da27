//! `caption/<dataset>_<name>` of `[captions.<name>]`: captions that another program made.

use anyhow::{Context as _, Result, anyhow, bail};
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use crate::dataset::candidates::{self, CAPTION, Entry, ImageKey, Record, Target};
use crate::language::Split;
use crate::stage::unscored::captions_table;
use crate::stage::{Context, Inputs, Outcome};
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads `file` and `entries`; writes `captions`, one per image of the split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captions {
    /// The split that the captions must be of.
    pub split: Split,
    /// Whether images without a caption are left out instead of being an error.
    pub allow_missing: bool,
}

impl Captions {
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
            let (missing, all) = (assigned.missing.len(), assigned.captions.len() + assigned.missing.len());
            let split = self.split.name();
            outcome
                .warnings
                .push(format!("{missing} of the {all} images of split {split} have no caption and are left out"));
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
            let split = split.and_then(|name| name.parse().ok());
            let split = split.with_context(|| format!("image {id} has an unknown split"))?;
            Ok(Target { image_id: *id, filename: name.unwrap_or_default(), split })
        })
        .collect()
}

/// The rows of a Parquet file, by the rules of the other formats; ids may be integers or texts of any width.
fn from_parquet(bytes: Vec<u8>) -> Result<Vec<Entry>> {
    let batch = table::read(bytes)?;
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let Some(name) = Record::field(field.name()) else { continue };
        let text = match column.data_type() {
            DataType::Dictionary(_, values) => is_text(values),
            kind => is_text(kind),
        };
        if !text && (name == CAPTION || !column.data_type().is_numeric()) {
            bail!("column `{name}` has type {}, which is neither text nor an id", column.data_type());
        }
        columns.push((name, arrow::compute::cast(column, &DataType::Utf8)?));
    }
    let entry = |row: usize| -> Result<Entry, String> {
        let mut record = Record::default();
        for (name, column) in &columns {
            let texts = table::as_strings(column).map_err(|error| error.to_string())?;
            if texts.is_null(row) {
                continue;
            }
            if *name == CAPTION {
                record.set_caption(texts.value(row).to_owned())?;
            } else {
                let key = ImageKey::from_text(texts.value(row)).map_err(|error| format!("`{name}` is {error}"))?;
                record.set_key(name, key)?;
            }
        }
        record.finish(row + 1)
    };
    (0..batch.num_rows()).map(|row| entry(row).map_err(|cause| anyhow!("row {}: {cause}", row + 1))).collect()
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
