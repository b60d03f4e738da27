//! What a network wants to see: `preprocessor_config.json`.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::model::Bundle;
use crate::picture::{CropRule, Picture, center_crop, resize_bicubic, shortest_side, square, to_chw};

/// The mean and deviation of `OpenAI` CLIP's training pictures.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
/// PIL's number for bicubic interpolation.
const BICUBIC: u64 = 3;

/// How a picture is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The shorter side to this many pixels.
    ShortestSide(u32),
    /// Width and height, whatever the proportions.
    Exact(u32, u32),
}

/// What is done to a picture before the network sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Bicubic scaling, first.
    pub scale: Scale,
    /// The side of the central square that is then cut out.
    pub crop: u32,
    /// Subtracted from each channel of 0..1.
    pub mean: [f32; 3],
    /// What each channel is divided by.
    pub std: [f32; 3],
}

impl InputSpec {
    /// Reads `preprocessor_config.json`, in its old form (`"size": 224`) or the new one; without that file, `OpenAI`
    /// CLIP's settings for pictures of `image_size` pixels.
    pub(super) fn load(bundle: &Bundle, image_size: usize) -> Result<Self> {
        let name = "preprocessor_config.json";
        let json = match bundle.files.get(name) {
            Some(bytes) => {
                serde_json::from_slice(&bytes.read()?).with_context(|| format!("`{name}` of model {}", bundle.name))?
            }
            None => Value::Null,
        };
        Self::parse(&json, image_size as u32).with_context(|| format!("cannot use `{name}` of model {}", bundle.name))
    }

    fn parse(json: &Value, image_size: u32) -> Result<Self> {
        let size = side(&json["size"]).context("size")?.unwrap_or(Scale::ShortestSide(image_size));
        // Without a crop, as in Chinese-CLIP, pictures must come out at the network's size already.
        let uncut = json["do_center_crop"].as_bool() == Some(false);
        ensure!(
            !uncut || size == Scale::Exact(image_size, image_size),
            "do_center_crop is false, but size is not exact"
        );
        for step in ["do_resize", "do_rescale", "do_normalize"] {
            ensure!(json[step].as_bool() != Some(false), "{step} is false, which is not supported");
        }
        ensure!(json["resample"].as_u64().is_none_or(|filter| filter == BICUBIC), "resample is not 3 (bicubic)");
        let factor = json["rescale_factor"].as_f64();
        ensure!(factor.is_none_or(|factor| (factor * 255.0 - 1.0).abs() < 1e-9), "rescale_factor is not 1/255");
        let crop = match side(&json["crop_size"]).context("crop_size")? {
            Some(Scale::ShortestSide(side)) => side,
            Some(Scale::Exact(width, height)) if width == height => width,
            Some(Scale::Exact(..)) => bail!("crop_size is not square"),
            None => image_size,
        };
        let crop = if uncut { image_size } else { crop };
        ensure!(crop == image_size, "crop_size is {crop}, but the network takes pictures of {image_size} pixels");
        Ok(Self {
            scale: size,
            crop,
            mean: channels(&json["image_mean"], MEAN).context("image_mean")?,
            std: channels(&json["image_std"], STD).context("image_std")?,
        })
    }

    /// The floats of a picture: `f32[3, crop, crop]`.
    pub fn apply(&self, picture: &Picture) -> Vec<f32> {
        let cut = match self.scale {
            Scale::ShortestSide(side) if side == self.crop => square(picture, side, CropRule::Floor),
            Scale::ShortestSide(side) => center_crop(&shortest_side(picture, side), self.crop, CropRule::Floor),
            Scale::Exact(width, height) => {
                center_crop(&resize_bicubic(picture, width, height), self.crop, CropRule::Floor)
            }
        };
        to_chw(&cut, self.mean, self.std)
    }
}

/// A size in any of the forms in use: `224`, `{"shortest_edge": 224}`, `{"height": 224, "width": 224}`.
fn side(json: &Value) -> Result<Option<Scale>> {
    let pixels = |json: &Value| json.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=8192).contains(n));
    let wrong = || format!("{json} is not a size in pixels");
    if json.is_null() {
        return Ok(None);
    }
    if json["width"].is_null() && json["height"].is_null() {
        let edge = if json.is_object() { &json["shortest_edge"] } else { json };
        return Ok(Some(Scale::ShortestSide(pixels(edge).with_context(wrong)?)));
    }
    let (width, height) = (pixels(&json["width"]).with_context(wrong)?, pixels(&json["height"]).with_context(wrong)?);
    Ok(Some(Scale::Exact(width, height)))
}

/// One number per colour channel.
fn channels(json: &Value, default: [f32; 3]) -> Result<[f32; 3]> {
    if json.is_null() {
        return Ok(default);
    }
    let numbers: Vec<f32> = serde_json::from_value(json.clone())?;
    <[f32; 3]>::try_from(numbers).ok().with_context(|| format!("{json} is not one number per channel"))
}
