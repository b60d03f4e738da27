//! Numbers that depend on one image alone: computed once per distinct image, in batches, kept at a stop, used again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arrow::array::{ArrayRef, ArrowPrimitiveType, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use rayon::prelude::*;

use super::{Context, Inputs};
use crate::picture::{self, Picture};
use crate::progress::Interrupted;
use crate::table;

/// How many images are decoded together, at most. A row's bits do not depend on it.
const BATCH: usize = 32;

/// How many pixels are decoded together, at most, unless one image has more.
const BATCH_PIXELS: u64 = 100_000_000;

/// What is computed of every image.
pub(super) struct PerImage<'a> {
    /// The column of an earlier table that has it.
    pub(super) column: &'a str,
    /// How many numbers an image has.
    pub(super) width: usize,
    /// After how many images the rows so far are saved, at first.
    pub(super) save_every: usize,
}

/// The rows of a table: distinct images, and their numbers one row after the other.
pub(super) struct Rows<T: ArrowPrimitiveType> {
    pub(super) digests: StringArray,
    pub(super) values: Vec<T::Native>,
    /// What was computed and what was there already.
    pub(super) remark: String,
}

impl PerImage<'_> {
    /// One row per distinct image of the input `images`, read from the folder `files`.
    ///
    /// - `compute`: the numbers of some pictures; the bits of a row must not depend on the others. It is told their file names too.
    pub(super) fn rows<T: ArrowPrimitiveType>(
        &self,
        inputs: &Inputs,
        context: &mut Context<'_>,
        compute: impl Fn(&[Picture], &[&str]) -> Result<Vec<T::Native>>,
    ) -> Result<Rows<T>> {
        let wanted = distinct(&inputs.table("images")?)?;
        let mut known = match context.previous.take() {
            // One that another program made may have other columns.
            Some(table) => self.read::<T>(&table).unwrap_or_default(),
            None => BTreeMap::new(),
        };
        let reused = wanted.iter().filter(|image| known.contains_key(&image.digest)).count();
        if let Some(saved) = context.checkpoint.load()? {
            known.extend(self.read::<T>(&table::read(saved)?)?);
        }
        let folder = inputs.path("files")?;
        let missing: Vec<&Wanted> = wanted.iter().filter(|image| !known.contains_key(&image.digest)).collect();
        context.progress.begin("images", missing.len() as u64, "images");
        let mut unsaved = 0;
        for batch in batches(&missing) {
            if context.progress.cancelled() {
                context.checkpoint.save(&self.write::<T>(&known)?)?;
                return Err(Interrupted.into());
            }
            let open = |image: &&Wanted| open(&folder.join(&image.filename), &image.digest);
            let pictures: Vec<Picture> = batch.par_iter().map(open).collect::<Result<_>>()?;
            let names: Vec<&str> = batch.iter().map(|image| image.filename.as_str()).collect();
            let values = compute(&pictures, &names)?;
            for (image, row) in batch.iter().zip(values.chunks(self.width)) {
                known.insert(image.digest.clone(), row.to_vec());
            }
            unsaved += batch.len();
            // The more there is to save, the more must be new, so that all saves together write no more than three times the whole.
            if unsaved >= self.save_every.max(known.len() / 2) {
                context.checkpoint.save(&self.write::<T>(&known)?)?;
                unsaved = 0;
            }
            context.progress.advance(batch.len() as u64);
        }
        let remark = format!("{} distinct images: {} computed, {reused} reused", wanted.len(), wanted.len() - reused);
        let mut values = Vec::with_capacity(wanted.len() * self.width);
        for image in &wanted {
            // Rows are large: each is let go when it has been copied.
            values.extend(known.remove(&image.digest).with_context(|| format!("{} was not computed", image.filename))?);
        }
        let digests = StringArray::from_iter_values(wanted.iter().map(|image| &image.digest));
        Ok(Rows { digests, values, remark })
    }

    /// The rows of an earlier table; none if they are of another width.
    fn read<T: ArrowPrimitiveType>(&self, table: &RecordBatch) -> Result<BTreeMap<String, Vec<T::Native>>> {
        let (values, width) = table::vectors_of::<T>(table, self.column)?;
        if width != self.width {
            return Ok(BTreeMap::new());
        }
        let digests = table::strings(table, "digest")?.iter().map(|digest| digest.unwrap_or_default().to_owned());
        Ok(digests.zip(values.chunks(width).map(<[T::Native]>::to_vec)).collect())
    }

    /// The rows so far, as a table for the checkpoint.
    fn write<T: ArrowPrimitiveType>(&self, known: &BTreeMap<String, Vec<T::Native>>) -> Result<Vec<u8>> {
        let mut values = Vec::with_capacity(known.len() * self.width);
        for row in known.values() {
            values.extend_from_slice(row);
        }
        let values = table::vector_array::<T>(values, self.width)?;
        let digests: ArrayRef = Arc::new(StringArray::from_iter_values(known.keys()));
        let schema = Schema::new(vec![
            Field::new("digest", DataType::Utf8, false),
            Field::new(self.column, values.data_type().clone(), false),
        ]);
        table::write(&table::make(Arc::new(schema), vec![digests, values])?, &[])
    }
}

