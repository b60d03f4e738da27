//! Collection: removes what no root, pin, running build or rule keeps. First a plan, then exactly what it says.
//!
//! Results are only ever removed whole: records go before the objects that they name, and an object stays while any
//! record that stays names it. A kill in between leaves objects without records, which the next collection finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::live::Live;
use super::{Cache, CacheError, Patience, fail, file, lock};
use crate::digest::Digest;

mod survey;

/// What to keep besides pins, the last build of every instance with all that it read, and what runs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many builds of every instance to keep, with all that they read; 0 means 1.
    pub keep_last: usize,
    /// Keep builds, records, unfinished work and damaged files that are younger.
    pub keep_within: Duration,
    /// How many bytes of records and objects may stay: what only the two rules above keep goes, oldest first.
    pub budget: Option<u64>,
    /// Whether the roots of workspaces that are not at their place any more keep nothing. They may be on a disk that is
    /// not mounted.
    pub forget_gone: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { keep_last: 3, keep_within: Duration::from_hours(7 * 24), budget: None, forget_gone: false }
    }
}

impl Policy {
    /// Whether something from the time `at` is young; both times in seconds. After a clock was set back all is young.
    pub(super) fn is_recent(&self, at: u64, now: u64) -> bool {
        now.saturating_sub(at) < self.keep_within.as_secs()
    }
}

/// Why something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A root of a workspace that is not there any more.
    WorkspaceGone,
    /// A hint at a record that is not kept.
    Pointless,
    /// A record or an object that nothing needs.
    Unneeded,
    /// A record or an object that only a rule keeps, and the budget is too small.
    OverBudget,
    /// Unfinished work that nobody went on with.
    Deserted,
    /// A damaged file that nobody looked at.
    Quarantined,
    /// A file that a killed program left.
    Leftover,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WorkspaceGone => "its workspace is gone",
            Self::Pointless => "what it points to is not kept",
            Self::Unneeded => "nothing needs it",
            Self::OverBudget => "over the budget",
            Self::Deserted => "unfinished and old",
            Self::Quarantined => "damaged and old",
            Self::Leftover => "left by a killed program",
        })
    }
}

/// What kind of file something is, in the order of removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Root,
    Hint,
    Record(Digest),
    Object,
    Partial(Digest),
    Quarantine,
    Lock(Digest),
    Temporary,
}

/// What tells a file from one that took its place: identity, and mtime in nanoseconds since 1970.
type Seen = (file::Identity, i128);

/// A file, or a folder of unfinished work, that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is, relative to the cache.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Why it goes.
    pub why: Why,
    kind: Kind,
    seen: Seen,
}

/// What a collection would remove.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rules.
    pub policy: Policy,
    /// What goes, in the order of removal.
    pub remove: Vec<Item>,
    /// How many records and objects stay.
    pub kept: usize,
    /// Their size in bytes.
    pub kept_bytes: u64,
}

impl Plan {
    /// How many bytes are freed.
    pub fn bytes(&self) -> u64 {
        self.remove.iter().map(|item| item.bytes).sum()
    }

    /// By how many bytes what has to stay is larger than the budget.
    pub fn over_budget(&self) -> u64 {
        self.policy.budget.map_or(0, |most| self.kept_bytes.saturating_sub(most))
    }
}

/// Why something in the plan stayed after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// It is needed by now, or somebody works on it.
    Needed,
    /// Another file has taken its place.
    Changed,
    /// Somebody else has removed it.
    Gone,
}

/// What a collection did.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// What was removed, in order.
    pub removed: Vec<Item>,
    /// What was planned and stayed.
    pub spared: Vec<(Item, Spared)>,
}

impl Applied {
    /// How many bytes were freed.
    pub fn bytes(&self) -> u64 {
        self.removed.iter().map(|item| item.bytes).sum()
    }
}

impl Cache {
    /// Plans a collection; takes no lock and changes nothing.
    ///
    /// Fails with [`CacheError::UnknownRoot`] if a root or a pin is damaged.
    pub fn plan_collection(&self, policy: &Policy) -> Result<Plan, CacheError> {
        self.survey(policy, &BTreeSet::new())
    }

