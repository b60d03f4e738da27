//! The `statistics` table: what each image adds to every corpus value, so that resampling needs no captions.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};

use crate::metric::{Family, Metric, Variant};
use crate::table;

/// The families of one or several runs over the same images.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The images, in one order.
    pub image_ids: Vec<u32>,
    /// The families of each run, the same in all.
    pub runs: Vec<Vec<Family>>,
}

impl Statistics {
    /// One row per run, family and image.
    pub fn table(&self) -> Result<RecordBatch> {
        let images = self.image_ids.len();
        let (mut run, mut family, mut variant, mut image_id) = (vec![], vec![], vec![], vec![]);
        let (mut numbers, mut widths) = (Vec::new(), Vec::new());
        for (number, families) in self.runs.iter().enumerate() {
            for one in families {
                run.extend(std::iter::repeat_n(number as u32, images));
                family.extend(std::iter::repeat_n(one.metric.name(), images));
                variant.extend(std::iter::repeat_n(one.variant.name(), images));
                image_id.extend_from_slice(&self.image_ids);
                numbers.extend_from_slice(&one.rows);
                widths.extend(std::iter::repeat_n(one.metric.width(), images));
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(run)),
            Arc::new(StringArray::from(family)),
            Arc::new(StringArray::from(variant)),
            Arc::new(UInt32Array::from(image_id)),
            table::f64_list_array(numbers, widths),
        ];
        table::make(table::statistics(), columns)
    }

    /// Reads such a table. Fails if rows are missing or out of order.
    pub fn read(batch: &RecordBatch) -> Result<Self> {
        let runs = table::u32s(batch, "run")?.values();
        let (names, variants) = (table::strings(batch, "family")?, table::strings(batch, "variant")?);
        let ids = table::u32s(batch, "image_id")?.values();
        let (numbers, ends) = table::f64_lists(batch, "numbers")?;
        let mut all = Self { image_ids: Vec::new(), runs: Vec::new() };
        let mut row = 0;
        while row < batch.num_rows() {
            let same = |other: usize| {
                runs[other] == runs[row]
                    && names.value(other) == names.value(row)
                    && variants.value(other) == variants.value(row)
            };
            let end = (row..batch.num_rows()).find(|&other| !same(other)).unwrap_or(batch.num_rows());
            if all.image_ids.is_empty() {
                all.image_ids = ids[..end].to_vec();
            }
            ensure!(ids[row..end] == all.image_ids, "the statistics are of different images");
            let family =
                family(names.value(row), variants.value(row), &numbers[ends[row] as usize..ends[end] as usize])?;
            ensure!(
                family.rows.len() == all.image_ids.len() * family.metric.width(),
                "the statistics of {} are cut off",
                family.metric.name()
            );
            let run = runs[row] as usize;
            ensure!(run <= all.runs.len(), "run {run} is out of order");
            if run == all.runs.len() {
                all.runs.push(Vec::new());
            }
            all.runs[run].push(family);
            row = end;
        }
        ensure!(!all.runs.is_empty(), "there are no statistics");
        Ok(all)
    }
}

fn family(name: &str, variant: &str, rows: &[f64]) -> Result<Family> {
    let metric = Metric::ALL.into_iter().find(|metric| metric.name() == name);
    let metric = metric.with_context(|| format!("unknown metric family `{name}`"))?;
    let variant = Variant::ALL.into_iter().find(|known| known.name() == variant);
    let variant = variant.with_context(|| format!("unknown variant of `{name}`"))?;
    Ok(Family { metric, variant, rows: rows.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_survive_the_table() {
        let family = |metric: Metric, variant, start: f64| Family {
            metric,
            variant,
            rows: (0..2 * metric.width()).map(|k| start + k as f64).collect(),
        };
        let run = |start| {
            vec![
                family(Metric::Bleu, Variant::Ptb, start),
                family(Metric::RougeL, Variant::Ptb, start + 0.5),
                family(Metric::NltkBleu, Variant::Seed, start),
            ]
        };
        let all = Statistics { image_ids: vec![9, 4], runs: vec![run(1.0), run(7.0)] };
        assert_eq!(Statistics::read(&all.table().unwrap()).unwrap(), all);
        let cut = all.table().unwrap().slice(0, 5);
        assert!(Statistics::read(&cut).is_err());
    }
}