/// Fails, naming the picture, if an encoder gave numbers that are none; every picture has `width` of them.
pub(super) fn all_finite(values: &[f32], width: usize, names: &[&str]) -> Result<()> {
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let name = names[at / width];
        bail!("the image encoder gives no numbers for {name}: its weights are damaged or were never trained well");
    }
    Ok(())
}

/// A distinct image.
struct Wanted {
    digest: String,
    /// The first file that shows it.
    filename: String,
    pixels: u64,
}

/// The distinct images, in the order of the table.
fn distinct(images: &RecordBatch) -> Result<Vec<Wanted>> {
    let mut seen = BTreeSet::new();
    let names = table::strings(images, "filename")?;
    let sizes = table::u32s(images, "width")?.values().iter().zip(table::u32s(images, "height")?.values());
    let rows = table::strings(images, "digest")?.iter().zip(names).zip(sizes);
    Ok(rows
        .map(|((digest, name), (width, height))| Wanted {
            digest: digest.unwrap_or_default().to_owned(),
            filename: name.unwrap_or_default().to_owned(),
            pixels: u64::from(*width) * u64::from(*height),
        })
        .filter(|image| seen.insert(image.digest.clone()))
        .collect())
}

/// Cuts the images into batches that fit into memory.
fn batches<'a>(images: &[&'a Wanted]) -> Vec<Vec<&'a Wanted>> {
    let mut batches: Vec<Vec<&Wanted>> = Vec::new();
    let mut pixels = 0;
    for image in images {
        pixels += image.pixels;
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && pixels <= BATCH_PIXELS => batch.push(image),
            _ => {
                pixels = image.pixels;
                batches.push(vec![image]);
            }
        }
    }
    batches
}

/// Decodes a picture and makes sure that it is still the one that was ingested.
pub(super) fn open(path: &Path, digest: &str) -> Result<Picture> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let picture = picture::decode(&bytes).with_context(|| format!("cannot decode {}", path.display()))?;
    if picture.digest().to_hex() != digest {
        bail!("{} has changed since it was ingested; run the build again", path.display());
    }
    Ok(picture)
}

