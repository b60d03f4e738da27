//! `pipeline.toml` -> graph -> plan -> run. This layer decides only from keys: it knows no models, no frames and
//! prints nothing.

pub mod config;
mod draft;
mod execute;
pub mod graph;
pub mod inputs;
pub mod lockfile;
pub mod models;
pub mod plan;
pub mod resources;
pub mod run;
pub mod show;
mod sketch;
pub mod source;
pub mod target;
pub mod upstream;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cache::{Cache, StatCache};

pub use config::{Config, ConfigError};
pub use execute::{peak_memory, peak_memory_of};
pub use graph::{Graph, Node, NodeId};
pub use plan::{Plan, Planned, State};

/// The store: `$RSIC_STORE`, which several workspaces may share, else the folder `cache` of the workspace.
pub fn store(root: &Path) -> PathBuf {
    let named = std::env::var_os("RSIC_STORE").filter(|path| !path.is_empty());
    named.map_or_else(|| root.join("cache"), PathBuf::from)
}

/// A folder with a `pipeline.toml`, its graph and its cache.
pub struct Workspace {
    /// The folder.
    pub root: PathBuf,
    /// What `pipeline.toml` and the overrides say.
    pub config: Config,
    /// All instances.
    pub graph: Graph,
    /// The store.
    pub cache: Cache,
    /// What is known of unchanged source files and views.
    pub facts: StatCache,
    /// Whether builds are written down in `pipeline.lock`.
    keeps_lockfile: bool,
}

impl Workspace {
    /// Opens the workspace in `root` for building: the cache is created if it is missing.
    pub fn open(root: &Path, overrides: &[String]) -> Result<Self> {
        let config = Config::load(root, overrides)?;
        let cache = Cache::open(&store(root))?.in_workspace(root)?;
        let keeps_lockfile = lockfile::is_kept(&config, overrides);
        Ok(Self { keeps_lockfile, ..Self::with(root, config, cache)? })
    }

    /// Opens a workspace in `root` for building, with settings that need not be those of its `pipeline.toml`.
    ///
    /// Fails if they contradict each other.
    pub fn with_config(root: &Path, config: Config) -> Result<Self> {
        config.recheck()?;
        let cache = Cache::open(&store(root))?.in_workspace(root)?;
        Self::with(root, config, cache)
    }

    /// Opens the workspace in `root` for looking: nothing is created.
    pub fn peek(root: &Path, overrides: &[String]) -> Result<Self> {
        let config = Config::load(root, overrides)?;
        let cache = Cache::peek(&store(root))?.in_workspace(root)?;
        Self::with(root, config, cache)
    }

    fn with(root: &Path, config: Config, cache: Cache) -> Result<Self> {
        let root = std::path::absolute(root).with_context(|| format!("cannot name {}", root.display()))?;
        let graph = Graph::new(&config, &root);
        let facts = cache.stat_cache();
        Ok(Self { root, config, graph, cache, facts, keeps_lockfile: false })
    }
}
