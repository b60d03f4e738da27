//! Every table of the pipeline: its columns (in `schema.rs`), its Parquet form and its data hashes.
//!
//! In memory a table is one Arrow [`RecordBatch`]. On disk it is a Parquet file whose footer carries lineage.
//! Two hashes describe it: the digest of the file's bytes, and one digest per column over schema and content
//! ([`column_hashes`]), which does not depend on compression, chunking or footer.

mod schema;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array,
    ListArray, PrimitiveArray, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::{KeyValue, ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::digest::Digest;

pub use schema::*;

/// The footer key under which a file's lineage stands.
pub const LINEAGE: &str = "rsic.lineage";

/// Rows with more numbers than this are written in small groups.
const WIDE: usize = 1 << 13;
/// About how many numbers such a group has.
const GROUP: usize = 1 << 23;

/// The most rows that are decoded at once.
const AT_ONCE: usize = 1 << 20;
/// Every table here has a column in which rows differ, which takes at least a bit of each; and Snappy packs a little.
const ROWS_PER_BYTE: usize = 64;

/// Makes a table from its columns, in schema order.
pub fn make(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).context("columns do not fit the table's schema")
}

/// Encodes a table as Parquet with `footer` as key-value metadata; equal input gives equal bytes.
pub fn write(table: &RecordBatch, footer: &[(&str, &str)]) -> Result<Vec<u8>> {
    let pairs = footer.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), (*v).to_owned())).collect();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("rsic {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(pairs));
    if let Some(rows) = rows_of_a_group(&table.schema()) {
        // The writer holds a row group in memory, several times over; and numbers of maps hardly repeat.
        properties = properties.set_max_row_group_row_count(Some(rows)).set_dictionary_enabled(false);
        properties = properties.set_statistics_enabled(EnabledStatistics::None);
    }
    let properties = properties.build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, table.schema(), Some(properties))?;
    writer.write(table)?;
    writer.close()?;
    Ok(bytes)
}

/// Decodes a Parquet file into one record batch.
pub fn read(bytes: Vec<u8>) -> Result<RecordBatch> {
    // The decoder takes pages at their word, and trips over some that another program made.
    catch_unwind(AssertUnwindSafe(|| decode(bytes)))
        .unwrap_or_else(|_| Err(anyhow!("damaged Parquet file: the decoder gave up")))
}

fn decode(bytes: Vec<u8>) -> Result<RecordBatch> {
    let length = bytes.len();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).context("not a Parquet file")?;
    let schema = builder.schema().clone();
    // The reader holds a batch in memory, several times over; a narrow table is one batch, which need not be put together.
    let all = plausible_rows(builder.metadata(), length)?;
    let rows = rows_of_a_group(&schema).unwrap_or(all).clamp(1, AT_ONCE);
    let batches = builder.with_batch_size(rows).build()?.collect::<Result<Vec<_>, _>>();
    let batch = match <[RecordBatch; 1]>::try_from(batches.context("damaged Parquet file")?) {
        Ok([batch]) => batch,
        Err(batches) => arrow::compute::concat_batches(&schema, &batches)?,
    };
    // The footer's metadata is not part of the table.
    let plain = Arc::new(Schema::new(schema.fields().clone()));
    Ok(RecordBatch::try_new(plain, batch.columns().to_vec())?)
}

/// The number of rows of a file of `length` bytes, which the reader takes memory for.
///
/// Fails if the footer contradicts itself, or counts more rows than such a file can tell apart.
fn plausible_rows(footer: &ParquetMetaData, length: usize) -> Result<usize> {
    let all = footer.file_metadata().num_rows();
    let groups = footer.row_groups().iter().map(RowGroupMetaData::num_rows);
    let sum = groups.into_iter().try_fold(0_i64, |sum, rows| sum.checked_add(rows).filter(|_| rows >= 0));
    ensure!(sum == Some(all), "damaged Parquet file: its footer counts {all} rows, and its row groups others");
    let rows = usize::try_from(all)?;
    ensure!(rows <= length.saturating_mul(ROWS_PER_BYTE), "damaged Parquet file: {rows} rows in {length} bytes");
    for column in footer.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let size = column.compressed_size();
        let inside = start.checked_add(size).is_some_and(|end| end <= length as i64) && start >= 0 && size >= 0;
        ensure!(inside, "damaged Parquet file: column `{}` is said to lie outside it", column.column_path());
    }
    Ok(rows)
}

