//! A model in Hugging Face layout from one file of torchvision's weights, or from random numbers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::{ResNet, ResNetShape, names, taken};
use crate::model::init::Init;
use crate::model::weights::{TensorFile, Tensors, Weights};
use crate::model::{Bundle, Content};

/// Makes a model folder (`config.json`, `model.safetensors`) from one file with torchvision's names, such as `resnet50-....pth`.
///
/// - `name`: what messages call the file.
///
/// Strides are where torchvision has them, in the 3x3 convolutions; the classifier is left out. Fails, listing every tensor
/// that is missing, misshapen or of no use, unless all of them fit.
pub fn convert(content: &Content, name: &str) -> Result<Bundle> {
    let file = TensorFile::open(content).with_context(|| format!("cannot read the weights {name}"))?;
    let mut tensors = Tensors::of_file(name, file);
    ensure!(
        names::translate(&mut tensors),
        "{name} has no tensor `conv1.weight`, so it is no ResNet of torchvision; a Hugging Face model needs its config.json"
    );
    let shape = ResNetShape::of_torchvision(&tensors)?;
    let mut weights = taken(tensors, &shape)?;
    let bundle = bundle(&shape, &weights, name)?;
    ResNet::build(shape, &mut weights).with_context(|| format!("cannot use the weights {name}"))?;
    Ok(bundle)
}

/// A model of random weights: for measuring, where no published ones are at hand.
pub fn random(shape: &ResNetShape, seed: u64) -> Result<Bundle> {
    let mut weights = Weights::new();
    for (name, dims) in shape.tensors() {
        let init = match dims.as_slice() {
            // Smaller than before a ReLU alone, as each block adds its output to its input.
            [_, inputs, height, width] => Init::Normal(1.0 / ((inputs * height * width) as f32).sqrt()),
            _ if name.ends_with(".weight") || name.ends_with(".running_var") => Init::Constant(1.0),
            _ => Init::Constant(0.0),
        };
        let tensor = init.tensor(seed, &name, dims)?;
        weights.insert(name, tensor);
    }
    bundle(shape, &weights, "random resnet")
}

/// The files of a model.
pub(super) fn bundle(shape: &ResNetShape, weights: &Weights, name: &str) -> Result<Bundle> {
    let files = BTreeMap::from([
        ("config.json".to_owned(), serde_json::to_vec_pretty(&shape.config_json()?)?.into()),
        ("model.safetensors".to_owned(), safetensors::serialize(weights, None)?.into()),
    ]);
    Ok(Bundle { files, name: name.to_owned() })
}
