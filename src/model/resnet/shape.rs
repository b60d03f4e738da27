//! The parts of a `ResNet`: from config.json, or from the shapes of its tensors.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::names;
use crate::model::Bundle;
use crate::model::weights::Tensors;

/// How many times narrower a bottleneck is than its block.
const REDUCTION: usize = 4;
/// No published network comes near these; without a limit, a damaged config.json asks for all the memory there is.
const WIDEST: usize = 1 << 15;
const DEEPEST: usize = 1 << 10;

/// The two kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerType {
    /// Two 3x3 convolutions.
    Basic,
    /// A 3x3 convolution between two of 1x1, on a quarter of the channels.
    Bottleneck,
}

/// The fields of a `ResNetConfig` that decide about the network; what is absent has the defaults of that class, a `ResNet-50`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResNetShape {
    /// Channels before the first stage.
    pub embedding_size: usize,
    /// Channels after each stage.
    pub hidden_sizes: Vec<usize>,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// The kind of all blocks.
    pub layer_type: LayerType,
    /// Whether the first stage halves the resolution as the others do.
    pub downsample_in_first_stage: bool,
    /// Whether a bottleneck halves it in its first convolution, not in the 3x3 one.
    pub downsample_in_bottleneck: bool,
}

/// How the tensors of a file differ from those of a network, under Hugging Face's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Those that the file has not.
    pub missing: Vec<String>,
    /// Those of which the network has no use.
    pub unmatched: Vec<String>,
    /// Those with another shape, and what it should be.
    pub misshapen: Vec<String>,
}

impl Default for ResNetShape {
    fn default() -> Self {
        Self::r50()
    }
}

/// One convolution without bias, with the normalisation after it.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// What its tensors' names begin with, as `encoder.stages.0.layers.0.shortcut`.
    pub(super) name: String,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Side of the kernel; half of it is the padding.
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

/// The parts of one residual block: descriptions, or layers with weights.
#[derive(Clone, Debug)]
pub(super) struct Block<L> {
    pub(super) first: L,
    pub(super) middle: Option<L>,
    pub(super) last: L,
    /// Where input and output have different shapes.
    pub(super) shortcut: Option<L>,
}

impl<L> Block<L> {
    /// All parts, the shortcut's last.
    fn layers(&self) -> impl Iterator<Item = &L> {
        [Some(&self.first), self.middle.as_ref(), Some(&self.last), self.shortcut.as_ref()].into_iter().flatten()
    }

    /// The same block of what `make` makes of its parts.
    pub(super) fn try_map<M>(&self, mut make: impl FnMut(&L) -> Result<M>) -> Result<Block<M>> {
        Ok(Block {
            first: make(&self.first)?,
            middle: self.middle.as_ref().map(&mut make).transpose()?,
            last: make(&self.last)?,
            shortcut: self.shortcut.as_ref().map(&mut make).transpose()?,
        })
    }
}

impl ResNetShape {
    /// `ResNet-50`.
    pub fn r50() -> Self {
        Self {
            embedding_size: 64,
            hidden_sizes: vec![256, 512, 1024, 2048],
            depths: vec![3, 4, 6, 3],
            layer_type: LayerType::Bottleneck,
            downsample_in_first_stage: false,
            downsample_in_bottleneck: false,
        }
    }

    /// `ResNet-101`.
    pub fn r101() -> Self {
        Self { depths: vec![3, 4, 23, 3], ..Self::r50() }
    }

    /// Reads the config.json of a model.
    pub(super) fn load(bundle: &Bundle) -> Result<Self> {
        let what = || format!("cannot use config.json of model {} as a ResNet", bundle.name);
        let json: Value = serde_json::from_slice(&bundle.file("config.json")?).with_context(what)?;
        Self::parse(&json).with_context(what)
    }

    fn parse(json: &Value) -> Result<Self> {
        ensure!(json["model_type"] == "resnet", "model_type is {}, not \"resnet\"", json["model_type"]);
        ensure!(
            json.get("hidden_act").is_none_or(|act| act == "relu"),
            "hidden_act {} is not relu",
            json["hidden_act"]
        );
        ensure!(
            json.get("num_channels").is_none_or(|n| n == 3),
            "num_channels is not 3: only RGB models are supported"
        );
        Self::deserialize(json)?.checked()
    }

