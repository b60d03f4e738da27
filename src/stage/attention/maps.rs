//! The `features` table as a decoder reads it.

use anyhow::{Context as _, Result, ensure};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Float16Type};
use rayon::prelude::*;

use crate::model::attend::Stored;
use crate::table;

/// The maps of a table by their rows, to be averaged to `grid` x `grid` cells. Fails if it is no table of square maps.
pub(super) fn stored(table: RecordBatch, grid: Option<usize>) -> Result<Stored> {
    let first = |name: &str| -> Result<usize> {
        Ok(*table::u32s(&table, name)?.values().first().context("there are no feature maps")? as usize)
    };
    let (side, width, channels) = (first("height")?, first("width")?, first("channels")?);
    ensure!(side == width, "the feature maps are {side} x {width} cells, not square");
    let read = Box::new(move |rows: &[u32]| read(&table, rows, side * side * channels));
    Ok(Stored { side, channels, grid, read })
}

/// The numbers of some maps, one after the other.
fn read(table: &RecordBatch, rows: &[u32], numbers: usize) -> Result<Vec<f32>> {
    let column = table.column_by_name("map").context("no column `map`")?;
    let half = matches!(column.data_type(), DataType::FixedSizeList(item, _) if *item.data_type() == DataType::Float16);
    let mut values = vec![0.0; rows.len() * numbers];
    let outs = values.par_chunks_mut(numbers).zip(rows);
    if half {
        let (stored, width) = table::vectors_of::<Float16Type>(table, "map")?;
        ensure!(width == numbers, "a feature map has {width} numbers, not {numbers}");
        outs.for_each(|(out, &row)| {
            out.iter_mut().zip(&stored[row as usize * numbers..]).for_each(|(out, x)| *out = x.to_f32());
        });
    } else {
        let (stored, width) = table::vectors(table, "map")?;
        ensure!(width == numbers, "a feature map has {width} numbers, not {numbers}");
        outs.for_each(|(out, &row)| out.copy_from_slice(&stored[row as usize * numbers..][..numbers]));
    }
    Ok(values)
}
