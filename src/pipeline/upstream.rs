//! What a build takes from the remote store before it runs a stage.
//!
//! Nothing that is wrong there stops a build: it says so once, and computes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Result;

use super::Workspace;
use crate::cache::{Record, Remote, RemoteError};
use crate::digest::Digest;
use crate::progress::Progress;

/// The remote store of a workspace, as a build sees it.
pub struct Upstream<'a> {
    workspace: &'a Workspace,
    offline: bool,
    opened: OnceLock<Option<Remote>>,
    /// Whether it did not answer.
    down: AtomicBool,
    /// What went wrong, each once, until somebody says it.
    remarks: Mutex<Vec<String>>,
}

impl<'a> Upstream<'a> {
    /// The remote store of `workspace`, if it has one; nothing is asked if `offline`.
    pub fn new(workspace: &'a Workspace, offline: bool) -> Self {
        Self { workspace, offline, opened: OnceLock::new(), down: AtomicBool::new(false), remarks: Mutex::default() }
    }

    /// Whether there is a store that answers, as far as is known.
    pub(super) fn is_asked(&self) -> bool {
        self.remote().is_some() && !self.down.load(Ordering::Relaxed)
    }

    /// The record under `key`, if the store has it with all its objects.
    pub fn offer(&self, key: Digest) -> Option<Record> {
        let remote = self.remote().filter(|_| !self.down.load(Ordering::Relaxed))?;
        match remote.offer(&self.workspace.cache, key) {
            Ok(record) => record,
            Err(error) => {
                self.complain(remote, &error);
                None
            }
        }
    }

    /// Brings the result under `key` into the cache, if the store has it; returns it with the number of bytes that came.
    ///
    /// Fails only if the user stops, or if the cache does.
    pub(super) fn pull(&self, key: Digest, progress: &dyn Fn() -> Box<dyn Progress>) -> Result<Option<(Record, u64)>> {
        let Some(remote) = self.remote().filter(|_| !self.down.load(Ordering::Relaxed)) else { return Ok(None) };
        let pulled = remote.record(key).and_then(|found| {
            let Some(record) = found else { return Ok(None) };
            let progress = progress();
            progress.begin("at most", record.outputs.iter().map(|output| output.bytes).sum(), "bytes");
            let bytes = remote.pull(&self.workspace.cache, &record, progress.as_ref())?;
            Ok(Some((record, bytes)))
        });
        match pulled {
            Ok(pulled) => {
                self.workspace.cache.set_remote_rests(remote.url(), false);
                Ok(pulled)
            }
            Err(RemoteError::Interrupted(stop)) => Err(stop.into()),
            Err(error @ RemoteError::Cache(_)) => Err(error.into()),
            Err(error) => {
                self.complain(remote, &error);
                Ok(None)
            }
        }
    }

    /// What went wrong since this was last asked.
    pub fn remarks(&self) -> Vec<String> {
        std::mem::take(&mut *self.remarks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The handle; made when it is first needed.
    fn remote(&self) -> Option<&Remote> {
        let settings = self.workspace.config.store.remote.as_ref().filter(|remote| remote.pull && !self.offline)?;
        let open = || {
            if let Some(left) = self.workspace.cache.remote_rests(&settings.shown()) {
                self.remark(format!(
                    "the remote store {} did not answer a moment ago: builds ask it again in {left} s, `rsic pull` at once",
                    settings.shown()
                ));
                return None;
            }
            match Remote::open(settings, &self.workspace.root) {
                Ok(remote) => {
                    match remote.is_founded() {
                        Ok(true) => {}
                        Ok(false) => self.remark(format!(
                            "there is no remote store at {} yet: is it mounted? `rsic push` makes one",
                            remote.url()
                        )),
                        Err(error) => self.complain(&remote, &error),
                    }
                    Some(remote)
                }
                Err(error) => {
                    self.remark(error.to_string());
                    None
                }
            }
        };
        self.opened.get_or_init(open).as_ref()
    }

    fn complain(&self, remote: &Remote, error: &RemoteError) {
        match error {
            RemoteError::Down { .. } | RemoteError::Refused { .. } | RemoteError::Format { .. } => {
                if self.down.swap(true, Ordering::Relaxed) {
                    return;
                }
                if matches!(error, RemoteError::Down { .. }) {
                    self.workspace.cache.set_remote_rests(remote.url(), true);
                }
                self.remark(format!("{error}; going on without the remote store"));
            }
            _ => self.remark(format!("{error}; it is computed instead")),
        }
    }

    fn remark(&self, text: String) {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}
