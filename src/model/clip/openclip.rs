//! Checkpoints of `OpenCLIP` (`RemoteCLIP`, `GeoRSCLIP`), under the names of Hugging Face's `CLIPModel`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::model::weights::{Tensors, Weights};

/// The tensor by which an OpenCLIP model is known.
pub(super) const MARK: &str = "visual.conv1.weight";

/// Renames (and where needed splits or transposes) the tensors of an `OpenCLIP` checkpoint; others come back as they are.
pub(super) fn translated(tensors: Tensors) -> Result<Tensors> {
    let tensors = unwrapped(tensors);
    if !tensors.has(MARK) {
        return Ok(tensors);
    }
    let model = tensors.model().to_owned();
    Ok(Tensors::new(&model, renamed(tensors.into_weights()?)?))
}

/// Some training programs wrap the model, which puts a word before every name.
pub(super) fn unwrapped(mut tensors: Tensors) -> Tensors {
    let wrapper = wrapper(tensors.names()).to_owned();
    tensors.strip_prefix(&wrapper);
    tensors
}

/// The same for names alone.
pub(in crate::model) fn unwrapped_names<T: Clone>(named: &BTreeMap<String, T>) -> BTreeMap<String, T> {
    let length = wrapper(named.keys().map(String::as_str)).len();
    named.iter().map(|(name, of)| (name[length..].to_owned(), of.clone())).collect()
}

/// The words before the names that all of them have.
fn wrapper<'a>(names: impl Iterator<Item = &'a str>) -> &'a str {
    let names: Vec<&str> = names.collect();
    let Some(first) = names.first() else { return "" };
    let mut length = 0;
    while let Some(word) = ["module.", "model.", "_orig_mod."].iter().find(|word| first[length..].starts_with(**word)) {
        length += word.len();
    }
    let common = &first[..length];
    if names.iter().all(|name| name.starts_with(common)) { common } else { "" }
}

/// Gives the tensors of an `OpenCLIP` model transformers' names.
fn renamed(weights: Weights) -> Result<Weights> {
    let mut out = Weights::new();
    for (name, tensor) in weights {
        let what = || format!("cannot read OpenCLIP's tensor `{name}`");
        match Change::of(&name) {
            Change::Split(names) => {
                for (name, part) in names.into_iter().zip(tensor.chunk(3, 0).with_context(what)?) {
                    out.insert(name, part.contiguous()?);
                }
            }
            Change::Transpose(new) => _ = out.insert(new, tensor.t().with_context(what)?.contiguous()?),
            Change::Rename(new) => _ = out.insert(new, tensor),
        }
    }
    Ok(out)
}

/// The same for shapes alone; what cannot be split or transposed keeps its shape.
pub(super) fn new_shapes(shapes: &BTreeMap<String, Vec<usize>>) -> BTreeMap<String, Vec<usize>> {
    let mut out = BTreeMap::new();
    for (name, shape) in shapes {
        match Change::of(name) {
            Change::Split(names) => {
                let mut part = shape.clone();
                if let Some(rows) = part.first_mut() {
                    *rows /= 3;
                }
                out.extend(names.map(|name| (name, part.clone())));
            }
            Change::Transpose(new) => _ = out.insert(new, shape.iter().rev().copied().collect()),
            Change::Rename(new) => _ = out.insert(new, shape.clone()),
        }
    }
    out
}

/// What becomes of a tensor.
enum Change {
    /// Queries, keys and values are three tensors in transformers.
    Split([String; 3]),
    /// Projections are stored the other way round.
    Transpose(String),
    Rename(String),
}

impl Change {
    fn of(name: &str) -> Self {
        // Newer models of OpenCLIP keep their text tower under a name of its own.
        let name = name.strip_prefix("text.").unwrap_or(name);
        if let Some(whole) = name.strip_suffix("in_proj_weight").or_else(|| name.strip_suffix("in_proj_bias")) {
            let kind = if name.ends_with("weight") { "weight" } else { "bias" };
            return Self::Split(["q", "k", "v"].map(|part| format!("{}self_attn.{part}_proj.{kind}", layer(whole))));
        }
        match name {
            "visual.proj" => Self::Transpose("visual_projection.weight".to_owned()),
            "text_projection" => Self::Transpose("text_projection.weight".to_owned()),
            name => Self::Rename(plain(name)),
        }
    }
}

fn layer(name: &str) -> String {
    plain(name.strip_suffix("attn.").unwrap_or(name))
}

/// A name that only needs other words.
fn plain(name: &str) -> String {
    let (tower, rest) = match name.strip_prefix("visual.") {
        Some(rest) => ("vision_model", rest),
        None => ("text_model", name),
    };
    let embeddings = match (tower, rest) {
        ("vision_model", "conv1.weight") => "embeddings.patch_embedding.weight",
        ("vision_model", "class_embedding") => "embeddings.class_embedding",
        ("text_model", "token_embedding.weight") => "embeddings.token_embedding.weight",
        (_, "positional_embedding") => "embeddings.position_embedding.weight",
        _ => "",
    };
    if !embeddings.is_empty() {
        return format!("{tower}.{embeddings}");
    }
    if let Some(rest) = rest.strip_prefix("transformer.resblocks.") {
        let words = [
            (".ln_1.", ".layer_norm1."),
            (".ln_2.", ".layer_norm2."),
            (".attn.out_proj.", ".self_attn.out_proj."),
            (".mlp.c_fc.", ".mlp.fc1."),
            (".mlp.c_proj.", ".mlp.fc2."),
        ];
        let rest = words.iter().fold(rest.to_owned(), |rest, (from, to)| rest.replace(from, to));
        return format!("{tower}.encoder.layers.{rest}");
    }
    for (from, to) in
        [("ln_pre.", "pre_layrnorm."), ("ln_post.", "post_layernorm."), ("ln_final.", "final_layer_norm.")]
    {
        if let Some(rest) = rest.strip_prefix(from) {
            return format!("{tower}.{to}{rest}");
        }
    }
    // What has no counterpart keeps its name, such as `logit_scale`.
    name.to_owned()
}
