//! One blob: from the hub to `blobs/<etag>`, over as many broken connections as it takes.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::api::{FileFacts, file_url};
use super::background::Chunks;
use super::check::{Proof, check};
use super::client::{Answer, Ask, Client, not_a_hub, text};
use super::error::HubError;
use super::layout::{Layout, sync_folder};
use super::lock;
use super::retry::Retry;

/// A transfer that moved on by this much counts its attempts anew.
const STEP: u64 = 1 << 20;

/// The blob that is wanted, and for which file.
pub(super) struct Wanted<'a> {
    pub(super) id: &'a str,
    pub(super) commit: &'a str,
    pub(super) file: &'a str,
    pub(super) facts: &'a FileFacts,
}

/// What it took to get a blob.
#[derive(Clone, Copy, Debug)]
pub(super) struct Got {
    /// Bytes that came over the network.
    pub(super) bytes: u64,
    pub(super) proof: Proof,
}

/// Makes sure that the blob is in the cache, whole.
pub(super) fn blob(client: &Client, layout: &Layout, wanted: &Wanted) -> Result<Got, HubError> {
    let etag = &wanted.facts.etag;
    let place = layout.blob(etag);
    let folder = place.parent().unwrap_or(&place);
    fs::create_dir_all(folder).map_err(HubError::io(folder))?;
    let _lock = lock::acquire(&layout.lock(etag), wanted.file, client.progress)?;
    // Perhaps from another revision, another client, or the process that we waited for.
    let here = fs::metadata(&place).ok().filter(fs::Metadata::is_file).map(|data| data.len());
    if here.is_some_and(|length| wanted.facts.size.is_none_or(|size| size == length)) {
        return Ok(Got { bytes: 0, proof: Proof::AlreadyHere });
    }
    let part = layout.incomplete(etag);
    let mut transfer = Transfer { client, wanted, part: &part, bytes: 0 };
    let had = fs::metadata(&part).map_or(0, |data| data.len());
    let proof = match transfer.fetch_and_check() {
        // The beginning may be from a crash that lost some of it: once more, from nothing.
        Err(HubError::Corrupt { .. } | HubError::WrongLength { .. }) if had > 0 => {
            client.progress.note(&format!("what was here of {} is damaged: starting anew", wanted.file));
            transfer.fetch_and_check()?
        }
        result => result?,
    };
    fs::rename(&part, &place).map_err(HubError::io(&place))?;
    sync_folder(folder);
    Ok(Got { bytes: transfer.bytes, proof })
}

struct Transfer<'a> {
    client: &'a Client<'a>,
    wanted: &'a Wanted<'a>,
    part: &'a Path,
    bytes: u64,
}

