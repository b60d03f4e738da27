//! The log of runs: what was built when, why, and what it took; never part of a key or a record.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Cache, CacheError, Reason, fail, file, list};
use crate::digest::Digest;

/// How the work on an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was computed.
    Built,
    /// The result was found in the cache.
    Restored,
    /// It failed.
    Failed,
    /// The user stopped it.
    Interrupted,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it ended, in UTC: `2026-02-28T23:59:59.123Z`.
    pub at: String,
    /// The instance.
    pub instance: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The key of the action, if it was known.
    pub key: Option<Digest>,
    /// Why it was built.
    pub reasons: Vec<Reason>,
    /// How long it took.
    pub seconds: f64,
    /// The most memory the process had, in bytes.
    pub peak_memory: Option<u64>,
    /// The error, for failures.
    pub message: Option<String>,
}

impl Event {
    /// An event that happens now, with nothing else known.
    pub fn now(instance: &str, outcome: Outcome) -> Self {
        Self {
            at: utc(file::now()),
            instance: instance.to_owned(),
            outcome,
            key: None,
            reasons: Vec::new(),
            seconds: 0.0,
            peak_memory: None,
            message: None,
        }
    }
}

/// The log of one run of the program; its file appears with the first event.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
}

impl Cache {
    /// Begins the log of a run, which sorts after those of all earlier runs.
    pub fn start_run(&self) -> Result<RunLog, CacheError> {
        self.needs_writing("log a run")?;
        let time = utc(file::now()).replace([':', '-'], "");
        Ok(RunLog { path: self.dir.join("runs").join(format!("{time}-{}.jsonl", std::process::id())) })
    }

    /// All events of all runs, newest first, read file by file as they are asked for.
    ///
    /// Lines and files that cannot be read, such as the last line of a killed run, are left out.
    pub fn history(&self) -> Result<impl Iterator<Item = Event> + use<>, CacheError> {
        let files = list::entries(&self.dir.join("runs"))?;
        let paths = files.into_iter().rev().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl"));
        Ok(paths.flat_map(|path| {
            let bytes = file::read(&path).ok().flatten().unwrap_or_default();
            let lines = bytes.rsplit(|&b| b == b'\n');
            lines.filter_map(|line| serde_json::from_slice(line).ok()).collect::<Vec<Event>>()
        }))
    }
}

impl RunLog {
    /// Adds one event; several threads may do so.
    pub fn append(&self, event: &Event) -> Result<(), CacheError> {
        let fail = |e| CacheError::io("write the log", &self.path, e);
        file::ensure_folder(file::parent(&self.path))?;
        let mut line = serde_json::to_vec(event).map_err(|e| fail(e.into()))?;
        line.push(b'\n');
        // One write of a whole line to a file in append mode is not torn apart by another.
        let mut log = OpenOptions::new().append(true).create(true).open(&self.path).map_err(fail)?;
        log.write_all(&line).map_err(fail)?;
        fail::point("log", "write");
        Ok(())
    }
}

/// Nanoseconds since 1970 as ISO 8601 in UTC with milliseconds.
fn utc(nanos: u128) -> String {
    let (seconds, millis) = ((nanos / 1_000_000_000) as u64, nanos / 1_000_000 % 1000);
    let (year, month, day) = civil(seconds / 86400);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{millis:03}Z")
}

/// Year, month and day in the Gregorian calendar, from days since 1970-01-01.
///
/// Counts from 1 March of year 0, so that the leap day is the last of a year and 400 years are one period.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01 to 1970-01-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 is March; five months have 153 days
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        // From GNU `date --utc --date=<time> +%s`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696, "2000-02-29T12:34:56.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_772_323_200, "2026-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(seconds * 1_000_000_000), text);
        }
        assert!(utc(1_234_567_890).ends_with(":01.234Z"));
    }

    #[test]
    fn history_is_newest_first_and_skips_what_a_kill_left() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let event = |name: &str| Event { reasons: vec![Reason::Forced], ..Event::now(name, Outcome::Built) };
        std::fs::write(dir.path().join("runs/20200101T000000.000Z-1.jsonl"), "").unwrap();
        let first = RunLog { path: dir.path().join("runs/20210101T000000.000Z-1.jsonl") };
        first.append(&event("a/1")).unwrap();
        first.append(&event("a/2")).unwrap();
        let log = OpenOptions::new().append(true).open(&first.path).unwrap();
        (&log).write_all(b"{\"at\":\"2021").unwrap();
        let second = cache.start_run().unwrap();
        second.append(&event("b/1")).unwrap();
        let names: Vec<String> = cache.history().unwrap().map(|e| e.instance).collect();
        assert_eq!(names, ["b/1", "a/2", "a/1"]);
        assert_eq!(cache.history().unwrap().next().unwrap().reasons, [Reason::Forced]);
        assert_eq!(Cache::peek(&dir.path().join("nowhere")).unwrap().history().unwrap().count(), 0);
    }
}
