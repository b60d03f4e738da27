//! The small image encoder: stages of 3 x 3 convolutions at ever lower resolution, then the mean and the
//! maximum over all pixels.
//!
//! Every stage halves the resolution with one convolution; all but the first add residual blocks of two. It is fully
//! convolutional, so it can be used at another size than it was trained at.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, ensure};
use candle_core::Tensor;

use super::normalisation::{batch_statistics, normalise, statistics_of};
use crate::model::init::Init;
use crate::model::ops::{Conv, conv2d, tensor};
use crate::model::weights::Weights;

/// How much of the running averages each batch replaces.
const MOMENTUM: f64 = 0.1;

/// One convolution with its normalisation.
#[derive(Clone, Debug)]
struct Layer {
    name: String,
    inputs: usize,
    outputs: usize,
    stride: usize,
}

/// The layers in order; a pair is a residual block.
#[derive(Clone, Debug)]
enum Step {
    Down(Layer),
    Block(Layer, Layer),
}

/// The structure of an image encoder, without its weights.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    steps: Vec<Step>,
    /// Size of the pooled features.
    pub(super) features: usize,
}

impl Encoder {
    /// The structure with one stage per entry of `channels`, and `blocks` residual blocks in all but the first.
    pub(super) fn new(channels: &[usize], blocks: usize) -> Self {
        let mut steps = Vec::new();
        let mut inputs = 3;
        for (stage, &outputs) in channels.iter().enumerate() {
            let layer = |part: &str, inputs, stride| Layer {
                name: format!("vision.stage{stage}.{part}"),
                inputs,
                outputs,
                stride,
            };
            steps.push(Step::Down(layer("down", inputs, 2)));
            for block in 0..if stage == 0 { 0 } else { blocks } {
                let part = |half: &str| layer(&format!("block{block}.{half}"), outputs, 1);
                steps.push(Step::Block(part("first"), part("second")));
            }
            inputs = outputs;
        }
        Self { steps, features: 2 * inputs }
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.steps.iter().flat_map(|step| match step {
            Step::Down(layer) => vec![layer],
            Step::Block(first, second) => vec![first, second],
        })
    }

    /// Fresh weights, by name: windows from He's normal distribution, scales 1 (0 at the end of a block), shifts 0.
    pub(super) fn init(&self, seed: u64) -> Result<Weights> {
        let mut weights = Weights::new();
        for layer in self.layers() {
            let name = format!("{}.weight", layer.name);
            let spread = Init::Normal((2.0 / (9 * layer.inputs) as f32).sqrt());
            let window = spread.tensor(seed, &name, (9 * layer.inputs, layer.outputs))?;
            weights.insert(name, window);
            let scale = if layer.name.ends_with("second") { 0.0 } else { 1.0 };
            weights.insert(format!("{}.affine", layer.name), two_rows(scale, 0.0, layer.outputs)?);
        }
        Ok(weights)
    }

    /// The names and shapes of all tensors, running averages included.
    pub(super) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let of_layer = |layer: &Layer| {
            let shapes = [("weight", 9 * layer.inputs), ("affine", 2), ("moments", 2)];
            shapes.map(|(part, rows)| (format!("{}.{part}", layer.name), vec![rows, layer.outputs]))
        };
        self.layers().flat_map(of_layer).collect()
    }

    /// The running averages at the beginning: mean 0, variance 1.
    pub(super) fn init_moments(&self) -> Result<Weights> {
        let fresh = |layer: &Layer| Ok((format!("{}.moments", layer.name), two_rows(0.0, 1.0, layer.outputs)?));
        self.layers().map(fresh).collect()
    }

    /// Pooled features of pictures, `f32[batch, height, width, 3]` -> `f32[batch, features]`, for use.
    pub(super) fn features(&self, weights: &Weights, x: &Tensor) -> Result<Tensor> {
        pooled(&self.map(weights, x)?)
    }

    /// The map of the last stage: `f32[batch, height, width, 3]` -> `f32[batch, height', width', features / 2]`, for use.
    pub(super) fn map(&self, weights: &Weights, x: &Tensor) -> Result<Tensor> {
        let known = |layer: &Layer, _: &Tensor| Ok(statistics_of(find(weights, &layer.name, "moments")?)?);
        self.run(weights, x, known)
    }

    /// Cells along a side of the map of pictures with sides of `size` pixels.
    pub(super) fn map_side(&self, size: usize) -> usize {
        self.layers().filter(|layer| layer.stride == 2).fold(size, |size, _| size.div_ceil(2))
    }

    /// The same while learning: normalised by this batch, which also moves the running averages.
    pub(super) fn learn(&self, weights: &Weights, moments: &mut Weights, x: &Tensor) -> Result<Tensor> {
        let map = self.run(weights, x, |layer, x| {
            let (statistics, seen) = batch_statistics(x)?;
            let running = moments.get_mut(&format!("{}.moments", layer.name));
            let running = running.ok_or_else(|| anyhow!("no running averages for {}", layer.name))?;
            *running = ((&*running * (1.0 - MOMENTUM))? + (seen * MOMENTUM)?)?;
            Ok(statistics)
        });
        pooled(&map?)
    }

    fn run(
        &self,
        weights: &Weights,
        x: &Tensor,
        mut statistics: impl FnMut(&Layer, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut apply = |layer: &Layer, x: &Tensor, shortcut: Option<&Tensor>| -> Result<Tensor> {
            let window = Conv { kernel: (3, 3), stride: layer.stride, padding: 1 };
            let x = conv2d(x, find(weights, &layer.name, "weight")?, window)?;
            let statistics = statistics(layer, &x)?;
            Ok(normalise(&x, find(weights, &layer.name, "affine")?, &statistics, shortcut)?)
        };
        let mut x = x.clone();
        for step in &self.steps {
            x = match step {
                Step::Down(layer) => apply(layer, &x, None)?,
                Step::Block(first, second) => {
                    let inner = apply(first, &x, None)?;
                    apply(second, &inner, Some(&x))?
                }
            };
        }
        Ok(x)
    }
}

/// The mean and the maximum over all pixels: `f32[batch, height, width, channels]` -> `f32[batch, 2 channels]`.
fn pooled(map: &Tensor) -> Result<Tensor> {
    let (batch, height, width, channels) = map.dims4()?;
    let pixels = map.reshape((batch, height * width, channels))?;
    Ok(Tensor::cat(&[pixels.mean(1)?, pixels.max(1)?], 1)?)
}

fn find<'a>(weights: &'a Weights, layer: &str, part: &str) -> Result<&'a Tensor> {
    weights.get(&format!("{layer}.{part}")).ok_or_else(|| anyhow!("the weights lack `{layer}.{part}`"))
}

/// A tensor whose first row is all `first` and whose second is all `second`.
fn two_rows(first: f32, second: f32, channels: usize) -> Result<Tensor> {
    Ok(tensor([vec![first; channels], vec![second; channels]].concat(), (2, channels))?)
}

/// Fails unless `weights` has the tensors of these names and shapes.
pub(super) fn check_shapes(weights: &Weights, shapes: &BTreeMap<String, Vec<usize>>) -> Result<()> {
    for (name, expected) in shapes {
        let found = weights.get(name).ok_or_else(|| anyhow!("the weights lack `{name}`"))?.dims();
        ensure!(found == expected, "`{name}` has shape {found:?}, not {expected:?}");
    }
    Ok(())
}