/// How many rows of a table with wide rows are written and read at once; `None` where rows are narrow.
fn rows_of_a_group(schema: &Schema) -> Option<usize> {
    let numbers = schema.fields().iter().map(|field| match field.data_type() {
        DataType::FixedSizeList(_, numbers) => *numbers as usize,
        _ => 1,
    });
    numbers.max().filter(|widest| *widest > WIDE).map(|widest| (GROUP / widest).max(1))
}

/// The lineage text in a Parquet file's footer, if there is one.
pub fn lineage(bytes: Vec<u8>) -> Result<Option<String>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).context("not a Parquet file")?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    Ok(pairs.and_then(|all| all.iter().find(|pair| pair.key == LINEAGE)).and_then(|pair| pair.value.clone()))
}

fn column<'a, A: 'static>(table: &'a RecordBatch, name: &str) -> Result<&'a A> {
    let array = table.column_by_name(name).ok_or_else(|| anyhow!("no column `{name}`"))?;
    let kind = array.data_type();
    array.as_any().downcast_ref::<A>().ok_or_else(|| anyhow!("column `{name}` has type {kind}, which was not expected"))
}

/// The column `name` as strings.
pub fn strings<'a>(table: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    column(table, name)
}

/// An array as strings.
pub fn as_strings(array: &ArrayRef) -> Result<&StringArray> {
    let found = array.as_any().downcast_ref();
    found.ok_or_else(|| anyhow!("a column has type {}, which was not expected", array.data_type()))
}

/// The column `name` as unsigned integers.
pub fn u32s<'a>(table: &'a RecordBatch, name: &str) -> Result<&'a UInt32Array> {
    column(table, name)
}

/// The column `name` as doubles.
pub fn f64s<'a>(table: &'a RecordBatch, name: &str) -> Result<&'a Float64Array> {
    column(table, name)
}

/// The column `name` as truth values.
pub fn bools<'a>(table: &'a RecordBatch, name: &str) -> Result<&'a BooleanArray> {
    column(table, name)
}

/// The column `name`, a list of integers per row.
pub fn u32_lists(table: &RecordBatch, name: &str) -> Result<Vec<Vec<u32>>> {
    let lists: &ListArray = column(table, name)?;
    let values = lists.values().as_any().downcast_ref::<UInt32Array>();
    let values = values.ok_or_else(|| anyhow!("column `{name}` is not a list of unsigned integers"))?.values();
    let ends = lists.value_offsets();
    Ok(ends.windows(2).map(|pair| values[pair[0] as usize..pair[1] as usize].to_vec()).collect())
}

/// The column `name`, a list of doubles per row, as (values of all rows, where each row ends).
pub fn f64_lists<'a>(table: &'a RecordBatch, name: &str) -> Result<(&'a [f64], &'a [i32])> {
    let lists: &ListArray = column(table, name)?;
    let values = lists.values().as_any().downcast_ref::<Float64Array>();
    let values = values.ok_or_else(|| anyhow!("column `{name}` is not a list of doubles"))?;
    Ok((values.values(), lists.value_offsets()))
}

/// The column `name`, a fixed-size list of floats per row, as (row-major values, row size).
pub fn vectors<'a>(table: &'a RecordBatch, name: &str) -> Result<(&'a [f32], usize)> {
    vectors_of::<Float32Type>(table, name)
}