    /// The shape of weights that had torchvision's names; strides are where torchvision has them.
    pub(super) fn of_torchvision(tensors: &Tensors) -> Result<Self> {
        let what = || format!("the weights of {} are not those of a ResNet", tensors.model());
        Self::of_shapes(&tensors.shapes()).checked().with_context(what)
    }

    /// The shape of a network whose tensors have torchvision's names, and what is odd about these; `None` for other networks.
    pub fn recognise(shapes: &BTreeMap<String, Vec<usize>>) -> Option<(Self, Differences)> {
        let found = names::translated(shapes)?;
        let shape = Self::of_shapes(&found).checked().ok()?;
        let wanted: BTreeMap<String, Vec<usize>> = shape.tensors().into_iter().collect();
        let absent = |from: &BTreeMap<String, Vec<usize>>, of: &BTreeMap<String, Vec<usize>>| -> Vec<String> {
            of.keys().filter(|name| !from.contains_key(*name) && !names::is_unused(name)).cloned().collect()
        };
        let (missing, unmatched) = (absent(&found, &wanted), absent(&wanted, &found));
        let pairs = wanted.iter().filter_map(|(name, wanted)| Some((name, found.get(name)?, wanted)));
        let misshapen = pairs.filter(|(_, is, wanted)| is != wanted);
        let misshapen = misshapen.map(|(name, is, wanted)| format!("{name} is {is:?}, expected {wanted:?}")).collect();
        Some((shape, Differences { missing, unmatched, misshapen }))
    }

    fn of_shapes(shapes: &BTreeMap<String, Vec<usize>>) -> Self {
        let outputs = |name: &str| shapes.get(&format!("{name}.convolution.weight"))?.first().copied();
        let layer = |stage, block, layer| outputs(&format!("encoder.stages.{stage}.layers.{block}.layer.{layer}"));
        let (layer_type, last) = match layer(0, 0, 2) {
            Some(_) => (LayerType::Bottleneck, 2),
            None => (LayerType::Basic, 1),
        };
        let hidden_sizes: Vec<usize> = (0..).map_while(|stage| layer(stage, 0, last)).collect();
        let depth = |stage| (0..=DEEPEST).take_while(|block| layer(stage, *block, last).is_some()).count();
        Self {
            embedding_size: outputs("embedder.embedder").unwrap_or(0),
            depths: (0..hidden_sizes.len()).map(depth).collect(),
            hidden_sizes,
            layer_type,
            downsample_in_first_stage: false,
            downsample_in_bottleneck: false,
        }
    }

    fn checked(self) -> Result<Self> {
        let (depths, sizes) = (&self.depths, &self.hidden_sizes);
        ensure!(
            !depths.is_empty() && depths.len() == sizes.len(),
            "depths {depths:?} and hidden_sizes {sizes:?} are not one number per stage"
        );
        let blocks = depths.iter().fold(0_usize, |sum, depth| sum.saturating_add(*depth));
        ensure!(!depths.contains(&0) && blocks <= DEEPEST, "depths {depths:?} are not 1 to {DEEPEST} blocks");
        let narrowest = if self.layer_type == LayerType::Bottleneck { REDUCTION } else { 1 };
        ensure!(
            sizes.iter().all(|size| (narrowest..=WIDEST).contains(size)) && (1..=WIDEST).contains(&self.embedding_size),
            "embedding_size {} and hidden_sizes {sizes:?} are not {narrowest} to {WIDEST} channels",
            self.embedding_size
        );
        Ok(self)
    }

    /// A config.json in Hugging Face's form.
    pub(super) fn config_json(&self) -> Result<Value> {
        let mut json = serde_json::to_value(self)?;
        json["model_type"] = json!("resnet");
        json["hidden_act"] = json!("relu");
        json["num_channels"] = json!(3);
        Ok(json)
    }

