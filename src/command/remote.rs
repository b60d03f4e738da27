//! What `push` and `pull` have in common.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use super::failure;
use crate::cache::Remote;
use crate::pipeline::Workspace;
use crate::pipeline::target::UsageError;
use crate::ui::Ui;

/// How many results travel at once.
const AT_ONCE: usize = 8;

/// The remote store of a workspace.
pub(super) fn open(workspace: &Workspace) -> Result<Remote> {
    let Some(settings) = &workspace.config.store.remote else {
        let text = "pipeline.toml names no remote store".to_owned();
        let hint = "add `[store.remote]` with `url = \"s3://bucket/prefix\"`, `gs://`, `az://`, or a folder".to_owned();
        return Err(UsageError { text, hint }.into());
    };
    Ok(Remote::open(settings, &workspace.root)?)
}

/// Does `work` on all items, several at once; the results are in the order of the items.
pub(super) fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                while let Some((at, item)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
                {
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Prints what failed, equal errors once; returns the exit code of the first.
pub(super) fn report(ui: &Ui, failures: &[(String, anyhow::Error)]) -> u8 {
    let mut said = Vec::new();
    for (name, error) in failures {
        let text = format!("{error:#}");
        if !said.contains(&text) {
            ui.error(&format!("{name}: {text}"), failure::hint(error).as_deref());
            said.push(text);
        }
    }
    failures.first().map_or(0, |(_, error)| failure::code(error))
}
