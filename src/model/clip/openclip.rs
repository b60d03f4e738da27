//! Checkpoints of `OpenCLIP` (`RemoteCLIP`, `GeoRSCLIP`), under the names of Hugging Face's `CLIPModel`.

use anyhow::{Context, Result};

use crate::model::weights::Weights;

/// Renames (and where needed splits or transposes) the tensors of an `OpenCLIP` checkpoint; others come back as they are.
pub(super) fn renamed(weights: Weights) -> Result<Weights> {
    // Some training programs wrap the model, which puts a word before every name.
    let weights = ["module.", "model."].iter().fold(weights, |weights, prefix| bare(weights, prefix));
    if !weights.contains_key("visual.conv1.weight") {
        return Ok(weights);
    }
    let mut out = Weights::new();
    for (name, tensor) in weights {
        let text = || format!("cannot read OpenCLIP's tensor `{name}`");
        if let Some(whole) = name.strip_suffix("in_proj_weight").or_else(|| name.strip_suffix("in_proj_bias")) {
            let kind = if name.ends_with("weight") { "weight" } else { "bias" };
            let parts = tensor.chunk(3, 0).with_context(text)?;
            for (part, tensor) in ["q", "k", "v"].iter().zip(parts) {
                out.insert(format!("{}self_attn.{part}_proj.{kind}", layer(whole)), tensor.contiguous()?);
            }
        } else if name == "visual.proj" || name == "text_projection" {
            let new = if name == "visual.proj" { "visual_projection.weight" } else { "text_projection.weight" };
            out.insert(new.to_owned(), tensor.t().with_context(text)?.contiguous()?);
        } else {
            out.insert(plain(&name), tensor);
        }
    }
    Ok(out)
}

/// Takes `prefix` off all names if every name has it.
fn bare(weights: Weights, prefix: &str) -> Weights {
    if weights.is_empty() || !weights.keys().all(|name| name.starts_with(prefix)) {
        return weights;
    }
    weights.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect()
}

/// `visual.transformer.resblocks.3.attn.` -> `vision_model.encoder.layers.3.`.
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
