//! What a node declares to read -> the means to read it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::Workspace;
use super::graph::{From, Input, NodeId};
use super::plan::scratch_files;
use super::source::Files;
use crate::cache::{Output, Record};
use crate::stage::{Expected, Inputs, Loaded, Origin};

/// An object that was there when the build began turned out to be damaged or gone.
#[derive(Debug, thiserror::Error)]
#[error("output `{output}` of {instance} is damaged or gone")]
pub struct LostObject {
    /// Whose output it is.
    /// The node that made it.
    pub instance: String,
    /// The output.
    /// The output.
    pub output: String,
}

/// All inputs of a node whose upstream records are known; its source files must be what `sources` says.
pub(super) fn all(
    workspace: &Workspace,
    node: NodeId,
    upstream: &BTreeMap<NodeId, Record>,
    sources: &Arc<Files>,
) -> Result<Inputs> {
    load(workspace, node, upstream, &Expected(sources.clone()), |_| true)
}

/// The inputs of a node that are `wanted` by their names; the upstream records of these must be known.
pub fn some(
    workspace: &Workspace,
    node: NodeId,
    upstream: &BTreeMap<NodeId, Record>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Inputs> {
    load(workspace, node, upstream, &Expected::default(), wanted)
}

fn load(
    workspace: &Workspace,
    node: NodeId,
    upstream: &BTreeMap<NodeId, Record>,
    expected: &Expected,
    wanted: impl Fn(&str) -> bool,
) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    for input in workspace.graph.nodes[node].inputs.iter().filter(|input| wanted(&input.name)) {
        inputs.0.insert(input.name.clone().into_owned(), one(workspace, input, upstream, expected)?);
    }
    Ok(inputs)
}

fn one(
    workspace: &Workspace,
    input: &Input,
    upstream: &BTreeMap<NodeId, Record>,
    expected: &Expected,
) -> Result<Loaded> {
    let name = |node: NodeId| workspace.graph.name(node);
    let record = |node: &NodeId| upstream.get(node).ok_or_else(|| anyhow!("{} is not built", name(*node)));
    Ok(match &input.from {
        From::Output { node, output, .. } => {
            let made = record(node)?.output(output);
            object(workspace, *node, made.ok_or_else(|| anyhow!("{} has no output `{output}`", name(*node)))?)
        }
        From::File(path) => Loaded::File(path.clone(), expected.clone()),
        From::Folder(path) | From::Located(path) => Loaded::Folder(path.clone(), expected.clone()),
        From::Scratch { node, role } => {
            let files = scratch_files(record(node)?, *role);
            let files = files.map(|output| (output.name.clone(), object(workspace, *node, output))).collect();
            Loaded::Model { name: name(*node), files }
        }
        From::Model { files, .. } => {
            let found = files.as_ref().map_err(|error| anyhow!(error.clone()))?;
            let file = |path: &PathBuf| Loaded::File(path.clone(), expected.clone());
            let files = found.files.iter().map(|(name, path)| (name.clone(), file(path))).collect();
            Loaded::Model { name: found.name.clone(), files }
        }
    })
}

fn object(workspace: &Workspace, node: NodeId, output: &Output) -> Loaded {
    let (cache, object) = (workspace.cache.clone(), output.stored());
    let (instance, output) = (workspace.graph.name(node), output.name.clone());
    let origin = Origin { instance: instance.clone(), output: output.clone(), path: cache.path(&object) };
    let load = move || {
        let lost = || LostObject { instance: instance.clone(), output: output.clone() };
        cache.get(&object)?.ok_or_else(|| lost().into())
    };
    Loaded::Object(Box::new(load), origin)
}
