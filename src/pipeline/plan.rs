//! What is fresh and what is not, with the reason; `status`, `--dry-run` and the real run all ask [`Planner`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;

use super::draft::Draft;
use super::graph::{From, Input, NodeId};
use super::models::Role;
use super::sketch::{self, Sketch};
use super::source::{Blocked, Files, Sources};
use super::upstream::Upstream;
use super::{Node, Workspace};
use crate::cache::{Ingredients, Output, Reason, Record, View};
use crate::digest::Digest;
use crate::stage::{Kind, Stage, score};

/// The version of the key's construction.
const SCHEMA: u32 = 1;

/// Where a node stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// Built, and every output stands at its stable path.
    Fresh,
    /// Built, but outputs have to be put back from the cache.
    Restorable,
    /// Built, but somebody edited an output; a build puts it back.
    Modified {
        /// The edited files.
        files: Vec<PathBuf>,
    },
    /// Not here, but the remote store has it; a build fetches it.
    Pullable {
        /// How many bytes, at most.
        bytes: u64,
    },
    /// To be built.
    Stale {
        /// Why.
        reasons: Vec<Reason>,
    },
    /// It depends on what will be built: it runs unless its own result turns out to be there then.
    Maybe {
        /// What will be built: nodes that it reads, or one that does the same work.
        upstream: Vec<String>,
    },
    /// Cannot be built.
    Blocked {
        /// Why.
        why: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A node and where it stands.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The node.
    pub node: NodeId,
    /// Where it stands.
    pub state: State,
    /// The key, where everything that it reads is known.
    pub key: Option<Digest>,
    /// What the cache has under that key.
    pub record: Option<Record>,
}

/// All nodes that some targets need, in build order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The nodes.
    pub nodes: Vec<Planned>,
}

impl Plan {
    /// Whether nothing has to be done.
    pub fn is_fresh(&self) -> bool {
        self.nodes.iter().all(|planned| planned.state == State::Fresh)
    }
}

/// Decides node after node, from the keys alone.
pub struct Planner<'a> {
    workspace: &'a Workspace,
    sources: Sources<'a>,
    /// The remote store, where a plan should count on it.
    pub(super) remote: Option<&'a Upstream<'a>>,
}

impl<'a> Planner<'a> {
    /// A planner that has not looked at anything yet.
    pub fn new(workspace: &'a Workspace) -> Self {
        Self { workspace, sources: Sources::new(&workspace.facts), remote: None }
    }

    /// Counts on what `remote` has.
    #[must_use]
    pub fn asking(self, remote: &'a Upstream<'a>) -> Self {
        Self { remote: Some(remote), ..self }
    }

    /// Plans `targets` and all that they need; `forced` nodes are stale whatever the cache holds.
    pub fn plan(&self, targets: &[NodeId], forced: &[NodeId]) -> Result<Plan> {
        let closure = self.workspace.graph.closure(targets);
        self.look_at_sources(&closure);
        Draft::new(self, self.workspace, forced).plan(&closure)
    }

    /// Looks at all source files at once, on all cores; what there is to say about them is said when a node asks.
    pub(super) fn look_at_sources(&self, nodes: &[NodeId]) {
        let (mut files, mut folders) = (BTreeSet::new(), BTreeSet::new());
        for input in nodes.iter().flat_map(|&node| &self.workspace.graph.nodes[node].inputs) {
            match &input.from {
                From::File(path) => _ = files.insert(path),
                From::Folder(path) => _ = folders.insert(path),
                From::Model { files: Ok(model), .. } => files.extend(model.files.values()),
                _ => {}
            }
        }
        let files: Vec<&PathBuf> = files.into_iter().collect();
        files.par_iter().for_each(|path| _ = self.sources.file(path));
        // One after the other, because each takes all cores.
        for path in folders {
            _ = self.sources.folder(path);
        }
    }

