//! What travels through a remote store, and what happens when it is damaged, dead, or somebody else's.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use super::*;
use crate::cache::{Cache, Depth, Ingredients, Output};
use crate::progress::Silent;

/// A folder that is removed, and a cache in it.
fn place() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    (dir, cache)
}

fn settings(url: &str) -> RemoteSettings {
    RemoteSettings { url: url.to_owned(), options: BTreeMap::new(), pull: true, timeout: 10 }
}

/// A published record with two outputs.
fn publish(cache: &Cache, setting: u32, main: &[u8]) -> Record {
    let output = |name: &str, bytes: &[u8]| {
        let object = cache.put(bytes, "parquet").unwrap();
        let (digest, columns, rows) = (object.digest, BTreeMap::new(), None);
        let (name, extension, bytes) = (name.to_owned(), object.extension, object.bytes);
        Output { name, object: digest, extension, bytes, data: digest, columns, rows }
    };
    let ingredients = Ingredients {
        schema: 1,
        stage: "train".to_owned(),
        version: 1,
        parameters: BTreeMap::from([("setting".to_owned(), json!(setting))]),
        inputs: BTreeMap::new(),
        environment: BTreeMap::new(),
    };
    let record = Record::new(ingredients, vec![output("main", main), output("log", b"same in all")], vec![]);
    cache.publish(&record).unwrap();
    record
}

