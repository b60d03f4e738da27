//! One node of a build: look up, wait for others, run, publish, show.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::graph::{From, NodeId};
use super::inputs::{self, LostObject};
use super::plan::Planner;
use super::run::{Ending, Reporter};
use super::source::{Files, SourcesChanged, changes};
use super::upstream::Upstream;
use super::{Node, Workspace, show};
use crate::cache::{self, Event, Ingredients, Object, Output, Patience, Reason, Record, RunLog, Slot};
use crate::digest::Digest;
use crate::progress::{Checkpoint, Interrupted, Progress};
use crate::stage::{Content, Context, Made, Outcome};
use crate::table;

/// One node that is about to be decided.
pub(super) struct Execution<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) planner: &'a Planner<'a>,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) log: &'a RunLog,
    pub(super) remote: &'a Upstream<'a>,
    pub(super) node: NodeId,
    pub(super) upstream: &'a BTreeMap<NodeId, Record>,
    pub(super) ingredients: Ingredients,
    /// The source files whose content is in the key.
    pub(super) sources: Arc<Files>,
    /// The keys of all that the node reads, directly or not.
    pub(super) needs: Vec<Digest>,
    pub(super) forced: bool,
    pub(super) lock_timeout: Option<Duration>,
}

impl Execution<'_> {
    fn spec(&self) -> &Node {
        &self.workspace.graph.nodes[self.node]
    }

    fn name(&self) -> String {
        self.spec().instance.to_string()
    }

    /// Returns the node's record, from the cache or from a run.
    pub(super) fn go(&self) -> Result<(Record, Ending)> {
        let key = self.ingredients.key();
        let partial = self.workspace.cache.partial(key);
        let found = if self.forced { None } else { self.hit(Ending::Fresh)? };
        // Unfinished work of a finished action is left by a kill between the two; it is removed under the lock.
        if !partial.exists()
            && let Some(found) = found
        {
            return Ok(found);
        }
        let name = self.name();
        let patience = Patience {
            command: "rsic build",
            instance: &name,
            timeout: self.lock_timeout,
            cancelled: &|| self.reporter.stopped(),
        };
        let guard = self.workspace.cache.lock(key, &patience, &mut |holder| self.reporter.waiting(&name, holder))?;
        // Another build may have made it between the first look and the lock.
        if !self.forced
            && let Some(again) = self.hit(Ending::Restored)?
        {
            partial.remove()?;
            return Ok(found.unwrap_or(again));
        }
        if !self.forced
            && let Some(found) = self.pulled()?
        {
            partial.remove()?;
            return Ok(found);
        }
        let reasons = self.reasons()?;
        let progress = self.reporter.begin(&name, &reasons);
        let started = Instant::now();
        let run = self.run(progress.as_ref());
        let spent = started.elapsed();
        if let Err(error) = self.note(&reasons, spent, run.as_ref().err()) {
            self.reporter.remark(&name, &format!("cannot write the log: {error:#}"));
        }
        let record = run?;
        drop(guard);
        Ok((record, Ending::Built { seconds: spent.as_secs() }))
    }

    fn reasons(&self) -> Result<Vec<Reason>> {
        if self.forced {
            return Ok(vec![Reason::Forced]);
        }
        Ok(self.planner.look_up(self.spec(), &self.ingredients)?.1)
    }

    /// The record if it and all its objects are there, with the outputs put at their stable paths.
    fn hit(&self, ending: Ending) -> Result<Option<(Record, Ending)>> {
        let (record, reasons) = self.planner.look_up(self.spec(), &self.ingredients)?;
        let Some(record) = record.filter(|_| reasons.is_empty()) else { return Ok(None) };
        let ending = if self.show(&record)? { Ending::Restored } else { ending };
        Ok(Some((record, ending)))
    }

    fn show(&self, record: &Record) -> Result<bool> {
        show::show(self.workspace, self.node, record, &self.needs, self.reporter)
    }

    /// The record with all its objects, from the remote store.
    fn pulled(&self) -> Result<Option<(Record, Ending)>> {
        let name = self.name();
        let pulled = self.remote.pull(self.ingredients.key(), &|| self.reporter.transfer(&name));
        for remark in self.remote.remarks() {
            self.reporter.remark(&name, &remark);
        }
        let Some((record, bytes)) = pulled? else { return Ok(None) };
        self.show(&record)?;
        Ok(Some((record, Ending::Pulled { bytes })))
    }

    fn run(&self, progress: &dyn Progress) -> Result<Record> {
        let cache = &self.workspace.cache;
        let key = self.ingredients.key();
        let partial = cache.partial(key);
        if self.forced {
            partial.remove()?;
        }
        // It may have been waiting for others since its key was known.
        self.sources_unchanged()?;
        let mut checkpoint = Watched { slot: partial.slot("checkpoint"), execution: self };
        let inputs = inputs::all(self.workspace, self.node, self.upstream, &self.sources)?;
        let mut context = Context {
            progress,
            checkpoint: &mut checkpoint,
            facts: &self.workspace.facts,
            previous: if self.forced { None } else { self.previous()? },
        };
        cache::fail_point("stage", "begin");
        let outcome = self.spec().stage.run(&inputs, &mut context).map_err(Self::translate);
        cache::fail_point("stage", "end");
        // A stage may also fail because of it.
        self.sources_unchanged()?;
        let outcome = outcome?;
        for warning in &outcome.warnings {
            self.reporter.remark(&self.name(), warning);
        }
        let record = self.publish(outcome)?;
        if let Some(scope) = self.row_scope(&self.ingredients) {
            cache.set_hint(scope, record.key)?;
        }
        self.show(&record)?;
        partial.remove()?;
        Ok(record)
    }

    /// A lost object is found again under whatever context the stage wrapped around it.
    fn translate(error: anyhow::Error) -> anyhow::Error {
        let found = error.chain().find_map(|cause| cause.downcast_ref::<LostObject>());
        match found {
            Some(lost) => LostObject { instance: lost.instance.clone(), output: lost.output.clone() }.into(),
            None => error,
        }
    }

    /// Sources whose content went into the key must still have it; else the result belongs to no known input.
    fn sources_unchanged(&self) -> Result<()> {
        let reads =
            |input: &super::graph::Input| matches!(input.from, From::File(_) | From::Folder(_) | From::Model { .. });
        if !self.spec().inputs.iter().any(reads) {
            return Ok(());
        }
        self.planner.look_again();
        let what = match self.planner.ingredients(self.spec(), &|id| self.upstream.get(&id)) {
            Ok(again) if again.key() == self.ingredients.key() => return Ok(()),
            Ok(again) => match changes(&self.sources, &self.planner.source_files(self.spec())) {
                // It changed between the key and the look at its files.
                files if files.is_empty() => {
                    let inputs = Ingredients::differences(&self.ingredients, &again);
                    inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                }
                files => files,
            },
            Err(blocked) => blocked.why,
        };
        Err(SourcesChanged { what, instance: self.name() }.into())
    }

    fn publish(&self, outcome: Outcome) -> Result<Record> {
        let lineage = self.lineage().to_string();
        let mut outputs = Vec::new();
        for made in outcome.outputs {
            let name = made.name.clone();
            outputs.push(self.store(&made, &lineage).with_context(|| format!("cannot keep output `{name}`"))?);
        }
        let log = [outcome.log, outcome.warnings].concat();
        let record = Record::new(self.ingredients.clone(), outputs, log);
        self.workspace.cache.publish(&record)?;
        Ok(record)
    }

    fn store(&self, made: &Made, lineage: &str) -> Result<Output> {
        let cache = &self.workspace.cache;
        let describe = |object: Object, data, columns, rows| Output {
            name: made.name.clone(),
            object: object.digest,
            extension: object.extension,
            bytes: object.bytes,
            data,
            columns,
            rows,
        };
        match &made.content {
            Content::Table(batch) => {
                let columns = table::column_hashes(batch)?;
                let object = cache.put(&table::write(batch, &[(table::LINEAGE, lineage)])?, "parquet")?;
                Ok(describe(object, table_digest(&columns), columns, Some(batch.num_rows() as u64)))
            }
            Content::Bytes(bytes, extension) => {
                let object = cache.put(bytes, extension)?;
                let data = object.digest;
                Ok(describe(object, data, BTreeMap::new(), None))
            }
        }
    }

    /// Where a table comes from: its key and everything in it. No time, host, user or path.
    fn lineage(&self) -> serde_json::Value {
        json!({
            "key": self.ingredients.key(),
            "stage": self.ingredients.stage,
            "version": self.ingredients.version,
            "parameters": self.ingredients.parameters,
            "inputs": self.ingredients.inputs,
            "environment": self.ingredients.environment,
        })
    }

    /// What decides a row besides its own input: the key without the rows. `None` where rows are not computed one by one.
    fn row_scope(&self, ingredients: &Ingredients) -> Option<Digest> {
        let rows = self.spec().stage.row_input()?;
        let mut scope = ingredients.clone();
        let prefix = format!("{rows}.");
        scope.inputs.retain(|name, _| name != rows && !name.starts_with(&prefix));
        Some(scope.key())
    }

    /// The main table of an earlier run with the same row scope: of this instance, else of any other.
    fn previous(&self) -> Result<Option<arrow::array::RecordBatch>> {
        let cache = &self.workspace.cache;
        let Some(scope) = self.row_scope(&self.ingredients) else { return Ok(None) };
        let keys = [cache.root(&self.name())?.map(|root| root.key), cache.hint(scope)?];
        for key in keys.into_iter().flatten() {
            let Some(record) = cache.record(key)? else { continue };
            if self.row_scope(&record.ingredients) != Some(scope) {
                continue;
            }
            let Some(output) = record.output(self.spec().stage.primary()) else { continue };
            // A table that is none helps nobody, and is not needed.
            let table = cache.get(&output.stored())?.and_then(|bytes| table::read(bytes).ok());
            if table.is_some() {
                return Ok(table);
            }
        }
        Ok(None)
    }

    fn note(&self, reasons: &[Reason], spent: Duration, error: Option<&anyhow::Error>) -> Result<()> {
        let outcome = match error {
            None => cache::Outcome::Built,
            Some(error) if error.is::<Interrupted>() => cache::Outcome::Interrupted,
            Some(_) => cache::Outcome::Failed,
        };
        let event = Event {
            key: Some(self.ingredients.key()),
            reasons: reasons.to_vec(),
            seconds: spent.as_secs_f64(),
            peak_memory: peak_memory(),
            message: error.map(|error| format!("{error:#}")),
            ..Event::now(&self.name(), outcome)
        };
        Ok(self.log.append(&event)?)
    }
}

/// Keeps the place of long work only while its sources are what the key says: the next run goes on from there.
struct Watched<'a> {
    slot: Slot,
    execution: &'a Execution<'a>,
}

impl Checkpoint for Watched<'_> {
    fn load(&mut self) -> Result<Option<Vec<u8>>> {
        self.slot.load()
    }

    fn save(&mut self, state: &[u8]) -> Result<()> {
        self.execution.sources_unchanged()?;
        self.slot.save(state)
    }
}

/// The most memory that this process has had, in bytes, where the system tells.
pub fn peak_memory() -> Option<u64> {
    peak_memory_of("self")
}

/// The most memory that a running process has had, in bytes, where the system tells.
pub fn peak_memory_of(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The data hash of a whole table, from those of its columns.
fn table_digest(columns: &BTreeMap<String, Digest>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("rsic 2026 table v1");
    for (name, digest) in columns {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(digest.as_bytes());
    }
    hasher.finalize().into()
}
