//! Expected numbers come from transformers (golden data) and from a slow network of our own.

mod files;
mod golden;
mod network;
mod slow;
mod tuned;

use super::*;
use crate::model::Content;
use crate::model::init::Init;
use crate::model::weights;

/// Two stages of two blocks: shortcuts with and without a convolution, in both stages.
fn small(layer_type: LayerType) -> ResNetShape {
    ResNetShape {
        embedding_size: 6,
        hidden_sizes: vec![8, 12],
        depths: vec![2, 2],
        layer_type,
        downsample_in_first_stage: false,
        downsample_in_bottleneck: false,
    }
}

/// Random weights with normalisations that change something.
fn lively(shape: &ResNetShape) -> Bundle {
    let mut bundle = random(shape, 1).unwrap();
    let mut weights = weights::load(&bundle).unwrap();
    for (name, tensor) in &mut weights {
        let centre = match name.rsplit('.').next().unwrap() {
            _ if !name.contains("normalization") => continue,
            "weight" | "running_var" => 1.0,
            _ => 0.0,
        };
        *tensor = (Init::Uniform(0.5).tensor(2, name, tensor.dims()).unwrap() + centre).unwrap();
    }
    put(&mut bundle, &weights);
    bundle
}

/// Replaces the weights of a model.
fn put(bundle: &mut Bundle, weights: &Weights) {
    bundle.files.insert("model.safetensors".to_owned(), safetensors::serialize(weights, None).unwrap().into());
}

/// The weights under torchvision's names, with the classifier and the counts that its files have.
fn torchvision(weights: &Weights) -> Weights {
    let mut out = Weights::new();
    for (name, tensor) in weights {
        let words: Vec<&str> = name.split('.').collect();
        let (kind, rest) = (words[words.len() - 2], words[words.len() - 1]);
        let word = if kind == "convolution" { "conv" } else { "bn" };
        let number = |word: &str| word.parse::<usize>().unwrap() + 1;
        let new = if words[0] == "embedder" {
            format!("{word}1.{rest}")
        } else if words[5] == "shortcut" {
            format!("layer{}.{}.downsample.{}.{rest}", number(words[2]), words[4], u8::from(word == "bn"))
        } else {
            format!("layer{}.{}.{word}{}.{rest}", number(words[2]), words[4], number(words[6]))
        };
        out.insert(new, tensor.clone());
    }
    let numbers = |name: &str, shape: &[usize]| (name.to_owned(), Init::Normal(1.0).tensor(3, name, shape).unwrap());
    out.extend([numbers("fc.weight", &[5, 4]), numbers("fc.bias", &[5]), numbers("bn1.num_batches_tracked", &[])]);
    out
}

fn pictures(count: usize) -> Vec<Picture> {
    let picture = |i: usize| {
        let (width, height) = (20 + 7 * i as u32, 60 - 5 * i as u32);
        Picture { width, height, rgb: (0..width * height * 3).map(|j| (j * (j + i as u32) % 251) as u8).collect() }
    };
    (0..count).map(picture).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}
