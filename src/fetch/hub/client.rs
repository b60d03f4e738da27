//! One request to the hub: redirects, the token, and what answers mean.

use std::io;

use ureq::http::{HeaderMap, Request, Response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};

use super::background::wait_for;
use super::error::HubError;
use super::name;
use super::redirect::{follow, host, is_endpoint, same_origin};
use super::retry::Retry;
use super::settings::Settings;
use crate::progress::Progress;

/// The longest chain of redirects that is followed.
const REDIRECTS: usize = 8;
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Asks the hub.
pub(super) struct Client<'a> {
    pub(super) settings: &'a Settings,
    pub(super) progress: &'a dyn Progress,
    agent: Agent,
}

/// What is asked for.
pub(super) struct Ask<'a> {
    /// Only the headers.
    pub(super) head: bool,
    pub(super) url: String,
    /// From which byte on.
    pub(super) from: u64,
    /// The model, the revision and the file, for messages.
    pub(super) id: &'a str,
    pub(super) revision: &'a str,
    pub(super) file: &'a str,
}

/// What the hub says about a file in its headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) commit: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
}

/// An answer.
pub(super) struct Answer {
    /// Who gave it, after all redirects.
    pub(super) host: String,
    /// What was said on the way.
    pub(super) facts: Facts,
    pub(super) response: Response<Body>,
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &'a Settings, progress: &'a dyn Progress) -> Result<Self, HubError> {
        if !is_endpoint(&settings.endpoint) {
            return Err(HubError::BadEndpoint { endpoint: name::printable(&settings.endpoint) });
        }
        if settings.token.as_ref().is_some_and(|token| !token.is_sendable()) {
            return Err(HubError::BadToken);
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(USER_AGENT)
            // Ranges and sizes are those of the bytes themselves.
            .accept_encoding("identity")
            .proxy(if settings.proxy { Proxy::try_from_env() } else { None })
            .tls_config(TlsConfig::builder().root_certs(certificates(settings)?).build())
            .timeout_resolve(Some(settings.answer_timeout))
            .timeout_connect(Some(settings.answer_timeout))
            .timeout_recv_response(Some(settings.answer_timeout))
            .timeout_per_read(Some(settings.stall_timeout))
            .timeout_per_write(Some(settings.stall_timeout));
        Ok(Self { settings, progress, agent: config.build().new_agent() })
    }

    /// Asks until there is an answer or an error that does not pass.
    pub(super) fn ask(&self, ask: &Ask) -> Result<Answer, HubError> {
        let mut retry = Retry::new(self.settings, self.progress);
        loop {
            match self.ask_once(ask) {
                Ok(answer) => return Ok(answer),
                Err(error) => retry.after(error)?,
            }
        }
    }

    /// Asks once. A `head` ends at the redirect that says all about the file.
    pub(super) fn ask_once(&self, ask: &Ask) -> Result<Answer, HubError> {
        let mut url = ask.url.clone();
        let mut facts = Facts::default();
        for _ in 0..=REDIRECTS {
            let response = self.send(ask, &url)?;
            let (status, headers) = (response.status().as_u16(), response.headers());
            facts.learn(status, headers);
            let is_redirect = matches!(status, 301..=303 | 307 | 308);
            if is_redirect && !(ask.head && text(headers, "x-linked-etag").is_some()) {
                let next = text(headers, "location").and_then(|location| follow(&url, location));
                url = next.ok_or_else(|| not_a_hub(&url, "it redirects to no address that may be followed"))?;
                continue;
            }
            if matches!(status, 200 | 206 | 416) || is_redirect {
                return Ok(Answer { host: host(&url), facts, response });
            }
            return Err(self.refusal(ask, &url, status, headers));
        }
        Err(not_a_hub(&ask.url, "its redirects have no end"))
    }

    fn send(&self, ask: &Ask, url: &str) -> Result<Response<Body>, HubError> {
        let mut request = Request::builder().method(if ask.head { "HEAD" } else { "GET" }).uri(url);
        if ask.from > 0 {
            request = request.header("range", format!("bytes={}-", ask.from));
        }
        if let Some(token) = self.settings.token.as_ref().filter(|_| same_origin(url, &self.settings.endpoint)) {
            request = request.header("authorization", token.header());
        }
        let request =
            request.body(()).map_err(|_| not_a_hub(url, "it redirects to no address that may be followed"))?;
        let agent = self.agent.clone();
        wait_for(self.progress, move || agent.run(request))?.map_err(|error| network(url, &error))
    }

    /// What a status other than success means.
    fn refusal(&self, ask: &Ask, url: &str, status: u16, headers: &HeaderMap) -> HubError {
        let said = name::printable(text(headers, "x-error-message").unwrap_or_default());
        let code = text(headers, "x-error-code").unwrap_or_default();
        let (id, revision, file) = (ask.id.to_owned(), ask.revision.to_owned(), ask.file.to_owned());
        let token = self.settings.token.is_some();
        if status == 429 {
            let wait = text(headers, "retry-after").and_then(|seconds| seconds.trim().parse().ok());
            return HubError::Busy { host: host(url), wait: wait.map(std::time::Duration::from_secs) };
        }
        // Another server, to which the hub sent us, knows neither models nor licences; its addresses expire, though.
        if !same_origin(url, &ask.url) && code.is_empty() {
            let passing = matches!(status, 401 | 403 | 404 | 408 | 410 | 500..);
            return HubError::Status { host: host(url), status, said, passing };
        }
        match (status, code) {
            (401 | 403, "GatedRepo") => HubError::Forbidden { id, gated: true, token, said },
            (401, _) => HubError::Unauthorized { id, token },
            (403, _) => HubError::Forbidden { id, gated: false, token, said },
            (404, "RevisionNotFound") => HubError::NoRevision { id, revision },
            (404, "EntryNotFound") => HubError::NoFile { id, revision, file },
            (404, "RepoNotFound") => HubError::NoRepository { id },
            (404, _) if ask.file.is_empty() => HubError::NoRepository { id },
            (404, _) => HubError::NoFile { id, revision, file },
            _ => HubError::Status { host: host(url), status, said, passing: matches!(status, 408 | 500..) },
        }
    }
}