/// The row of each image in a table with one row per distinct image, by image id.
pub(super) fn rows_by_id(images: &RecordBatch, per_image: &RecordBatch, what: &str) -> Result<BTreeMap<u32, u32>> {
    let digests = table::strings(per_image, "digest")?.iter().enumerate();
    let row_of: BTreeMap<&str, u32> = digests.map(|(row, digest)| (digest.unwrap_or_default(), row as u32)).collect();
    let names = table::strings(images, "filename")?;
    let ids = table::u32s(images, "image_id")?.values();
    let mut rows = BTreeMap::new();
    for (at, digest) in table::strings(images, "digest")?.iter().enumerate() {
        let row = row_of.get(digest.unwrap_or_default()).with_context(|| {
            format!(
                "image {} ({}) has no {what}: the dataset named by `images_of` does not hold this picture",
                ids[at],
                names.value(at)
            )
        })?;
        rows.insert(ids[at], *row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use arrow::array::UInt32Array;
    use arrow::datatypes::Float16Type;

    use super::super::{Expected, Loaded, Origin};
    use super::*;
    use crate::cache::StatCache;
    use crate::progress::testing::{Kept, Patience};
    use crate::progress::{Progress, Silent};

    /// A folder of pictures, all different but the last, which repeats the first; and the `images` table of them.
    fn pictures(folder: &Path, count: u32) -> RecordBatch {
        let picture = |n: u32| Picture { width: 2, height: 1, rgb: vec![(n % (count - 1)) as u8; 6] };
        let names: Vec<String> = (0..count).map(|n| format!("{n}.png")).collect();
        for (name, n) in names.iter().zip(0..) {
            image::RgbImage::from_raw(2, 1, picture(n).rgb).unwrap().save(folder.join(name)).unwrap();
        }
        let digests = (0..count).map(|n| picture(n).digest().to_hex());
        let number = |n: u32| -> ArrayRef { Arc::new(UInt32Array::from(vec![n; count as usize])) };
        let column = |texts: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
        RecordBatch::try_from_iter([
            ("filename", column(names)),
            ("digest", column(digests.collect())),
            ("width", number(2)),
            ("height", number(1)),
        ])
        .unwrap()
    }

    #[test]
    fn a_run_that_was_stopped_computes_the_rest_and_gives_the_same_rows() {
        let folder = tempfile::tempdir().unwrap();
        let images = pictures(folder.path(), 41);
        let bytes = table::write(&images, &[]).unwrap();
        let inputs = Inputs(BTreeMap::from([
            ("images".to_owned(), Loaded::Object(Box::new(move || Ok(bytes.clone())), Origin::default())),
            ("files".to_owned(), Loaded::Folder(folder.path().to_owned(), Expected::default())),
        ]));
        let facts = StatCache::open(&folder.path().join("facts"));
        let computed = RefCell::new(Vec::new());
        let run = |kept: &mut Kept, progress: &dyn Progress, previous: Option<RecordBatch>| {
            let mut context = Context { progress, checkpoint: kept, facts: &facts, previous };
            let per_image = PerImage { column: "map", width: 2, save_every: 1000 };
            per_image.rows::<Float16Type>(&inputs, &mut context, |pictures, names| {
                computed.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
                let half = |x: u8| <Float16Type as ArrowPrimitiveType>::Native::from_f32(f32::from(x) + 0.5);
                Ok(pictures.iter().flat_map(|picture| [half(picture.rgb[0]), half(0)]).collect())
            })
        };
        let whole = run(&mut Kept::default(), &Silent, None).unwrap();
        assert_eq!(whole.remark, "40 distinct images: 40 computed, 0 reused");
        assert_eq!(computed.take().len(), 40, "the repeated picture is computed once");
        let mut kept = Kept::default();
        let stopped = run(&mut kept, &Patience::of(BATCH as u64), None);
        assert!(stopped.err().unwrap().is::<Interrupted>());
        assert_eq!(computed.take().len(), BATCH);
        let rest = run(&mut kept, &Silent, None).unwrap();
        assert_eq!(computed.take().len(), 40 - BATCH);
        assert!(rest.values == whole.values && rest.digests == whole.digests);
        // Rows of an earlier table are used again, unless they are of another width.
        let table = |width: usize| {
            let maps = table::vector_array::<Float16Type>(whole.values[..4 * width].to_vec(), width).unwrap();
            let digests: ArrayRef = Arc::new(StringArray::from_iter_values(whole.digests.iter().flatten().take(4)));
            RecordBatch::try_from_iter([("digest", digests), ("map", maps)]).unwrap()
        };
        for (width, new) in [(2, 36), (1, 40)] {
            let again = run(&mut Kept::default(), &Silent, Some(table(width))).unwrap();
            assert_eq!(computed.take().len(), new, "rows of {width} numbers");
            assert!(again.values == whole.values);
        }
        let digests: ArrayRef = Arc::new(whole.digests.clone());
        let other = RecordBatch::try_from_iter([("digest", digests)]).unwrap();
        assert!(run(&mut Kept::default(), &Silent, Some(other)).unwrap().values == whole.values);
        assert_eq!(computed.take().len(), 40, "rows without the column");
    }
}
