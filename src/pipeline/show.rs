//! Putting a result where users look for it.

use anyhow::{Context as _, Result, anyhow};

use super::graph::NodeId;
use super::inputs::LostObject;
use super::plan::view_path;
use super::run::Reporter;
use super::{Node, Workspace};
use crate::cache::{Cache, Exposed, Output, Record, View};
use crate::digest::Digest;

/// Puts every output of a node at its stable path and remembers the key under the node's name, with the keys of all that
/// it `needs`; returns whether any of it was new.
///
/// Fails with `LostObject` if an object of the record is missing or damaged.
pub fn show(
    workspace: &Workspace,
    node: NodeId,
    record: &Record,
    needs: &[Digest],
    reporter: &dyn Reporter,
) -> Result<bool> {
    let cache = &workspace.cache;
    let spec = &workspace.graph.nodes[node];
    let name = workspace.graph.name(node);
    let last = cache.root(&name)?;
    let again = last.as_ref().is_some_and(|root| root.key == record.key);
    let mut news = !again;
    for output in &record.outputs {
        let relative = view_path(spec, output);
        let path = Cache::target(&workspace.root, &relative)?;
        if again && cache.view(&output.stored(), &path, &workspace.facts)? == View::Modified {
            reporter.remark(&name, &format!("{} was edited; the result is put back", relative.display()));
        }
        match cache.expose(&output.stored(), &path, &workspace.facts)? {
            Exposed::Kept => {}
            Exposed::Written => news = true,
            Exposed::Lost => return Err(LostObject { instance: name, output: output.name.clone() }.into()),
        }
    }
    if let Some(old) = last.filter(|_| !again)
        && let Some(old) = cache.record(old.key)?
    {
        hide_others(workspace, spec, &old, record)?;
    }
    match cache.set_root(&name, record.key, needs) {
        // What is in a store that others write can be used all the same.
        Err(error) if error.is_read_only() => {
            reporter.remark(&name, &format!("the store does not learn that it is needed: {:#}", anyhow!(error)));
        }
        set => set?,
    }
    Ok(news)
}

/// Removes what the previous build of a node showed and the new one does not have; an edited file stays.
fn hide_others(workspace: &Workspace, spec: &Node, old: &Record, new: &Record) -> Result<()> {
    let path = |output: &Output| Cache::target(&workspace.root, &view_path(spec, output));
    let shown = new.outputs.iter().map(path).collect::<Result<Vec<_>, _>>()?;
    for output in &old.outputs {
        let path = path(output)?;
        if !shown.contains(&path) && workspace.cache.view(&output.stored(), &path, &workspace.facts)? == View::Fresh {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}
