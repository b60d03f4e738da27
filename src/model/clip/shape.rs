//! Names and shapes of tensors -> which CLIP they are of.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::openclip;

/// The naming of a CLIP checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Hugging Face's `CLIPModel`.
    Clip,
    /// `OpenCLIP`, and `OpenAI`'s own code.
    OpenClip,
    /// Hugging Face's `ChineseCLIPModel`, whose text tower is a BERT.
    ChineseClip,
}

/// What the shapes of a CLIP's tensors tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClipShape {
    /// The naming.
    pub family: Family,
    /// Width of the vision tower.
    pub width: usize,
    /// Its layers.
    pub layers: usize,
    /// Width between its feed-forward layers.
    pub inner: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Side of a picture in pixels.
    pub image_size: usize,
    /// Size of the vectors.
    pub projection_dim: usize,
    /// The text tower of the same kind, if there is one.
    pub text: Option<TextShape>,
}

/// What the shapes of a text tower tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextShape {
    /// Width.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Width between the feed-forward layers.
    pub inner: usize,
    /// Tokens.
    pub vocab: usize,
    /// Positions.
    pub positions: usize,
}

/// Widths of the vision towers whose heads are not 64 wide, and their numbers of heads (`OpenCLIP`'s H, g and bigG).
const WIDE_HEADS: [(usize, usize); 3] = [(1280, 16), (1408, 16), (1664, 16)];

impl ClipShape {
    /// Reads the shapes of all tensors of a file; `None` if it has no vision tower.
    pub fn new(shapes: &BTreeMap<String, Vec<usize>>) -> Option<Self> {
        let openclip = shapes.contains_key(openclip::MARK);
        let shapes = if openclip { openclip::new_shapes(shapes) } else { shapes.clone() };
        let dims = |name: &str| shapes.get(name).map(Vec::as_slice);
        let patch = dims("vision_model.embeddings.patch_embedding.weight")?;
        let (&[width, _, patch_size, _], &[positions, _]) =
            (patch, dims("vision_model.embeddings.position_embedding.weight")?)
        else {
            return None;
        };
        let &[projection_dim, _] = dims("visual_projection.weight")? else { return None };
        let first = |tower: &str| match dims(&format!("{tower}.encoder.layers.0.mlp.fc1.weight")) {
            Some([inner, _]) => *inner,
            _ => 0,
        };
        let text = match (
            dims("text_model.embeddings.token_embedding.weight"),
            dims("text_model.embeddings.position_embedding.weight"),
        ) {
            (Some(&[vocab, width]), Some(&[positions, _])) => Some(TextShape {
                width,
                layers: layers(&shapes, "text_model"),
                inner: first("text_model"),
                vocab,
                positions,
            }),
            _ => None,
        };
        let bert = shapes.keys().any(|name| name.starts_with("text_model.encoder.layer."));
        Some(Self {
            family: match (openclip, bert) {
                (true, _) => Family::OpenClip,
                (_, true) => Family::ChineseClip,
                _ => Family::Clip,
            },
            width,
            layers: layers(&shapes, "vision_model"),
            inner: first("vision_model"),
            patch_size,
            image_size: positions.saturating_sub(1).isqrt() * patch_size,
            projection_dim,
            text,
        })
    }

    /// The usual number of heads of a vision tower of this width, which shapes do not tell.
    pub fn usual_heads(&self) -> usize {
        let wide = WIDE_HEADS.iter().find(|(width, _)| *width == self.width);
        wide.map_or((self.width / 64).max(1), |(_, heads)| *heads)
    }

    /// A config.json in Hugging Face's form.
    ///
    /// `hidden_act` is `quick_gelu` or `gelu`; weights do not tell it, and the wrong one gives wrong vectors without an error.
    pub fn config_json(&self, heads: usize, hidden_act: &str) -> Value {
        let mut config = json!({
            "model_type": "clip",
            "projection_dim": self.projection_dim,
            "vision_config": {
                "hidden_act": hidden_act, "hidden_size": self.width, "image_size": self.image_size,
                "intermediate_size": self.inner, "num_attention_heads": heads, "num_hidden_layers": self.layers,
                "patch_size": self.patch_size
            }
        });
        if let Some(text) = &self.text {
            config["text_config"] = json!({
                "hidden_act": hidden_act, "hidden_size": text.width, "intermediate_size": text.inner,
                "max_position_embeddings": text.positions, "num_attention_heads": (text.width / 64).max(1),
                "num_hidden_layers": text.layers, "vocab_size": text.vocab, "eos_token_id": text.vocab - 1
            });
        }
        config
    }

    /// The names that the file lacks, and those that no tower of this shape has.
    pub fn differences(&self, shapes: &BTreeMap<String, Vec<usize>>) -> (Vec<String>, Vec<String>) {
        let shapes = if self.family == Family::OpenClip { openclip::new_shapes(shapes) } else { shapes.clone() };
        let expected: BTreeSet<String> = self.names().into_iter().collect();
        let missing = expected.iter().filter(|name| !shapes.contains_key(*name)).cloned().collect();
        let other = |name: &&String| {
            let bert = self.family == Family::ChineseClip && name.starts_with("text_model.");
            !expected.contains(*name) && !bert && !is_buffer(name)
        };
        (missing, shapes.keys().filter(other).cloned().collect())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = ["class_embedding", "patch_embedding.weight", "position_embedding.weight"]
            .map(|name| format!("vision_model.embeddings.{name}"))
            .into();
        names.push("visual_projection.weight".to_owned());
        let mut affine = |name: String| {
            names.push(format!("{name}.weight"));
            names.push(format!("{name}.bias"));
        };
        affine("vision_model.pre_layrnorm".to_owned());
        affine("vision_model.post_layernorm".to_owned());
        let mut towers = vec![("vision_model", self.layers)];
        if let Some(text) = &self.text {
            affine("text_model.final_layer_norm".to_owned());
            towers.push(("text_model", text.layers));
        }
        for (tower, layers) in towers {
            for layer in 0..layers {
                for part in ["layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"] {
                    affine(format!("{tower}.encoder.layers.{layer}.{part}"));
                }
                for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                    affine(format!("{tower}.encoder.layers.{layer}.self_attn.{part}"));
                }
            }
        }
        if self.text.is_some() {
            names.extend(
                ["embeddings.token_embedding.weight", "embeddings.position_embedding.weight"]
                    .map(|name| format!("text_model.{name}")),
            );
            names.push("text_projection.weight".to_owned());
        }
        names
    }
}

/// Whether no network has a use for a tensor: stored positions, the masks of text, the scale of the training loss.
pub(super) fn is_buffer(name: &str) -> bool {
    name.ends_with("position_ids") || name == "attn_mask" || name == "logit_scale" || name == "logit_bias"
}

fn layers(shapes: &BTreeMap<String, Vec<usize>>, tower: &str) -> usize {
    let prefix = format!("{tower}.encoder.layers.");
    let numbers = shapes.keys().filter_map(|name| name.strip_prefix(&prefix)?.split('.').next()?.parse::<usize>().ok());
    numbers.collect::<BTreeSet<_>>().len()
}
