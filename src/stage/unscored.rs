//! Captions that no language model wrote: they have neither tokens nor a log-probability.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Float64Array, RecordBatch, StringArray, UInt32Array};

use crate::table;

/// The `captions` table of captions that no language model wrote.
pub(super) fn captions_table(captions: &[(u32, String)]) -> Result<RecordBatch> {
    table::make(
        table::captions(),
        vec![
            Arc::new(UInt32Array::from_iter_values(captions.iter().map(|(id, _)| *id))),
            Arc::new(StringArray::from_iter_values(captions.iter().map(|(_, caption)| caption))),
            table::u32_list_array(&vec![Vec::new(); captions.len()]),
            Arc::new(Float64Array::new_null(captions.len())),
        ],
    )
}
