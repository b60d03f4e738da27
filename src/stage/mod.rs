//! The stage kinds: one file each, the only place where tables and models meet.
//!
//! A stage is a plain struct of its parameters. It sees its declared inputs ([`Inputs`]) and nothing else: no clock,
//! no environment, no unseeded random number. Equal parameters and inputs give equal outputs, byte for byte.

pub mod annotations;
pub mod attention;
pub mod caption;
pub mod embed;
pub mod external;
pub mod features;
pub mod floor;
pub mod ingest;
pub mod input;
pub mod meteor;
pub mod pretrain;
pub mod score;
pub mod spice;
pub mod statistics;
pub mod summary;
pub mod tokenize;
pub mod train;

mod outcome;
mod per_image;
mod report;
mod unscored;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use input::{Expected, ForeignTable, Inputs, Loaded, Origin};
pub use outcome::{Content, Context, Made, Outcome};

/// The kinds of stages, in the order in which data flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Annotation file -> `entries`, `sentences`, `lint`, `edition`.
    Annotations,
    /// Images -> `images` with digests, `lint`.
    Ingest,
    /// Training data -> a scratch model in Hugging Face layout.
    Pretrain,
    /// Sentences -> token ids.
    Tokenize,
    /// Images -> CLIP vectors.
    Embed,
    /// Images -> feature maps.
    Features,
    /// Vectors and tokens -> a mapper; or feature maps and words -> a decoder.
    Train,
    /// Vectors and a mapper -> captions; or another source of captions.
    Caption,
    /// What a metric needs besides captions, in a form that is quick to read.
    Resource,
    /// Captions and references -> SPICE, by the official program.
    Spice,
    /// Captions and references -> scores.
    Score,
}

impl Kind {
    /// All kinds, in flow order.
    pub const ALL: [Self; 11] = [
        Self::Annotations,
        Self::Ingest,
        Self::Pretrain,
        Self::Tokenize,
        Self::Embed,
        Self::Features,
        Self::Train,
        Self::Caption,
        Self::Resource,
        Self::Spice,
        Self::Score,
    ];

    /// The name in targets and paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Annotations => "annotations",
            Self::Ingest => "ingest",
            Self::Pretrain => "pretrain",
            Self::Tokenize => "tokenize",
            Self::Embed => "embed",
            Self::Features => "features",
            Self::Train => "train",
            Self::Caption => "caption",
            Self::Resource => "resource",
            Self::Spice => "spice",
            Self::Score => "score",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(())
    }
}

/// One stage with all its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// See [`annotations`].
    Annotations(annotations::ReadAnnotations),
    /// See [`ingest`].
    Ingest(ingest::Ingest),
    /// See [`pretrain`].
    PretrainClip(pretrain::PretrainClip),
    /// See [`pretrain`].
    PretrainGpt2(pretrain::PretrainGpt2),
    /// See [`tokenize`].
    Tokenize(tokenize::Tokenize),
    /// See [`embed`].
    Embed(embed::Embed),
    /// See [`features`].
    Features(features::Features),
    /// See [`attention`].
    BuildVocabulary(attention::BuildVocabulary),
    /// See [`attention`].
    TrainAttention(attention::TrainAttention),
    /// See [`attention`].
    CaptionByAttention(attention::CaptionByAttention),
    /// See [`train`].
    Train(train::Train),
    /// See [`caption`].
    Caption(caption::Caption),
    /// One train caption for all images; see [`floor`].
    Constant(floor::Constant),
    /// The most frequent caption of the class; see [`floor`].
    ByClass(floor::ByClass),
    /// The consensus caption of the nearest train image; see [`floor`].
    Nearest(floor::Nearest),
    /// One human caption against the others; see [`floor`].
    Human(floor::Human),
    /// Captions that another program made; see [`external`].
    ExternalCaptions(external::Captions),
    /// A mapper that another program trained; see [`external`].
    ExternalMapper(external::Mapper),
    /// See [`meteor`].
    MeteorTables(meteor::MeteorTables),
    /// See [`spice`].
    Spice(spice::Spice),
    /// See [`score`].
    Score(score::Score),
    /// See [`summary`].
    Summary(summary::Summary),
}

/// The same expression for whatever stage it is.
macro_rules! each {
    ($self:ident, $stage:ident => $body:expr) => {
        match $self {
            Stage::Annotations($stage) => $body,
            Stage::Ingest($stage) => $body,
            Stage::PretrainClip($stage) => $body,
            Stage::PretrainGpt2($stage) => $body,
            Stage::Tokenize($stage) => $body,
            Stage::Embed($stage) => $body,
            Stage::Features($stage) => $body,
            Stage::BuildVocabulary($stage) => $body,
            Stage::TrainAttention($stage) => $body,
            Stage::CaptionByAttention($stage) => $body,
            Stage::Train($stage) => $body,
            Stage::Caption($stage) => $body,
            Stage::Constant($stage) => $body,
            Stage::ByClass($stage) => $body,
            Stage::Nearest($stage) => $body,
            Stage::Human($stage) => $body,
            Stage::ExternalCaptions($stage) => $body,
            Stage::ExternalMapper($stage) => $body,
            Stage::MeteorTables($stage) => $body,
            Stage::Spice($stage) => $body,
            Stage::Score($stage) => $body,
            Stage::Summary($stage) => $body,
        }
    };
}

