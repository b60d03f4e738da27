//! `ResNet`: pictures to the map of its last stage, which the attention baseline looks at; [`TunedResNet`] learns.
//!
//! He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2016. Tensors have the names of Hugging Face's
//! `ResNetModel`; torchvision's are translated.

mod conv;
mod convert;
mod map;
mod names;
mod shape;
mod tuned;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;

use super::Bundle;
use super::weights::{Tensors, Weights};
use crate::picture::{Picture, resize_bicubic, to_chw};
use conv::{Convolution, End};
use map::Map;
use shape::{Block, Layer};

pub use convert::{convert, random};
pub use shape::{Differences, LayerType, ResNetShape};
pub use tuned::TunedResNet;

/// Side in pixels of the pictures that the network sees.
pub const SIDE: u32 = 256;
/// The mean and deviation of `ImageNet`'s pictures.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Pictures that run through the network together, about 15 MB each in a `ResNet-50`.
const TOGETHER: usize = 8;

/// A `ResNet` without classifier, its batch normalisations folded into the convolutions.
#[derive(Clone, Debug)]
pub struct ResNet {
    shape: ResNetShape,
    stem: Convolution,
    stages: Vec<Vec<Block<Convolution>>>,
}

impl ResNet {
    /// Reads a `ResNetModel` or `ResNetForImageClassification`, or weights with torchvision's names, which need no config.json.
    ///
    /// Without config.json the strides are where torchvision has them, in the 3x3 convolutions: weights do not tell it.
    /// Fails with the list of all tensors that are missing, misshapen or unknown; the classifier's are passed over.
    pub fn load(bundle: &Bundle) -> Result<Self> {
        let (shape, mut weights) = read(bundle)?;
        Self::build(shape, &mut weights).with_context(|| cannot_use(bundle))
    }

    /// Takes what it consists of.
    fn build(shape: ResNetShape, weights: &mut Weights) -> Result<Self> {
        let mut convolution = |layer: &Layer| Convolution::new(&conv::take(weights, layer)?);
        let stem = convolution(&shape.stem())?;
        let mut stages = Vec::new();
        for blocks in shape.stages() {
            stages.push(blocks.iter().map(|block| block.try_map(&mut convolution)).collect::<Result<_>>()?);
        }
        Ok(Self { shape, stem, stages })
    }

    /// Places along a side of a map: 8 in the published networks.
    pub fn side(&self) -> usize {
        self.shape.side(SIDE as usize)
    }

    /// The size of the vector of one place.
    pub fn channels(&self) -> usize {
        self.shape.channels()
    }

    /// What the last stage makes of pictures: `f32[pictures, side * side, channels]`, places row by row.
    ///
    /// A picture is resized to 256 x 256 pixels whatever its proportions (bicubic, as Pillow does it) and normalised with the
    /// mean and deviation of `ImageNet`. The bits of a picture's map do not depend on the other pictures. Fails if numbers are not
    /// finite. [`adaptive_average`](super::ops::adaptive_average) brings maps to another grid.
    pub fn maps(&self, pictures: &[Picture]) -> Result<Vec<f32>> {
        let mut maps = Vec::with_capacity(pictures.len() * self.side() * self.side() * self.channels());
        for some in pictures.chunks(TOGETHER) {
            let planes = |picture| to_chw(&resize_bicubic(picture, SIDE, SIDE), MEAN, STD);
            let planes: Vec<Vec<f32>> = some.par_iter().map(planes).collect();
            maps.extend_from_slice(&self.last_map(&Map::of_planes(&planes, SIDE as usize)).values);
        }
        finite(&maps)?;
        Ok(maps)
    }

    /// What the stages make of pixels.
    fn last_map(&self, pixels: &Map) -> Map {
        self.stages.iter().fold(self.stem(pixels), |map, stage| forward(map, stage))
    }

    /// What comes before the first stage.
    fn stem(&self, pixels: &Map) -> Map {
        self.stem.apply(pixels, End::Relu).max_pool()
    }
}

/// Runs a map through a stage.
fn forward(map: Map, stage: &[Block<Convolution>]) -> Map {
    stage.iter().fold(map, |map, block| block.forward(&map))
}

impl Block<Convolution> {
    fn forward(&self, x: &Map) -> Map {
        let mut inner = self.first.apply(x, End::Relu);
        if let Some(middle) = &self.middle {
            inner = middle.apply(&inner, End::Relu);
        }
        let shortcut = self.shortcut.as_ref().map(|shortcut| shortcut.apply(x, End::Linear));
        self.last.apply(&inner, End::AddRelu(shortcut.as_ref().unwrap_or(x)))
    }
}

/// The shape of a model and all its weights, under Hugging Face's names; fails as [`ResNet::load`] does.
fn read(bundle: &Bundle) -> Result<(ResNetShape, Weights)> {
    let mut tensors = Tensors::open(bundle)?;
    let torchvision = names::translate(&mut tensors);
    let shape = if torchvision && !bundle.files.contains_key("config.json") {
        ResNetShape::of_torchvision(&tensors)?
    } else {
        ResNetShape::load(bundle)?
    };
    let weights = taken(tensors, &shape)?;
    Ok((shape, weights))
}

fn cannot_use(bundle: &Bundle) -> String {
    format!("cannot use the weights of model {}", bundle.name)
}

/// Fails if numbers of a map are not finite.
fn finite(maps: &[f32]) -> Result<()> {
    ensure!(maps.iter().all(|x| x.is_finite()), "the weights of the ResNet are too large: its maps overflow");
    Ok(())
}

/// The tensors that a network of this shape consists of; fails, listing every fault, unless the file has these and no others.
fn taken(mut tensors: Tensors, shape: &ResNetShape) -> Result<Weights> {
    tensors.ignore(names::is_unused);
    let mut weights = Weights::new();
    for (name, dims) in shape.tensors() {
        let tensor = tensors.take(&name, &dims)?;
        weights.insert(name, tensor);
    }
    tensors.finish()?;
    Ok(weights)
}

#[cfg(test)]
mod tests;
