//! What a file of weights is, from its names and shapes alone.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use serde::Serialize;
use serde_json::{Value, json};

use super::infer::{Found, Gpt2Shape, MapperShape, Parts, Shapes};
use super::trained::{GPT_PREFIX, MAPPER_PREFIX, mapper_config};
use crate::model::Content;
use crate::model::clip::{self, ClipShape, Family};
use crate::model::gpt2::is_buffer;
use crate::model::mapper::MapperConfig;
use crate::model::resnet::ResNetShape;
use crate::model::weights::{Beside, Format, TensorFile};

/// What a file of weights is.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Its format.
    pub format: Format,
    /// Where in the file the tensors are, such as `state_dict`; empty for the top level.
    pub place: String,
    /// What model it is of, in a few words.
    pub model: String,
    /// What shapes and notes tell, part by part.
    pub architecture: BTreeMap<String, Value>,
    /// What shapes do not tell: from the file's notes, or a guess.
    pub profile: Vec<Guess>,
    /// Names that such a model has and the file has not.
    pub missing: Vec<String>,
    /// Names of the file that such a model has no use for.
    pub unmatched: Vec<String>,
    /// Tensors whose shapes do not fit the others.
    pub misshapen: Vec<String>,
    /// All tensors, in the order of the file.
    pub tensors: Vec<TensorRow>,
    /// What is in the file besides.
    pub beside: Vec<Beside>,
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorRow {
    /// The name.
    pub name: String,
    /// The type of its elements, under PyTorch's name.
    pub dtype: &'static str,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// What part of the model it is of.
    pub part: &'static str,
}

/// A setting that shapes do not tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Guess {
    /// The setting.
    pub setting: &'static str,
    /// The likely value.
    pub value: Value,
    /// Whether the file says so itself.
    pub known: bool,
    /// Why.
    pub why: String,
}

/// Reads what a file says of its tensors and concludes what model they are of; their numbers are not read.
///
/// Fails if the file is no file of tensors; see [`TensorFile::open`].
pub fn inspect(content: &Content) -> Result<Inspection> {
    let file = TensorFile::open(content)?;
    let shapes: Shapes = file.entries.iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect();
    let parts = Parts::find(&shapes).map_err(|why| anyhow!(why))?;
    let renamed: Shapes = shapes.iter().map(|(name, shape)| (parts.rename(name), shape.clone())).collect();
    let found = Found::new(&renamed);
    let mut report = Inspection {
        format: file.format,
        place: file.place.clone(),
        model: "no model that is known here".to_owned(),
        architecture: BTreeMap::new(),
        profile: Vec::new(),
        missing: Vec::new(),
        unmatched: Vec::new(),
        misshapen: Vec::new(),
        tensors: Vec::new(),
        beside: file.beside.clone(),
    };
    let bare = clip::unwrapped_names(&shapes);
    let (mut of_clip, mut of_resnet) = (false, false);
    if let Some(mapper) = &found.mapper {
        report.captioner(mapper, found.gpt2.as_ref(), mapper_config(&file)?)?;
        report.compare(&renamed, mapper, found.gpt2.as_ref());
    } else if let Some(gpt2) = &found.gpt2 {
        "a GPT-2 language model".clone_into(&mut report.model);
        report.architecture.insert("gpt2".to_owned(), json!(gpt2));
        report.guess("n_head", gpt2.config().n_head.into(), "GPT-2's heads are 64 wide; config.json tells");
        report.compare_with(&renamed, &gpt2_tensors(gpt2), true);
    } else if let Some(clip) = ClipShape::new(&bare) {
        of_clip = true;
        report.clip(&clip);
        (report.missing, report.unmatched) = clip.differences(&bare);
        report.misshapen = misshapen(&clip.translated(&bare), &clip.tensors().into_iter().collect());
    } else if let Some((resnet, differences)) = ResNetShape::recognise(&shapes) {
        of_resnet = true;
        "a ResNet with torchvision's names".clone_into(&mut report.model);
        report.architecture.insert("resnet".to_owned(), json!(resnet));
        (report.missing, report.unmatched) = (differences.missing, differences.unmatched);
        report.misshapen = differences.misshapen;
    } else {
        report.unmatched = shapes.keys().cloned().collect();
    }
    report.tensors = file
        .entries
        .iter()
        .map(|entry| TensorRow {
            name: entry.name.clone(),
            dtype: entry.dtype.name(),
            shape: entry.shape.clone(),
            part: match (of_clip, of_resnet) {
                (true, _) => clip_part(&entry.name),
                (_, true) => "image encoder",
                _ => part(&parts.rename(&entry.name)),
            },
        })
        .collect();
    Ok(report)
}

impl Inspection {
    fn guess(&mut self, setting: &'static str, value: Value, why: &str) {
        self.profile.push(Guess { setting, value, known: false, why: why.to_owned() });
    }

    fn know(&mut self, setting: &'static str, value: Value) {
        self.profile.push(Guess { setting, value, known: true, why: "the file's own notes".to_owned() });
    }

