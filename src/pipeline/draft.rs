//! A plan in the making: each node is decided from what was decided about those that it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use rayon::prelude::*;

use super::plan::{Plan, Planned, Planner, State, by_input};
use super::sketch::{self, Kept, Sketch};
use super::upstream::Upstream;
use super::{Node, NodeId, Workspace};
use crate::cache::Reason;
use crate::digest::Digest;

/// A plan that is being made.
pub(super) struct Draft<'d> {
    planner: &'d Planner<'d>,
    workspace: &'d Workspace,
    forced: BTreeSet<NodeId>,
    decided: BTreeMap<NodeId, Decided>,
    /// All records, once somebody asked.
    kept: OnceLock<Result<Kept>>,
}

/// What is known of a node on its own.
struct Decided {
    planned: Planned,
    /// The work of a node that will be built, or may be.
    work: Option<Digest>,
    /// The key that it may come out with again.
    last: Option<Digest>,
}

impl<'d> Draft<'d> {
    /// Nothing is decided yet.
    pub(super) fn new(planner: &'d Planner<'d>, workspace: &'d Workspace, forced: &[NodeId]) -> Self {
        let forced = forced.iter().copied().collect();
        Self { planner, workspace, forced, decided: BTreeMap::new(), kept: OnceLock::new() }
    }

    /// Decides on `nodes`, which are in build order with all that they need.
    pub(super) fn plan(mut self, nodes: &[NodeId]) -> Result<Plan> {
        for level in self.workspace.graph.levels(nodes) {
            let decided: Vec<Result<Decided>> = level.par_iter().map(|&node| self.decide(node)).collect();
            for (node, decided) in level.into_iter().zip(decided) {
                self.decided.insert(node, decided?);
            }
        }
        self.name_twins(nodes);
        Ok(Plan { nodes: self.decided.into_values().map(|decided| decided.planned).collect() })
    }

    /// Of nodes that do the same work only the first one runs.
    fn name_twins(&mut self, nodes: &[NodeId]) {
        let mut workers: BTreeMap<Digest, NodeId> = BTreeMap::new();
        for node in nodes {
            let Some(Decided { planned, work, last }) = self.decided.get_mut(node) else { continue };
            let works = [*work, *last];
            let first = works.iter().flatten().find_map(|work| workers.get(work)).copied();
            if let Some(first) = first
                && matches!(planned.state, State::Stale { .. } | State::Pullable { .. })
                && !self.forced.contains(node)
            {
                planned.state = State::Maybe { upstream: vec![self.workspace.graph.name(first)] };
            }
            for work in works.into_iter().flatten() {
                workers.entry(work).or_insert(*node);
            }
        }
    }

    fn before(&self, node: NodeId) -> &Planned {
        &self.decided[&node].planned
    }

    fn decide(&self, node: NodeId) -> Result<Decided> {
        let workspace = self.workspace;
        let spec = &workspace.graph.nodes[node];
        let idle = |planned| Ok(Decided { planned, work: None, last: None });
        let blocked = |why, hint| idle(Planned { node, state: State::Blocked { why, hint }, key: None, record: None });
        let upstream = spec.upstream();
        let named = |wanted: &dyn Fn(NodeId) -> bool| -> Vec<String> {
            upstream.iter().filter(|id| wanted(**id)).map(|id| workspace.graph.name(*id)).collect()
        };
        let stuck = named(&|id| matches!(self.before(id).state, State::Blocked { .. }));
        if !stuck.is_empty() {
            return blocked(format!("{} is blocked", stuck.join(", ")), None);
        }
        let work_of = |id: NodeId| self.decided[&id].work;
        let open = |id: NodeId| work_of(id).is_some();
        let sketch = match self.planner.sketch(spec, &open, &|id| self.before(id).record.as_ref()) {
            Ok(sketch) => sketch,
            Err(missing) => return blocked(missing.why, missing.hint),
        };
        let forced = self.forced.contains(&node);
        let (key, record, reasons, last) = if sketch.open.is_empty() {
            let (record, reasons) = self.planner.look_up(spec, &sketch.known)?;
            if let Some(record) = record.as_ref().filter(|_| reasons.is_empty() && !forced) {
                let state = self.planner.views(spec, record)?;
                return idle(Planned { node, state, key: Some(record.key), record: Some(record.clone()) });
            }
            let key = sketch.known.key();
            let offered = self.planner.remote.filter(|_| !forced).and_then(|remote| remote.offer(key));
            if let Some(record) = offered {
                let bytes = record.outputs.iter().map(|output| output.bytes).sum();
                let planned = Planned { node, state: State::Pullable { bytes }, key: Some(key), record: Some(record) };
                return Ok(Decided { planned, work: None, last: Some(key) });
            }
            (Some(key), record, reasons, None)
        } else {
            let (reasons, last) = self.reasons(spec, &sketch)?;
            (None, None, reasons, last)
        };
        let state = if forced {
            State::Stale { reasons: vec![Reason::Forced] }
        } else if reasons.is_empty() {
            State::Maybe { upstream: named(&open) }
        } else {
            State::Stale { reasons }
        };
        Ok(Decided { planned: Planned { node, state, key, record }, work: Some(sketch.work(work_of)), last })
    }

    /// Why a node has to run whatever its open inputs come out as; empty if its result may turn out to be there.
    ///
    /// Also returns its last key, if it may come out with that again.
    fn reasons(&self, node: &Node, sketch: &Sketch<'_>) -> Result<(Vec<Reason>, Option<Digest>)> {
        let cache = &self.workspace.cache;
        let (reasons, last) = match cache.root(&node.instance.to_string())? {
            None => (vec![Reason::NeverBuilt], None),
            Some(root) => match cache.record(root.key)? {
                None => (vec![Reason::RecordMissing], Some(root.key)),
                Some(last) => match by_input(sketch.differences(&last.ingredients)) {
                    reasons if reasons.is_empty() => (sketch::lost(cache, &last), Some(last.key)),
                    reasons => (reasons, None),
                },
            },
        };
        let remote = self.planner.remote.is_some_and(Upstream::is_asked);
        let elsewhere = !reasons.is_empty() && (remote || self.kept()?.may_hold(sketch, cache));
        Ok((if elsewhere { Vec::new() } else { reasons }, last))
    }

    fn kept(&self) -> Result<&Kept> {
        let kept = self.kept.get_or_init(|| Kept::read(&self.workspace.cache));
        kept.as_ref().map_err(|error| anyhow!("{error:#}"))
    }
}
