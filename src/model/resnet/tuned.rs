//! Fine-tuning: the stem and the first stages as they are, the later ones with gradients.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use candle_core::{Tensor, Var};

use super::convert::bundle;
use super::shape::{Block, Layer};
use super::{ResNet, ResNetShape, cannot_use, conv, finite, read, taken};
use crate::model::ops::{ConvEnd, NormedConv, conv2d_normed, tensor, values};
use crate::model::weights::{TensorFile, Tensors, Weights};
use crate::model::{Bundle, Content};
use crate::picture::Picture;

/// A `ResNet` whose later stages are trained: convolutions, and scales and shifts of normalisations, whose statistics stay.
#[derive(Debug)]
pub struct TunedResNet {
    shape: ResNetShape,
    /// What messages and saved models call it.
    name: String,
    /// The stem and the stages that are not trained.
    frozen: ResNet,
    stages: Vec<Vec<Block<Arc<NormedConv>>>>,
    /// All tensors that stay as they are, by name.
    kept: Weights,
    /// What is trained, by Hugging Face's names; weights of convolutions lie as [`NormedConv`] has them.
    variables: BTreeMap<String, Var>,
}

impl TunedResNet {
    /// Reads a model as [`ResNet::load`] does, to train its stages from `first_trained` on (0-based: 1 is torchvision's `layer2`).
    ///
    /// Fails also if there is no such stage.
    pub fn load(bundle: &Bundle, first_trained: usize) -> Result<Self> {
        let (shape, weights) = read(bundle)?;
        let stages = shape.depths.len();
        ensure!(
            first_trained < stages,
            "no stage {} to train among the {stages} of model {}",
            first_trained + 1,
            bundle.name
        );
        Self::build(shape, weights, first_trained, &bundle.name).with_context(|| cannot_use(bundle))
    }

    fn build(shape: ResNetShape, weights: Weights, first_trained: usize, name: &str) -> Result<Self> {
        let mut rest = weights.clone();
        let frozen = ResNet::build(shape.before(first_trained), &mut rest)?;
        let mut variables = BTreeMap::new();
        let mut layer = |layer: &Layer| {
            let mut normed = conv::take(&mut rest, layer)?;
            let [scale, shift, ..] = layer.normalization();
            let trained =
                [(layer.weight(), &mut normed.weight), (scale, &mut normed.scale), (shift, &mut normed.shift)];
            for (name, tensor) in trained {
                let variable = Var::from_tensor(tensor)?;
                *tensor = variable.as_tensor().clone();
                variables.insert(name, variable);
            }
            Ok(Arc::new(normed))
        };
        let mut stages = Vec::new();
        for blocks in &shape.stages()[first_trained..] {
            stages.push(blocks.iter().map(|block| block.try_map(&mut layer)).collect::<Result<_>>()?);
        }
        let kept = weights.into_iter().filter(|(name, _)| !variables.contains_key(name)).collect();
        Ok(Self { shape, name: name.to_owned(), frozen, stages, kept, variables })
    }

    /// Places along a side of a map, as [`ResNet::side`] has it.
    pub fn side(&self) -> usize {
        self.shape.side(super::SIDE as usize)
    }

    /// The size of the vector of one place.
    pub fn channels(&self) -> usize {
        self.shape.channels()
    }

    /// What the last stage makes of pictures, `f32[pictures, side * side, channels]`: the bits of [`ResNet::maps`] with the present
    /// weights.
    ///
    /// Only [`ops::backward`](crate::model::ops::backward) gives the gradients of the variables. Fails if numbers are not finite.
    pub fn maps(&self, pictures: &[Picture]) -> Result<Tensor> {
        let side = self.frozen.side();
        let start = tensor(self.frozen.maps(pictures)?, (pictures.len(), side, side, self.frozen.channels()))?;
        let maps = self.forward(&start)?.reshape((pictures.len(), self.side() * self.side(), self.channels()))?;
        finite(&values(&maps)?)?;
        Ok(maps)
    }

    /// Runs maps, `f32[n, height, width, channels]`, through the trained stages.
    pub(super) fn forward(&self, start: &Tensor) -> Result<Tensor> {
        let mut blocks = self.stages.iter().flatten();
        blocks.try_fold(start.clone(), |x, block| block.forward(&x))
    }

    /// All weights that are trained, sorted by name, for an optimiser; those of convolutions are `f32[kh * kw * c, out]`.
    pub fn parameters(&self) -> Vec<(String, Var)> {
        self.variables.iter().map(|(name, variable)| (name.clone(), variable.clone())).collect()
    }

    /// The model's config.json.
    pub fn config(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(&self.shape.config_json()?)?)
    }

    /// The model with its present weights (`config.json`, `model.safetensors`), for [`ResNet::load`]; equal weights give equal bytes.
    pub fn save(&self) -> Result<Bundle> {
        let mut weights = self.kept.clone();
        for (name, dims) in self.shape.tensors() {
            let Some(variable) = self.variables.get(&name) else { continue };
            let tensor = match <[usize; 4]>::try_from(dims) {
                Ok(dims) => conv::windows(variable, dims)?,
                Err(_) => variable.as_detached_tensor(),
            };
            weights.insert(name, tensor);
        }
        bundle(&self.shape, &weights, &self.name)
    }

    /// Takes the weights of an earlier run from the `model.safetensors` of [`TunedResNet::save`].
    ///
    /// Fails, with all weights as they were, if a tensor is missing, misshapen or unknown, or if one that is not trained is another.
    pub fn restore(&self, weights: &[u8]) -> Result<()> {
        let what = "cannot go on with the saved weights of the ResNet";
        let file = TensorFile::open(&Content::from(weights.to_vec())).context(what)?;
        let weights = taken(Tensors::of_file("the saved state", file), &self.shape).context(what)?;
        for (name, tensor) in &self.kept {
            let same = *values(&weights[name])? == *values(&tensor.contiguous()?)?;
            ensure!(same, "{what}: `{name}` is not that of {}, which does not train it", self.name);
        }
        for (name, variable) in &self.variables {
            let tensor = &weights[name];
            variable.set(&if tensor.rank() == 4 { conv::rows(tensor)? } else { tensor.clone() })?;
        }
        Ok(())
    }
}

impl Block<Arc<NormedConv>> {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut inner = conv2d_normed(x, &self.first, ConvEnd::Relu)?;
        if let Some(middle) = &self.middle {
            inner = conv2d_normed(&inner, middle, ConvEnd::Relu)?;
        }
        let shortcut =
            self.shortcut.as_ref().map(|shortcut| conv2d_normed(x, shortcut, ConvEnd::Linear)).transpose()?;
        Ok(conv2d_normed(&inner, &self.last, ConvEnd::AddRelu(shortcut.as_ref().unwrap_or(x)))?)
    }
}
