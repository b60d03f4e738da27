//! The content-addressed store: bytes, keys and records; it knows nothing of their meaning.
//!
//! The interface in short (`Result` is `Result<_, CacheError>`):
//!
//! ```text
//! Cache::open(dir) / Cache::peek(dir)                       create what is missing / create nothing
//! put(&[u8], extension) -> Result<Object>                   get(&Object) -> Result<Option<Vec<u8>>>
//! has(&Object) -> bool      look(&Object) -> Presence { Present, Missing, Damaged } (by size only)
//! path(&Object) -> PathBuf  verify(&Object) -> Result<Presence> (by content; moves nothing)
//! record(Digest) -> Result<Option<Record>>                  publish(&Record) -> Result<Publication { New, Same, Replaced(Box<Record>) }>
//! Record::new(Ingredients, Vec<Output>, Vec<String>)        Output::stored() -> Object
//! Ingredients::key() -> Digest                              Ingredients::differences(old, new) -> Vec<Reason>
//! changed_columns(&BTreeMap<String, Digest>, &BTreeMap<String, Digest>) -> Vec<String>
//! Reason::Input { name, old: Option<Digest>, new: Option<Digest>, columns: Vec<String> }, Parameter { name, old: Option<Value>, new: Option<Value> }
//! root(instance) -> Result<Option<Root { instance, key }>>  set_root(instance, Digest) -> Result<()>   remove_root, roots()
//! lock(Digest, &Patience { command, instance, timeout, cancelled: &dyn Fn() -> bool }, &mut dyn FnMut(&str)) -> Result<Guard>
//! partial(Digest) -> PartialDir; load(name) -> Result<Option<Vec<u8>>>, save(name, bytes), remove(), slot(name): impl progress::Checkpoint
//! StatCache::open(file) -> StatCache; digest_file(path) -> Result<Digest>; save() -> Result<()>
//!   remember(path, kind, FnOnce(&[u8]) -> T) -> Result<T>; digest_files(&[PathBuf]) / remember_all(&[PathBuf], kind, Fn(&[u8]) -> T) -> Vec<Result<T>>
//! start_run() -> Result<RunLog>; RunLog::append(&Event); history() -> impl Iterator<Item = Event>, newest first
//! expose(&Object, target, &StatCache) -> Result<Exposed { Written, Kept, Lost }>   view(&Object, target, &StatCache) -> Result<View { Missing, Fresh, Modified }>
//! CacheError::{Io, NoSpace, Format, NotACache, ReadOnly, Name, Incomplete, LockTimeout, Interrupted, ChangedWhileRead}; hint() -> Option<String>
//! ```
