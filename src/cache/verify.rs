//! Verification: finds everything in the cache that is not what it should be; repair takes it out of the way.
//!
//! It may run beside builds and collections: records are looked at before the objects that they name, and what seems to
//! be missing is asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::file::Identity;
use super::object::Found;
use super::record::FoundRecord;
use super::state::root_files;
use super::{Cache, CacheError, Object, Record, canonical, file, list};
use crate::digest::Digest;
use crate::progress::Progress;

mod fault;
mod layout;

pub use fault::Fault;

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Names, sizes, records and what they name; no object is read.
    Quick,
    /// Also every byte of every object, whether anything names it or not, and of unfinished work.
    Full,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the cache.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
    /// The file that was looked at.
    seen: Option<Identity>,
}

/// What was looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many records were read.
    pub records: usize,
    /// How many objects were looked at.
    pub objects: usize,
    /// How many bytes of objects were read.
    pub bytes: u64,
    /// What is wrong, sorted by file.
    pub findings: Vec<Finding>,
    /// Whether the user stopped it before everything was read.
    pub interrupted: bool,
}

impl Report {
    /// Whether nothing is damaged, lost or in doubt.
    pub fn is_sound(&self) -> bool {
        !self.interrupted && self.findings.iter().all(|finding| !finding.fault.is_damage())
    }
}

impl Cache {
    /// Looks at the whole cache; changes nothing. `progress` counts the bytes that are read.
    pub fn inspect(&self, depth: Depth, progress: &dyn Progress) -> Result<Report, CacheError> {
        let mut inspection = Inspection { cache: self, report: Report::default() };
        let records = inspection.records()?;
        inspection.roots()?;
        inspection.hints()?;
        inspection.objects(depth, &records, progress)?;
        if depth == Depth::Full {
            inspection.partial()?;
        }
        inspection.layout()?;
        inspection.report.findings.sort();
        Ok(inspection.report)
    }

    /// Moves what the report calls damaged to the quarantine, and removes leftovers, so that the next build makes anew
    /// what it needs; returns the findings that were dealt with. Foreign files stay.
    ///
    /// Files that somebody has replaced or removed since are left alone.
    pub fn repair(&self, report: &Report) -> Result<Vec<Finding>, CacheError> {
        self.needs_writing("repair the cache")?;
        let mut done = Vec::new();
        for finding in &report.findings {
            let path = self.dir.join(&finding.path);
            match (&finding.fault, finding.seen) {
                (Fault::Leftover, _) if file::is_abandoned(&path) == Some(true) => file::remove(&path)?,
                (Fault::Leftover | Fault::Foreign | Fault::Unreadable { .. } | Fault::RecordMissing { .. }, _) => {
                    continue;
                }
                (_, Some(seen)) if path.symlink_metadata().is_ok_and(|m| file::identity(&m) == seen) => {
                    self.quarantine(&path, seen);
                }
                _ => continue,
            }
            if path.symlink_metadata().is_err() {
                done.push(finding.clone());
            }
        }
        Ok(done)
    }
}

/// A root or a pin, and the key of a record that it keeps.
type Wanted = (PathBuf, Digest);
/// A file and what is wrong with it.
type Faulty = (PathBuf, Fault);

struct Inspection<'a> {
    cache: &'a Cache,
    report: Report,
}