impl Transfer<'_> {
    /// Completes the part and checks it; a part with wrong bytes is removed.
    fn fetch_and_check(&mut self) -> Result<Proof, HubError> {
        let (part, name) = (self.part, self.wanted.file);
        let checked = self.complete().and_then(|()| check(part, name, &self.wanted.facts.etag, self.client.progress));
        if let Err(HubError::Corrupt { .. } | HubError::WrongLength { .. } | HubError::Changed { .. }) = checked {
            fs::remove_file(part).map_err(HubError::io(part))?;
        }
        checked
    }

    /// Brings the part to its full length and onto the disk.
    fn complete(&mut self) -> Result<(), HubError> {
        let io = || HubError::io(self.part);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(self.part).map_err(io())?;
        let size = self.wanted.facts.size;
        let mut have = file.seek(SeekFrom::End(0)).map_err(io())?;
        if size.is_some_and(|size| have > size) {
            have = restart(&mut file).map_err(io())?;
        }
        self.client.progress.begin(self.wanted.file, size.unwrap_or(0), "bytes");
        self.client.progress.advance(have);
        let mut retry = Retry::new(self.client.settings, self.client.progress);
        // Measured in the file: a server that always begins anew, and always breaks, does not move on.
        let mut furthest = have;
        while size.is_none_or(|size| have < size) {
            match self.go_on(&mut file, &mut have) {
                Ok(()) => break,
                Err(error) => {
                    if have >= furthest + STEP {
                        furthest = have;
                        retry.reset();
                    }
                    retry.after(error)?;
                }
            }
        }
        file.sync_all().map_err(HubError::io(self.part))
    }

    /// One connection: appends what comes until the end of the file.
    fn go_on(&mut self, file: &mut File, have: &mut u64) -> Result<(), HubError> {
        let Wanted { id, commit, file: name, facts } = *self.wanted;
        let url = file_url(self.client, id, commit, name);
        let ask = Ask { head: false, url: url.clone(), from: *have, id, revision: commit, file: name };
        let Answer { host, facts: now, response } = self.client.ask_once(&ask)?;
        if now.etag.as_ref().is_some_and(|etag| *etag != facts.etag) {
            return Err(HubError::Changed { file: name.to_owned() });
        }
        let status = response.status().as_u16();
        let length = text(response.headers(), "content-length").and_then(|length| length.parse::<u64>().ok());
        let goes_on = status == 206
            && text(response.headers(), "content-range").is_some_and(|range| range_fits(range, *have, facts.size));
        if *have > 0 && !goes_on {
            // The server ignores the range, or has none such: from the beginning, with this answer if it is that.
            *have = restart(file).map_err(HubError::io(self.part))?;
            self.client.progress.begin(name, facts.size.unwrap_or(0), "bytes");
        }
        if status == 416 || status == 206 && !goes_on {
            let why = "the server sends another part than the one asked for".to_owned();
            return Err(HubError::Broken { host, file: name.to_owned(), got: 0, why });
        }
        if let (Some(size), Some(length)) = (facts.size, length)
            && *have + length != size
        {
            return Err(HubError::WrongLength { file: name.to_owned(), expected: size, found: *have + length });
        }
        if facts.size.is_none() && length.is_none() && Proof::of(&facts.etag) == Proof::SizeOnly {
            return Err(not_a_hub(&url, "it gives neither a size nor a digest for the file"));
        }
        let chunks = Chunks::of(response.into_body().into_reader())?;
        while let Some(chunk) = chunks.next(self.client.progress)? {
            let broken = |error: std::io::Error| HubError::Broken {
                host: host.clone(),
                file: name.to_owned(),
                got: *have,
                why: error.to_string(),
            };
            let chunk = chunk.map_err(broken)?;
            let length = chunk.len() as u64;
            if let Some(size) = facts.size.filter(|size| *have + length > *size) {
                return Err(HubError::WrongLength { file: name.to_owned(), expected: size, found: *have + length });
            }
            file.write_all(&chunk).map_err(HubError::io(self.part))?;
            *have += length;
            self.bytes += length;
            self.client.progress.advance(length);
        }
        if facts.size.is_some_and(|size| *have < size) {
            let why = "the connection was closed".to_owned();
            return Err(HubError::Broken { host, file: name.to_owned(), got: *have, why });
        }
        Ok(())
    }
}

/// Empties the part; returns the new length.
fn restart(file: &mut File) -> std::io::Result<u64> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))
}

/// Whether `content-range` is the rest of the file from byte `from` on: `bytes FROM-LAST/SIZE`.
fn range_fits(header: &str, from: u64, size: Option<u64>) -> bool {
    let Some((range, total)) = header.trim().strip_prefix("bytes ").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let first = range.split('-').next().and_then(|first| first.trim().parse().ok());
    let total: Option<u64> = total.trim().parse().ok();
    first == Some(from) && (total.is_none() || size.is_none() || total == size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_must_go_on_where_the_part_ends() {
        for (header, from, size, fits) in [
            ("bytes 5-9/10", 5, Some(10), true),
            ("bytes 5-9/*", 5, Some(10), true),
            ("bytes 5-9/10", 5, None, true),
            ("bytes 0-9/10", 5, Some(10), false),
            ("bytes 5-10/11", 5, Some(10), false),
            ("bytes */10", 5, Some(10), false),
            ("5-9/10", 5, Some(10), false),
            ("", 5, None, false),
        ] {
            assert_eq!(range_fits(header, from, size), fits, "{header:?}");
        }
    }
}
