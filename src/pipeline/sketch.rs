//! What is known of a node's key while something that it reads is still to be built.

use std::collections::BTreeMap;

use anyhow::Result;

use super::NodeId;
use super::graph::{From, Input};
use crate::cache::{Cache, Ingredients, Presence, Reason, Record};
use crate::digest::Digest;

/// Separates [`Sketch::work`] from all other hashes.
const CONTEXT: &str = "rsic 2026 plan: work of a node";

/// The ingredients of a node, as far as they are known.
pub(super) struct Sketch<'n> {
    /// Without the inputs that are not known.
    pub(super) known: Ingredients,
    /// Those inputs.
    pub(super) open: Vec<&'n Input>,
}

impl Sketch<'_> {
    /// Why the node is another action than `old`, whatever the open inputs come out as: empty if they may be the same.
    pub(super) fn differences(&self, old: &Ingredients) -> Vec<Reason> {
        let mut new = self.known.clone();
        for (name, digest) in &old.inputs {
            if self.open.iter().any(|input| reads(input, name)) {
                new.inputs.insert(name.clone(), *digest);
            }
        }
        let mut reasons = Ingredients::differences(old, &new);
        let added = self.open.iter().flat_map(|input| names(input)).filter(|name| !old.inputs.contains_key(name));
        reasons.extend(added.map(|name| Reason::Input { name, old: None, new: None, columns: Vec::new() }));
        reasons
    }

    /// Equal for two nodes exactly if they read the same columns of the same work in the same way.
    ///
    /// - `upstream`: the work of the nodes behind the open inputs.
    pub(super) fn work(&self, upstream: impl Fn(NodeId) -> Option<Digest>) -> Digest {
        let known = self.known.key();
        if self.open.is_empty() {
            return known;
        }
        let mut text = vec![known.to_hex()];
        for input in &self.open {
            let (node, what) = match &input.from {
                From::Output { node, output, columns } => (node, format!("{output} {}", columns.join(","))),
                From::Scratch { node, role } => (node, format!("{role:?}")),
                _ => continue,
            };
            let work = upstream(*node).map(Digest::to_hex).unwrap_or_default();
            text.push(format!("{} {work} {what}", input.name));
        }
        Digest::derive(CONTEXT, text.join("\n").as_bytes())
    }
}

/// Whether an entry of the key may be of this input.
fn reads(input: &Input, name: &str) -> bool {
    name.strip_prefix(input.name.as_ref()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The entries of the key that an input is sure to have.
fn names(input: &Input) -> Vec<String> {
    match &input.from {
        From::Output { columns: [], .. } => vec![input.name.clone().into_owned()],
        From::Output { columns, .. } => columns.iter().map(|column| format!("{}.{column}", input.name)).collect(),
        _ => Vec::new(),
    }
}

/// What of a record's outputs is not in the cache, as far as can be told without reading them.
pub(super) fn lost(cache: &Cache, record: &Record) -> Vec<Reason> {
    let outputs = record.outputs.iter().map(|output| (output, cache.look(&output.stored())));
    let reason = |(output, presence): (&crate::cache::Output, Presence)| {
        let (name, object) = (output.name.clone(), output.object);
        match presence {
            Presence::Present => None,
            Presence::Missing => Some(Reason::ObjectMissing { name, object }),
            Presence::Damaged => Some(Reason::ObjectDamaged { name, object }),
        }
    };
    outputs.filter_map(reason).collect()
}

/// Every record in the cache, by what of its key does not come from inputs.
pub(super) struct Kept(BTreeMap<Digest, Vec<Record>>);

impl Kept {
    /// Reads all records: there is no index that could disagree with them.
    ///
    /// On one core: the others wait for it, and a core that helped could meet the same question meanwhile.
    pub(super) fn read(cache: &Cache) -> Result<Self> {
        let mut kept: BTreeMap<Digest, Vec<Record>> = BTreeMap::new();
        for key in cache.records()? {
            if let Some(record) = cache.record(key)? {
                kept.entry(own(&record.ingredients)).or_default().push(record);
            }
        }
        Ok(Self(kept))
    }

    /// Whether a node may turn out to have been built, by whatever name.
    pub(super) fn may_hold(&self, sketch: &Sketch<'_>, cache: &Cache) -> bool {
        let alike = self.0.get(&own(&sketch.known)).into_iter().flatten();
        alike
            .filter(|record| sketch.differences(&record.ingredients).is_empty())
            .any(|record| lost(cache, record).is_empty())
    }
}

/// The key without inputs.
fn own(ingredients: &Ingredients) -> Digest {
    Ingredients { inputs: BTreeMap::new(), ..ingredients.clone() }.key()
}
