//! Records: what an action with a certain key read and wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::file::{Identity, Opened};
use super::object::checked_extension;
use super::{Cache, CacheError, Ingredients, Object, canonical, checked_name, file};
use crate::digest::Digest;

/// Separates the check sum of records from all other hashes.
const CONTEXT: &str = "rsic 2026 cache: check sum of a record";

/// One output of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name within the stage.
    pub name: String,
    /// The digest of the file's bytes: address and integrity.
    pub object: Digest,
    /// The file name extension of the object.
    pub extension: String,
    /// The size of the file.
    pub bytes: u64,
    /// The digest of the content, whatever its encoding: what later keys see.
    pub data: Digest,
    /// The digest of each column, for tables.
    pub columns: BTreeMap<String, Digest>,
    /// The number of rows, for tables.
    pub rows: Option<u64>,
}

impl Output {
    /// The object that holds this output.
    pub fn stored(&self) -> Object {
        Object { digest: self.object, bytes: self.bytes, extension: self.extension.clone() }
    }
}

/// What an action with a certain key read and wrote.
///
/// The same action gives the same record on every machine: time, host, seconds and memory belong into the run log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The key, equal to that of `ingredients`.
    pub key: Digest,
    /// Everything the outputs depend on.
    pub ingredients: Ingredients,
    /// What was made, in the order of the stage.
    pub outputs: Vec<Output>,
    /// What the stage had to say.
    pub log: Vec<String>,
}

/// What [`Cache::publish`] did.
#[derive(Clone, Debug, PartialEq)]
pub enum Publication {
    /// There was no record under this key.
    New,
    /// There was an equal one.
    Same,
    /// There was another one: the rerun of an action gave another encoding, log, or even other data.
    Replaced(Box<Record>),
}

impl Record {
    /// A record under the key of its ingredients.
    pub fn new(ingredients: Ingredients, outputs: Vec<Output>, log: Vec<String>) -> Self {
        Self { key: ingredients.key(), ingredients, outputs, log }
    }

    /// The output called `name`.
    pub fn output(&self, name: &str) -> Option<&Output> {
        self.outputs.iter().find(|o| o.name == name)
    }

    /// Reads the file of a record; `None` if it is not the one of this key, exactly as it was written.
    pub(super) fn read(text: &[u8], key: Digest) -> Option<Self> {
        canonical::unseal(text, CONTEXT).filter(|record: &Self| record.key == key && record.fault().is_none())
    }

    /// The file of a record.
    pub(super) fn text(&self) -> Result<Vec<u8>, CacheError> {
        let wrong = |why| CacheError::Inconsistent { key: self.key, why };
        match self.fault() {
            Some(fault) => Err(wrong(fault)),
            None => canonical::seal(self, CONTEXT).map_err(|e| wrong(e.to_string())),
        }
    }

    /// What contradicts itself in this record, if anything.
    fn fault(&self) -> Option<String> {
        if self.ingredients.key() != self.key {
            return Some("its key is not that of its ingredients".to_owned());
        }
        let mut names = BTreeSet::new();
        for output in &self.outputs {
            let name = checked_name("an output", &output.name).and(checked_extension(&output.extension));
            if let Err(e) = name {
                return Some(e.to_string());
            }
            if !names.insert(&output.name) {
                return Some(format!("it has two outputs called `{}`", output.name));
            }
        }
        None
    }
}

/// What was found under the name of a record.
#[derive(Debug)]
pub(super) enum FoundRecord {
    Whole(Box<Record>),
    Missing,
    Damaged(Identity),
}

impl Cache {
    /// The record of the action with this key, or `None` if there is none.
    ///
    /// One that is damaged, or belongs to another key, is moved to the quarantine and is not there either. Whether
    /// the objects it names are still there is another question: see [`Cache::look`].
    pub fn record(&self, key: Digest) -> Result<Option<Record>, CacheError> {
        self.hold(key)?;
        Ok(match self.find_record(key)? {
            FoundRecord::Whole(record) => Some(*record),
            FoundRecord::Missing => None,
            FoundRecord::Damaged(seen) => {
                self.quarantine(&self.record_path(key), seen);
                None
            }
        })
    }

    /// Reads a record; moves nothing and holds nothing.
    pub(super) fn find_record(&self, key: Digest) -> Result<FoundRecord, CacheError> {
        let path = self.record_path(key);
        let fail = |e| CacheError::io("read the record", &path, e);
        let (metadata, file) = match file::open_ours(&path).map_err(fail)? {
            Opened::File(metadata, file) => (metadata, file),
            Opened::Intruder(seen) => return Ok(FoundRecord::Damaged(seen)),
            Opened::Missing => return Ok(FoundRecord::Missing),
        };
        let seen = file::identity(&metadata);
        let mut text = Vec::new();
        file.take(canonical::LARGEST + 1).read_to_end(&mut text).map_err(fail)?;
        let record = Record::read(&text, key);
        Ok(record.map_or(FoundRecord::Damaged(seen), |record| FoundRecord::Whole(Box::new(record))))
    }

    /// Publishes a record, after all its objects; replaces an earlier one of the same key.
    ///
    /// Fails if an object is not in the cache, or if the record contradicts itself.
    pub fn publish(&self, record: &Record) -> Result<Publication, CacheError> {
        self.needs_writing("publish a record")?;
        let text = record.text()?;
        if let Some(lost) = record.outputs.iter().find(|o| !self.has(&o.stored())) {
            let why = format!("object {} of output `{}` is not in the cache", lost.object.short(), lost.name);
            return Err(CacheError::Inconsistent { key: record.key, why });
        }
        let path = self.record_path(record.key);
        match self.record(record.key)? {
            Some(old) if old == *record => Ok(Publication::Same),
            Some(old) => {
                file::replace(&self.scratch(), &path, &text, "record")?;
                Ok(Publication::Replaced(Box::new(old)))
            }
            None => {
                // Somebody else may publish at the same time; theirs is as good, and the last one stays.
                file::replace(&self.scratch(), &path, &text, "record")?;
                Ok(Publication::New)
            }
        }
    }

    /// Removes a record, so that its action has to run again; its objects stay until they are collected.
    pub fn forget(&self, key: Digest) -> Result<(), CacheError> {
        self.needs_writing("forget a result")?;
        file::remove(&self.record_path(key))
    }

    pub(super) fn record_path(&self, key: Digest) -> PathBuf {
        self.fanned("actions", &key.to_hex(), "json")
    }
}