    /// Removes what is in the plan, except what is needed by now or has changed; nothing else.
    ///
    /// Builds may run meanwhile; they wait for it, and it for them, only for moments. `waiting` is called with a
    /// description of another collection that is in the way.
    ///
    /// What this handle and its clones have looked up counts as needed. Stops at the first file that cannot be removed;
    /// the next collection goes on.
    pub fn collect(
        &self,
        plan: &Plan,
        patience: &Patience<'_>,
        waiting: &mut dyn FnMut(&str),
    ) -> Result<Applied, CacheError> {
        self.needs_writing("remove what is not needed")?;
        let guard = lock::wait_for(self.gate(), patience, waiting)?;
        if !guard.excludes() {
            return Err(CacheError::NoLocks(self.dir.clone()));
        }
        fail::point("gc", "begin");
        let dead = self.still_dead(plan)?;
        let mut applied = Applied::default();
        let mut unsynced: BTreeSet<PathBuf> = BTreeSet::new();
        for item in &plan.remove {
            let path = self.dir.join(&item.path);
            if item.kind == Kind::Object {
                for folder in std::mem::take(&mut unsynced) {
                    file::sync_folder(&folder)?;
                }
            }
            let spared = match dead.get(item.path.as_path()) {
                Some(seen) if *seen == item.seen => None,
                Some(_) => Some(Spared::Changed),
                None if path.symlink_metadata().is_err() => Some(Spared::Gone),
                None => Some(Spared::Needed),
            };
            match spared {
                Some(why) => applied.spared.push((item.clone(), why)),
                None if self.remove_item(item, &path, patience)? => {
                    if let Kind::Record(_) = item.kind {
                        unsynced.insert(file::parent(&path).to_owned());
                    }
                    applied.removed.push(item.clone());
                }
                None => applied.spared.push((item.clone(), Spared::Needed)),
            }
        }
        Ok(applied)
    }

    /// What could be removed now without breaking a result that the plan does not remove.
    fn still_dead(&self, plan: &Plan) -> Result<BTreeMap<PathBuf, Seen>, CacheError> {
        let planned: BTreeMap<&Path, Seen> = plan.remove.iter().map(|i| (i.path.as_path(), i.seen)).collect();
        // A record that became garbage after the plan was made stays, so its objects stay as well.
        let mut also = BTreeSet::new();
        loop {
            let now = self.survey(&plan.policy, &also)?;
            let before = also.len();
            for item in &now.remove {
                if let Kind::Record(key) = item.kind
                    && planned.get(item.path.as_path()) != Some(&item.seen)
                {
                    also.insert(key);
                }
            }
            if also.len() == before {
                return Ok(now.remove.into_iter().map(|item| (item.path, item.seen)).collect());
            }
        }
    }

    /// Removes one file or folder; `false` if somebody works on it.
    fn remove_item(&self, item: &Item, path: &Path, patience: &Patience<'_>) -> Result<bool, CacheError> {
        let lock = match item.kind {
            Kind::Partial(key) | Kind::Lock(key) => match lock::try_lock(&self.lock_path(key), patience)? {
                // Dropping it removes the file of the lock.
                Some(guard) => Some(guard),
                None => return Ok(false),
            },
            _ => None,
        };
        match item.kind {
            Kind::Partial(key) => self.partial(key).remove()?,
            Kind::Lock(_) => {}
            Kind::Temporary if file::is_abandoned(path) != Some(true) => return Ok(false),
            _ => file::remove(path)?,
        }
        drop(lock);
        fail::point(
            "gc",
            match item.kind {
                Kind::Root => "root",
                Kind::Hint => "hint",
                Kind::Record(_) => "record",
                Kind::Object => "object",
                Kind::Partial(_) => "partial",
                Kind::Quarantine => "quarantine",
                Kind::Lock(_) => "lock",
                Kind::Temporary => "temporary",
            },
        );
        Ok(true)
    }
}
