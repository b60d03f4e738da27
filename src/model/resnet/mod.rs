//! `ResNet`: pictures to the map of its last stage, which the attention baseline looks at; for inference only.
//!
//! He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2016. Tensors have the names of Hugging Face's
//! `ResNetModel`; torchvision's are translated.

mod conv;
mod convert;
mod map;
mod names;
mod shape;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;

use super::Bundle;
use super::weights::{Tensors, Weights};
use crate::picture::{Picture, resize_bicubic, to_chw};
use conv::{Convolution, End};
use map::Map;
use shape::Layer;

pub use convert::{convert, random};
pub use shape::{LayerType, ResNetShape};

/// Side in pixels of the pictures that the network sees.
const SIDE: u32 = 256;
/// Cells along a side of the grid, unless asked otherwise.
const GRID: usize = 14;
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
    stages: Vec<Vec<Block>>,
    grid: usize,
}

/// Two or three convolutions, and what their input goes through before it is added to their output.
#[derive(Clone, Debug)]
struct Block {
    first: Convolution,
    middle: Option<Convolution>,
    last: Convolution,
    shortcut: Option<Convolution>,
}

impl ResNet {
    /// Reads a `ResNetModel` or `ResNetForImageClassification`, or weights with torchvision's names, which need no config.json.
    ///
    /// Without config.json the strides are where torchvision has them, in the 3x3 convolutions: weights do not tell it.
    /// Fails with the list of all tensors that are missing, misshapen or unknown; the classifier's are passed over.
    pub fn load(bundle: &Bundle) -> Result<Self> {
        let mut tensors = Tensors::open(bundle)?;
        let torchvision = names::translate(&mut tensors);
        let shape = if torchvision && !bundle.files.contains_key("config.json") {
            ResNetShape::of_torchvision(&tensors)?
        } else {
            ResNetShape::load(bundle)?
        };
        let weights = taken(tensors, &shape)?;
        Self::build(shape, weights).with_context(|| format!("cannot use the weights of model {}", bundle.name))
    }

    fn build(shape: ResNetShape, mut weights: Weights) -> Result<Self> {
        let mut convolution = |layer: &Layer| Convolution::take(&mut weights, layer);
        let stem = convolution(&shape.stem())?;
        let mut stages = Vec::new();
        for blocks in shape.stages() {
            let mut stage = Vec::new();
            for block in blocks {
                stage.push(Block {
                    first: convolution(&block.first)?,
                    middle: block.middle.as_ref().map(&mut convolution).transpose()?,
                    last: convolution(&block.last)?,
                    shortcut: block.shortcut.as_ref().map(&mut convolution).transpose()?,
                });
            }
            stages.push(stage);
        }
        Ok(Self { shape, stem, stages, grid: GRID })
    }

    /// The same network with features on a grid of `grid` x `grid` cells instead of 14 x 14.
    ///
    /// Panics if `grid` is 0.
    pub fn with_grid(self, grid: usize) -> Self {
        assert!(grid > 0, "a grid needs cells");
        Self { grid, ..self }
    }

    /// Cells along a side of the grid.
    pub fn grid(&self) -> usize {
        self.grid
    }

    /// The size of the vector of one cell.
    pub fn channels(&self) -> usize {
        self.shape.channels()
    }

    /// What the last stage makes of pictures, averaged over the cells of a grid: `f32[pictures, grid * grid, channels]`, cells
    /// row by row.
    ///
    /// A picture is resized to 256 x 256 pixels whatever its proportions (bicubic, as Pillow does it) and normalised with the
    /// mean and deviation of `ImageNet`. Where the map has fewer places than the grid, cells share them. The bits of a picture's
    /// features do not depend on the other pictures. Fails if features are not finite.
    pub fn features(&self, pictures: &[Picture]) -> Result<Vec<f32>> {
        let mut features = Vec::with_capacity(pictures.len() * self.grid * self.grid * self.channels());
        for some in pictures.chunks(TOGETHER) {
            let planes = |picture| to_chw(&resize_bicubic(picture, SIDE, SIDE), MEAN, STD);
            let planes: Vec<Vec<f32>> = some.par_iter().map(planes).collect();
            let map = self.last_map(&Map::of_planes(&planes, SIDE as usize));
            features.extend(map.averages(self.grid, self.grid));
        }
        ensure!(features.iter().all(|x| x.is_finite()), "the weights of the ResNet are too large: features overflow");
        Ok(features)
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
fn forward(map: Map, stage: &[Block]) -> Map {
    stage.iter().fold(map, |map, block| block.forward(&map))
}

impl Block {
    fn forward(&self, x: &Map) -> Map {
        let mut inner = self.first.apply(x, End::Relu);
        if let Some(middle) = &self.middle {
            inner = middle.apply(&inner, End::Relu);
        }
        let shortcut = self.shortcut.as_ref().map(|shortcut| shortcut.apply(x, End::Linear));
        self.last.apply(&inner, End::AddRelu(shortcut.as_ref().unwrap_or(x)))
    }
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
