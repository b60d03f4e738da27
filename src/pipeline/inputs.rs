//! What a node declares to read -> the means to read it.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

use super::Workspace;
use super::graph::{From, Input, NodeId};
use super::plan::scratch_files;
use crate::cache::{Output, Record};
use crate::stage::{Inputs, Loaded, Origin};

/// An object that was there when the build began turned out to be damaged or gone.
#[derive(Debug, thiserror::Error)]
#[error("output `{output}` of {instance} is damaged or gone")]
pub(super) struct LostObject {
    /// Whose output it is.
    pub(super) instance: String,
    /// The output.
    pub(super) output: String,
}

/// All inputs of a node whose upstream records are known.
pub(super) fn all(workspace: &Workspace, node: NodeId, upstream: &BTreeMap<NodeId, Record>) -> Result<Inputs> {
    some(workspace, node, upstream, |_| true)
}

/// The inputs of a node that are `wanted` by their names; the upstream records of these must be known.
pub fn some(
    workspace: &Workspace,
    node: NodeId,
    upstream: &BTreeMap<NodeId, Record>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Inputs> {
    let mut inputs = Inputs::default();
    for input in workspace.graph.nodes[node].inputs.iter().filter(|input| wanted(&input.name)) {
        inputs.0.insert(input.name.clone().into_owned(), one(workspace, input, upstream)?);
    }
    Ok(inputs)
}

fn one(workspace: &Workspace, input: &Input, upstream: &BTreeMap<NodeId, Record>) -> Result<Loaded> {
    let name = |node: NodeId| workspace.graph.name(node);
    let record = |node: &NodeId| upstream.get(node).ok_or_else(|| anyhow!("{} is not built", name(*node)));
    Ok(match &input.from {
        From::Output { node, output, .. } => {
            let made = record(node)?.output(output);
            object(workspace, *node, made.ok_or_else(|| anyhow!("{} has no output `{output}`", name(*node)))?)
        }
        From::File(path) => Loaded::File(path.clone()),
        From::Folder(path) | From::Located(path) => Loaded::Folder(path.clone()),
        From::Scratch { node, role } => {
            let files = scratch_files(record(node)?, *role);
            let files = files.map(|output| (output.name.clone(), object(workspace, *node, output))).collect();
            Loaded::Model { name: name(*node), files }
        }
        From::Model { files, .. } => {
            let found = files.as_ref().map_err(|error| anyhow!(error.clone()))?;
            let files = found.files.iter().map(|(name, path)| (name.clone(), Loaded::File(path.clone())));
            Loaded::Model { name: found.name.clone(), files: files.collect() }
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
