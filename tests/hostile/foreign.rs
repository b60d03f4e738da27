//! Tables that another program put into the store: their digests are right, and what they say is not.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use parquet::file::metadata::{
    ColumnChunkMetaDataBuilder, FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
    RowGroupMetaData,
};
use rsic::cache::{Cache, Record};
use rsic::table;

use super::{each, refused, within_bounds};
use crate::sandbox::{Sandbox, TINY};

fn entries() -> RecordBatch {
    let ids: ArrayRef = Arc::new(UInt32Array::from(vec![1, 2]));
    let texts = |a, b| -> ArrayRef { Arc::new(StringArray::from(vec![a, b])) };
    table::make(table::entries(), vec![ids, texts("a", "b"), texts("train", "test"), texts("x", "y")]).unwrap()
}

/// The same table with a footer that counts other rows in its groups, and so in the file, and says other things of their columns.
fn with_footer(rows: i64, change: fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder) -> Vec<u8> {
    let whole = table::write(&entries(), &[]).unwrap();
    let old = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(whole.clone())).unwrap();
    let groups: Vec<RowGroupMetaData> = old
        .row_groups()
        .iter()
        .map(|old| {
            let columns = old.columns().iter().map(|old| change(old.clone().into_builder()).build().unwrap());
            old.clone().into_builder().set_num_rows(rows).set_column_metadata(columns.collect()).build().unwrap()
        })
        .collect();
    let facts = old.file_metadata();
    let facts = FileMetaData::new(
        facts.version(),
        rows,
        facts.created_by().map(str::to_owned),
        facts.key_value_metadata().cloned(),
        facts.schema_descr_ptr(),
        facts.column_orders().cloned(),
    );
    let length = u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()) as usize;
    let mut bytes = whole[..whole.len() - 8 - length].to_vec();
    ParquetMetaDataWriter::new(&mut bytes, &ParquetMetaData::new(facts, groups)).finish().unwrap();
    bytes
}

#[test]
fn a_table_that_is_none_is_refused_by_name() {
    let sandbox = Sandbox::new(TINY);
    sandbox.rsic(&["build", "annotations/ucm"]).ok();
    let cache = Cache::open(&sandbox.path("cache")).unwrap();
    let key = cache.root("annotations/ucm").unwrap().unwrap().key;
    let record = cache.record(key).unwrap().unwrap();
    let whole = fs::read(cache.path(&record.output("entries").unwrap().stored())).unwrap();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("text", b"hello".to_vec()),
        ("nothing", Vec::new()),
        ("cut short", whole[..whole.len() / 2].to_vec()),
        ("without its beginning", whole[whole.len() / 2..].to_vec()),
        ("two footers", [&whole[..], &whole[whole.len() - 8..]].concat()),
        ("2^63 rows", with_footer(i64::MAX, |column| column.set_num_values(i64::MAX))),
        ("2^63 rows in a group", with_footer(i64::MAX, |column| column)),
        ("three rows in the file, two in its group", {
            // The number of rows and the beginning of the list of groups, as Thrift's compact protocol has them.
            let (mut bytes, two) = (table::write(&entries(), &[]).unwrap(), [0x16, 4, 0x19, 0x1c]);
            let at = bytes.windows(4).position(|window| window == two).unwrap();
            bytes[at + 1] = 6;
            bytes
        }),
        ("2^40 rows", with_footer(1 << 40, |column| column.set_num_values(1 << 40))),
        ("-1 rows", with_footer(-1, |column| column.set_num_values(-1))),
        (
            "columns before the beginning",
            with_footer(2, |column| column.set_dictionary_page_offset(None).set_data_page_offset(-1)),
        ),
        ("columns of -1 bytes", with_footer(2, |column| column.set_total_compressed_size(-1))),
        ("columns behind the end", with_footer(2, |column| column.set_total_compressed_size(i64::MAX))),
    ];
    each(rows, |(name, bytes)| {
        let object = cache.put(&bytes, "parquet").unwrap();
        let mut outputs = record.outputs.clone();
        let entries = outputs.iter_mut().find(|output| output.name == "entries").unwrap();
        (entries.object, entries.bytes) = (object.digest, object.bytes);
        cache.publish(&Record::new(record.ingredients.clone(), outputs, Vec::new())).unwrap();
        let file = cache.path(&object);
        let file = file.file_name().unwrap().to_str().unwrap();
        let ran = within_bounds(name, &sandbox, &["build", "ingest/ucm"]);
        refused(name, &ran, 1, &["annotations/ucm", "`entries`", file, "rsic clean --cache annotations/ucm"]);
        let ran = within_bounds(name, &sandbox, &["show", "annotations/ucm"]);
        refused(name, &ran, 1, &["annotations/ucm", "`entries`", file, "rsic clean --cache annotations/ucm"]);
    });
    // What the message says helps.
    sandbox.rsic(&["clean", "--cache", "annotations/ucm"]).ok();
    sandbox.rsic(&["build", "ingest/ucm"]).ok();
}
