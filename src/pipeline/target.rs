//! What users type -> nodes: names, globs, and near spellings for names that do not exist.

use globset::Glob;

use super::config::near;
use super::graph::{Graph, NodeId};
use crate::stage::Kind;

/// What the user typed cannot be done: a target that names nothing, a contradiction.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct UsageError {
    /// What is wrong.
    pub text: String,
    /// Near names, or how to list all.
    pub hint: String,
}

/// The nodes that `targets` name; every target must name at least one. `*`, `?`, `[...]` and `{a,b}` are globs.
pub fn resolve(graph: &Graph, targets: &[String]) -> Result<Vec<NodeId>, UsageError> {
    let mut found = Vec::new();
    for target in targets {
        let nodes = one(graph, target)?;
        found.extend(nodes);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn one(graph: &Graph, target: &str) -> Result<Vec<NodeId>, UsageError> {
    let name = target.trim_end_matches('/');
    if let Some(node) = graph.find(name) {
        return Ok(vec![node]);
    }
    // A stage kind alone means all its instances.
    let pattern = if name.parse::<Kind>().is_ok() { format!("{name}/*") } else { name.to_owned() };
    let glob = Glob::new(&pattern).map_err(|error| UsageError {
        text: format!("`{target}` is not a pattern: {error}"),
        hint: "quote patterns for the shell: `rsic build 'score/*_amht'`".to_owned(),
    })?;
    let matcher = glob.compile_matcher();
    let nodes: Vec<NodeId> =
        graph.names().filter(|name| matcher.is_match(name)).filter_map(|name| graph.find(name)).collect();
    if nodes.is_empty() {
        let hint = near(name, graph.names());
        return Err(UsageError {
            text: format!("no target matches `{target}`"),
            hint: hint.unwrap_or_else(|| "`rsic status --all` lists every target".to_owned()),
        });
    }
    Ok(nodes)
}
