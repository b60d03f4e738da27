//! What is live: the records and objects that roots, pins, running programs and the rules of a [`Policy`] keep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::UNIX_EPOCH;

use super::record::FoundRecord;
use super::state::root_files;
use super::{Cache, CacheError, KnownWorkspace, Policy, file, list};
use crate::digest::Digest;

/// What must not be removed.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// The keys of records.
    pub(super) records: BTreeSet<Digest>,
    /// The digests of objects.
    pub(super) objects: BTreeSet<Digest>,
    /// Digests that running programs rely on, whatever they name.
    pub(super) held: BTreeSet<Digest>,
    /// Records and objects that would be kept if the budget were larger.
    pub(super) squeezed: BTreeSet<Digest>,
    /// The size of the live records and objects, in bytes.
    pub(super) bytes: u64,
    /// Workspaces whose roots keep nothing.
    pub(super) gone: Vec<KnownWorkspace>,
}

/// Keys that are kept together, only by a rule and not by need.
struct Claim {
    /// When they were built, in seconds since 1970.
    at: u64,
    keys: Vec<Digest>,
}

impl Cache {
    /// Everything that `policy` keeps, and the records in `also`.
    ///
    /// Fails with [`CacheError::UnknownRoot`] if a root or a pin cannot be read: what it keeps is not known.
    pub(super) fn live(&self, policy: &Policy, also: &BTreeSet<Digest>) -> Result<Live, CacheError> {
        let mut live = Live { held: self.held_by_all()?, ..Live::default() };
        let mut tally = Tally::new(self)?;
        let (needed, mut claims) = self.claims(policy, &mut live.gone)?;
        for key in needed.iter().chain(&live.held).chain(also) {
            tally.add(*key)?;
        }
        for digest in &live.held {
            tally.count_object(*digest);
        }
        // The oldest last, so that the budget takes it first; the keys make the order one for all.
        claims.sort_by(|a, b| (b.at, &b.keys).cmp(&(a.at, &a.keys)));
        for claim in &claims {
            for key in &claim.keys {
                tally.add(*key)?;
            }
        }
        while let Some(claim) = claims.pop_if(|_| policy.budget.is_some_and(|most| tally.bytes > most)) {
            for key in claim.keys {
                live.squeezed.extend(tally.subtract(key));
            }
        }
        live.bytes = tally.bytes;
        live.records = tally.records.into_keys().collect();
        live.objects = tally.objects.into_keys().collect();
        Ok(live)
    }

    /// The keys that are needed in any case, and those that a rule keeps.
    fn claims(
        &self,
        policy: &Policy,
        gone: &mut Vec<KnownWorkspace>,
    ) -> Result<(BTreeSet<Digest>, Vec<Claim>), CacheError> {
        let now = file::now_seconds();
        let mut needed = BTreeSet::new();
        let mut claims = Vec::new();
        for (path, pin) in self.pin_files()? {
            needed.extend(pin.ok_or(CacheError::UnknownRoot(path))?.keys);
        }
        for workspace in self.workspaces()? {
            let files = root_files(&self.dir.join("roots").join(&workspace.id))?;
            if workspace.gone && policy.forget_gone {
                gone.push(workspace);
                continue;
            }
            for (path, root) in files {
                let builds = root.ok_or(CacheError::UnknownRoot(path))?.builds;
                for (nth, build) in builds.into_iter().enumerate() {
                    let keys = build.needs.iter().copied().chain([build.key]);
                    if nth == 0 {
                        needed.extend(keys);
                    } else if nth < policy.keep_last || policy.is_recent(build.at, now) {
                        claims.push(Claim { at: build.at, keys: keys.collect() });
                    }
                }
            }
        }
        for (key, _, path) in list::fanned_files(&self.dir.join("actions"))? {
            let written = path.metadata().and_then(|m| m.modified()).unwrap_or(UNIX_EPOCH);
            let at = written.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            if policy.is_recent(at, now) {
                claims.push(Claim { at, keys: vec![key] });
            }
        }
        Ok((needed, claims))
    }
}

/// How often each record and object is needed, and how many bytes all of them have.
struct Tally<'a> {
    cache: &'a Cache,
    /// The sizes of the files that are there.
    sizes: BTreeMap<Digest, u64>,
    records: BTreeMap<Digest, usize>,
    objects: BTreeMap<Digest, usize>,
    /// The objects of the records that were read.
    named: BTreeMap<Digest, Vec<Digest>>,
    bytes: u64,
}

impl<'a> Tally<'a> {
    fn new(cache: &'a Cache) -> Result<Self, CacheError> {
        let mut sizes: BTreeMap<Digest, u64> = BTreeMap::new();
        for folder in ["actions", "objects"] {
            for (digest, _, path) in list::fanned_files(&cache.dir.join(folder))? {
                *sizes.entry(digest).or_default() += path.symlink_metadata().map_or(0, |m| m.len());
            }
        }
        let (records, objects, named) = Default::default();
        Ok(Self { cache, sizes, records, objects, named, bytes: 0 })
    }

    /// Needs a record, if it is there, and its objects once more.
    fn add(&mut self, key: Digest) -> Result<(), CacheError> {
        if !self.named.contains_key(&key) {
            let named = match self.cache.find_record(key)? {
                FoundRecord::Whole(record) => record.outputs.iter().map(|output| output.object).collect(),
                // Left for whoever verifies; its action has to run again, so that its objects are of no use.
                FoundRecord::Damaged(_) => Vec::new(),
                FoundRecord::Missing => return Ok(()),
            };
            self.named.insert(key, named);
        }
        for digest in self.named[&key].clone() {
            self.count_object(digest);
        }
        let times = self.records.entry(key).or_default();
        *times += 1;
        if *times == 1 {
            self.bytes += self.sizes.get(&key).copied().unwrap_or_default();
        }
        Ok(())
    }

    fn count_object(&mut self, digest: Digest) {
        let times = self.objects.entry(digest).or_default();
        *times += 1;
        if *times == 1 {
            self.bytes += self.sizes.get(&digest).copied().unwrap_or_default();
        }
    }

    /// Undoes one [`Tally::add`]; returns what nothing needs any more.
    fn subtract(&mut self, key: Digest) -> Vec<Digest> {
        let Some(named) = self.named.get(&key) else { return Vec::new() };
        let mut free = Vec::new();
        let mut less = |counts: &mut BTreeMap<Digest, usize>, digest: Digest| {
            if let Some(times) = counts.get_mut(&digest) {
                *times -= 1;
                if *times == 0 {
                    counts.remove(&digest);
                    self.bytes -= self.sizes.get(&digest).copied().unwrap_or_default();
                    free.push(digest);
                }
            }
        };
        for &object in named {
            less(&mut self.objects, object);
        }
        less(&mut self.records, key);
        free
    }
}