/// Stores of every kind that can be had here; `RSIC_TEST_REMOTE` adds one, such as `s3://bucket/prefix` with an endpoint
/// in the environment.
fn remotes() -> Vec<(String, tempfile::TempDir, Remote)> {
    let mut all = Vec::new();
    let mut add = |url: String, dir: tempfile::TempDir| {
        let remote = Remote::open(&settings(&url), dir.path()).unwrap();
        all.push((url, dir, remote));
    };
    add("memory:///".to_owned(), tempfile::tempdir().unwrap());
    add("shared results".to_owned(), tempfile::tempdir().unwrap());
    let dir = tempfile::tempdir().unwrap();
    add(url::Url::from_file_path(dir.path().join("a/b")).unwrap().to_string(), dir);
    match std::env::var("RSIC_TEST_REMOTE") {
        Ok(url) => {
            let dir = tempfile::tempdir().unwrap();
            add(format!("{url}/{}", dir.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.')), dir);
        }
        Err(_) => println!("SKIPPED: a service; RSIC_TEST_REMOTE names one"),
    }
    all
}

/// Writes into a remote store whatever is there.
fn poke(remote: &Remote, path: &Path, bytes: Option<&[u8]>) {
    let store = &remote.store;
    let runtime = remote.runtime.as_ref().unwrap();
    match bytes {
        Some(bytes) => _ = runtime.block_on(store.put(path, PutPayload::from(bytes.to_vec()))).unwrap(),
        None => runtime.block_on(store.delete(path)).unwrap(),
    }
}

fn is_clean(cache: &Cache) -> bool {
    cache.inspect(Depth::Full, &Silent).unwrap().findings.is_empty()
}

#[test]
fn a_result_travels_whole_and_only_once() {
    for (name, _dir, remote) in remotes() {
        let (_a, first) = place();
        let (_b, second) = place();
        // 20 MB go up in three parts.
        let large: Vec<u8> = (0..20_000_000_u32).map(|i| (i * 7 / 3) as u8).collect();
        for (setting, main) in [(1, &b""[..]), (2, b"small"), (3, &large)] {
            let record = publish(&first, setting, main);
            assert_eq!(remote.offer(&second, record.key).unwrap(), None, "{name}");
            let pushed = remote.push(&first, record.key, false, &Silent).unwrap();
            // The second output is there since the first record.
            let (objects, bytes) = if setting == 1 { (2, 11) } else { (1, main.len() as u64) };
            assert_eq!(pushed, Pushed { record: Sent::New, objects, bytes }, "{name}");
            let again = remote.push(&first, record.key, true, &Silent).unwrap();
            assert_eq!(again, Pushed { record: Sent::There, objects: 0, bytes: 0 }, "{name}");
            assert_eq!(remote.offer(&second, record.key).unwrap().as_ref(), Some(&record), "{name}");
            assert_eq!(remote.pull(&second, &record, &Silent).unwrap(), bytes, "{name}");
            assert_eq!(remote.pull(&second, &record, &Silent).unwrap(), 0, "{name}: it is here");
            assert_eq!(second.record(record.key).unwrap().as_ref(), Some(&record), "{name}");
            assert_eq!(second.get(&record.outputs[0].stored()).unwrap().as_deref(), Some(main), "{name}");
        }
        assert!(is_clean(&second), "{name}");
    }
}

/// What is done to the store, and what a pull must say.
type Harm<'a> = (&'a str, &'a dyn Fn(&Remote, &Record), &'a str);

#[test]
fn nothing_damaged_comes_through_and_a_push_mends_it() {
    let main = |remote: &Remote, record: &Record| remote.object_path(&record.outputs[0].stored());
    let harms: [Harm; 10] = [
        ("flipped", &|r, record| poke(r, &main(r, record), Some(b"these bytez")), "not those of its name"),
        ("short", &|r, record| poke(r, &main(r, record), Some(b"these")), "5 bytes instead of 11"),
        ("long", &|r, record| poke(r, &main(r, record), Some(b"these bytes and more")), "20 bytes instead of 11"),
        ("empty", &|r, record| poke(r, &main(r, record), Some(b"")), "0 bytes instead of 11"),
        ("another object", &|r, record| poke(r, &main(r, record), Some(b"same in all")), "not those of its name"),
        ("missing", &|r, record| poke(r, &main(r, record), None), "is missing"),
        ("garbage record", &|r, record| poke(r, &r.record_path(record.key), Some(b"{}")), "not a record of this key"),
        (
            "another's record",
            &|r, record| {
                let (_dir, cache) = place();
                let other = publish(&cache, 9, b"other");
                poke(r, &r.record_path(record.key), Some(&other.text().unwrap()));
            },
            "not a record of this key",
        ),
        (
            "endless record",
            &|r, record| poke(r, &r.record_path(record.key), Some(&vec![b' '; canonical::LARGEST as usize + 1])),
            "67108865 bytes",
        ),
        (
            "a record that climbs",
            &|r, record| {
                let mut climbing = record.clone();
                climbing.outputs[0].name = "../../x".to_owned();
                let text = serde_json::to_vec(&climbing).unwrap();
                poke(r, &r.record_path(record.key), Some(&text));
            },
            "not a record of this key",
        ),
    ];
    for (kind, _dir, remote) in remotes() {
        for (name, harm, words) in &harms {
            let (_a, first) = place();
            let (_b, second) = place();
            let record = publish(&first, 1, b"these bytes");
            remote.push(&first, record.key, true, &Silent).unwrap();
            harm(&remote, &record);
            let pulled = remote.record(record.key).and_then(|found| remote.pull(&second, &found.unwrap(), &Silent));
            let error = pulled.unwrap_err();
            assert!(
                matches!(error, RemoteError::Corrupt { .. } | RemoteError::Lost { .. }),
                "{kind}, {name}: {error:?}"
            );
            assert!(error.to_string().contains(words), "{kind}, {name}: {error}");
            assert_eq!(second.record(record.key).unwrap(), None, "{kind}, {name}");
            assert!(is_clean(&second), "{kind}, {name}");
            assert!(!second.has(&record.outputs[0].stored()), "{kind}, {name}");
            remote.push(&first, record.key, true, &Silent).unwrap();
            let found = remote.record(record.key).unwrap().unwrap();
            remote.pull(&second, &found, &Silent).unwrap();
            assert_eq!(second.record(record.key).unwrap(), Some(record), "{kind}, {name}");
        }
    }
}

#[test]
fn the_first_result_under_a_key_stays() {
    for (kind, _dir, remote) in remotes() {
        let (_a, first) = place();
        let (_b, second) = place();
        let (one, other) = (publish(&first, 1, b"one"), publish(&second, 1, b"other"));
        assert_eq!(one.key, other.key);
        remote.push(&first, one.key, false, &Silent).unwrap();
        let refused = remote.push(&second, other.key, false, &Silent).unwrap_err();
        assert!(matches!(refused, RemoteError::Conflict(key) if key == one.key), "{kind}: {refused:?}");
        assert_eq!(remote.record(one.key).unwrap(), Some(one), "{kind}");
        // Eight at once: one creates it, the others find it.
        let record = publish(&first, 2, b"eight");
        let sent: Vec<Sent> = thread::scope(|scope| {
            let push = || remote.push(&first, record.key, false, &Silent).unwrap().record;
            let all: Vec<_> = (0..8).map(|_| scope.spawn(push)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(sent.iter().filter(|sent| **sent == Sent::New).count(), 1, "{kind}: {sent:?}");
    }
}

#[test]
fn a_damaged_local_object_never_goes_up() {
    for (kind, _dir, remote) in remotes() {
        for content in [b"good".to_vec(), vec![1; 9 << 20]] {
            let (_a, cache) = place();
            let record = publish(&cache, 1, &content);
            let object = record.outputs[0].stored();
            let path = cache.path(&object);
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, vec![0; content.len()]).unwrap();
            assert!(remote.push(&cache, record.key, false, &Silent).is_err(), "{kind}");
            assert_eq!(remote.size(&remote.object_path(&object)).unwrap(), None, "{kind}");
            assert_eq!(remote.record(record.key).unwrap(), None, "{kind}");
        }
    }
}

#[test]
fn a_place_of_somebody_else_is_refused() {
    let (_a, cache) = place();
    let record = publish(&cache, 1, b"x");
    for found in ["rsic remote 2\n", "something else"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("theirs")).unwrap();
        std::fs::write(dir.path().join("theirs/FORMAT"), found).unwrap();
        let remote = Remote::open(&settings("there/../theirs"), dir.path()).unwrap();
        for error in
            [remote.record(record.key).unwrap_err(), remote.push(&cache, record.key, false, &Silent).unwrap_err()]
        {
            assert!(matches!(&error, RemoteError::Format { found: said, .. } if said == found.trim()), "{error:?}");
        }
    }
}

#[test]
fn a_dead_store_is_asked_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [silent.local_addr().unwrap().port(), closed.local_addr().unwrap().port()];
    drop(closed);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in silent.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    let (_a, cache) = place();
    let record = publish(&cache, 1, b"x");
    for port in ports {
        let mut dead = settings("s3://bucket/prefix");
        dead.timeout = 1;
        for (key, value) in [
            ("endpoint", format!("http://127.0.0.1:{port}")),
            ("region", "us-east-1".to_owned()),
            ("skip_signature", "true".to_owned()),
        ] {
            dead.options.insert(key.to_owned(), value);
        }
        let remote = Remote::open(&dead, FilePath::new("/")).unwrap();
        let first = remote.record(record.key).unwrap_err();
        assert!(matches!(first, RemoteError::Down { .. }), "{first:?}");
        let before = calls.load(Ordering::SeqCst);
        let again = remote.record(record.key).unwrap_err();
        assert!(matches!(again, RemoteError::Down { .. }), "{again:?}");
        assert!(remote.push(&cache, record.key, false, &Silent).is_err());
        assert!(remote.pull(&place().1, &record, &Silent).is_err());
        assert_eq!(calls.load(Ordering::SeqCst), before, "nothing more is asked");
    }
    assert!(calls.load(Ordering::SeqCst) >= 1);
    assert!(is_clean(&cache));
}

#[test]
fn builds_leave_a_dead_store_alone_for_a_while() {
    let (_a, cache) = place();
    let url = "s3://bucket";
    assert_eq!(cache.remote_rests(url), None);
    cache.set_remote_rests(url, true);
    let left = cache.remote_rests(url).unwrap();
    assert!((1..=300).contains(&left), "{left}");
    assert_eq!(cache.remote_rests("s3://other"), None);
    assert!(is_clean(&cache), "the file is one of ours");
    for (text, name) in [("99999999999 s3://bucket", "from the future"), ("1 s3://bucket", "long ago"), ("garbage", "")]
    {
        std::fs::write(cache.dir().join("remote.txt"), text).unwrap();
        assert_eq!(cache.remote_rests(url), None, "{name}");
    }
    cache.set_remote_rests(url, true);
    cache.set_remote_rests(url, false);
    assert_eq!(cache.remote_rests(url), None);
}

#[test]
fn settings_that_cannot_be_used_say_why() {
    let with = |url: &str, key: &str| {
        let mut settings = settings(url);
        if !key.is_empty() {
            settings.options.insert(key.to_owned(), "hunter2".to_owned());
        }
        settings
    };
    for (url, key, words) in [
        ("", "", "it is empty"),
        ("ftp://host/x", "", "stores are `s3://`"),
        ("s3://bucket//x", "", "empty path segment"),
        ("https://example.org/x", "", "a web server keeps nothing"),
        ("s3://user:hunter2@bucket/x", "", "may hold no user"),
        ("s3://bucket/x?sig=hunter2", "", "may hold no user"),
        ("s3://bucket", "secret_access_key", "must not hold credentials"),
        ("s3://bucket", "aws_session_token", "set them in the environment"),
        ("az://container", "azure_storage_account_key", "must not hold credentials"),
        ("az://container", "sas_token", "must not hold credentials"),
        ("s3://bucket", "colour", "no option `colour`"),
        ("s3://bucket", "endpoint", "`endpoint` must be an address"),
        ("hunter2@s3://bucket", "", "relative URL without a base"),
        ("s3:/bucket", "", "it is no folder and no address"),
        ("s3/bucket", "", "it is no folder and no address"),
        ("~/results", "", "`~` stands for nothing"),
        ("output", "", "it may not be the workspace"),
        ("results/../cache/objects", "", "it may not be the workspace"),
        (".", "", "it may not be the workspace"),
        ("folder", "region", "a folder has no options"),
        ("file:///folder", "region", "no option `region`"),
    ] {
        let error = Remote::open(&with(url, key), FilePath::new("/")).unwrap_err().to_string();
        assert!(error.contains(words), "{url} {key}: {error}");
        assert!(!error.contains("hunter2"), "{url} {key}: {error}");
    }
    // What follows the name of a credential is not shown.
    for (text, shown) in [
        ("url = \"s3://b\"", "url = \"s3://b\""),
        ("aws_secret_access_key = hunter2", "aws_secret_access_key = ***"),
        ("-p store.remote.options.sas_token=hunter2", "-p store.remote.options.sas_token= ***"),
        ("url = s3://user:hunter2@b/c?sig=hunter2", "url = s3://b/c"),
        ("sort = \"token\"", "sort = \"token\""),
        ("max_tokens = { en = 20 }", "max_tokens = { en = 20 }"),
        ("tokenizer = \"x\" # secret", "tokenizer = \"x\" # secret"),
        ("max_tokens = 1, token = hunter2", "max_tokens = 1, token = ***"),
    ] {
        assert_eq!(without_credentials(text), shown);
    }
    for (url, key) in
        [("s3://bucket/a", "region"), ("az://container", "azure_tenant_id"), ("gs://bucket", "google_bucket")]
    {
        assert!(with(url, key).check().is_ok(), "{url} {key}");
    }
}

#[test]
fn no_text_shows_a_credential() {
    let variables = [
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUt"),
        ("AWS_SESSION_TOKEN", "sessiontoken"),
        ("AZURE_STORAGE_SAS_KEY", "sv=2&sig=abc"),
        ("AWS_REGION", "us-east-1"),
        ("PASSWORD", "else"),
    ];
    for (text, expected) in [
        ("key wJalrXUt was refused", "key *** was refused"),
        ("in us-east-1, nothing else", "in us-east-1, nothing else"),
        ("GET https://u:p@h.net/c/x?sv=1&sig=zzz failed", "GET https://h.net/c/x failed"),
        ("(https://h.net/c?sig=zzz): closed", "(https://h.net/c): closed"),
        ("sessiontoken wJalrXUt sv=2&sig=abc", "*** *** ***"),
        ("two  spaces\tand s3://bucket/prefix", "two  spaces\tand s3://bucket/prefix"),
    ] {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(secret::without_secrets(text, variables), expected);
    }
}
