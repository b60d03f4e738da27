//! One file of CLIP weights -> a model in Hugging Face layout.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::json;

use super::{ClipShape, ClipText, ClipVision, openclip};
use crate::model::weights::{TensorFile, Tensors};
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
    let shape = ClipShape::new(&tensors.shapes())
        .ok_or_else(|| anyhow!("{name} holds no CLIP vision transformer: look at it with `rsic import {name} --inspect`"))?;
    let heads = heads.unwrap_or_else(|| shape.usual_heads());
    ensure!(heads > 0 && shape.width.is_multiple_of(heads), "a width of {} has no {heads} heads", shape.width);
    let mut weights = openclip::translated(tensors)?.into_weights()?;
    // A Chinese-CLIP's text tower is another network; only its vision tower is of use here.
    weights.retain(|name, _| shape.text.is_some() || !name.starts_with("text_"));
    let preprocessor = json!({
        "crop_size": shape.image_size, "do_center_crop": true, "do_normalize": true, "do_resize": true,
        "resample": 3, "size": {"shortest_edge": shape.image_size}
    });
    let text = |value: &serde_json::Value| -> Result<Content> { Ok(serde_json::to_vec_pretty(value)?.into()) };
    let files = BTreeMap::from([
        ("config.json".to_owned(), text(&shape.config_json(heads, hidden_act))?),
        ("model.safetensors".to_owned(), safetensors::serialize(&weights, None)?.into()),
        ("preprocessor_config.json".to_owned(), text(&preprocessor)?),
    ]);
    let bundle = Bundle { files, name: name.to_owned() };
    ClipVision::load(&bundle)?;
    if shape.text.is_some() {
        ClipText::load(&bundle)?;
    }
    Ok(bundle)
}
