//! What the hub knows: the commit and the files of a revision, the etag and size of a file.

use super::Wanted;
use super::client::{Ask, Client, not_a_hub, text};
use super::error::HubError;
use super::name::{encode, is_commit};
use super::redirect::host;
use super::retry::Retry;

/// The longest list of files that is read, in bytes.
const LONGEST_LIST: u64 = 64 << 20;

/// What a revision is now.
pub(super) struct Listing {
    pub(super) commit: String,
    /// Names in the repository; not checked.
    pub(super) files: Vec<String>,
}

/// What is known of a file before it is fetched.
pub(super) struct FileFacts {
    pub(super) etag: String,
    /// In bytes, if the hub says it.
    pub(super) size: Option<u64>,
}

/// Asks for the commit and the files of a revision.
pub(super) fn listing(client: &Client, id: &str, revision: &str) -> Result<Listing, HubError> {
    let mut retry = Retry::new(client.settings, client.progress);
    loop {
        match listing_once(client, id, revision) {
            Ok(listing) => return Ok(listing),
            Err(error) => retry.after(error)?,
        }
    }
}

fn listing_once(client: &Client, id: &str, revision: &str) -> Result<Listing, HubError> {
    let url = format!("{}/api/models/{id}/revision/{}", client.settings.endpoint, encode(revision, false));
    let ask = Ask { head: false, url: url.clone(), from: 0, id, revision, file: "" };
    let answer = client.ask_once(&ask)?;
    let is_html = text(answer.response.headers(), "content-type").is_some_and(|kind| kind.contains("html"));
    let body = answer.response.into_body();
    let read = move || body.into_with_config().limit(LONGEST_LIST).read_to_vec();
    let body = super::background::wait_for(client.progress, read)?.map_err(|error| HubError::Broken {
        host: host(&url),
        file: "the list of files".to_owned(),
        got: 0,
        why: error.to_string(),
    })?;
    let list: serde_json::Value = serde_json::from_slice(&body).map_err(|_| {
        let is_html = is_html || body.trim_ascii_start().starts_with(b"<");
        not_a_hub(
            &url,
            if is_html { "it sends a web page instead of JSON" } else { "it sends something else than JSON" },
        )
    })?;
    let commit = list["sha"].as_str().filter(|sha| is_commit(sha) && (!is_commit(revision) || *sha == revision));
    let commit = commit.ok_or_else(|| not_a_hub(&url, "it names no commit, or another one"))?.to_owned();
    let files = list["siblings"].as_array().ok_or_else(|| not_a_hub(&url, "it lists no files"))?;
    let files = files.iter().filter_map(|file| file["rfilename"].as_str()).map(str::to_owned).collect();
    Ok(Listing { commit, files })
}

/// The address of a file.
pub(super) fn file_url(client: &Client, id: &str, commit: &str, file: &str) -> String {
    format!("{}/{id}/resolve/{commit}/{}", client.settings.endpoint, encode(file, true))
}

/// Asks for the etag and the size of a file.
pub(super) fn file_facts(client: &Client, wanted: &Wanted, commit: &str, file: &str) -> Result<FileFacts, HubError> {
    let Wanted { id, revision, .. } = *wanted;
    let url = file_url(client, id, commit, file);
    let answer = client.ask(&Ask { head: true, url: url.clone(), from: 0, id, revision, file })?;
    let facts = answer.facts;
    if facts.commit.as_deref() != Some(commit) {
        return Err(not_a_hub(&url, "it does not say of which commit the file is, or another one"));
    }
    let etag = facts.etag.ok_or_else(|| not_a_hub(&url, "it gives no etag for the file"))?;
    Ok(FileFacts { etag, size: facts.size })
}