    /// Channels of the last stage's map.
    pub fn channels(&self) -> usize {
        self.hidden_sizes.last().copied().unwrap_or(self.embedding_size)
    }

    /// Places along a side of the last stage's map, of pictures of `pixels` x `pixels`.
    pub(super) fn side(&self, pixels: usize) -> usize {
        // Paddings are such that a stride alone decides what is left; the pooling before the first stage has one of 2.
        let stem = pixels.div_ceil(self.stem().stride).div_ceil(2);
        let blocks = self.stages().into_iter().flatten();
        blocks.fold(stem, |side, block| {
            let main = [Some(&block.first), block.middle.as_ref(), Some(&block.last)];
            main.into_iter().flatten().fold(side, |side, layer| side.div_ceil(layer.stride))
        })
    }

    /// The network up to stage `stage`, exclusively: before stage 0 there is only the stem.
    pub(super) fn before(&self, stage: usize) -> Self {
        let (hidden_sizes, depths) = (self.hidden_sizes[..stage].to_vec(), self.depths[..stage].to_vec());
        Self { hidden_sizes, depths, ..self.clone() }
    }

    /// The first convolution.
    pub(super) fn stem(&self) -> Layer {
        Layer { name: "embedder.embedder".to_owned(), inputs: 3, outputs: self.embedding_size, kernel: 7, stride: 2 }
    }

    /// The blocks of each stage.
    pub(super) fn stages(&self) -> Vec<Vec<Block<Layer>>> {
        let mut inputs = self.embedding_size;
        let mut stages = Vec::new();
        for (stage, (&outputs, &depth)) in self.hidden_sizes.iter().zip(&self.depths).enumerate() {
            let mut blocks = Vec::new();
            for block in 0..depth {
                let halves = block == 0 && (stage > 0 || self.downsample_in_first_stage);
                let name = format!("encoder.stages.{stage}.layers.{block}");
                blocks.push(self.block(&name, inputs, outputs, if halves { 2 } else { 1 }));
                inputs = outputs;
            }
            stages.push(blocks);
        }
        stages
    }

    fn block(&self, name: &str, inputs: usize, outputs: usize, stride: usize) -> Block<Layer> {
        let layer = |part: &str, inputs, outputs, kernel, stride| {
            let name = format!("{name}.{part}");
            Layer { name, inputs, outputs, kernel, stride }
        };
        let changes = inputs != outputs || stride != 1;
        let shortcut = changes.then(|| layer("shortcut", inputs, outputs, 1, stride));
        match self.layer_type {
            LayerType::Basic => Block {
                first: layer("layer.0", inputs, outputs, 3, stride),
                middle: None,
                last: layer("layer.1", outputs, outputs, 3, 1),
                shortcut,
            },
            LayerType::Bottleneck => {
                let inner = outputs / REDUCTION;
                let (first, second) = if self.downsample_in_bottleneck { (stride, 1) } else { (1, stride) };
                Block {
                    first: layer("layer.0", inputs, inner, 1, first),
                    middle: Some(layer("layer.1", inner, inner, 3, second)),
                    last: layer("layer.2", inner, outputs, 1, 1),
                    shortcut,
                }
            }
        }
    }

    /// The names and dimensions of all tensors.
    pub(super) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut layers = vec![self.stem()];
        for block in self.stages().into_iter().flatten() {
            layers.extend(block.layers().cloned());
        }
        layers.iter().flat_map(Layer::tensors).collect()
    }
}

impl Layer {
    /// The names and dimensions of its tensors.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let weight = (self.weight(), vec![self.outputs, self.inputs, self.kernel, self.kernel]);
        let norm = self.normalization().map(|name| (name, vec![self.outputs]));
        [weight].into_iter().chain(norm).collect()
    }

    /// The name of the convolution's weight.
    pub(super) fn weight(&self) -> String {
        format!("{}.convolution.weight", self.name)
    }

    /// The names of the normalisation's weight, bias, mean and variance.
    pub(super) fn normalization(&self) -> [String; 4] {
        ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{}.normalization.{part}", self.name))
    }
}
