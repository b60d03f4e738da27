//! Files of the store: as they are, and with check sums that are right although somebody else wrote them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rsic::cache::{Cache, Depth, Ingredients, Output, Policy, Record, StatCache};
use rsic::digest::Digest;
use rsic::progress::Silent;
use serde_json::Value;
use tempfile::TempDir;

use super::{JSON, Kind, Variant};

/// A store with one result, which is shown, pinned and hinted at.
struct Small {
    folder: TempDir,
    key: Digest,
    about: Digest,
    whole: BTreeMap<PathBuf, Vec<u8>>,
}

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let object = cache.put(b"some bytes", "parquet").unwrap();
        let output = Output {
            name: "captions".to_owned(),
            object: object.digest,
            extension: object.extension,
            bytes: object.bytes,
            data: Digest::of(b"data"),
            columns: BTreeMap::from([("raw".to_owned(), Digest::of(b"raw"))]),
            rows: Some(3),
        };
        let ingredients = Ingredients {
            schema: 1,
            stage: "caption".to_owned(),
            version: 2,
            parameters: BTreeMap::from([("decoding.width".to_owned(), 5.into())]),
            inputs: BTreeMap::from([("images.digest".to_owned(), Digest::of(b"images"))]),
            environment: BTreeMap::new(),
        };
        let record = Record::new(ingredients, vec![output], vec!["written".to_owned()]);
        let (key, about) = (record.key, Digest::of(b"about"));
        cache.publish(&record).unwrap();
        cache.set_root("caption/x", key, &[]).unwrap();
        cache.pin("paper", "caption/x").unwrap();
        cache.set_hint(about, key).unwrap();
        let source = folder.path().join("source");
        fs::write(&source, "source").unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        fs::File::options().write(true).open(&source).unwrap().set_modified(old).unwrap();
        let mut small = Self { folder, key, about, whole: BTreeMap::new() };
        fs::write(small.stat(), facts(b"1 2 3 4 5 blake3 /a \"b\"\n")).unwrap();
        for (path, what) in small.files().iter().zip(SEALED) {
            // A seed makes the same file at any time of day.
            let mut json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            for place in ["/at", "/builds/0/at"] {
                if let Some(time) = json.pointer_mut(place) {
                    *time = 1_700_000_000.into();
                }
            }
            fs::write(path, sealed(json.to_string().as_bytes(), what).unwrap()).unwrap();
        }
        small.whole = small.files().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        small
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn stat(&self) -> PathBuf {
        self.dir().join("stat.txt")
    }

    fn files(&self) -> Vec<PathBuf> {
        let hex = self.key.to_string();
        let dir = self.dir();
        vec![
            dir.join("actions").join(&hex[..2]).join(format!("{hex}.json")),
            dir.join("roots/own/caption/x.json"),
            dir.join("pins/paper.json"),
            dir.join("hints").join(format!("{}.json", self.about)),
            dir.join("FORMAT"),
            self.stat(),
        ]
    }

    /// Puts `bytes` in the place of one file and asks the store for everything that it has; then all is whole again.
    fn read(&self, path: &Path, bytes: &[u8]) -> bool {
        fs::write(path, bytes).unwrap();
        let accepted = self.ask(path).unwrap_or(false);
        for (path, bytes) in &self.whole {
            if fs::read(path).ok().as_ref() != Some(bytes) {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        accepted
    }

    fn ask(&self, path: &Path) -> Result<bool, rsic::cache::CacheError> {
        let cache = Cache::open(&self.dir())?;
        let sound = cache.inspect(Depth::Full, &Silent)?.is_sound();
        let _ = cache.plan_collection(&Policy::default());
        let record = cache.record(self.key)?;
        for output in record.iter().flat_map(|record| &record.outputs) {
            assert!(!output.name.contains('/') && !output.extension.contains('/'), "{output:?}");
        }
        let (root, pins, hint) = (cache.root("caption/x")?, cache.pins()?, cache.hint(self.about)?);
        let whole = record.is_some() && root.is_some() && pins.len() == 1 && hint.is_some();
        let facts = StatCache::open(&self.stat());
        let known = facts.digest_file(&self.folder.path().join("source"))?;
        assert_eq!(known, Digest::of(b"source"));
        Ok(whole && (sound || path == self.stat()))
    }
}

/// What the first files of a store are called in the contexts of their check sums.
const SEALED: [&str; 4] = ["record", "root", "pin", "hint"];

/// The file of known facts with a right check sum.
fn facts(body: &[u8]) -> Vec<u8> {
    [format!("rsic stat cache 1 {}\n", Digest::of(body)).as_bytes(), body].concat()
}

/// The form in which the store writes JSON, with a right check sum; anything that is no JSON object stays as it is.
fn sealed(bytes: &[u8], what: &str) -> Option<Vec<u8>> {
    let context = format!("rsic 2026 cache: check sum of a {what}");
    let mut json: Value = serde_json::from_slice(bytes).ok()?;
    json.as_object_mut()?.remove("check");
    json.sort_all_objects();
    let check = Digest::derive(&context, format!("{json:#}\n").as_bytes());
    json.as_object_mut()?.insert("check".to_owned(), check.to_string().into());
    json.sort_all_objects();
    Some(format!("{json:#}\n").into_bytes())
}

pub(in super::super) fn store() -> Kind {
    let small = Rc::new(Small::new());
    let mut variants = Vec::new();
    for (at, path) in small.files().into_iter().enumerate() {
        let whole = vec![small.whole[&path].clone()];
        let read = |path: PathBuf| {
            let small = Rc::clone(&small);
            move |bytes: &[u8]| small.read(&path, bytes)
        };
        variants.push(Variant::new(whole.clone(), read(path.clone())));
        if let Some(what) = SEALED.get(at) {
            let mend = |bytes: &mut Vec<u8>| {
                if let Some(new) = sealed(bytes, what) {
                    *bytes = new;
                }
            };
            variants.push(Variant::mended(whole, mend, read(path)));
        } else if path == small.stat() {
            let mend = |bytes: &mut Vec<u8>| {
                let start = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                *bytes = facts(&bytes[start..]);
            };
            variants.push(Variant::mended(whole, mend, read(path)));
        }
    }
    Kind { tokens: JSON, variants, most_memory: 500, found: &[] }
}
