//! All instances that a configuration defines, with what each reads.
//!
//! ```text
//! annotations/ucm --> tokenize/ucm ------------\
//!     \--> ingest/ucm --> embed/ucm ------------> train/ucm_amht --> caption/ucm_amht --> score/ucm_amht
//!      \         \------> pretrain/ucm_clip, pretrain/ucm_gpt2   (only where a model's source is `scratch`)
//!       \--> caption/ucm_{constant,class,knn,human,human_distinct,<captions>} --> score/...
//! ```
//!
//! The attention baseline, with its encoder frozen and trained along:
//!
//! ```text
//! annotations/ucm --> tokenize/ucm_r50 ---------------> train/ucm_r50 --> caption/ucm_r50 --> score/ucm_r50
//!     \--> ingest/ucm --> features/ucm_r50 ----------/
//!      \-------------------> train/ucm_r50_ft --> features/ucm_r50_ft --> caption/ucm_r50_ft --> score/ucm_r50_ft
//! ```
//!
//! Scores read `annotations`, never images: captions made elsewhere can be scored where there are no images.

mod attention;
mod build;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::models::{self, ModelFiles};
use crate::stage::{Kind, Stage};

/// The captions that every dataset has without a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// The one train caption that fits best.
    Constant,
    /// The most frequent train caption of the image's class.
    Class,
    /// The consensus caption of the nearest train image.
    Knn,
    /// One human caption against the others.
    Human,
    /// The same, copies of a caption counting once.
    HumanDistinct,
}

impl Floor {
    /// All floors and ceilings.
    pub const ALL: [Self; 5] = [Self::Constant, Self::Class, Self::Knn, Self::Human, Self::HumanDistinct];

    /// The name of the model, as in `score/ucm_knn`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Class => "class",
            Self::Knn => "knn",
            Self::Human => "human",
            Self::HumanDistinct => "human_distinct",
        }
    }
}

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
    pub name: Cow<'static, str>,
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

impl From {
    /// The node that makes it, if one does.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Output { node, .. } | Self::Scratch { node, .. } => Some(*node),
            _ => None,
        }
    }
}

impl Node {
    /// The nodes whose outputs this one reads.
    pub fn upstream(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.inputs.iter().filter_map(|input| input.from.node()).collect();
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
        build::graph(config, root)
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
        // No look at all nodes: a build asks this for each of them.
        let mut wanted = BTreeSet::new();
        let mut stack = targets.to_vec();
        while let Some(node) = stack.pop() {
            if wanted.insert(node) {
                stack.extend(self.nodes[node].upstream());
            }
        }
        wanted.into_iter().collect()
    }

    /// The same nodes, so that each group reads only what earlier groups or others make; each group in build order.
    ///
    /// - `nodes`: in build order.
    pub fn levels(&self, nodes: &[NodeId]) -> Vec<Vec<NodeId>> {
        let mut level: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut levels: Vec<Vec<NodeId>> = Vec::new();
        for &node in nodes {
            let after = self.nodes[node].upstream().iter().filter_map(|up| level.get(up)).max().map_or(0, |up| up + 1);
            level.insert(node, after);
            if after == levels.len() {
                levels.push(Vec::new());
            }
            levels[after].push(node);
        }
        levels
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stage::ingest::Ingest;

    fn graph(reads: &[Vec<prop::sample::Index>]) -> Graph {
        let mut graph = Graph::default();
        for (node, reads) in reads.iter().enumerate() {
            let before = reads.iter().filter(|_| node > 0).map(|index| index.index(node));
            let from = before.map(|node| From::Output { node, output: "images", columns: &[] });
            let inputs = from.map(|from| Input { name: "images".into(), from }).collect();
            graph.add(&format!("n{node}"), Stage::Ingest(Ingest {}), inputs);
        }
        graph
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// Of random graphs: the closure is what can be reached, and no group reads from its own or a later one.
        #[test]
        fn closures_and_levels_are_in_build_order(
            reads in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 1..40),
            targets in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let graph = graph(&reads);
            let targets: Vec<NodeId> = targets.iter().map(|index| index.index(reads.len())).collect();
            let mut wanted = vec![false; reads.len()];
            for node in &targets {
                mark(&graph, *node, &mut wanted);
            }
            let naive: Vec<NodeId> = (0..reads.len()).filter(|&node| wanted[node]).collect();
            let closure = graph.closure(&targets);
            prop_assert_eq!(&closure, &naive);
            let levels = graph.levels(&closure);
            let mut all = levels.concat();
            all.sort_unstable();
            prop_assert_eq!(&all, &closure);
            for (at, level) in levels.iter().enumerate() {
                prop_assert!(level.is_sorted() && !level.is_empty());
                let earlier = levels[..at].concat();
                for node in level {
                    prop_assert!(graph.nodes[*node].upstream().iter().all(|up| earlier.contains(up)));
                }
            }
        }
    }

    fn mark(graph: &Graph, node: NodeId, wanted: &mut [bool]) {
        if !std::mem::replace(&mut wanted[node], true) {
            for up in graph.nodes[node].upstream() {
                mark(graph, up, wanted);
            }
        }
    }
}
