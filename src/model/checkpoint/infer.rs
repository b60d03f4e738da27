//! Names and shapes of tensors -> what network they are of.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::trained::{GPT_PREFIX, MAPPER_PREFIX};
use crate::model::gpt2::Gpt2Config;
use crate::model::mapper::{AmhtInit, MapperConfig, MapperKind};

/// Name -> shape of every tensor.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

/// What a mapper's shapes tell; sizes that they do not tell are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapperShape {
    /// The architecture.
    pub kind: MapperKind,
    /// Length of a CLIP vector.
    pub clip_dim: usize,
    /// Numbers of a prefix: its rows times the width of the language model.
    pub outputs: usize,
    /// Width of the language model.
    pub width: Option<usize>,
    /// Rows made from the CLIP vector.
    pub clip_length: Option<usize>,
    /// Layers.
    pub layers: Option<usize>,
    /// Attention heads.
    pub heads: Option<usize>,
}

impl MapperShape {
    /// Reads the shapes of one mapper's tensors, under ClipCap's names without `clip_project.`; `None` if it is none.
    fn new(shapes: &Shapes) -> Option<Self> {
        let dims = |name: &str| shapes.get(name).map(Vec::as_slice);
        let none = Self {
            kind: MapperKind::Mlp,
            clip_dim: 0,
            outputs: 0,
            width: None,
            clip_length: None,
            layers: None,
            heads: None,
        };
        if let (Some([_, clip_dim]), Some([outputs, _])) = (dims("model.0.weight"), dims("model.2.weight")) {
            return Some(Self { clip_dim: *clip_dim, outputs: *outputs, ..none });
        }
        if let Some([outputs, clip_dim]) = dims("weight") {
            return Some(Self { kind: MapperKind::Linear, clip_dim: *clip_dim, outputs: *outputs, ..none });
        }
        let (Some([rows, clip_dim]), Some([prefix_length, width])) = (dims("linear.weight"), dims("prefix_const"))
        else {
            return None;
        };
        let adaptive = dims("transformer.layers.0.attn.adaptive_weights");
        Some(Self {
            kind: if adaptive.is_some() { MapperKind::Amht } else { MapperKind::Transformer },
            clip_dim: *clip_dim,
            outputs: prefix_length * width,
            width: Some(*width),
            clip_length: Some(rows / width.max(&1)),
            layers: Some(numbered(shapes, "transformer.layers.")),
            heads: adaptive.and_then(|dims| dims.first().copied()),
        })
    }

    /// The configuration, with what the shapes do not tell: the language model's `width` and, of the plain transformer,
    /// the `heads`. Fails, in words, if they contradict the shapes.
    pub fn config(&self, width: usize, heads: Option<usize>, normalize: bool) -> Result<MapperConfig, String> {
        if self.width.is_some_and(|own| own != width) || width == 0 || !self.outputs.is_multiple_of(width) {
            let own = self.width.map_or_else(|| format!("{} numbers", self.outputs), |own| format!("rows of {own}"));
            return Err(format!("the mapper makes {own}, but the language model reads rows of {width}"));
        }
        let heads = match (self.heads, heads) {
            (Some(own), Some(wanted)) if own != wanted => {
                return Err(format!("the file's mapper has {own} heads, not {wanted}"));
            }
            (own, wanted) => own.or(wanted),
        };
        let layered = self.layers.is_some();
        if !layered && heads.is_some() {
            return Err("`heads` is of transformers: this mapper has none".to_owned());
        }
        let Some(heads) = heads.or((!layered).then_some(1)) else {
            return Err("a transformer's number of heads cannot be read off its weights: set `heads`".to_owned());
        };
        let config = MapperConfig {
            kind: self.kind,
            clip_dim: self.clip_dim,
            prefix_length: self.outputs / width,
            clip_length: self.clip_length.unwrap_or(1),
            width,
            layers: self.layers.unwrap_or(1),
            heads,
            init: AmhtInit::default(),
            normalize,
        };
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }
}

/// What a GPT-2's shapes tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gpt2Shape {
    /// Width of the embeddings.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Tokens.
    pub vocab: usize,
    /// Positions.
    pub positions: usize,
    /// Width between the feed-forward layers.
    pub inner: usize,
}

impl Gpt2Shape {
    /// Reads the shapes of tensors named as in hub checkpoints, without `transformer.`.
    pub(super) fn new(shapes: &Shapes) -> Option<Self> {
        let dims = |name: &str| shapes.get(name).map(Vec::as_slice);
        let (Some([vocab, width]), Some([positions, _])) = (dims("wte.weight"), dims("wpe.weight")) else {
            return None;
        };
        let inner = match dims("h.0.mlp.c_fc.weight") {
            Some([_, inner]) => *inner,
            _ => 4 * width,
        };
        let layers = numbered(shapes, "h.");
        Some(Self { width: *width, layers, vocab: *vocab, positions: *positions, inner })
    }

