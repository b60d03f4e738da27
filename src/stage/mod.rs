//! The stage kinds: one file each, the only place where tables and models meet.
//!
//! A stage is a plain struct of its parameters. It sees its declared inputs ([`Inputs`]) and nothing else: no clock,
//! no environment, no unseeded random number. Equal parameters and inputs give equal outputs, byte for byte.

pub mod caption;
pub mod constant;
pub mod embed;
pub mod ingest;
pub mod input;
pub mod pretrain;
pub mod score;
pub mod tokenize;
pub mod train;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cache::StatCache;
use crate::progress::{Checkpoint, Progress};

pub use input::{Inputs, Loaded};

/// The kinds of stages, in the order in which data flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Annotation file and images -> `images`, `sentences`, `lint`, `edition`.
    Ingest,
    /// Training data -> a scratch model in Hugging Face layout.
    Pretrain,
    /// Sentences -> token ids.
    Tokenize,
    /// Images -> CLIP vectors.
    Embed,
    /// Vectors and tokens -> a mapper.
    Train,
    /// Vectors and a mapper -> captions.
    Caption,
    /// Captions and references -> scores.
    Score,
}

impl Kind {
    /// All kinds, in flow order.
    pub const ALL: [Self; 7] =
        [Self::Ingest, Self::Pretrain, Self::Tokenize, Self::Embed, Self::Train, Self::Caption, Self::Score];

    /// The name in targets and paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Pretrain => "pretrain",
            Self::Tokenize => "tokenize",
            Self::Embed => "embed",
            Self::Train => "train",
            Self::Caption => "caption",
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
    /// See [`train`].
    Train(train::Train),
    /// See [`caption`].
    Caption(caption::Caption),
    /// See [`constant`].
    Constant(constant::Constant),
    /// See [`score`].
    Score(score::Score),
}

impl Stage {
    /// The kind, which is the first part of an instance's name.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Ingest(_) => Kind::Ingest,
            Self::PretrainClip(_) | Self::PretrainGpt2(_) => Kind::Pretrain,
            Self::Tokenize(_) => Kind::Tokenize,
            Self::Embed(_) => Kind::Embed,
            Self::Train(_) => Kind::Train,
            Self::Caption(_) | Self::Constant(_) => Kind::Caption,
            Self::Score(_) => Kind::Score,
        }
    }

    /// The name in the key, which tells the two sorts of `pretrain` apart.
    pub fn key_name(&self) -> &'static str {
        match self {
            Self::PretrainClip(_) => "pretrain_clip",
            Self::PretrainGpt2(_) => "pretrain_gpt2",
            Self::Constant(_) => "constant",
            other => other.kind().name(),
        }
    }

    /// The version of the stage's code: raised when equal inputs would give other outputs.
    pub fn version(&self) -> u32 {
        match self {
            Self::Ingest(_) => ingest::VERSION,
            Self::PretrainClip(_) => pretrain::CLIP_VERSION,
            Self::PretrainGpt2(_) => pretrain::GPT2_VERSION,
            Self::Tokenize(_) => tokenize::VERSION,
            Self::Embed(_) => embed::VERSION,
            Self::Train(_) => train::VERSION,
            Self::Caption(_) => caption::VERSION,
            Self::Constant(_) => constant::VERSION,
            Self::Score(_) => score::VERSION,
        }
    }

    /// The keyed parameters, by dotted name.
    pub fn parameters(&self) -> Result<BTreeMap<String, Value>> {
        let value = match self {
            Self::Ingest(stage) => serde_json::to_value(stage),
            Self::PretrainClip(stage) => serde_json::to_value(stage),
            Self::PretrainGpt2(stage) => serde_json::to_value(stage),
            Self::Tokenize(stage) => serde_json::to_value(stage),
            Self::Embed(stage) => serde_json::to_value(stage),
            Self::Train(stage) => serde_json::to_value(stage),
            Self::Caption(stage) => serde_json::to_value(stage),
            Self::Constant(stage) => serde_json::to_value(stage),
            Self::Score(stage) => serde_json::to_value(stage),
        }?;
        let mut leaves = BTreeMap::new();
        flatten(String::new(), value, &mut leaves);
        Ok(leaves)
    }

    /// The name of the main output, which stands at `output/<kind>/<instance>`.
    pub fn primary(&self) -> &'static str {
        match self {
            Self::Ingest(_) => "images",
            Self::PretrainClip(_) | Self::PretrainGpt2(_) | Self::Train(_) => "history",
            Self::Tokenize(_) => "tokens",
            Self::Embed(_) => "embeddings",
            Self::Caption(_) | Self::Constant(_) => "captions",
            Self::Score(_) => "scores",
        }
    }

    /// The input whose rows are computed one by one, so that rows of an earlier run can be used again.
    pub fn row_input(&self) -> Option<&'static str> {
        match self {
            Self::Embed(_) => Some("images"),
            _ => None,
        }
    }

    /// Does the work.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        match self {
            Self::Ingest(stage) => stage.run(inputs, context),
            Self::PretrainClip(stage) => stage.run(inputs, context),
            Self::PretrainGpt2(stage) => stage.run(inputs, context),
            Self::Tokenize(stage) => stage.run(inputs, context),
            Self::Embed(stage) => stage.run(inputs, context),
            Self::Train(stage) => stage.run(inputs, context),
            Self::Caption(stage) => stage.run(inputs, context),
            Self::Constant(stage) => stage.run(inputs, context),
            Self::Score(stage) => stage.run(inputs, context),
        }
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

/// What a running stage may use besides its inputs; none of it changes the result.
pub struct Context<'a> {
    /// Who is told how far the work is.
    pub progress: &'a dyn Progress,
    /// Where long work keeps its place.
    pub checkpoint: &'a mut dyn Checkpoint,
    /// Facts about source files that need not be computed again.
    pub facts: &'a StatCache,
    /// The main output of an earlier run that differs only in which rows it holds ([`Stage::row_input`]).
    pub previous: Option<RecordBatch>,
}

/// What a stage made.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The outputs by name.
    pub outputs: Vec<Made>,
    /// Remarks worth keeping, shown by `rsic log`.
    pub log: Vec<String>,
}

/// One output of a stage.
#[derive(Debug)]
pub struct Made {
    /// The output's name within the stage.
    pub name: String,
    /// Its content.
    pub content: Content,
}

/// The content of an output.
#[derive(Debug)]
pub enum Content {
    /// A table, stored as Parquet.
    Table(RecordBatch),
    /// Anything else, with its file extension.
    Bytes(Vec<u8>, &'static str),
}

impl Outcome {
    /// Adds a table.
    pub fn table(&mut self, name: &str, table: RecordBatch) {
        self.outputs.push(Made { name: name.to_owned(), content: Content::Table(table) });
    }

    /// Adds a file.
    pub fn bytes(&mut self, name: &str, bytes: Vec<u8>, extension: &'static str) {
        self.outputs.push(Made { name: name.to_owned(), content: Content::Bytes(bytes, extension) });
    }
}
