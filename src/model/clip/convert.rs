//! A model in Hugging Face layout from one file of CLIP weights, or from random numbers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;

use super::{ClipShape, ClipText, ClipVision, Family, openclip};
use crate::model::init::Init;
use crate::model::weights::{TensorFile, Tensors, Weights};
use crate::model::{Bundle, Content};

/// Makes a model folder (`config.json`, `model.safetensors`, `preprocessor_config.json`) from one file, such as `RemoteCLIP`'s `.pt`.
///
/// - `name`: what messages call the file.
/// - `hidden_act`: `quick_gelu` or `gelu`; the weights do not tell it.
/// - `heads`: of the vision tower; by default what towers of its width usually have.
///
/// Fails, listing every tensor that is missing, misshapen or of no use, unless all of them fit.
pub fn convert(content: &Content, name: &str, hidden_act: &str, heads: Option<usize>) -> Result<Bundle> {
    let file = TensorFile::open(content).with_context(|| format!("cannot read the weights {name}"))?;
    let tensors = openclip::unwrapped(Tensors::of_file(name, file));
    let shape = ClipShape::new(&tensors.shapes()).ok_or_else(|| {
        anyhow!("{name} holds no CLIP vision transformer: look at it with `rsic import {name} --inspect`")
    })?;
    let heads = heads.unwrap_or_else(|| shape.usual_heads());
    ensure!(heads > 0 && shape.width.is_multiple_of(heads), "a width of {} has no {heads} heads", shape.width);
    let mut weights = openclip::translated(tensors)?.into_weights()?;
    if shape.family == Family::ChineseClip {
        // Its text tower is another network; only its vision tower is of use here.
        weights.retain(|name, _| !name.starts_with("text_"));
    }
    let text = weights.keys().find(|name| name.starts_with("text_"));
    if let Some(name) = text.filter(|_| shape.text.is_none()) {
        bail!("{name} of the file is there, but the text tower has no token or position embedding");
    }
    let bundle = bundle(&shape, &weights, name, hidden_act, heads)?;
    drop(weights);
    ClipVision::load(&bundle)?;
    if shape.text.is_some() {
        ClipText::load(&bundle)?;
    }
    Ok(bundle)
}

/// A model of random weights: for measuring, where no published ones are at hand.
pub fn random(shape: &ClipShape, seed: u64) -> Result<Bundle> {
    let mut weights = Weights::new();
    for (name, dims) in shape.tensors() {
        let init = match name.as_str() {
            name if name.ends_with("bias") => Init::Constant(0.0),
            name if name.contains("norm") || name.contains("layrnorm") => Init::Constant(1.0),
            _ => Init::Normal(0.02),
        };
        weights.insert(name.clone(), init.tensor(seed, &name, dims)?);
    }
    bundle(shape, &weights, "random clip", "quick_gelu", shape.usual_heads())
}

fn bundle(shape: &ClipShape, weights: &Weights, name: &str, hidden_act: &str, heads: usize) -> Result<Bundle> {
    let preprocessor = json!({
        "crop_size": shape.image_size, "do_center_crop": true, "do_normalize": true, "do_resize": true,
        "resample": 3, "size": {"shortest_edge": shape.image_size}
    });
    let text = |value: &serde_json::Value| -> Result<Content> { Ok(serde_json::to_vec_pretty(value)?.into()) };
    let files = BTreeMap::from([
        ("config.json".to_owned(), text(&shape.config_json(heads, hidden_act))?),
        ("model.safetensors".to_owned(), safetensors::serialize(weights, None)?.into()),
        ("preprocessor_config.json".to_owned(), text(&preprocessor)?),
    ]);
    Ok(Bundle { files, name: name.to_owned() })
}