    /// A configuration of these sizes; the heads are those of GPT-2's family, 64 wide.
    pub fn config(&self) -> Gpt2Config {
        Gpt2Config {
            n_embd: self.width,
            n_head: (self.width / 64).max(1),
            n_layer: self.layers,
            n_positions: self.positions,
            n_inner: Some(self.inner),
            vocab_size: self.vocab,
            ..Gpt2Config::default()
        }
    }
}

/// How many different numbers follow `prefix` in the names.
pub(super) fn numbered(shapes: &Shapes, prefix: &str) -> usize {
    let numbers = shapes.keys().filter_map(|name| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok());
    numbers.collect::<BTreeSet<_>>().len()
}

/// Where the parts of a captioning model stand in a file, whatever a training program wrapped them in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// What the names of the mapper's tensors begin with.
    mapper: Option<String>,
    /// What the names of the language model's tensors begin with, up to `wte.weight`.
    gpt2: Option<String>,
}

/// The end of the name of the language model's token table.
const TOKENS: &str = "wte.weight";
/// The language model's output layer, which is its token table again.
const HEAD: &str = "lm_head.weight";

impl Parts {
    /// Looks for a mapper and a language model among the names. Fails, in words, if there are several of either.
    pub(super) fn find(shapes: &Shapes) -> Result<Self, String> {
        let shapes: &Shapes = &shapes.iter().map(|(name, shape)| (unwrapped(name), shape.clone())).collect();
        let before = |name: &String| name.find(MAPPER_PREFIX).map(|at| name[..at + MAPPER_PREFIX.len()].to_owned());
        let named = only("mappers", shapes.keys().filter_map(before).collect())?;
        let before = |name: &String| name.strip_suffix(TOKENS).map(str::to_owned);
        let gpt2 = only("language models", shapes.keys().filter_map(before).collect())?;
        // A mapper that was saved alone has bare names; those of a single layer could be of anything, beside others.
        let alone = |shape: &MapperShape| shape.kind != MapperKind::Linear || shapes.len() <= 2;
        let bare = || MapperShape::new(shapes).filter(alone).map(|_| String::new());
        Ok(Self { mapper: named.or_else(bare), gpt2 })
    }

    /// The name that a tensor has in our own files; that of a tensor of neither part stays.
    pub(super) fn rename(&self, name: &str) -> String {
        let name = &unwrapped(name);
        if let Some(gpt2) = &self.gpt2 {
            if let Some(rest) = name.strip_prefix(gpt2.as_str()) {
                return format!("{GPT_PREFIX}transformer.{rest}");
            }
            let wrapper = gpt2.strip_suffix("transformer.").unwrap_or(gpt2);
            if name.strip_prefix(wrapper) == Some(HEAD) {
                return format!("{GPT_PREFIX}{HEAD}");
            }
        }
        match self.mapper.as_deref().and_then(|mapper| name.strip_prefix(mapper)) {
            Some(rest) => format!("{MAPPER_PREFIX}{rest}"),
            None => name.to_owned(),
        }
    }
}

/// Without the words that PyTorch's compiler and its sharding put inside names.
fn unwrapped(name: &str) -> String {
    name.replace("_orig_mod.", "").replace("_fsdp_wrapped_module.", "")
}

/// The one element, if there is any.
fn only(what: &str, found: BTreeSet<String>) -> Result<Option<String>, String> {
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(|name| format!("`{name}`")).collect();
        return Err(format!("the file holds {} {what}, {}: save one of them", found.len(), names.join(" and ")));
    }
    Ok(found.into_iter().next())
}

/// What a file of renamed tensors holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) mapper: Option<MapperShape>,
    pub(super) gpt2: Option<Gpt2Shape>,
}

impl Found {
    pub(super) fn new(renamed: &Shapes) -> Self {
        let under = |prefix: &str| -> Shapes {
            let bare = renamed.iter().filter_map(|(name, shape)| Some((name.strip_prefix(prefix)?, shape)));
            bare.map(|(name, shape)| (name.to_owned(), shape.clone())).collect()
        };
        let gpt2 = Gpt2Shape::new(&under(&format!("{GPT_PREFIX}transformer.")));
        Self { mapper: MapperShape::new(&under(MAPPER_PREFIX)), gpt2 }
    }
}