    /// Source files that are missing are worth saying even while something upstream is still to be built.
    pub(super) fn own_sources(&self, node: &Node) -> Result<(), Blocked> {
        for input in &node.inputs {
            match &input.from {
                From::File(path) => _ = self.sources.file(path)?,
                From::Folder(path) => _ = self.sources.folder(path)?,
                From::Model { files: Err(error), .. } => {
                    return Err(Blocked { why: error.why.clone(), hint: Some(error.hint.clone()) });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The record under the node's key if all its objects are there, else the reasons to build.
    pub(super) fn look_up(&self, node: &Node, ingredients: &Ingredients) -> Result<(Option<Record>, Vec<Reason>)> {
        let cache = &self.workspace.cache;
        if let Some(record) = cache.record(ingredients.key())? {
            let reasons = sketch::lost(cache, &record);
            return Ok((Some(record), reasons));
        }
        let Some(root) = cache.root(&node.instance.to_string())? else { return Ok((None, vec![Reason::NeverBuilt])) };
        let Some(old) = cache.record(root.key)? else { return Ok((None, vec![Reason::RecordMissing])) };
        Ok((None, by_input(Ingredients::differences(&old.ingredients, ingredients))))
    }

    pub(super) fn views(&self, node: &Node, record: &Record) -> Result<State> {
        let root = self.workspace.cache.root(&node.instance.to_string())?;
        if root.is_none_or(|root| root.key != record.key) {
            // What stands there, if anything, is the result of another build.
            return Ok(State::Restorable);
        }
        let mut state = State::Fresh;
        let mut edited = Vec::new();
        for output in &record.outputs {
            let path = self.workspace.root.join(view_path(node, output));
            match self.workspace.cache.view(&output.stored(), &path, &self.workspace.facts)? {
                View::Fresh => {}
                View::Missing => state = State::Restorable,
                View::Modified => edited.push(view_path(node, output)),
            }
        }
        Ok(if edited.is_empty() { state } else { State::Modified { files: edited } })
    }

    /// Everything that goes into the key of a node whose upstream records are known.
    pub fn ingredients<'r>(
        &self,
        node: &Node,
        records: &dyn Fn(NodeId) -> Option<&'r Record>,
    ) -> Result<Ingredients, Blocked> {
        Ok(self.sketch(node, &|_| false, records)?.known)
    }

    /// What goes into the key of a node, but for inputs from nodes that are `open`.
    pub(super) fn sketch<'n, 'r>(
        &self,
        node: &'n Node,
        open: &dyn Fn(NodeId) -> bool,
        records: &dyn Fn(NodeId) -> Option<&'r Record>,
    ) -> Result<Sketch<'n>, Blocked> {
        let parameters = node.stage.parameters().map_err(|error| Blocked { why: error.to_string(), hint: None })?;
        let known = Ingredients {
            schema: SCHEMA,
            stage: node.stage.key_name().to_owned(),
            version: node.version,
            parameters,
            inputs: BTreeMap::new(),
            environment: environment(&node.stage),
        };
        let mut sketch = Sketch { known, open: Vec::new() };
        for input in &node.inputs {
            if input.from.node().is_some_and(open) {
                sketch.open.push(input);
            } else {
                self.read(input, records, &mut sketch.known.inputs)?;
            }
        }
        Ok(sketch)
    }

    /// Adds what the key has of one input.
    fn read<'r>(
        &self,
        input: &Input,
        records: &dyn Fn(NodeId) -> Option<&'r Record>,
        inputs: &mut BTreeMap<String, Digest>,
    ) -> Result<(), Blocked> {
        let name = input.name.as_ref();
        match &input.from {
            From::Output { node: id, output, columns } => {
                let made = self.made(*id, output, records)?;
                if columns.is_empty() {
                    inputs.insert(name.to_owned(), made.data);
                }
                for column in *columns {
                    let digest = made.columns.get(*column).copied().unwrap_or(made.data);
                    inputs.insert(format!("{name}.{column}"), digest);
                }
            }
            From::File(path) => _ = inputs.insert(name.to_owned(), self.sources.file(path)?),
            From::Folder(path) => _ = inputs.insert(name.to_owned(), self.sources.folder(path)?),
            From::Located(_) => {}
            From::Scratch { node: id, role } => {
                for output in scratch_files(self.record(*id, records)?, *role) {
                    inputs.insert(format!("{name}.{}", output.name), output.data);
                }
            }
            From::Model { files, .. } => {
                let blocked =
                    |error: &super::models::NoModel| Blocked { why: error.why.clone(), hint: Some(error.hint.clone()) };
                for (file, path) in &files.as_ref().map_err(blocked)?.files {
                    inputs.insert(format!("{name}.{file}"), self.sources.file(path)?);
                }
            }
        }
        Ok(())
    }

    fn record<'r>(&self, id: NodeId, records: &dyn Fn(NodeId) -> Option<&'r Record>) -> Result<&'r Record, Blocked> {
        let missing = || Blocked { why: format!("{} is not built", self.workspace.graph.name(id)), hint: None };
        records(id).ok_or_else(missing)
    }

    fn made<'r>(
        &self,
        id: NodeId,
        output: &str,
        records: &dyn Fn(NodeId) -> Option<&'r Record>,
    ) -> Result<&'r Output, Blocked> {
        let lacks =
            || Blocked { why: format!("{} has no output `{output}`", self.workspace.graph.name(id)), hint: None };
        self.record(id, records)?.output(output).ok_or_else(lacks)
    }

    /// All source files that went into the key of a node, as they were when they were looked at.
    pub(super) fn source_files(&self, node: &Node) -> Files {
        let mut all = Files::new();
        for input in &node.inputs {
            match &input.from {
                From::File(path) | From::Folder(path) => {
                    all.extend(self.sources.files(path).iter().map(|(path, digest)| (path.clone(), *digest)));
                }
                From::Model { files: Ok(model), .. } => {
                    for path in model.files.values() {
                        all.extend(self.sources.files(path).iter().map(|(path, digest)| (path.clone(), *digest)));
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// Makes the next questions look at the source files again.
    pub(super) fn look_again(&self) {
        self.sources.look_again();
    }
}

/// The key has one entry per column that is read, `input.column`; people read one reason per input.
pub(super) fn by_input(reasons: Vec<Reason>) -> Vec<Reason> {
    let mut grouped: Vec<Reason> = Vec::new();
    for reason in reasons {
        let Reason::Input { name, old, new, .. } = &reason else {
            grouped.push(reason);
            continue;
        };
        let Some((input, column)) = name.split_once('.') else {
            grouped.push(reason);
            continue;
        };
        let same = grouped.iter_mut().find_map(|other| match other {
            Reason::Input { name, columns, .. } if name == input => Some(columns),
            _ => None,
        });
        match same {
            Some(columns) => columns.push(column.to_owned()),
            None => grouped.push(Reason::Input {
                name: input.to_owned(),
                old: *old,
                new: *new,
                columns: vec![column.to_owned()],
            }),
        }
    }
    grouped
}

/// The files of a scratch model that are read in one role.
pub(super) fn scratch_files(record: &Record, role: Role) -> impl Iterator<Item = &Output> {
    record.outputs.iter().filter(move |output| role.reads(&output.name))
}

/// What of the machine and the program is in the key: numbers of models come from our own kernel on the CPU in 32-bit floats.
fn environment(stage: &Stage) -> BTreeMap<String, String> {
    let mut environment = match stage.kind() {
        Kind::Annotations | Kind::Ingest | Kind::Tokenize | Kind::Resource | Kind::Spice => BTreeMap::new(),
        Kind::Score => score::environment(),
        Kind::Pretrain | Kind::Embed | Kind::Features | Kind::Train | Kind::Caption => {
            BTreeMap::from([("device".to_owned(), "cpu".to_owned()), ("precision".to_owned(), "f32".to_owned())])
        }
    };
    if let Stage::TrainAttention(train) = stage {
        environment.extend(train.environment());
    }
    environment
}

/// The stable path of an output, relative to the workspace.
///
/// The main table of a stage is `output/<stage>/<instance>.parquet`; another table or file is
/// `output/<stage>/<name>/<instance>.<extension>`. Three outputs stand where their readers look for them:
/// a scratch model is a folder in Hugging Face layout, and the seed's two files keep the seed's places.
pub fn view_path(node: &Node, output: &Output) -> PathBuf {
    let (kind, instance) = (node.instance.kind, &node.instance.name);
    let extension = &output.extension;
    let path = match (kind, output.name.as_str()) {
        (_, name) if name == node.stage.primary() => format!("output/{kind}/{instance}.{extension}"),
        (Kind::Pretrain, name) => format!("output/{kind}/{instance}/{name}"),
        (Kind::Train, "config.json" | "model.safetensors") => {
            format!("output/{kind}/encoder/{instance}/{}", output.name)
        }
        (Kind::Caption, "eval") => format!("output/eval_files/{instance}.{extension}"),
        (Kind::Score, "text") => format!("output/scores/{instance}.{extension}"),
        (_, name) => format!("output/{kind}/{name}/{instance}.{extension}"),
    };
    path.into()
}
