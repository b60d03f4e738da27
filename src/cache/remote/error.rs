//! What can go wrong with a remote store.

use crate::cache::CacheError;
use crate::digest::Digest;
use crate::progress::Interrupted;

/// An operation on a remote store failed. No text holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// `[store.remote]` cannot be used.
    #[error("store.remote.url `{url}`: {why}")]
    Settings {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store did not answer, or refused.
    #[error("cannot {doing} {url}: {why}")]
    Down {
        /// What was tried, such as `read`.
        doing: &'static str,
        /// The address within the store.
        url: String,
        /// The answer, or that there was none.
        why: String,
    },
    /// The store is there, and does not allow it.
    #[error("cannot {doing} {url}: {why}")]
    Refused {
        /// What was tried, such as `read`.
        doing: &'static str,
        /// The address within the store.
        url: String,
        /// The answer.
        why: String,
    },
    /// The place holds something else, or is of another version.
    #[error("{url} says `{found}`, but this program knows only `{known}`")]
    Format {
        /// The address of FORMAT.
        url: String,
        /// Its first line.
        found: String,
        /// The line that this program writes.
        known: &'static str,
    },
    /// What is there is not what its name says; nothing of it was kept.
    #[error("{url} is damaged: {why}")]
    Corrupt {
        /// The address within the store.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// A record names an object that is not there.
    #[error("{url} is missing, though a record names it")]
    Lost {
        /// The address within the store.
        url: String,
    },
    /// The store has another result under the same key.
    #[error("the remote store has another result under key {}; it is kept", .0.short())]
    Conflict(Digest),
    /// The local store failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl RemoteError {
    /// What the user can do about it, if anything is known to help.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Settings { .. } => "see `[store.remote]` in pipeline.toml",
            Self::Down { .. } => {
                "check `store.remote` in pipeline.toml, the network, and the credentials in the environment; \
                 `rsic build --offline` does not ask the remote store"
            }
            Self::Refused { .. } => {
                "check the credentials in the environment; they must allow to list, or a file that is not there is \
                 refused, too; `rsic build --offline` does not ask the remote store"
            }
            Self::Format { .. } => "name another place in `store.remote.url`, or use the program that wrote this one",
            Self::Corrupt { .. } | Self::Lost { .. } => {
                "`rsic push --verify` from a workspace that has the result mends it"
            }
            Self::Conflict(_) => "`rsic build --force` tells whether the stage gives the same result twice",
            Self::Cache(error) => return error.hint(),
            Self::Interrupted(_) => return None,
        };
        Some(text.to_owned())
    }
}
