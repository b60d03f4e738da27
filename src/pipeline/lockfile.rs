//! `pipeline.lock`: the results of the last builds, to be committed, so that a clone can fetch them.
//!
//! It says for each target the key of its result and the objects of its outputs: what a remote store gives for a key is
//! compared with them. It is kept only where `[store.remote]` is set, and by builds of `pipeline.toml` as it stands: a
//! build with other parameters (`-p`) leaves it alone.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::graph::NodeId;
use super::{Config, ConfigError, Workspace};
use crate::cache::{Patience, Record, replace_file};
use crate::digest::Digest;

/// The file, beside `pipeline.toml`.
pub const FILE: &str = "pipeline.lock";
/// The version of its form.
const VERSION: u32 = 1;
const HEADER: &str =
    "# The results of the last builds; written by `rsic build`, to be committed. `rsic pull` fetches them.\n";
/// Separates the lock of this file from those of actions.
const CONTEXT: &str = "rsic 2026 pipeline.lock";

/// What `pipeline.lock` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockfile {
    version: u32,
    /// The results by target.
    #[serde(default)]
    pub results: BTreeMap<String, Locked>,
}

/// The result of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Its key.
    pub key: Digest,
    /// The objects by the name of the output.
    pub outputs: BTreeMap<String, Digest>,
    /// The keys of all that it was made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Digest>,
}

impl Locked {
    fn of(record: &Record, mut needs: Vec<Digest>) -> Self {
        needs.sort();
        Self { key: record.key, outputs: objects(record), needs }
    }

    /// Whether a record is the very result that was written down.
    pub fn is(&self, record: &Record) -> bool {
        self.key == record.key && self.outputs == objects(record)
    }
}

fn objects(record: &Record) -> BTreeMap<String, Digest> {
    record.outputs.iter().map(|output| (output.name.clone(), output.object)).collect()
}

impl Lockfile {
    /// Reads the file in the workspace `root`; `None` if there is none.
    pub fn load(root: &Path) -> Result<Option<Self>> {
        let path = root.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let wrong = |place: String, text: String, hint: &str| {
            let hint = format!("{hint} {FILE}: the next build writes what it builds");
            ConfigError::Invalid { place, text, hint: Some(hint) }
        };
        let lock: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            wrong(
                format!("{}:{line}", path.display()),
                error.message().to_owned(),
                "take one side of a merge conflict, or remove",
            )
        })?;
        if lock.version != VERSION {
            let text = format!("version {} is not known to this program, which knows {VERSION}", lock.version);
            return Err(wrong(path.display().to_string(), text, "use the program that wrote it, or remove").into());
        }
        Ok(Some(lock))
    }
}

/// Whether builds of this configuration are written down: not if it is another one than the file's.
pub(super) fn is_kept(config: &Config, overrides: &[String]) -> bool {
    config.store.remote.is_some() && overrides.iter().all(|item| item.starts_with("store."))
}

/// Fails if the file is there and cannot be used: before hours of work, not after them.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    if workspace.keeps_lockfile {
        Lockfile::load(&workspace.root)?;
    }
    Ok(())
}

/// Writes down the results of a build beside those of earlier ones; targets that are no more are left out.
pub(super) fn update(workspace: &Workspace, records: &BTreeMap<NodeId, Record>) -> Result<()> {
    if !workspace.keeps_lockfile || records.is_empty() {
        return Ok(());
    }
    let (old, new) = both(workspace, records)?;
    if old == new {
        return Ok(());
    }
    let path = workspace.root.join(FILE);
    let patience = Patience { command: "rsic build", instance: FILE, timeout: None, cancelled: &|| false };
    let lock = Digest::derive(CONTEXT, path.as_os_str().as_encoded_bytes());
    let _guard = match workspace.cache.lock(lock, &patience, &mut |_| ()) {
        // Who cannot lock there cannot build there, either.
        Err(error) if error.is_read_only() => None,
        guard => Some(guard?),
    };
    // Another build may have written meanwhile.
    let (_, new) = both(workspace, records)?;
    let text = toml::to_string(&new).context("cannot write pipeline.lock")?;
    Ok(replace_file(&path, format!("{HEADER}{text}").as_bytes())?)
}

/// What the file says, and what it is to say.
fn both(workspace: &Workspace, records: &BTreeMap<NodeId, Record>) -> Result<(Lockfile, Lockfile)> {
    let old = Lockfile::load(&workspace.root)?.unwrap_or_default();
    let mut new = Lockfile { version: VERSION, results: old.results.clone() };
    new.results.retain(|name, _| workspace.graph.find(name).is_some());
    for (&node, record) in records {
        let upstream = workspace.graph.closure(&[node]).into_iter().filter(|up| *up != node);
        let needs = upstream.filter_map(|up| records.get(&up).map(|record| record.key)).collect();
        new.results.insert(workspace.graph.name(node), Locked::of(record, needs));
    }
    Ok((old, new))
}
