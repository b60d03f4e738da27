//! What to do about an error.

use std::io;

use super::error::HubError;

impl HubError {
    /// What the user could do about it.
    pub fn hint(&self) -> Option<String> {
        let offline = "what is in the cache already needs no network: set HF_HUB_OFFLINE=1";
        Some(match self {
            Self::BadId { .. } => "give an id as in the model's address: NAME or ORG/NAME".to_owned(),
            Self::BadRevision { .. } => "give a branch, a tag, `refs/pr/N` or a commit of 40 digits".to_owned(),
            Self::BadEndpoint { .. } => {
                "HF_ENDPOINT must start with https:// (or http://); unset it for the public hub".to_owned()
            }
            Self::BadToken => "set HF_TOKEN anew, or log in again with `hf auth login`".to_owned(),
            Self::BadCertificates { .. } => "SSL_CERT_FILE must name a readable file of PEM certificates".to_owned(),
            Self::Offline { .. } => {
                "unset HF_HUB_OFFLINE and fetch it once, or copy the cache from a machine that has it".to_owned()
            }
            Self::Unauthorized { token: true, .. } => {
                "check the id, and that the token (HF_TOKEN, or `hf auth login`) is valid and may read the model"
                    .to_owned()
            }
            Self::Unauthorized { token: false, .. } => {
                "check the id; if the model is private or gated, set HF_TOKEN or log in with `hf auth login`".to_owned()
            }
            Self::Forbidden { id, gated: true, token: true, .. } => {
                format!("accept the licence on the web page of {id}, with the account of the token")
            }
            Self::Forbidden { id, gated: true, token: false, .. } => {
                format!("accept the licence on the web page of {id}, then set HF_TOKEN or log in with `hf auth login`")
            }
            Self::Forbidden { .. } => "use a token (HF_TOKEN) that may read the model".to_owned(),
            Self::NoRepository { .. } => "check the id; a private model needs HF_TOKEN".to_owned(),
            Self::NoRevision { .. } => "the branches, tags and pull requests are on the model's web page".to_owned(),
            Self::NoFile { .. } => "the files are listed on the model's web page, under `Files`".to_owned(),
            Self::NoModel { others, id, .. } if !others.is_empty() => {
                format!("get one of its files, then make a model folder of it: `rsic fetch {id} --file {}`", others[0])
            }
            Self::NoModel { .. } => {
                "give another model or revision; some have safetensors only at refs/pr/N".to_owned()
            }
            Self::BadFileName { .. } => "do not trust this repository".to_owned(),
            Self::NotAHub { .. } => {
                "check HF_ENDPOINT, and whether a proxy or a login page of the network answers".to_owned()
            }
            Self::Busy { .. } => "wait and run it again; with HF_TOKEN the hub allows more requests".to_owned(),
            Self::Status { .. } | Self::Changed { .. } => "run it again later".to_owned(),
            Self::Network { why, .. } if why.contains("certificate") => {
                "if a proxy of your network signs its own certificates, name them (PEM) in SSL_CERT_FILE".to_owned()
            }
            Self::Network { .. } => format!("check the network, HTTPS_PROXY and HF_ENDPOINT; {offline}"),
            Self::Broken { .. } => "run it again: it goes on from there".to_owned(),
            Self::WrongLength { .. } | Self::Corrupt { .. } => {
                "run it again; if it happens again, a proxy or mirror (HF_ENDPOINT) sends wrong bytes".to_owned()
            }
            Self::Io { error, .. } if error.kind() == io::ErrorKind::StorageFull => {
                "make room, or set HF_HOME to a larger disk, and run it again: it goes on from there".to_owned()
            }
            Self::Io { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                "set HF_HOME to a folder that you may write".to_owned()
            }
            Self::Io { .. } | Self::Interrupted(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::progress::Interrupted;

    #[test]
    fn hints_tell_the_cases_apart() {
        let id = || "a/b".to_owned();
        let io = |kind| HubError::Io { path: "/x".into(), error: io::Error::from(kind) };
        let forbidden = |gated, token| HubError::Forbidden { id: id(), gated, token, said: String::new() };
        let network = |why: &str| HubError::Network { host: id(), why: why.to_owned(), passing: false };
        for (error, message, hint) in [
            (forbidden(true, true), "refuses access to a/b", Some("with the account of the token")),
            (forbidden(true, false), "refuses access to a/b", Some("then set HF_TOKEN")),
            (forbidden(false, true), "refuses access to a/b", Some("may read")),
            (HubError::Unauthorized { id: id(), token: false }, "without a token", Some("HF_TOKEN")),
            (io(io::ErrorKind::StorageFull), "cannot write /x", Some("make room")),
            (io(io::ErrorKind::PermissionDenied), "cannot write /x", Some("HF_HOME")),
            (io(io::ErrorKind::NotFound), "cannot write /x", None),
            (HubError::Busy { host: id(), wait: Some(Duration::from_secs(90)) }, "wait 90 s", Some("HF_TOKEN")),
            (network("invalid peer certificate"), "cannot reach a/b: invalid", Some("SSL_CERT_FILE")),
            (network("connection refused"), "cannot reach a/b: connection", Some("HTTPS_PROXY")),
            (HubError::Interrupted(Interrupted), "interrupted", None),
        ] {
            assert!(error.to_string().contains(message), "{error}");
            let found = error.hint();
            assert_eq!(found.is_some(), hint.is_some(), "{error}");
            assert!(found.unwrap_or_default().contains(hint.unwrap_or_default()), "{error}");
        }
    }
}
