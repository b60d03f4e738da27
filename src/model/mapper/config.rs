//! What a mapper is made of.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// The architecture of a mapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MapperKind {
    /// One linear layer.
    Linear,
    /// Two linear layers with a hyperbolic tangent between.
    Mlp,
    /// A transformer over rows made from the CLIP vector and learned constants.
    Transformer,
    /// The same with adaptive attention: every head transforms its queries once more.
    Amht,
}

impl MapperKind {
    /// Whether it is a transformer, with layers and heads.
    pub fn has_layers(self) -> bool {
        match self {
            Self::Linear | Self::Mlp => false,
            Self::Transformer | Self::Amht => true,
        }
    }
}

/// What the adaptive query matrices of [`MapperKind::Amht`] begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AmhtInit {
    /// The identity: training starts from the plain transformer.
    #[default]
    Identity,
    /// The original's: uniform with the fan-in of a whole matrix, which shrinks queries to a fifth.
    Original,
}

/// A mapper from one CLIP vector to the prefix of a language model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapperConfig {
    /// The architecture.
    pub kind: MapperKind,
    /// Length of a CLIP vector.
    pub clip_dim: usize,
    /// Rows of a prefix.
    pub prefix_length: usize,
    /// Rows made from the CLIP vector; of the transformers only.
    pub clip_length: usize,
    /// Width of the language model's embeddings.
    pub width: usize,
    /// Layers; of the transformers only.
    pub layers: usize,
    /// Attention heads per layer; of the transformers only.
    pub heads: usize,
    /// First values of the adaptive matrices; of `amht` only.
    pub init: AmhtInit,
    /// Whether CLIP vectors are first scaled to length 1.
    pub normalize: bool,
}

impl MapperConfig {
    /// Fails if the sizes make no sense.
    pub fn check(&self) -> Result<()> {
        let mut sizes = vec![("clip_dim", self.clip_dim), ("prefix_length", self.prefix_length), ("width", self.width)];
        if self.kind.has_layers() {
            sizes.extend([("clip_length", self.clip_length), ("layers", self.layers), ("heads", self.heads)]);
        }
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            bail!("a mapper's {name} must be above 0");
        }
        if self.kind.has_layers() && !self.width.is_multiple_of(self.heads) {
            bail!("a mapper's width {} must be a multiple of its {} heads", self.width, self.heads);
        }
        Ok(())
    }

    /// Name and shape of every parameter, sorted by name; the names are ClipCap's.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, k) = (self.width, self.prefix_length);
        let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
        match self.kind {
            MapperKind::Linear => {
                tensors.push(("weight".to_owned(), vec![k * d, self.clip_dim]));
                tensors.push(("bias".to_owned(), vec![k * d]));
            }
            MapperKind::Mlp => {
                let (hidden, out) = (k * d / 2, k * d);
                let shapes = [
                    ("model.0.weight", vec![hidden, self.clip_dim]),
                    ("model.0.bias", vec![hidden]),
                    ("model.2.weight", vec![out, hidden]),
                    ("model.2.bias", vec![out]),
                ];
                tensors.extend(shapes.map(|(name, shape)| (name.to_owned(), shape)));
            }
            MapperKind::Transformer | MapperKind::Amht => {
                let rows = self.clip_length * d;
                tensors.push(("linear.weight".to_owned(), vec![rows, self.clip_dim]));
                tensors.push(("linear.bias".to_owned(), vec![rows]));
                tensors.push(("prefix_const".to_owned(), vec![k, d]));
                for layer in 0..self.layers {
                    let named =
                        |(name, shape): (&str, Vec<usize>)| (format!("transformer.layers.{layer}.{name}"), shape);
                    tensors.extend(self.layer_tensors().into_iter().map(named));
                }
            }
        }
        tensors.sort();
        tensors
    }

    fn layer_tensors(&self) -> Vec<(&'static str, Vec<usize>)> {
        let (d, dh) = (self.width, self.width / self.heads);
        let mut tensors = vec![
            ("norm1.weight", vec![d]),
            ("norm1.bias", vec![d]),
            ("attn.to_queries.weight", vec![d, d]),
            ("attn.to_keys_values.weight", vec![2 * d, d]),
            ("attn.project.weight", vec![d, d]),
            ("attn.project.bias", vec![d]),
            ("norm2.weight", vec![d]),
            ("norm2.bias", vec![d]),
            ("mlp.fc1.weight", vec![2 * d, d]),
            ("mlp.fc1.bias", vec![2 * d]),
            ("mlp.fc2.weight", vec![d, 2 * d]),
            ("mlp.fc2.bias", vec![d]),
        ];
        if self.kind == MapperKind::Amht {
            tensors.push(("attn.adaptive_weights", vec![self.heads, dh, dh]));
            tensors.push(("attn.adaptive_biases", vec![self.heads, dh]));
        }
        tensors
    }

    /// How many numbers training changes.
    pub fn parameter_count(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().map(|&size| size as u64).product::<u64>()).sum()
    }
}
