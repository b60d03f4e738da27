//! Where a remote store is, how it is reached, and what must never be said about it.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use serde::{Deserialize, Serialize};
use url::Url;

use super::RemoteError;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// `[store.remote]` of `pipeline.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteSettings {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///folder`, or a folder relative to
    /// the workspace.
    pub url: String,
    /// What the service needs besides the address, such as `endpoint` and `region`; credentials are read from the
    /// environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Whether a build asks the remote store before it runs a stage.
    #[serde(default = "yes")]
    pub pull: bool,
    /// How long the store may take to answer, in seconds.
    #[serde(default = "ten_seconds")]
    pub timeout: u64,
}

fn yes() -> bool {
    true
}

fn ten_seconds() -> u64 {
    10
}

/// A service and the place in it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// The folder, where the store is one.
    pub(super) folder: Option<std::path::PathBuf>,
}

impl RemoteSettings {
    /// Checks what can be checked without the network.
    ///
    /// Fails if the address is not understood, or if the settings hold credentials.
    pub fn check(&self) -> Result<(), RemoteError> {
        if self.timeout == 0 {
            return Err(self.wrong("`timeout` must be at least 1 second"));
        }
        for key in self.options.keys() {
            let lower = key.to_ascii_lowercase();
            if SECRET_WORDS.iter().any(|word| lower.contains(word)) && !lower.ends_with("_file") {
                let why =
                    format!("`options` must not hold credentials: set `{}` in the environment", key.to_uppercase());
                return Err(self.wrong(&why));
            }
        }
        let Some(url) = self.parsed()? else { return Ok(()) };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(
                self.wrong("it may hold no user, password, query or fragment: set credentials in the environment")
            );
        }
        match ObjectStoreScheme::parse(&url) {
            Ok((ObjectStoreScheme::Http, _)) => {
                let why = "a web server keeps nothing: name a bucket (`s3://`, `gs://`, `az://`), with `options.endpoint` \
                           for a service of your own";
                Err(self.wrong(why))
            }
            Ok((scheme, _)) => self.refuse_unknown_options(&scheme),
            Err(error) => {
                let known = "stores are `s3://`, `gs://`, `az://`, `file:///` and folders";
                Err(self.wrong(&format!("{}; {known}", clean(&error.to_string()))))
            }
        }
    }

    fn refuse_unknown_options(&self, scheme: &ObjectStoreScheme) -> Result<(), RemoteError> {
        for key in self.options.keys() {
            let lower = key.to_ascii_lowercase();
            let known = match scheme {
                ObjectStoreScheme::AmazonS3 => lower.parse::<AmazonS3ConfigKey>().is_ok(),
                ObjectStoreScheme::GoogleCloudStorage => lower.parse::<GoogleConfigKey>().is_ok(),
                ObjectStoreScheme::MicrosoftAzure => lower.parse::<AzureConfigKey>().is_ok(),
                _ => false,
            };
            if !known {
                return Err(self.wrong(&format!("this kind of store has no option `{key}`")));
            }
        }
        Ok(())
    }

    /// The address as an URL; `None` for a plain folder.
    fn parsed(&self) -> Result<Option<Url>, RemoteError> {
        if !self.url.contains("://") {
            return if self.url.is_empty() { Err(self.wrong("it is empty")) } else { Ok(None) };
        }
        Url::parse(&self.url).map(Some).map_err(|error| self.wrong(&error.to_string()))
    }

    /// The service behind the address; `base` is where relative folders begin.
    pub(super) fn place(&self, base: &FilePath) -> Result<Place, RemoteError> {
        self.check()?;
        let Some(url) = self.parsed()? else { return self.folder(&base.join(&self.url)) };
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|error| self.wrong(&error.to_string()))?;
        let unusable = |error: object_store::Error| self.wrong(&clean(&error.to_string()));
        let text = url.to_string();
        let store: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
            ObjectStoreScheme::AmazonS3 => {
                let builder = AmazonS3Builder::from_env().with_url(text);
                let builder = builder.with_client_options(self.client()).with_retry(retry());
                let set = |builder: AmazonS3Builder, (key, value): (AmazonS3ConfigKey, &String)| {
                    builder.with_config(key, value)
                };
                Arc::new(self.keyed().fold(builder, set).build().map_err(unusable)?)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let builder = GoogleCloudStorageBuilder::from_env().with_url(text);
                // A service account's file may name an endpoint without encryption, too.
                let builder = builder.with_client_options(self.client().with_allow_http(true)).with_retry(retry());
                let set = |builder: GoogleCloudStorageBuilder, (key, value): (GoogleConfigKey, &String)| {
                    builder.with_config(key, value)
                };
                Arc::new(self.keyed().fold(builder, set).build().map_err(unusable)?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let builder = MicrosoftAzureBuilder::from_env().with_url(text);
                let builder = builder.with_client_options(self.client()).with_retry(retry());
                let set = |builder: MicrosoftAzureBuilder, (key, value): (AzureConfigKey, &String)| {
                    builder.with_config(key, value)
                };
                Arc::new(self.keyed().fold(builder, set).build().map_err(unusable)?)
            }
            _ => {
                let folder = url.to_file_path().map_err(|()| self.wrong("it names no folder of this machine"))?;
                return self.folder(&folder);
            }
        };
        Ok(Place { store, prefix, folder: None })
    }

    /// The options as keys of one service.
    fn keyed<K: std::str::FromStr>(&self) -> impl Iterator<Item = (K, &String)> {
        self.options.iter().filter_map(|(key, value)| Some((key.to_ascii_lowercase().parse().ok()?, value)))
    }

    fn folder(&self, folder: &FilePath) -> Result<Place, RemoteError> {
        if !self.options.is_empty() {
            return Err(self.wrong("a folder has no options"));
        }
        let folder = std::path::absolute(folder).map_err(|error| self.wrong(&error.to_string()))?;
        let prefix = Path::from_absolute_path(&folder).map_err(|error| self.wrong(&error.to_string()))?;
        Ok(Place { store: Arc::new(LocalFileSystem::new()), prefix, folder: Some(folder) })
    }

    fn client(&self) -> ClientOptions {
        // Who names an endpoint without encryption wants it.
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let variables =
            variables.filter(|(name, _)| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|start| name.starts_with(start)));
        let settings = self.options.iter().map(|(key, value)| (key.clone(), value.clone()));
        let plain = settings.chain(variables).any(|(key, value)| {
            let key = key.to_ascii_lowercase();
            (key.contains("endpoint") || key.contains("base_url")) && value.starts_with("http://")
        });
        // The time of whole answers is bounded by ourselves, piece by piece: an object may be large.
        let options = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout_disabled();
        options.with_allow_http(plain)
    }

    fn wrong(&self, why: &str) -> RemoteError {
        RemoteError::Settings { url: self.shown(), why: why.to_owned() }
    }

    /// The address without anything that could be a credential.
    pub fn shown(&self) -> String {
        clean(&self.url)
    }
}

