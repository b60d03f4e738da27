//! All instances that a configuration defines, with what each reads.
//!
//! ```text
//! ingest/ucm ----> tokenize/ucm --------------\
//!     \----------> embed/ucm ------------------> train/ucm_amht --> caption/ucm_amht --> score/ucm_amht
//!      \---------> pretrain/ucm_clip, pretrain/ucm_gpt2   (only where a model's source is `scratch`)
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::config::{Config, DatasetConfig};
use super::models::{self, ModelFiles};
use crate::language::Language;
use crate::stage::caption::Caption;
use crate::stage::constant::Constant;
use crate::stage::ingest::Ingest;
use crate::stage::pretrain::{PretrainClip, PretrainGpt2};
use crate::stage::score::Score;
use crate::stage::tokenize::Tokenize;
use crate::stage::train::Train;
use crate::stage::{Kind, Stage};

/// The name of the model that gives every image the same caption.
pub const CONSTANT: &str = "constant";

/// The place of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// An instance of a stage kind, such as `score/ucm_amht`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The stage kind.
    pub kind: Kind,
    /// The name within the kind.
    pub name: String,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A stage, its name and what it reads.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name.
    pub instance: Instance,
    /// The work.
    pub stage: Stage,
    /// The version of the stage's code, as it goes into the key.
    pub version: u32,
    /// The declared inputs.
    pub inputs: Vec<Input>,
}

/// One declared input.
#[derive(Clone, Debug)]
pub struct Input {
    /// The name by which the stage asks for it.
    pub name: &'static str,
    /// Where it comes from.
    pub from: From,
}

/// Where an input comes from.
#[derive(Clone, Debug)]
pub enum From {
    /// Columns of a table of another node (all that the stage reads), or a whole file where `columns` is empty.
    Output {
        /// The node that makes it.
        node: NodeId,
        /// The output's name.
        output: &'static str,
        /// The columns read.
        columns: &'static [&'static str],
    },
    /// A source file; its content is in the key.
    File(PathBuf),
    /// A folder of source files; names and contents are in the key.
    Folder(PathBuf),
    /// A folder whose files are already in the key through digests in a table.
    Located(PathBuf),
    /// The model that a `pretrain` node makes.
    Scratch {
        /// The node.
        node: NodeId,
        /// Which of its files are read.
        role: models::Role,
    },
    /// A model's files on disk; their contents are in the key.
    Model {
        /// The files, or why there are none.
        files: Result<ModelFiles, models::NoModel>,
        /// Which of its files are read.
        role: models::Role,
    },
}

impl Node {
    /// The nodes whose outputs this one reads.
    pub fn upstream(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self
            .inputs
            .iter()
            .filter_map(|input| match &input.from {
                From::Output { node, .. } | From::Scratch { node, .. } => Some(*node),
                _ => None,
            })
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

/// All nodes; what a node reads stands before it.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The nodes, in an order in which they could be built one by one.
    pub nodes: Vec<Node>,
    by_name: BTreeMap<String, NodeId>,
}

impl Graph {
    /// Makes every instance that the configuration defines; relative paths are below `root`.
    pub fn new(config: &Config, root: &Path) -> Self {
        let mut builder = Builder { config, root, graph: Self::default() };
        // Datasets that own their images come first: others read their embeddings.
        for owns in [true, false] {
            for (name, dataset) in &config.datasets {
                if dataset.images_of.is_none() == owns {
                    builder.dataset(name, dataset);
                }
            }
        }
        builder.graph
    }

    /// The node with this full name, such as `score/ucm_amht`.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// All full names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The full name of a node.
    pub fn name(&self, node: NodeId) -> String {
        self.nodes[node].instance.to_string()
    }

    /// `targets` and everything that they read, in build order.
    pub fn closure(&self, targets: &[NodeId]) -> Vec<NodeId> {
        let mut wanted = vec![false; self.nodes.len()];
        let mut stack = targets.to_vec();
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut wanted[node], true) {
                stack.extend(self.nodes[node].upstream());
            }
        }
        (0..self.nodes.len()).filter(|&node| wanted[node]).collect()
    }

    fn add(&mut self, name: &str, stage: Stage, inputs: Vec<Input>) -> NodeId {
        let instance = Instance { kind: stage.kind(), name: name.to_owned() };
        let id = self.nodes.len();
        self.by_name.insert(instance.to_string(), id);
        let version = stage.version();
        self.nodes.push(Node { instance, stage, version, inputs });
        id
    }
}

struct Builder<'a> {
    config: &'a Config,
    root: &'a Path,
    graph: Graph,
}

fn output(name: &'static str, node: NodeId, output: &'static str, columns: &'static [&'static str]) -> Input {
    Input { name, from: From::Output { node, output, columns } }
}

