//! A plan in the making: each node is decided from what was decided about those that it reads.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use anyhow::Result;

use super::plan::{Plan, Planned, Planner, State, by_input};
use super::sketch::{self, Kept, Sketch};
use super::upstream::Upstream;
use super::{Node, NodeId, Workspace};
use crate::cache::Reason;
use crate::digest::Digest;

/// A plan that is being made, node after node.
pub(super) struct Draft<'d> {
    planner: &'d Planner<'d>,
    workspace: &'d Workspace,
    forced: &'d [NodeId],
    nodes: Vec<Planned>,
    place: BTreeMap<NodeId, usize>,
    /// The work of every node that will be built, or may be.
    work: BTreeMap<NodeId, Digest>,
    /// The first node that does some work.
    workers: BTreeMap<Digest, NodeId>,
    /// All records, once somebody asked.
    kept: OnceCell<Kept>,
}

impl<'d> Draft<'d> {
    /// Nothing is decided yet.
    pub(super) fn new(planner: &'d Planner<'d>, workspace: &'d Workspace, forced: &'d [NodeId]) -> Self {
        let (place, work, workers) = Default::default();
        Self { planner, workspace, forced, nodes: Vec::new(), place, work, workers, kept: OnceCell::new() }
    }

    /// Decides on `targets` and all that they need.
    pub(super) fn plan(mut self, targets: &[NodeId]) -> Result<Plan> {
        for node in self.workspace.graph.closure(targets) {
            let planned = self.decide(node)?;
            self.place.insert(node, self.nodes.len());
            self.nodes.push(planned);
        }
        Ok(Plan { nodes: self.nodes })
    }

    fn before(&self, node: NodeId) -> &Planned {
        &self.nodes[self.place[&node]]
    }

    fn decide(&mut self, node: NodeId) -> Result<Planned> {
        let workspace = self.workspace;
        let spec = &workspace.graph.nodes[node];
        let blocked = |why, hint| Planned { node, state: State::Blocked { why, hint }, key: None, record: None };
        let upstream = spec.upstream();
        let named = |wanted: &dyn Fn(NodeId) -> bool| -> Vec<String> {
            upstream.iter().filter(|id| wanted(**id)).map(|id| workspace.graph.name(*id)).collect()
        };
        let stuck = named(&|id| matches!(self.before(id).state, State::Blocked { .. }));
        if !stuck.is_empty() {
            return Ok(blocked(format!("{} is blocked", stuck.join(", ")), None));
        }
        let open = |id: NodeId| self.work.contains_key(&id);
        let sketch = match self.planner.sketch(spec, &open, &|id| self.before(id).record.as_ref()) {
            Ok(sketch) => sketch,
            Err(missing) => return Ok(blocked(missing.why, missing.hint)),
        };
        let forced = self.forced.contains(&node);
        let (key, record, reasons) = if sketch.open.is_empty() {
            let (record, reasons) = self.planner.look_up(spec, &sketch.known)?;
            if let Some(record) = record.as_ref().filter(|_| reasons.is_empty() && !forced) {
                let state = self.planner.views(spec, record)?;
                return Ok(Planned { node, state, key: Some(record.key), record: Some(record.clone()) });
            }
            let key = sketch.known.key();
            let offered = self.planner.remote.filter(|_| !forced).and_then(|remote| remote.offer(key));
            if let Some(record) = offered {
                let bytes = record.outputs.iter().map(|output| output.bytes).sum();
                return Ok(Planned { node, state: State::Pullable { bytes }, key: Some(key), record: Some(record) });
            }
            (Some(key), record, reasons)
        } else {
            (None, None, self.reasons(spec, &sketch)?)
        };
        let work = sketch.work(|id| self.work[&id]);
        let twin = self.workers.get(&work).copied();
        let state = if forced {
            State::Stale { reasons: vec![Reason::Forced] }
        } else if reasons.is_empty() {
            State::Maybe { upstream: named(&open) }
        } else if let Some(twin) = twin {
            State::Maybe { upstream: vec![workspace.graph.name(twin)] }
        } else {
            State::Stale { reasons }
        };
        self.work.insert(node, work);
        self.workers.entry(work).or_insert(node);
        Ok(Planned { node, state, key, record })
    }

    /// Why a node has to run whatever its open inputs come out as; empty if its result may turn out to be there.
    fn reasons(&self, node: &Node, sketch: &Sketch<'_>) -> Result<Vec<Reason>> {
        let cache = &self.workspace.cache;
        let reasons = match cache.root(&node.instance.to_string())? {
            None => vec![Reason::NeverBuilt],
            Some(root) => match cache.record(root.key)? {
                None => vec![Reason::RecordMissing],
                Some(last) => match by_input(sketch.differences(&last.ingredients)) {
                    reasons if reasons.is_empty() => sketch::lost(cache, &last),
                    reasons => reasons,
                },
            },
        };
        let remote = self.planner.remote.is_some_and(Upstream::is_asked);
        let elsewhere = !reasons.is_empty() && (remote || self.kept()?.may_hold(sketch, cache));
        Ok(if elsewhere { Vec::new() } else { reasons })
    }

    fn kept(&self) -> Result<&Kept> {
        if let Some(kept) = self.kept.get() {
            return Ok(kept);
        }
        let kept = Kept::read(&self.workspace.cache)?;
        Ok(self.kept.get_or_init(|| kept))
    }
}
