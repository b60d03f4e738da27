//! A simulated pipeline that uses the cache as a real build does, with work that costs nothing.

use super::*;

/// Nodes that read earlier nodes; node `n` is the instance `sim/n`.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// What each node reads.
    pub(super) reads: Vec<Vec<usize>>,
    /// What each node's content depends on besides; 2n and 2n + 1 give other bytes, but equal data.
    pub(super) settings: Vec<u32>,
}

impl World {
    /// Two sources, two nodes in the middle and one that reads both.
    pub(super) fn diamond() -> Self {
        Self { reads: vec![vec![], vec![], vec![0], vec![0, 1], vec![2, 3]], settings: vec![0; 5] }
    }

    /// Builds a node and all that it needs; returns how many nodes ran.
    pub(super) fn build(&self, cache: &Cache, target: usize) -> usize {
        self.build_all(cache, target).0
    }

    /// Builds a node and all that it needs, in the order of `pipeline::execute`; returns how many nodes ran, and the keys.
    pub(super) fn build_all(&self, cache: &Cache, target: usize) -> (usize, Vec<Digest>) {
        let mut records: BTreeMap<usize, Record> = BTreeMap::new();
        let mut ran = 0;
        for node in self.closure(target) {
            let ingredients = self.ingredients(node, &records);
            let needs: Vec<Digest> =
                self.closure(node).into_iter().filter(|&up| up != node).map(|up| records[&up].key).collect();
            let record = hit(cache, ingredients.key()).unwrap_or_else(|| {
                let name = instance(node);
                let patience = Patience { command: "test", instance: &name, timeout: None, cancelled: &|| false };
                let _guard = cache.lock(ingredients.key(), &patience, &mut |_| ()).unwrap();
                hit(cache, ingredients.key()).unwrap_or_else(|| {
                    ran += 1;
                    self.run(cache, node, ingredients)
                })
            });
            show(cache, node, &record);
            cache.set_root(&instance(node), record.key, &needs).unwrap();
            records.insert(node, record);
        }
        (ran, records.into_values().map(|record| record.key).collect())
    }

    pub(super) fn closure(&self, target: usize) -> BTreeSet<usize> {
        let mut nodes = BTreeSet::from([target]);
        for up in &self.reads[target] {
            nodes.extend(self.closure(*up));
        }
        nodes
    }

    fn ingredients(&self, node: usize, records: &BTreeMap<usize, Record>) -> Ingredients {
        let inputs = self.reads[node].iter().map(|up| (format!("in{up}"), records[up].outputs[0].data)).collect();
        let parameters = [("setting", self.settings[node]), ("node", node as u32)];
        Ingredients {
            schema: 1,
            stage: "sim".to_owned(),
            version: 1,
            parameters: parameters.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect(),
            inputs,
            environment: BTreeMap::new(),
        }
    }

    fn run(&self, cache: &Cache, node: usize, ingredients: Ingredients) -> Record {
        let key = ingredients.key();
        cache.partial(key).save("checkpoint", b"half").unwrap();
        let setting = self.settings[node];
        let own = format!("{node} {setting} {:?}\n", ingredients.inputs).repeat(1 + setting as usize % 5);
        // Other nodes write the same bytes: an object may be named by several records.
        let common = format!("common {}\n", setting % 3);
        let data = Digest::of(format!("{node} {} {:?}", setting / 2, ingredients.inputs).as_bytes());
        let outputs = [("own", own, data), ("common", common, Digest::of(b"common"))].map(|(name, content, data)| {
            let object = cache.put(content.as_bytes(), "bin").unwrap();
            let (columns, rows) = (BTreeMap::new(), None);
            let (name, extension) = (name.to_owned(), object.extension);
            Output { name, object: object.digest, extension, bytes: object.bytes, data, columns, rows }
        });
        let record = Record::new(ingredients, outputs.to_vec(), Vec::new());
        cache.publish(&record).unwrap();
        cache.set_hint(Digest::of(&[node as u8]), key).unwrap();
        cache.partial(key).remove().unwrap();
        let log = cache.start_run().unwrap();
        log.append(&Event::now(&instance(node), Outcome::Built)).unwrap();
        record
    }
}

/// The name of a node.
pub(super) fn instance(node: usize) -> String {
    format!("sim/{node}")
}

fn hit(cache: &Cache, key: Digest) -> Option<Record> {
    let record = cache.record(key).unwrap()?;
    record.outputs.iter().all(|output| cache.has(&output.stored())).then_some(record)
}

/// The file that users see of a node; the workspace is the folder that holds the cache.
pub(super) fn shown(cache: &Cache, node: usize) -> PathBuf {
    cache.dir().parent().unwrap().join("output").join(format!("{node}.bin"))
}

fn show(cache: &Cache, node: usize, record: &Record) {
    let stat = cache.stat_cache();
    let exposed = cache.expose(&record.outputs[0].stored(), &shown(cache, node), &stat).unwrap();
    assert_ne!(exposed, Exposed::Lost, "an object went away under a build");
    stat.save().unwrap();
}

/// Fails unless every record in `keys` is there with all its objects, whole; returns their files.
#[track_caller]
pub(super) fn files_of(cache: &Cache, keys: &[Digest]) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for &key in keys {
        let record::FoundRecord::Whole(record) = cache.find_record(key).unwrap() else {
            panic!("no record {}", key.short());
        };
        files.insert(cache.record_path(key));
        for output in &record.outputs {
            assert_eq!(
                cache.verify(&output.stored()).unwrap(),
                Presence::Present,
                "{} of {}",
                output.name,
                key.short()
            );
            files.insert(cache.path(&output.stored()));
        }
    }
    files
}

/// The keys that the `nth` last builds of all instances of this workspace name, and all pins.
pub(super) fn needed(cache: &Cache, last: usize) -> Vec<Digest> {
    let mut keys: Vec<Digest> = cache.pins().unwrap().into_iter().flat_map(|pin| pin.keys).collect();
    for root in cache.roots().unwrap() {
        for build in cache.builds(&root.instance).unwrap().into_iter().take(last) {
            keys.extend(build.needs);
            keys.push(build.key);
        }
    }
    keys
}

/// All files below a folder.
pub(super) fn all_files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in list::entries(folder).unwrap() {
        if entry.path().is_dir() {
            files.extend(all_files(&entry.path()));
        } else {
            files.insert(entry.path());
        }
    }
    files
}

/// Records and objects.
pub(super) fn results(cache: &Cache) -> BTreeSet<PathBuf> {
    ["actions", "objects"].iter().flat_map(|folder| all_files(&cache.dir().join(folder))).collect()
}

/// Somebody who waits for ever.
pub(super) fn patience() -> Patience<'static> {
    Patience { command: "rsic gc", instance: "collection", timeout: None, cancelled: &|| false }
}

/// Removes everything that is not needed, through a handle of its own.
pub(super) fn collect_all(dir: &Path) -> Applied {
    let cache = Cache::open(dir).unwrap();
    let policy = Policy { keep_last: 1, keep_within: Duration::ZERO, ..Policy::default() };
    let plan = cache.plan_collection(&policy).unwrap();
    cache.collect(&plan, &patience(), &mut |_| ()).unwrap()
}

/// A temporary folder in memory where there is such a thing: these tests sync thousands of files.
pub(super) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