impl Inspection<'_> {
    fn find(&mut self, path: &Path, fault: Fault) {
        let finding = self.finding(path, fault);
        self.report.findings.push(finding);
    }

    fn finding(&self, path: &Path, fault: Fault) -> Finding {
        let seen = path.symlink_metadata().ok().map(|m| file::identity(&m));
        Finding { path: path.strip_prefix(&self.cache.dir).unwrap_or(path).to_owned(), fault, seen }
    }

    /// All whole records.
    fn records(&mut self) -> Result<Vec<Record>, CacheError> {
        let keys = self.cache.records()?;
        let read: Vec<_> = keys.par_iter().map(|&key| (key, self.cache.find_record(key))).collect();
        let mut whole = Vec::new();
        for (key, found) in read {
            self.report.records += 1;
            let path = self.cache.record_path(key);
            match found {
                Ok(FoundRecord::Whole(record)) => whole.push(*record),
                Ok(FoundRecord::Missing) => self.report.records -= 1,
                Ok(FoundRecord::Damaged(_)) => self.find(&path, Fault::RecordDamaged),
                Err(error) => self.find(&path, unreadable(&error)),
            }
        }
        Ok(whole)
    }

    /// Roots and pins, and whether the records that they keep are there.
    fn roots(&mut self) -> Result<(), CacheError> {
        let (mut lost, damaged) = self.lost()?;
        if !lost.is_empty() {
            // A build may have moved a root on, and a collection removed what it kept before.
            let again = self.lost()?.0;
            lost.retain(|pair| again.contains(pair));
        }
        for (path, fault) in damaged {
            self.find(&path, fault);
        }
        for (path, key) in lost {
            self.find(&path, Fault::RecordMissing { key });
        }
        Ok(())
    }

    /// Roots and pins with the keys that they keep of records that are not there; and those that are damaged.
    fn lost(&self) -> Result<(Vec<Wanted>, Vec<Faulty>), CacheError> {
        let (mut kept, mut damaged) = (Vec::new(), Vec::new());
        for workspace in self.cache.workspaces()? {
            for (path, read) in root_files(&self.cache.dir.join("roots").join(&workspace.id))? {
                match read.and_then(|root| root.builds.into_iter().next()) {
                    // What it was made from may have been forgotten on purpose (`clean --cache`).
                    Some(last) => kept.push((path, last.key)),
                    None => damaged.push((path, Fault::RootDamaged)),
                }
            }
        }
        for (path, read) in self.cache.pin_files()? {
            match read {
                Some(pin) => kept.extend(pin.keys.into_iter().map(|key| (path.clone(), key))),
                None => damaged.push((path, Fault::PinDamaged)),
            }
        }
        kept.retain(|(_, key)| !self.cache.record_path(*key).exists());
        Ok((kept, damaged))
    }

    fn hints(&mut self) -> Result<(), CacheError> {
        for entry in list::entries(&self.cache.dir.join("hints"))? {
            if let Some((about, "json")) = list::split_name(&entry.file_name())
                && let canonical::Found::Damaged = self.cache.read_hint(about)?
            {
                self.find(&entry.path(), Fault::HintDamaged);
            }
        }
        Ok(())
    }

    fn objects(&mut self, depth: Depth, records: &[Record], progress: &dyn Progress) -> Result<(), CacheError> {
        let mut expected: BTreeMap<Object, (&Record, &str)> = BTreeMap::new();
        for record in records {
            for output in &record.outputs {
                expected.entry(output.stored()).or_insert((record, &output.name));
            }
        }
        let mut wrong: BTreeSet<PathBuf> = BTreeSet::new();
        for (object, (record, output)) in expected {
            let path = self.cache.path(&object);
            let output = output.to_owned();
            match path.metadata() {
                Ok(m) if m.is_file() && m.len() == object.bytes => continue,
                Ok(m) => self.find(&path, Fault::ObjectSize { expected: object.bytes, found: m.len() }),
                Err(_) if file::intruder(&path).is_some() => self.find(&path, Fault::ObjectBytes),
                Err(error) if !file::is_missing(&error) => {
                    self.find(&path, Fault::Unreadable { why: error.to_string() });
                }
                // A collection may have removed both since the record was read, or a build replaced the record.
                Err(_) if !self.is_still(record)? => continue,
                Err(_) => self.find(&path, Fault::ObjectMissing { key: record.key, output }),
            }
            wrong.insert(path);
        }
        let objects = self.cache.objects()?;
        self.report.objects = objects.len();
        if depth == Depth::Quick {
            return Ok(());
        }
        let unread: Vec<Object> = objects.into_iter().filter(|o| !wrong.contains(&self.cache.path(o))).collect();
        progress.begin("objects", unread.iter().map(|object| object.bytes).sum(), "bytes");
        let read: Vec<(u64, Option<Finding>)> = unread
            .par_iter()
            .filter(|_| !progress.cancelled())
            .map(|object| {
                let fault = match self.cache.find_object(object) {
                    Ok(Found::Whole(()) | Found::Missing) => None,
                    Ok(Found::Damaged(_)) => Some(Fault::ObjectBytes),
                    Err(error) => Some(unreadable(&error)),
                };
                progress.advance(object.bytes);
                (object.bytes, fault.map(|fault| self.finding(&self.cache.path(object), fault)))
            })
            .collect();
        self.report.interrupted = read.len() < unread.len();
        for (bytes, finding) in read {
            self.report.bytes += bytes;
            self.report.findings.extend(finding);
        }
        Ok(())
    }

    fn is_still(&self, record: &Record) -> Result<bool, CacheError> {
        let found = self.cache.find_record(record.key)?;
        Ok(matches!(found, FoundRecord::Whole(again) if *again == *record))
    }

    fn partial(&mut self) -> Result<(), CacheError> {
        for folder in list::entries(&self.cache.dir.join("partial"))? {
            let Some(key) = folder.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let partial = self.cache.partial(key);
            for entry in list::entries(&folder.path())? {
                let Ok(name) = entry.file_name().into_string() else { continue };
                match partial.load(&name) {
                    Ok(None) if entry.path().exists() => self.find(&entry.path(), Fault::PartialDamaged),
                    Ok(_) => {}
                    Err(error) => self.find(&entry.path(), unreadable(&error)),
                }
            }
        }
        Ok(())
    }

    /// Files that are left over or not ours.
    fn layout(&mut self) -> Result<(), CacheError> {
        for path in layout::files(&self.cache.dir)? {
            let within = path.strip_prefix(&self.cache.dir).unwrap_or(&path);
            if file::is_abandoned(&path) == Some(true) {
                self.find(&path, Fault::Leftover);
            } else if !layout::is_ours(within) {
                self.find(&path, Fault::Foreign);
            }
        }
        Ok(())
    }
}

fn unreadable(error: &CacheError) -> Fault {
    let why = match error {
        CacheError::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    Fault::Unreadable { why }
}
