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

    /// The shapes under the names of `CLIPModel`.
    pub fn translated(&self, shapes: &BTreeMap<String, Vec<usize>>) -> BTreeMap<String, Vec<usize>> {
        if self.family == Family::OpenClip { openclip::new_shapes(shapes) } else { shapes.clone() }
    }

    /// The names that the file lacks, and those that no tower of this shape has.
    pub fn differences(&self, shapes: &BTreeMap<String, Vec<usize>>) -> (Vec<String>, Vec<String>) {
        let shapes = self.translated(shapes);
        let expected: BTreeSet<String> = self.tensors().into_iter().map(|(name, _)| name).collect();
        let missing = expected.iter().filter(|name| !shapes.contains_key(*name)).cloned().collect();
        let other = |name: &&String| {
            let bert = self.family == Family::ChineseClip && name.starts_with("text_model.");
            !expected.contains(*name) && !bert && !is_buffer(name)
        };
        (missing, shapes.keys().filter(other).cloned().collect())
    }

    /// Every tensor's name, as in `CLIPModel`, and shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, patch, grid) = (self.width, self.patch_size, self.image_size / self.patch_size.max(1));
        let embeddings = "vision_model.embeddings";
        let mut tensors = vec![
            (format!("{embeddings}.class_embedding"), vec![d]),
            (format!("{embeddings}.patch_embedding.weight"), vec![d, 3, patch, patch]),
            (format!("{embeddings}.position_embedding.weight"), vec![grid * grid + 1, d]),
            ("visual_projection.weight".to_owned(), vec![self.projection_dim, d]),
        ];
        norm(&mut tensors, "vision_model.pre_layrnorm", d);
        norm(&mut tensors, "vision_model.post_layernorm", d);
        tower(&mut tensors, "vision_model", self.layers, [d, self.inner]);
        if let Some(text) = &self.text {
            let d = text.width;
            tensors.push(("text_model.embeddings.token_embedding.weight".to_owned(), vec![text.vocab, d]));
            tensors.push(("text_model.embeddings.position_embedding.weight".to_owned(), vec![text.positions, d]));
            tensors.push(("text_projection.weight".to_owned(), vec![self.projection_dim, d]));
            norm(&mut tensors, "text_model.final_layer_norm", d);
            tower(&mut tensors, "text_model", text.layers, [d, text.inner]);
        }
        tensors
    }
}

fn norm(tensors: &mut Vec<(String, Vec<usize>)>, name: &str, width: usize) {
    tensors.extend(["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![width])));
}

fn tower(tensors: &mut Vec<(String, Vec<usize>)>, tower: &str, layers: usize, [d, inner]: [usize; 2]) {
    for layer in 0..layers {
        let name = |part: &str| format!("{tower}.encoder.layers.{layer}.{part}");
        for part in ["layer_norm1", "layer_norm2"] {
            norm(tensors, &name(part), d);
        }
        let linears = [
            ("mlp.fc1", [inner, d]),
            ("mlp.fc2", [d, inner]),
            ("self_attn.q_proj", [d, d]),
            ("self_attn.k_proj", [d, d]),
            ("self_attn.v_proj", [d, d]),
            ("self_attn.out_proj", [d, d]),
        ];
        for (part, shape) in linears {
            tensors.push((name(&format!("{part}.weight")), shape.into()));
            tensors.push((name(&format!("{part}.bias")), vec![shape[0]]));
        }
    }
}

/// Whether no network has a use for a tensor: stored positions, the masks of text, the scale of the training loss, and the sizes
/// that `OpenAI`'s own files store as tensors.
pub(in crate::model) fn is_buffer(name: &str) -> bool {
    let sizes = ["input_resolution", "context_length", "vocab_size"];
    ["position_ids", "attn_mask", "logit_scale", "logit_bias"].iter().chain(&sizes).any(|buffer| name.ends_with(buffer))
}

fn layers(shapes: &BTreeMap<String, Vec<usize>>, tower: &str) -> usize {
    let prefix = format!("{tower}.encoder.layers.");
    let numbers = shapes.keys().filter_map(|name| name.strip_prefix(&prefix)?.split('.').next()?.parse::<usize>().ok());
    numbers.collect::<BTreeSet<_>>().len()
}
