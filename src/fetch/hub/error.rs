//! Why a model could not be fetched, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::progress::Interrupted;

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The id is none.
    #[error("`{id}` is not the id of a model on the hub")]
    BadId {
        /// What was given.
        id: String,
    },
    /// The revision is none.
    #[error("`{revision}` is not a revision")]
    BadRevision {
        /// What was given.
        revision: String,
    },
    /// The address of the hub is none.
    #[error("`{endpoint}` is not the address of a hub")]
    BadEndpoint {
        /// What `HF_ENDPOINT` says.
        endpoint: String,
    },
    /// The token has characters that cannot be sent.
    #[error("the Hugging Face token holds characters that no token has")]
    BadToken,
    /// The certificates of `SSL_CERT_FILE` are of no use.
    #[error("{path} holds no certificates: {why}", path = path.display())]
    BadCertificates {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The network must not be used, and the cache lacks something.
    #[error("{id} at {revision} is not whole in the Hugging Face cache, and the hub is offline: {missing} is missing")]
    Offline {
        /// The model.
        id: String,
        /// Its revision.
        revision: String,
        /// The first thing that is missing.
        missing: String,
    },
    /// 401.
    #[error("the hub does not show {id} {}", if *token { "with this token" } else { "without a token" })]
    Unauthorized {
        /// The model.
        id: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// 403, or a model whose licence is to be accepted first.
    #[error("the hub refuses access to {id}{}", after_colon(said))]
    Forbidden {
        /// The model.
        id: String,
        /// Whether it is for a licence that was not accepted.
        gated: bool,
        /// Whether a token was sent.
        token: bool,
        /// What the hub said.
        said: String,
    },
    /// 404: no such model, or none that this user may see.
    #[error("the hub has no model {id}")]
    NoRepository {
        /// The model.
        id: String,
    },
    /// 404: no such revision.
    #[error("{id} has no revision {revision}")]
    NoRevision {
        /// The model.
        id: String,
        /// The revision.
        revision: String,
    },
    /// 404: no such file.
    #[error("{id} has no file {file} at {revision}")]
    NoFile {
        /// The model.
        id: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
    },
    /// The repository is none that can be loaded as a model.
    #[error("{id} has no {lacks}")]
    NoModel {
        /// The model.
        id: String,
        /// What is missing.
        lacks: &'static str,
        /// Files there that may be meant.
        others: Vec<String>,
    },
    /// A file name that would leave the cache.
    #[error("the hub lists a file with the unsafe name {name:?}")]
    BadFileName {
        /// The name.
        name: String,
    },
    /// Something else than a hub answers.
    #[error("{host} does not answer like a hub: {what}")]
    NotAHub {
        /// Who answers.
        host: String,
        /// What is wrong.
        what: String,
    },
    /// 429, after all attempts or with too long a pause asked for.
    #[error("{host} asks to wait{}", wait.map_or_else(String::new, |wait| format!(" {} s", wait.as_secs())))]
    Busy {
        /// Who.
        host: String,
        /// How long.
        wait: Option<Duration>,
    },
    /// Any other status.
    #[error("{host} answers with status {status}{}", after_colon(said))]
    Status {
        /// Who.
        host: String,
        /// The status.
        status: u16,
        /// What it said.
        said: String,
        /// Whether another attempt may help.
        passing: bool,
    },
    /// No connection, or a broken one.
    #[error("cannot reach {host}: {why}")]
    Network {
        /// Who.
        host: String,
        /// Why.
        why: String,
        /// Whether another attempt may help.
        passing: bool,
    },
    /// The transfer stopped before its end.
    #[error("the transfer of {file} from {host} broke after {got} bytes: {why}")]
    Broken {
        /// Who.
        host: String,
        /// The file.
        file: String,
        /// How much is here.
        got: u64,
        /// Why.
        why: String,
    },
    /// The server sends more or less than it said.
    #[error("{file} should have {expected} bytes, but the server sends {found}; nothing of it was kept")]
    WrongLength {
        /// The file.
        file: String,
        /// By the hub.
        expected: u64,
        /// By the transfer.
        found: u64,
    },
    /// The bytes are not those that the hub promised.
    #[error("{file} came damaged: its {digest} is {found}, not {expected}; the file was discarded")]
    Corrupt {
        /// The file.
        file: String,
        /// The kind of digest.
        digest: &'static str,
        /// By the hub.
        expected: String,
        /// By its bytes.
        found: String,
    },
    /// The file on the hub changes while it is fetched.
    #[error("{file} changed on the hub while it was fetched")]
    Changed {
        /// The file.
        file: String,
    },
    /// A file or folder of the cache cannot be read or written.
    #[error("cannot write {path}: {error}", path = path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl HubError {
    /// Makes an io error of `path` one of ours.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }

    /// Whether another attempt may help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Network { passing, .. } | Self::Status { passing, .. } => *passing,
            Self::Busy { .. } | Self::Broken { .. } => true,
            _ => false,
        }
    }
}