impl Builder<'_> {
    fn dataset(&mut self, name: &str, dataset: &DatasetConfig) {
        let language = dataset.language;
        let images = self.root.join(&dataset.images);
        let ingest = self.graph.add(
            name,
            Stage::Ingest(Ingest { language }),
            vec![
                Input { name: "annotations", from: From::File(self.root.join(&dataset.annotations)) },
                Input { name: "images", from: From::Folder(images.clone()) },
            ],
        );
        let embed = match &dataset.images_of {
            Some(base) => {
                let shared = self.graph.find(&format!("embed/{base}")).unwrap_or(ingest);
                self.graph.by_name.insert(format!("embed/{name}"), shared);
                shared
            }
            None => self.embed(name, ingest, &images, language),
        };
        let gpt2 = self.gpt2(name, ingest, language);
        let tokenize = self.graph.add(
            name,
            Stage::Tokenize(Tokenize { language }),
            vec![
                output("images", ingest, "images", &["image_id", "split"]),
                output("sentences", ingest, "sentences", &["image_id", "sent_id", "raw"]),
                Input { name: "gpt2", from: gpt2(models::Role::Tokenizer) },
            ],
        );
        self.constant(name, language, ingest);
        for mapper in self.config.mappers.keys() {
            for finetune in [false, true] {
                self.captioner(name, mapper, finetune, language, [ingest, embed, tokenize], &gpt2);
            }
        }
    }

    fn embed(&mut self, name: &str, ingest: NodeId, images: &Path, language: Language) -> NodeId {
        let located = || Input { name: "files", from: From::Located(images.to_owned()) };
        let clip = if self.config.models.clip == models::SCRATCH {
            let node = self.graph.add(
                &format!("{name}_clip"),
                Stage::PretrainClip(PretrainClip { language, clip: self.config.scratch.clip.clone() }),
                vec![
                    output("images", ingest, "images", &["image_id", "split", "digest"]),
                    output("sentences", ingest, "sentences", &["image_id", "raw"]),
                    located(),
                ],
            );
            From::Scratch { node, role: models::Role::ImageEncoder }
        } else {
            let files = models::find(&self.config.models.clip, self.root, models::Role::ImageEncoder);
            From::Model { files, role: models::Role::ImageEncoder }
        };
        self.graph.add(
            name,
            Stage::Embed(self.config.embed.clone()),
            vec![output("images", ingest, "images", &["digest"]), located(), Input { name: "clip", from: clip }],
        )
    }

    /// How to read this dataset's language model, in one role or another.
    fn gpt2(&mut self, name: &str, ingest: NodeId, language: Language) -> Box<dyn Fn(models::Role) -> From> {
        let source = self.config.models.gpt2.get(&language).cloned().unwrap_or_default();
        if source == models::SCRATCH {
            let node = self.graph.add(
                &format!("{name}_gpt2"),
                Stage::PretrainGpt2(PretrainGpt2 { language, gpt2: self.config.scratch.gpt2.clone() }),
                vec![
                    output("images", ingest, "images", &["image_id", "split"]),
                    output("sentences", ingest, "sentences", &["image_id", "raw"]),
                ],
            );
            return Box::new(move |role| From::Scratch { node, role });
        }
        let root = self.root.to_owned();
        Box::new(move |role| From::Model { files: models::find(&source, &root, role), role })
    }

    fn captioner(
        &mut self,
        dataset: &str,
        mapper: &str,
        finetune: bool,
        language: Language,
        [ingest, embed, tokenize]: [NodeId; 3],
        gpt2: &dyn Fn(models::Role) -> From,
    ) {
        let model = if finetune { format!("{mapper}_gpt") } else { mapper.to_owned() };
        let name = format!("{dataset}_{model}");
        let language_model = || Input { name: "gpt2", from: gpt2(models::Role::LanguageModel) };
        let mut reads = vec![
            output("images", ingest, "images", &["image_id", "split", "digest"]),
            output("embeddings", embed, "embeddings", &["digest", "vector"]),
            output("tokens", tokenize, "tokens", &["image_id", "ids"]),
            language_model(),
        ];
        // A scratch encoder has learnt from the train split of the dataset that owns the images.
        let base = self.config.datasets.get(dataset).and_then(|dataset| dataset.images_of.as_ref());
        let base = base.filter(|_| self.config.models.clip == models::SCRATCH);
        if let Some(base) = base.and_then(|base| self.graph.find(&format!("ingest/{base}"))) {
            reads.push(output("encoder_images", base, "images", &["split", "digest"]));
        }
        let train = self.graph.add(
            &name,
            Stage::Train(Train {
                language,
                finetune,
                mapper: self.config.mappers[mapper].clone(),
                train: self.config.train.clone(),
            }),
            reads,
        );
        let caption = self.graph.add(
            &name,
            Stage::Caption(Caption {
                language,
                split: self.config.caption.split,
                max_tokens: self.config.caption.max_tokens.get(&language).copied().unwrap_or(67),
                decoding: self.config.caption.decoding.clone(),
            }),
            vec![
                output("images", ingest, "images", &["image_id", "split", "digest"]),
                output("embeddings", embed, "embeddings", &["digest", "vector"]),
                output("weights", train, "weights", &[]),
                language_model(),
            ],
        );
        self.score(dataset, &model, language, ingest, caption);
    }

    /// The floor: one train caption for every image.
    fn constant(&mut self, dataset: &str, language: Language, ingest: NodeId) {
        let caption = self.graph.add(
            &format!("{dataset}_{CONSTANT}"),
            Stage::Constant(Constant { language, split: self.config.caption.split }),
            vec![
                output("images", ingest, "images", &["image_id", "split"]),
                output("sentences", ingest, "sentences", &["image_id", "sent_id", "raw"]),
            ],
        );
        self.score(dataset, CONSTANT, language, ingest, caption);
    }

    fn score(&mut self, dataset: &str, model: &str, language: Language, ingest: NodeId, caption: NodeId) {
        self.graph.add(
            &format!("{dataset}_{model}"),
            Stage::Score(Score {
                dataset: dataset.to_owned(),
                model: model.to_owned(),
                split: self.config.caption.split,
                language,
                score: self.config.score.clone(),
            }),
            vec![
                output("captions", caption, "captions", &["image_id", "caption"]),
                output("sentences", ingest, "sentences", &["image_id", "sent_id", "raw"]),
                output("edition", ingest, "edition", &["edition"]),
            ],
        );
    }
}