/// The column `name`, a fixed-size list of numbers of type `T` per row, as (row-major values, row size).
pub fn vectors_of<'a, T: ArrowPrimitiveType>(table: &'a RecordBatch, name: &str) -> Result<(&'a [T::Native], usize)> {
    let lists: &FixedSizeListArray = column(table, name)?;
    let values = lists.values().as_any().downcast_ref::<PrimitiveArray<T>>();
    let values = values.ok_or_else(|| anyhow!("column `{name}` is not a list of {}", T::DATA_TYPE))?;
    Ok((values.values(), lists.value_length() as usize))
}

/// The column `name`, a list of floats per row, as (values of all rows, where each row ends).
pub fn f32_lists<'a>(table: &'a RecordBatch, name: &str) -> Result<(&'a [f32], &'a [i32])> {
    let lists: &ListArray = column(table, name)?;
    let values = lists.values().as_any().downcast_ref::<Float32Array>();
    let values = values.ok_or_else(|| anyhow!("column `{name}` is not a list of floats"))?;
    Ok((values.values(), lists.value_offsets()))
}

/// An Arrow array of integer lists.
pub fn u32_list_array(rows: &[Vec<u32>]) -> ArrayRef {
    let field = Arc::new(Field::new("item", DataType::UInt32, false));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
    Arc::new(ListArray::new(field, offsets, Arc::new(UInt32Array::from(rows.concat())), None))
}

/// An Arrow array of lists of floats.
pub fn f32_list_array(rows: &[Vec<f32>]) -> ArrayRef {
    let field = Arc::new(Field::new("item", DataType::Float32, false));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
    Arc::new(ListArray::new(field, offsets, Arc::new(Float32Array::from(rows.concat())), None))
}

/// An Arrow array of lists of doubles; `lengths` says how many of `values` each row has.
pub fn f64_list_array(values: Vec<f64>, lengths: Vec<usize>) -> ArrayRef {
    let field = Arc::new(Field::new("item", DataType::Float64, false));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::new(field, offsets, Arc::new(Float64Array::from(values)), None))
}

/// An Arrow array of fixed-size vectors of numbers of type `T`; `values` is row-major with `dim` values a row.
pub fn vector_array<T: ArrowPrimitiveType>(values: Vec<T::Native>, dim: usize) -> Result<ArrayRef> {
    let field = Arc::new(Field::new("item", T::DATA_TYPE, false));
    let values = PrimitiveArray::<T>::new(values.into(), None);
    Ok(Arc::new(FixedSizeListArray::try_new(field, i32::try_from(dim)?, Arc::new(values), None)?))
}

/// One digest per column, over its type and content; name, compression and chunking do not count.
pub fn column_hashes(table: &RecordBatch) -> Result<BTreeMap<String, Digest>> {
    let mut hashes = BTreeMap::new();
    for (field, array) in table.schema().fields().iter().zip(table.columns()) {
        let mut hasher = blake3::Hasher::new_derive_key("rsic 2026 table column v1");
        hasher.update(field.data_type().to_string().as_bytes());
        hasher.update(&(array.len() as u64).to_le_bytes());
        hash_array(&mut hasher, array).with_context(|| format!("column `{}`", field.name()))?;
        hashes.insert(field.name().clone(), hasher.finalize().into());
    }
    Ok(hashes)
}

