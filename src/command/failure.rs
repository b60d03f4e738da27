//! Errors -> what the user reads, the hint below it, and the exit code.

use std::process::ExitCode;

use crate::cache::{CacheError, RemoteError};
use crate::dataset::candidates::CandidateError;
use crate::fetch::FetchError;
use crate::fetch::hub::HubError;
use crate::pipeline::ConfigError;
use crate::pipeline::models::NoModel;
use crate::pipeline::source::{Blocked, SourcesChanged};
use crate::pipeline::target::UsageError;
use crate::progress::Interrupted;
use crate::stage::ForeignTable;
use crate::ui::Ui;

/// A stage failed.
pub const FAILED: u8 = 1;
/// Usage or configuration.
pub const USAGE: u8 = 2;
/// Something is stale (`status --exit-code`).
pub const STALE: u8 = 3;
/// Corruption was found (`verify`).
pub const CORRUPT: u8 = 4;
/// Input/output, or no space.
pub const IO: u8 = 5;
/// A lock was not to be had in time.
pub const LOCKED: u8 = 6;
/// Interrupted.
pub const INTERRUPTED: u8 = 130;

/// Prints an error with its causes and its hint; returns the exit code.
pub fn report(ui: &Ui, error: &anyhow::Error) -> ExitCode {
    ui.error(&format!("{error:#}"), hint(error).as_deref());
    ExitCode::from(code(error))
}

/// What the user could do about it, from the cause that knows.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(config) = cause.downcast_ref::<ConfigError>() {
            config.hint()
        } else if let Some(target) = cause.downcast_ref::<UsageError>() {
            Some(target.hint.clone())
        } else if let Some(blocked) = cause.downcast_ref::<Blocked>() {
            blocked.hint.clone()
        } else if let Some(foreign) = cause.downcast_ref::<ForeignTable>() {
            Some(foreign.hint())
        } else if cause.is::<SourcesChanged>() {
            Some(SourcesChanged::HINT.to_owned())
        } else if let Some(model) = cause.downcast_ref::<NoModel>() {
            Some(model.hint.clone())
        } else if let Some(captions) = cause.downcast_ref::<CandidateError>() {
            captions.hint()
        } else if let Some(fetch) = cause.downcast_ref::<FetchError>() {
            fetch.hint()
        } else if let Some(hub) = cause.downcast_ref::<HubError>() {
            hub.hint()
        } else if let Some(remote) = cause.downcast_ref::<RemoteError>() {
            remote.hint()
        } else {
            cause.downcast_ref::<CacheError>().and_then(CacheError::hint)
        }
    })
}

/// The exit code of an error.
pub fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<ConfigError>() || cause.is::<UsageError>() {
            return USAGE;
        }
        if cause.is::<Interrupted>() {
            return INTERRUPTED;
        }
        if let Some(FetchError::Io { .. }) = cause.downcast_ref() {
            return IO;
        }
        match cause.downcast_ref::<HubError>() {
            Some(HubError::Io { .. }) => return IO,
            Some(HubError::Interrupted(_)) => return INTERRUPTED,
            Some(HubError::BadId { .. } | HubError::BadRevision { .. }) => return USAGE,
            _ => {}
        }
        if let Some(error) = cause.downcast_ref::<RemoteError>() {
            return of_remote(error);
        }
        if let Some(error) = cause.downcast_ref::<CacheError>() {
            return of_cache(error);
        }
    }
    FAILED
}

fn of_remote(error: &RemoteError) -> u8 {
    match error {
        RemoteError::Settings { .. } | RemoteError::Format { .. } => USAGE,
        RemoteError::Corrupt { .. } | RemoteError::Lost { .. } => CORRUPT,
        RemoteError::Down { .. } | RemoteError::Refused { .. } => IO,
        RemoteError::Conflict(_) => FAILED,
        RemoteError::Cache(error) => of_cache(error),
        RemoteError::Interrupted(_) => INTERRUPTED,
    }
}

fn of_cache(error: &CacheError) -> u8 {
    match error {
        CacheError::LockTimeout { .. } => LOCKED,
        CacheError::Interrupted { .. } => INTERRUPTED,
        CacheError::ChangedWhileRead(_) => FAILED,
        CacheError::Name { .. } => USAGE,
        _ => IO,
    }
}