impl Stage {
    /// The kind, which is the first part of an instance's name.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Annotations(_) => Kind::Annotations,
            Self::Ingest(_) => Kind::Ingest,
            Self::PretrainClip(_) | Self::PretrainGpt2(_) => Kind::Pretrain,
            Self::Tokenize(_) | Self::BuildVocabulary(_) => Kind::Tokenize,
            Self::Embed(_) => Kind::Embed,
            Self::Features(_) => Kind::Features,
            Self::Train(_) | Self::TrainAttention(_) | Self::ExternalMapper(_) => Kind::Train,
            Self::Caption(_)
            | Self::CaptionByAttention(_)
            | Self::Constant(_)
            | Self::ByClass(_)
            | Self::Nearest(_)
            | Self::Human(_)
            | Self::ExternalCaptions(_) => Kind::Caption,
            Self::MeteorTables(_) => Kind::Resource,
            Self::Spice(_) => Kind::Spice,
            Self::Score(_) | Self::Summary(_) => Kind::Score,
        }
    }

    /// The name in the key, which tells stages of one kind apart.
    pub fn key_name(&self) -> &'static str {
        match self {
            Self::PretrainClip(_) => "pretrain_clip",
            Self::PretrainGpt2(_) => "pretrain_gpt2",
            Self::BuildVocabulary(_) => "vocabulary",
            Self::TrainAttention(_) => "train_attention",
            Self::CaptionByAttention(_) => "caption_by_attention",
            Self::Constant(_) => "constant",
            Self::ByClass(_) => "class",
            Self::Nearest(_) => "knn",
            Self::Human(_) => "human",
            Self::ExternalCaptions(_) => "import",
            Self::ExternalMapper(_) => "checkpoint",
            Self::MeteorTables(_) => "meteor",
            Self::Summary(_) => "summary",
            other => other.kind().name(),
        }
    }

    /// The version of the stage's code: raised when equal inputs would give other outputs.
    pub fn version(&self) -> u32 {
        match self {
            Self::Annotations(_) => annotations::VERSION,
            Self::Ingest(_) => ingest::VERSION,
            Self::PretrainClip(_) => pretrain::CLIP_VERSION,
            Self::PretrainGpt2(_) => pretrain::GPT2_VERSION,
            Self::Tokenize(_) => tokenize::VERSION,
            Self::Embed(_) => embed::VERSION,
            Self::Features(_) => features::VERSION,
            Self::BuildVocabulary(_) => attention::VOCABULARY_VERSION,
            Self::TrainAttention(_) => attention::TRAIN_VERSION,
            Self::CaptionByAttention(_) => attention::CAPTION_VERSION,
            Self::Train(_) => train::VERSION,
            Self::Caption(_) => caption::VERSION,
            Self::Constant(_) | Self::ByClass(_) | Self::Nearest(_) | Self::Human(_) => floor::VERSION,
            Self::ExternalCaptions(_) => external::CAPTIONS_VERSION,
            Self::ExternalMapper(_) => external::MAPPER_VERSION,
            Self::MeteorTables(_) => meteor::VERSION,
            Self::Spice(_) => spice::VERSION,
            Self::Score(_) => score::VERSION,
            Self::Summary(_) => summary::VERSION,
        }
    }

    /// The keyed parameters, by dotted name.
    pub fn parameters(&self) -> Result<BTreeMap<String, Value>> {
        let mut leaves = BTreeMap::new();
        flatten(String::new(), each!(self, stage => serde_json::to_value(stage))?, &mut leaves);
        Ok(leaves)
    }

    /// The name of the main output, which stands at `output/<kind>/<instance>`.
    pub fn primary(&self) -> &'static str {
        if let Self::ExternalMapper(_) = self {
            return "tensors";
        }
        match self.kind() {
            Kind::Annotations => "entries",
            Kind::Ingest => "images",
            Kind::Pretrain | Kind::Train => "history",
            Kind::Tokenize => "tokens",
            Kind::Embed => "embeddings",
            Kind::Features => "features",
            Kind::Caption => "captions",
            Kind::Resource => "table",
            Kind::Spice => "spice",
            Kind::Score => "scores",
        }
    }

    /// The input whose rows are computed one by one, so that rows of an earlier run can be used again.
    pub fn row_input(&self) -> Option<&'static str> {
        match self {
            Self::Embed(_) | Self::Features(_) => Some("images"),
            _ => None,
        }
    }

    /// Does the work.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        each!(self, stage => stage.run(inputs, context))
    }
}

fn flatten(name: String, value: Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                flatten(name, value, leaves);
            }
        }
        leaf => _ = leaves.insert(name, leaf),
    }
}
