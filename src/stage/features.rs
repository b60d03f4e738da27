//! `features`: every distinct image -> the feature map of a frozen network.

use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{Array as _, ArrowPrimitiveType, UInt32Array};
use arrow::datatypes::{Float16Type, Float32Type};
use serde::{Deserialize, Serialize};

use super::per_image::{PerImage, all_finite};
use super::{Context, Inputs, Outcome};
use crate::model::feature_map::MapEncoder;
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// After how many images the rows so far are saved; a saved state of a `ResNet`'s maps has 0.3 MB per image.
const SAVE_EVERY: usize = 1024;

/// The largest 16-bit float.
const LARGEST: f32 = 65504.0;

/// A 16-bit float.
type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// Reads `images`, the image files and the network `encoder`; writes `features`, one row per distinct image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// How numbers are stored.
    pub store: Store,
}

/// How the numbers of feature maps are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// 16-bit floats: half the space; numbers are off by at most one part in 2,048, or by 3e-8 where that is more.
    #[default]
    F16,
    /// 32-bit floats: exact.
    F32,
}

impl Features {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let encoder = MapEncoder::load(&inputs.bundle("encoder")?)?;
        match self.store {
            Store::F16 => maps::<Float16Type>(&encoder, inputs, context, LARGEST, Half::from_f32),
            Store::F32 => maps::<Float32Type>(&encoder, inputs, context, f32::MAX, |x| x),
        }
    }
}

fn maps<T: ArrowPrimitiveType>(
    encoder: &MapEncoder,
    inputs: &Inputs,
    context: &mut Context<'_>,
    largest: f32,
    stored: impl Fn(f32) -> T::Native,
) -> Result<Outcome> {
    let (side, channels) = (encoder.side(), encoder.channels());
    let width = side * side * channels;
    let per_image = PerImage { column: "map", width, save_every: SAVE_EVERY };
    let rows = per_image.rows::<T>(inputs, context, |pictures, names| {
        let maps = encoder.maps(pictures)?;
        all_finite(&maps, width, names)?;
        if let Some(at) = maps.iter().position(|x| x.abs() > largest) {
            let (name, x) = (names[at / width], maps[at]);
            bail!("the feature map of {name} holds {x:e}, too large for 16-bit floats: set `store = \"f32\"`");
        }
        Ok(maps.into_iter().map(&stored).collect())
    })?;
    let number = |n: usize| Arc::new(UInt32Array::from(vec![n as u32; rows.digests.len()]));
    let mut outcome = Outcome::default();
    let (height, cells, channels) = (number(side), number(side), number(channels));
    let maps = table::vector_array::<T>(rows.values, width)?;
    let columns = vec![Arc::new(rows.digests) as _, height as _, cells as _, channels as _, maps];
    outcome.table("features", table::make(table::features(width, T::DATA_TYPE), columns)?);
    outcome.log.push(rows.remark);
    Ok(outcome)
}
