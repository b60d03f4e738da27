//! A remote store that did not answer is left alone for a while, by builds of all processes.

use crate::cache::{Cache, file};

/// How long builds do not ask again, in seconds.
const REST: u64 = 300;

impl Cache {
    /// For how many seconds more builds should not ask the remote store at `url`.
    pub fn remote_rests(&self, url: &str) -> Option<u64> {
        let text = String::from_utf8(file::read(&self.rest_file()).ok()??).ok()?;
        let (time, address) = text.trim_end().split_once(' ')?;
        // A time in the future is of no use: the clock was changed.
        let since = file::now_seconds().checked_sub(time.parse().ok()?)?;
        (address == url).then(|| REST.checked_sub(since)).flatten().filter(|left| *left > 0)
    }

    /// Remembers that the remote store did not answer now, or that it did; failing to is no loss.
    pub fn set_remote_rests(&self, url: &str, down: bool) {
        if !self.writable {
            return;
        }
        if down {
            let text = format!("{} {url}\n", file::now_seconds());
            _ = file::replace_unsynced(&self.scratch(), &self.rest_file(), text.as_bytes(), "rest");
        } else if self.remote_rests(url).is_some() {
            _ = file::remove(&self.rest_file());
        }
    }

    fn rest_file(&self) -> std::path::PathBuf {
        self.dir.join("remote.txt")
    }
}