    fn captioner(&mut self, mapper: &MapperShape, gpt2: Option<&Gpt2Shape>, own: Option<MapperConfig>) -> Result<()> {
        let kind = serde_json::to_value(mapper.kind)?;
        let with = if gpt2.is_some() { ", with its GPT-2" } else { "" };
        self.model = format!("a captioning model: mapper of kind {}{with}", kind.as_str().unwrap_or_default());
        let mut sizes = json!(mapper);
        if let Some(width) = mapper.width.or(gpt2.map(|gpt2| gpt2.width)) {
            sizes["width"] = width.into();
            sizes["prefix_length"] = (mapper.outputs / width.max(1)).into();
        }
        self.architecture.insert("mapper".to_owned(), sizes);
        if let Some(gpt2) = gpt2 {
            self.architecture.insert("gpt2".to_owned(), json!(gpt2));
        }
        if let Some(own) = own {
            self.know("heads", own.heads.into());
            self.know("normalize", own.normalize.into());
            return Ok(());
        }
        if mapper.kind.has_layers() && mapper.heads.is_none() {
            match mapper.layers {
                Some(16) => self.guess("heads", 16.into(), "16 layers, as in the RSIC paper, which has 16 heads"),
                _ => self.guess("heads", 8.into(), "ClipCap's transformers have 8 heads"),
            }
        }
        if mapper.clip_dim == 640 {
            self.guess("normalize", true.into(), "vectors of 640 numbers are RN50x4's, which ClipCap normalises");
        } else {
            self.guess("normalize", false.into(), "ClipCap's models of ViT-B/32 and the RSIC paper's do not normalise");
        }
        if gpt2.is_none_or(|gpt2| gpt2.vocab == BYTE_LEVEL) {
            self.guess("stop_texts", json!([".", " ."]), "ClipCap learns no end of text: captions end at a full stop");
        }
        Ok(())
    }

    fn clip(&mut self, clip: &ClipShape) {
        let model = match clip.family {
            Family::Clip => "a CLIP with Hugging Face's names",
            Family::OpenClip => "a CLIP with OpenCLIP's names (RemoteCLIP, GeoRSCLIP)",
            Family::ChineseClip => "a Chinese-CLIP; only its vision tower is of use here",
        };
        model.clone_into(&mut self.model);
        self.architecture.insert("clip".to_owned(), json!(clip));
        self.guess("heads", clip.usual_heads().into(), "what vision towers of this width usually have");
        let (act, why) = match (clip.family, clip.width) {
            (Family::OpenClip, 1280..) => ("gelu", "OpenCLIP's own H and larger models are trained with GELU"),
            _ => ("quick_gelu", "models of these sizes usually come from OpenAI's, which have QuickGELU"),
        };
        self.guess("hidden_act", act.into(), &format!("{why}; a wrong one gives wrong vectors without an error"));
    }

    fn compare(&mut self, renamed: &Shapes, mapper: &MapperShape, gpt2: Option<&Gpt2Shape>) {
        // Names depend on neither width nor heads.
        let width = mapper.width.unwrap_or(mapper.outputs);
        let heads = mapper.heads.or(mapper.kind.has_layers().then_some(1));
        let tensors = mapper.config(width, heads, false).map(|config| config.tensors()).unwrap_or_default();
        let mut expected: Shapes =
            tensors.into_iter().map(|(name, shape)| (format!("{MAPPER_PREFIX}{name}"), shape)).collect();
        expected.extend(gpt2.map(gpt2_tensors).unwrap_or_default());
        self.compare_with(renamed, &expected, gpt2.is_some());
    }

    fn compare_with(&mut self, renamed: &Shapes, expected: &Shapes, gpt2: bool) {
        self.missing = expected.keys().filter(|name| !renamed.contains_key(*name)).cloned().collect();
        let spare = |name: &&String| gpt2 && (is_buffer(name) || *name == &format!("{GPT_PREFIX}lm_head.weight"));
        self.unmatched = renamed.keys().filter(|name| !expected.contains_key(*name) && !spare(name)).cloned().collect();
        self.misshapen = misshapen(renamed, expected);
    }
}

/// The size of GPT-2's own vocabulary.
const BYTE_LEVEL: usize = 50257;

fn gpt2_tensors(gpt2: &Gpt2Shape) -> Shapes {
    let tensors = gpt2.config().tensors().into_iter();
    tensors.map(|(name, shape)| (format!("{GPT_PREFIX}transformer.{name}"), shape)).collect()
}

fn misshapen(found: &Shapes, expected: &Shapes) -> Vec<String> {
    let pairs = expected.iter().filter_map(|(name, wanted)| Some((name, found.get(name)?, wanted)));
    pairs
        .filter(|(_, is, wanted)| is != wanted)
        .map(|(name, is, wanted)| format!("{name} is {is:?}, expected {wanted:?}"))
        .collect()
}

fn part(renamed: &str) -> &'static str {
    if renamed.starts_with(GPT_PREFIX) && is_buffer(renamed) {
        "mask, not used"
    } else if renamed.starts_with(GPT_PREFIX) {
        "language model"
    } else if renamed.starts_with(MAPPER_PREFIX) {
        "mapper"
    } else {
        "not used"
    }
}

/// The part of a CLIP; wrappers may stand before the names.
fn clip_part(name: &str) -> &'static str {
    if name.contains("visual") || name.contains("vision_model") {
        "vision tower"
    } else if clip::is_buffer(name) {
        "not used"
    } else {
        "text tower"
    }
}