fn retry() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(1), base: 2.0 };
    RetryConfig { backoff, max_retries: 2, retry_timeout: Duration::from_secs(10) }
}

/// Parts of the names of settings and variables whose values are credentials.
const SECRET_WORDS: [&str; 8] =
    ["secret", "token", "password", "access_key", "account_key", "master_key", "sas_key", "key_base64"];

/// A text that may be shown: without the values of credentials in the environment, and without users and queries of
/// addresses, where signatures stand.
pub(super) fn clean(text: &str) -> String {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    without_secrets(text, variables)
}

/// [`clean`] in an environment of these variables.
pub(super) fn without_secrets(text: &str, variables: impl Iterator<Item = (String, String)>) -> String {
    let secrets = variables.filter(|(name, value)| is_secret(&name.to_ascii_lowercase()) && value.len() >= 4);
    let text = secrets.fold(text.to_owned(), |text, (_, secret)| text.replace(&secret, "***"));
    text.split_inclusive(char::is_whitespace).map(without_parts).collect()
}

fn is_secret(variable: &str) -> bool {
    let service = ["aws_", "azure_", "google_"].iter().any(|start| variable.starts_with(start));
    service && SECRET_WORDS.iter().any(|word| variable.contains(word)) && !variable.ends_with("_file")
}

/// One word; if it is an address, without its user and query.
fn without_parts(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let ends = |c: char| matches!(c, ')' | '"' | '\'' | ',' | '>' | ';') || c.is_whitespace();
    let (address, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
    let address = address.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}{after}")
}
