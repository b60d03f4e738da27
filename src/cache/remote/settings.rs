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
use super::secret::{clean, is_secret};

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
        if !(1..=3600).contains(&self.timeout) {
            return Err(self.wrong("`timeout` must be 1 to 3600 seconds"));
        }
        for (key, value) in &self.options {
            let lower = key.to_ascii_lowercase();
            if is_secret(&lower) {
                let why =
                    "`options` must not hold credentials: set them in the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`)";
                return Err(self.wrong(why));
            }
            if is_endpoint(&lower) {
                self.check_endpoint(key, value)?;
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
            Ok((ObjectStoreScheme::Memory, _)) if !cfg!(test) => Err(self.wrong("memory is no place for results")),
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

    /// The library would end the program over an address that it cannot read.
    fn check_endpoint(&self, key: &str, value: &str) -> Result<(), RemoteError> {
        let url = Url::parse(value).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        match url {
            None => Err(self.wrong(&format!("`{key}` must be an address such as `https://host`"))),
            Some(url) if !url.username().is_empty() || url.password().is_some() || url.query().is_some() => {
                Err(self.wrong(&format!("`{key}` may hold no user, password or query")))
            }
            Some(_) => Ok(()),
        }
    }

    /// The address as an URL; `None` for a plain folder.
    fn parsed(&self) -> Result<Option<Url>, RemoteError> {
        if !self.url.contains("://") {
            let typed = |start: &str| self.url.starts_with(start);
            return if self.url.is_empty() {
                Err(self.wrong("it is empty"))
            } else if self.url.contains(':') || ["s3/", "gs/", "az/"].into_iter().any(typed) {
                Err(self.wrong(
                    "it is no folder and no address; an address begins with `s3://`, `gs://`, `az://` or `file:///`",
                ))
            } else if typed("~") {
                Err(self.wrong("`~` stands for nothing here: write the whole path"))
            } else {
                Ok(None)
            };
        }
        Url::parse(&self.url).map(Some).map_err(|error| self.wrong(&error.to_string()))
    }

    /// The service behind the address; `base` is where relative folders begin.
    pub(super) fn place(&self, base: &FilePath) -> Result<Place, RemoteError> {
        self.check()?;
        for (name, value) in endpoints_of_environment() {
            self.check_endpoint(&name, &value)?;
        }
        let Some(url) = self.parsed()? else { return self.folder(&base.join(&self.url), base) };
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
                return self.folder(&folder, base);
            }
        };
        Ok(Place { store, prefix, folder: None })
    }

    /// The options as keys of one service.
    fn keyed<K: std::str::FromStr>(&self) -> impl Iterator<Item = (K, &String)> {
        self.options.iter().filter_map(|(key, value)| Some((key.to_ascii_lowercase().parse().ok()?, value)))
    }

    fn folder(&self, folder: &FilePath, base: &FilePath) -> Result<Place, RemoteError> {
        if !self.options.is_empty() {
            return Err(self.wrong("a folder has no options"));
        }
        let plain = |path: &FilePath| std::path::absolute(path).map(|path| without_parents(&path));
        let folder = plain(folder).map_err(|error| self.wrong(&error.to_string()))?;
        let base = plain(base).map_err(|error| self.wrong(&error.to_string()))?;
        if folder == base || ["cache", "output"].iter().any(|ours| folder.starts_with(base.join(ours))) {
            return Err(self.wrong("it may not be the workspace, nor lie in its `cache` or `output`"));
        }
        let prefix = Path::from_absolute_path(&folder).map_err(|error| self.wrong(&error.to_string()))?;
        Ok(Place { store: Arc::new(LocalFileSystem::new()), prefix, folder: Some(folder) })
    }

    fn client(&self) -> ClientOptions {
        // Who names an endpoint without encryption wants it.
        let settings = self.options.iter().filter(|(key, _)| is_endpoint(&key.to_ascii_lowercase()));
        let settings = settings.map(|(_, value)| value.clone());
        let plain =
            settings.chain(endpoints_of_environment().map(|(_, value)| value)).any(|v| v.starts_with("http://"));
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

/// Whether an option names an address.
fn is_endpoint(key: &str) -> bool {
    ["endpoint", "endpoint_url", "endpoint_url_s3", "base_url"].iter().any(|end| key.ends_with(end))
}

/// The variables that name the address of a service.
fn endpoints_of_environment() -> impl Iterator<Item = (String, String)> {
    let names =
        ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_ENDPOINT", "GOOGLE_BASE_URL"];
    names.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok().filter(|v| !v.is_empty())?)))
}

/// An absolute path without `..`.
fn without_parents(path: &FilePath) -> std::path::PathBuf {
    let mut plain = std::path::PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

fn retry() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(1), base: 2.0 };
    RetryConfig { backoff, max_retries: 2, retry_timeout: Duration::from_secs(10) }
}