fn hash_array(hasher: &mut blake3::Hasher, array: &ArrayRef) -> Result<()> {
    let any = array.as_any();
    if array.null_count() > 0 {
        let valid: Vec<u8> = (0..array.len()).map(|row| u8::from(array.is_valid(row))).collect();
        hasher.update(b"nulls").update(&valid);
    }
    if let Some(values) = any.downcast_ref::<StringArray>() {
        for text in values {
            let text = text.unwrap_or_default();
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
    } else if let Some(values) = any.downcast_ref::<UInt32Array>() {
        values.iter().for_each(|v| _ = hasher.update(&v.unwrap_or_default().to_le_bytes()));
    } else if let Some(values) = any.downcast_ref::<UInt64Array>() {
        values.iter().for_each(|v| _ = hasher.update(&v.unwrap_or_default().to_le_bytes()));
    } else if let Some(values) = any.downcast_ref::<Float64Array>() {
        values.iter().for_each(|v| _ = hasher.update(&v.unwrap_or_default().to_bits().to_le_bytes()));
    } else if let Some(values) = any.downcast_ref::<Float32Array>() {
        values.iter().for_each(|v| _ = hasher.update(&v.unwrap_or_default().to_bits().to_le_bytes()));
    } else if let Some(values) = any.downcast_ref::<Float16Array>() {
        for piece in values.values().chunks(4096) {
            hasher.update(&piece.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect::<Vec<u8>>());
        }
    } else if let Some(values) = any.downcast_ref::<BooleanArray>() {
        values.iter().for_each(|v| _ = hasher.update(&[u8::from(v.unwrap_or_default())]));
    } else if let Some(lists) = any.downcast_ref::<ListArray>() {
        for row in lists {
            let row = row.ok_or_else(|| anyhow!("a list is null"))?;
            hasher.update(&(row.len() as u64).to_le_bytes());
            hash_array(hasher, &row)?;
        }
    } else if let Some(lists) = any.downcast_ref::<FixedSizeListArray>() {
        hash_array(hasher, lists.values())?;
    } else {
        bail!("type {} has no data hash", array.data_type());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens_table(rows: &[Vec<u32>]) -> RecordBatch {
        let ids = UInt32Array::from_iter_values(0..rows.len() as u32);
        make(tokens(), vec![Arc::new(ids.clone()), Arc::new(ids), u32_list_array(rows)]).unwrap()
    }

    #[test]
    fn parquet_round_trips_with_lineage_and_equal_bytes() {
        let table = tokens_table(&[vec![1, 2], vec![], vec![3]]);
        let bytes = write(&table, &[(LINEAGE, "{}")]).unwrap();
        assert_eq!(bytes, write(&table, &[(LINEAGE, "{}")]).unwrap());
        assert_eq!(lineage(bytes.clone()).unwrap().as_deref(), Some("{}"));
        let back = read(bytes).unwrap();
        assert_eq!(back, table);
        assert_eq!(u32_lists(&back, "ids").unwrap(), [vec![1, 2], vec![], vec![3]]);
    }

    #[test]
    fn column_hashes_see_content_and_row_borders_only() {
        let base = column_hashes(&tokens_table(&[vec![1, 2], vec![3]])).unwrap();
        assert_eq!(base, column_hashes(&tokens_table(&[vec![1, 2], vec![3]])).unwrap());
        let moved = column_hashes(&tokens_table(&[vec![1], vec![2, 3]])).unwrap();
        assert_ne!(base["ids"], moved["ids"]);
        assert_eq!(base["image_id"], moved["image_id"]);
    }

    #[test]
    fn wide_rows_come_back_from_several_groups() {
        let dim = WIDE + 1;
        let rows = GROUP / dim + 3;
        let values: Vec<f32> = (0..rows * dim).map(|at| at as f32).collect();
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| row.to_string())));
        let table = make(embeddings(dim), vec![names, vector_array::<Float32Type>(values, dim).unwrap()]).unwrap();
        let bytes = write(&table, &[]).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes.clone())).unwrap();
        assert_eq!(builder.metadata().num_row_groups(), 2);
        assert_eq!(read(bytes).unwrap(), table);
    }

    #[test]
    fn vectors_keep_their_shape() {
        let array = vector_array::<Float32Type>(vec![1.0, 2.0, 3.0, 4.0], 2).unwrap();
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let table = make(embeddings(2), vec![names, array]).unwrap();
        let back = read(write(&table, &[]).unwrap()).unwrap();
        assert_eq!(vectors(&back, "vector").unwrap(), (&[1.0, 2.0, 3.0, 4.0][..], 2));
    }
}