impl Facts {
    /// Takes what one answer in the chain of redirects says; a server that only stores bytes says nothing.
    fn learn(&mut self, status: u16, headers: &HeaderMap) {
        let of_hub = text(headers, "x-repo-commit");
        self.commit = self.commit.take().or_else(|| of_hub.map(str::to_owned));
        if let Some(linked) = text(headers, "x-linked-etag") {
            self.etag = name::etag(linked);
            self.size = text(headers, "x-linked-size").and_then(|size| size.parse().ok());
        } else if of_hub.is_some() && status == 200 && self.etag.is_none() {
            self.etag = text(headers, "etag").and_then(name::etag);
            self.size = text(headers, "content-length").and_then(|size| size.parse().ok());
        } else if of_hub.is_some() && status == 206 && self.etag.is_none() {
            self.etag = text(headers, "etag").and_then(name::etag);
        }
    }
}

/// The value of a header, if it is text.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(super) fn not_a_hub(url: &str, what: &str) -> HubError {
    HubError::NotAHub { host: host(url), what: what.to_owned() }
}

fn network(url: &str, error: &ureq::Error) -> HubError {
    let (why, passing) = match error {
        ureq::Error::Io(error) => {
            // A certificate that is not trusted comes as invalid data: it will not be trusted the next time.
            let lasting = matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
            (error.to_string(), !lasting)
        }
        ureq::Error::Timeout(_) => ("no answer in time".to_owned(), true),
        ureq::Error::HostNotFound => ("there is no such host".to_owned(), false),
        ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => (error.to_string(), true),
        other => (other.to_string(), false),
    };
    HubError::Network { host: host(url), why: name::printable(&why), passing }
}

fn certificates(settings: &Settings) -> Result<RootCerts, HubError> {
    let Some(path) = &settings.certificates else { return Ok(RootCerts::WebPki) };
    let wrong = |why: String| HubError::BadCertificates { path: path.clone(), why };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = items.collect();
    if found.is_empty() {
        return Err(wrong("not in PEM format".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "no certificate").unwrap();
        let file = file.to_str().unwrap();
        for (name, value, message) in [
            ("HF_ENDPOINT", "hub.test", "`hub.test` is not the address of a hub"),
            ("HF_TOKEN", "a b", "the Hugging Face token holds characters that no token has"),
            ("SSL_CERT_FILE", file, "holds no certificates: not in PEM format"),
            ("SSL_CERT_FILE", "/nowhere.pem", "/nowhere.pem holds no certificates"),
        ] {
            let settings = Settings::from_lookup(&|asked| (asked == name).then(|| value.into()));
            let error = Client::new(&settings, &Silent).err().unwrap();
            assert!(error.to_string().contains(message) && error.hint().is_some(), "{error}");
        }
    }

    #[test]
    fn facts_come_from_the_hub_and_not_from_where_it_sends_us() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        let mut facts = Facts::default();
        facts.learn(307, &headers(&[("content-length", "12")]));
        assert_eq!(facts, Facts::default());
        let hub = [("x-repo-commit", "c"), ("etag", "\"x\""), ("x-linked-etag", "\"e\""), ("x-linked-size", "7")];
        facts.learn(302, &headers(&hub));
        facts.learn(200, &headers(&[("etag", "\"other\""), ("content-length", "9")]));
        assert_eq!(facts, Facts { commit: Some("c".into()), etag: Some("e".into()), size: Some(7) });
        let mut facts = Facts::default();
        facts.learn(200, &headers(&[("x-repo-commit", "c"), ("etag", "W/\"e\""), ("content-length", "9")]));
        assert_eq!(facts, Facts { commit: Some("c".into()), etag: Some("e".into()), size: Some(9) });
    }
}
