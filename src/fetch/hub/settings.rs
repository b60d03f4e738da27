//! What the environment says about the hub: the variables of Hugging Face's own clients.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

const ENDPOINT: &str = "https://huggingface.co";

/// Where models come from and go to, and how patiently.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HF_ENDPOINT`, else the public hub; without a slash at the end.
    pub endpoint: String,
    /// `HF_TOKEN`, else the file that `hf auth login` wrote (`HF_TOKEN_PATH`, else `HF_HOME/token`).
    pub token: Option<Token>,
    /// The folder of `models--ORG--NAME`: see [`cache_folder`].
    pub cache: PathBuf,
    /// `HF_HUB_OFFLINE` (or `TRANSFORMERS_OFFLINE`): no socket is ever opened.
    pub offline: bool,
    /// Link snapshots to blobs; `HF_HUB_DISABLE_SYMLINKS` forbids it.
    pub symlinks: bool,
    /// Go through `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, but for `NO_PROXY`.
    pub proxy: bool,
    /// `SSL_CERT_FILE`: certificates (PEM) to trust instead of Mozilla's.
    pub certificates: Option<PathBuf>,
    /// How long to wait for an answer: `HF_HUB_ETAG_TIMEOUT` seconds.
    pub answer_timeout: Duration,
    /// How long a transfer may stand still: `HF_HUB_DOWNLOAD_TIMEOUT` seconds.
    pub stall_timeout: Duration,
    /// How often a request is tried before its error counts; a transfer that moves on starts counting anew.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles each time.
    pub pause: Duration,
}

impl Settings {
    /// The settings of this process.
    pub fn from_env() -> Self {
        Self::from_lookup(&|name| std::env::var_os(name))
    }

    /// The settings out of any environment.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| lookup(name).and_then(|value| value.into_string().ok()).filter(|text| !text.is_empty());
        let yes = |name: &str| text(name).is_some_and(|text| is_true(&text));
        let seconds = |name: &str| {
            let given = text(name).and_then(|text| text.trim().parse().ok()).filter(|seconds| *seconds > 0);
            Duration::from_secs(given.unwrap_or(10))
        };
        Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()).trim_end_matches('/').to_owned(),
            token: token(lookup),
            cache: cache_folder(lookup),
            offline: yes("HF_HUB_OFFLINE") || text("HF_HUB_OFFLINE").is_none() && yes("TRANSFORMERS_OFFLINE"),
            symlinks: !yes("HF_HUB_DISABLE_SYMLINKS"),
            proxy: true,
            certificates: text("SSL_CERT_FILE").map(PathBuf::from),
            answer_timeout: seconds("HF_HUB_ETAG_TIMEOUT"),
            stall_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT"),
            attempts: 5,
            pause: Duration::from_millis(500),
        }
    }
}

/// The words that Hugging Face's clients take for true.
fn is_true(text: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&text.to_ascii_uppercase().as_str())
}

/// The Hugging Face cache: `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`.
pub fn cache_folder(lookup: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    lookup("HF_HUB_CACHE").map_or_else(|| home(lookup).join("hub"), PathBuf::from)
}

/// `HF_HOME`, else `huggingface` in the user's cache folder.
fn home(lookup: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(path) = lookup("HF_HOME") {
        return path.into();
    }
    let cache = lookup("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap_or_default();
    cache.join("huggingface")
}

fn token(lookup: &dyn Fn(&str) -> Option<OsString>) -> Option<Token> {
    let text = |name: &str| lookup(name).and_then(|value| value.into_string().ok());
    if text("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|text| is_true(&text)) {
        return None;
    }
    let given = text("HF_TOKEN").filter(|text| !text.is_empty()).or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
    given.and_then(|text| Token::new(&text)).or_else(|| {
        let path = lookup("HF_TOKEN_PATH").map_or_else(|| home(lookup).join("token"), PathBuf::from);
        std::fs::read_to_string(path).ok().and_then(|text| Token::new(&text))
    })
}

/// A secret: it has no `Display`, and its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token without the blanks and line ends around it; `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.replace(['\r', '\n'], "").trim().to_owned();
        (!text.is_empty()).then_some(Self(text))
    }

    /// Whether the token can be sent at all.
    pub(super) fn is_sendable(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Settings {
        Settings::from_lookup(&|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_cache_lies_where_pythons_client_looks() {
        for (pairs, expected) in [
            (&[("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b")][..], "/a"),
            (&[("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c")], "/b/hub"),
            (&[("XDG_CACHE_HOME", "/c")], "/c/huggingface/hub"),
        ] {
            assert_eq!(with(pairs).cache, PathBuf::from(expected), "{pairs:?}");
        }
        assert!(with(&[]).cache.ends_with("huggingface/hub"));
    }

    #[test]
    fn words_for_true_and_numbers_and_slashes() {
        for (value, expected) in
            [("1", true), ("on", true), ("Yes", true), ("TRUE", true), ("0", false), ("", false), ("2", false)]
        {
            assert_eq!(with(&[("HF_HUB_OFFLINE", value)]).offline, expected, "{value:?}");
            assert_eq!(with(&[("HF_HUB_DISABLE_SYMLINKS", value)]).symlinks, !expected, "{value:?}");
        }
        assert!(with(&[("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert!(!with(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert_eq!(with(&[("HF_ENDPOINT", "http://127.0.0.1:1//")]).endpoint, "http://127.0.0.1:1");
        assert_eq!(with(&[("HF_ENDPOINT", "")]).endpoint, ENDPOINT);
        for (value, expected) in [("3", 3), ("0", 10), ("x", 10)] {
            let settings = with(&[("HF_HUB_DOWNLOAD_TIMEOUT", value)]);
            assert_eq!(settings.stall_timeout, Duration::from_secs(expected), "{value}");
        }
    }

    #[test]
    fn the_token_comes_from_the_environment_or_the_file_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(folder.path().join("token"), "in-file\n").unwrap();
        std::fs::write(&elsewhere, "in-other").unwrap();
        let elsewhere = elsewhere.to_str().unwrap();
        for (pairs, expected) in [
            (&[("HF_TOKEN", " secret \n"), ("HF_HOME", home)][..], Some("secret")),
            (&[("HF_TOKEN", ""), ("HUGGING_FACE_HUB_TOKEN", "old"), ("HF_HOME", home)], Some("old")),
            (&[("HF_TOKEN", "\n"), ("HF_HOME", home)], Some("in-file")),
            (&[("HF_TOKEN_PATH", elsewhere), ("HF_HOME", home)], Some("in-other")),
            (&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], None),
            (&[("HF_HOME", "/nowhere")], None),
        ] {
            let settings = with(pairs);
            assert_eq!(settings.token, expected.and_then(Token::new), "{pairs:?}");
            let shown = format!("{settings:?}");
            assert!(expected.is_none_or(|token| !shown.contains(token)), "{shown}");
        }
        for (token, sendable) in [("hf_abc", true), ("a b", false), ("a\u{7}", false), ("ä", false)] {
            assert_eq!(Token::new(token).unwrap().is_sendable(), sendable, "{token:?}");
        }
    }
}
