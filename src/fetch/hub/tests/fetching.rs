//! What arrives, where, and what is asked for it.

use super::super::Proof;
use super::server::etag;
use super::*;

#[test]
fn a_model_arrives_in_the_standard_layout() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    let settings = settings(&hub, cache.path());
    let watch = Watch::default();
    let fetched = fetch(&settings, &Wanted { id: ID, revision: "main", files: Files::Model }, &watch).unwrap();
    assert_eq!(fetched.commit, COMMIT);
    assert_eq!(names(&fetched), ["config.json", "vocab.txt", "model.safetensors"]);
    let proofs: Vec<_> = fetched.files.iter().map(|file| file.proof).collect();
    assert_eq!(proofs, [Proof::GitBlob, Proof::GitBlob, Proof::Sha256]);
    let weights = weights();
    assert_eq!(fetched.downloaded_bytes as usize, CONFIG.len() + VOCABULARY.len() + weights.len());
    for (file, bytes, large) in
        [("config.json", CONFIG, false), ("vocab.txt", VOCABULARY, false), ("model.safetensors", weights, true)]
    {
        let path = fetched.folder.join(file);
        assert!(fs::read(&path).unwrap() == bytes, "{file}");
        if cfg!(unix) {
            let target = fs::read_link(&path).unwrap();
            assert_eq!(target, Path::new("../../blobs").join(etag(bytes, large)), "{file}");
        }
    }
    assert_eq!(fetched.folder, cache.path().join("models--org--name/snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(cache.path().join("models--org--name/refs/main")).unwrap(), COMMIT);
    assert_eq!(list(cache.path(), "."), ["blobs", "refs", "snapshots"], "nothing else is left behind");
    assert_eq!(list(cache.path(), "blobs").len(), 3);
    let expected = ["config.json: 22 bytes", "vocab.txt: 12 bytes", "model.safetensors: 2800000 bytes"];
    assert_eq!(*watch.begun.lock().unwrap(), expected);
    assert_eq!(watch.steps.load(Ordering::Relaxed), 2_800_000);
    assert!(watch.notes.lock().unwrap().is_empty());
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    let settings = settings(&hub, cache.path());
    let first = get(&settings).unwrap();
    hub.seen();
    let list_of = |revision: &str| format!("GET /api/models/org/name/revision/{revision}");
    // (revision, files, requests)
    for (revision, files, requests) in [
        ("main", Files::Model, vec![list_of("main")]),
        ("refs/pr/15", Files::Model, vec![list_of("refs%2Fpr%2F15")]),
        (COMMIT, Files::Model, vec![list_of(COMMIT)]),
        (COMMIT, Files::Named(&["config.json", "model.safetensors"]), vec![]),
    ] {
        let again = get_at(&settings, revision, files).unwrap();
        assert_eq!((&again.commit, again.downloaded_bytes), (&first.commit, 0), "{revision}");
        assert!(again.files.iter().all(|file| file.proof == Proof::AlreadyHere));
        let seen: Vec<_> = hub.seen().into_iter().map(|seen| seen.line).collect();
        assert_eq!(seen, requests, "{revision} {files:?}");
    }
    assert_eq!(fs::read_to_string(cache.path().join("models--org--name/refs/refs/pr/15")).unwrap(), COMMIT);
    // The link is gone, the blob is not: one question, no bytes. The blob is gone: the bytes come again.
    let (link, config) = (first.folder.join("config.json"), etag(CONFIG, false));
    fs::remove_file(&link).unwrap();
    assert_eq!(get(&settings).unwrap().downloaded_bytes, 0);
    fs::remove_file(cache.path().join("models--org--name/blobs").join(&config)).unwrap();
    assert_eq!(get(&settings).unwrap().downloaded_bytes as usize, CONFIG.len());
    // A blob that some other client cut off is not taken.
    fs::remove_file(&link).unwrap();
    fs::write(cache.path().join("models--org--name/blobs").join(&config), "cut").unwrap();
    assert_eq!(get(&settings).unwrap().downloaded_bytes as usize, CONFIG.len());
    assert_eq!(fs::read(&link).unwrap(), CONFIG);
}

#[test]
fn offline_needs_no_network() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    let online = settings(&hub, cache.path());
    // A hub that could not even be addressed: there is nothing to open a socket to.
    let offline = Settings { offline: true, endpoint: "nowhere".to_owned(), ..online.clone() };
    let lacks = |missing: &str, revision: &str, files: Files| {
        let error = get_at(&offline, revision, files).unwrap_err();
        let expected = format!(
            "org/name at {revision} is not whole in the Hugging Face cache, and the hub is offline: {missing} is missing"
        );
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().contains("HF_HUB_OFFLINE"));
    };
    lacks("the revision", "main", Files::Model);
    let first = get_at(&online, "main", Files::Tokenizer).unwrap();
    lacks("model.safetensors or pytorch_model.bin", "main", Files::Model);
    lacks("x.pt", "main", Files::Named(&["x.pt"]));
    lacks("the revision", "refs/pr/15", Files::Tokenizer);
    hub.seen();
    for revision in ["main", COMMIT] {
        let again = get_at(&offline, revision, Files::Tokenizer).unwrap();
        assert_eq!((names(&again), &again.folder), (names(&first), &first.folder));
    }
    assert!(hub.seen().is_empty());
}

#[test]
fn shards_follow_their_list() {
    let index = br#"{"weight_map": {"a": "w-1.safetensors", "b": "w-2.safetensors", "c": "w-1.safetensors"}}"#;
    let files: [(&str, &[u8], bool); 4] = [
        ("config.json", CONFIG, false),
        ("model.safetensors.index.json", index, false),
        ("w-1.safetensors", b"one", true),
        ("w-2.safetensors", b"two", true),
    ];
    let (hub, cache) = (Hub::with(&files), tempfile::tempdir().unwrap());
    let settings = settings(&hub, cache.path());
    let expected = ["config.json", "model.safetensors.index.json", "w-1.safetensors", "w-2.safetensors"];
    assert_eq!(names(&get(&settings).unwrap()), expected);
    let offline = Settings { offline: true, ..settings };
    assert_eq!(names(&get(&offline).unwrap()), expected);
    fs::remove_file(cache.path().join("models--org--name/blobs").join(etag(b"two", true))).unwrap();
    assert!(get(&offline).unwrap_err().to_string().contains("w-2.safetensors is missing"));
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    hub.needs_token("Bearer secret");
    let open = settings(&hub, cache.path());
    let error = get(&open).unwrap_err();
    assert!(matches!(error, HubError::Forbidden { gated: true, token: false, .. }), "{error}");
    hub.seen();
    get(&Settings { token: Token::new("secret"), ..open }).unwrap();
    let seen = hub.seen();
    assert!(seen.iter().any(|seen| seen.server == "store"));
    for seen in seen {
        assert_eq!(seen.token.is_some(), seen.server == "hub", "{seen:?}");
    }
}

#[test]
fn a_renamed_model_is_kept_under_the_name_it_was_asked_for() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    hub.was_called("old");
    let wanted = Wanted { id: "old", revision: "main", files: Files::Named(&["config.json", "model.safetensors"]) };
    let fetched = fetch(&settings(&hub, cache.path()), &wanted, &Watch::default()).unwrap();
    assert!(fetched.folder.starts_with(cache.path().join("models--old")));
    assert_eq!(fs::read(fetched.folder.join("config.json")).unwrap(), CONFIG);
}

#[test]
fn a_file_in_a_folder_is_linked_from_there() {
    let (hub, cache) = (Hub::with(&[("a/b c.txt", CONFIG, false)]), tempfile::tempdir().unwrap());
    let fetched = get_at(&settings(&hub, cache.path()), "main", Files::Named(&["a/b c.txt"])).unwrap();
    assert_eq!(fetched.files[0].path, fetched.folder.join("a/b c.txt"));
    assert_eq!(fs::read(&fetched.files[0].path).unwrap(), CONFIG);
}

#[test]
fn without_links_files_are_real() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    let settings = Settings { symlinks: false, ..settings(&hub, cache.path()) };
    let fetched = get(&settings).unwrap();
    assert!(fetched.files.iter().all(|file| fs::symlink_metadata(&file.path).unwrap().is_file()));
    assert_eq!(get(&settings).unwrap().downloaded_bytes, 0);
}

#[test]
fn two_at_once_fetch_each_blob_once() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    let settings = settings(&hub, cache.path());
    hub.fails("GET /store/model", &[server::Fault::Silence(Duration::from_millis(300))]);
    let bytes: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| get(&settings).unwrap().downloaded_bytes)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(bytes.iter().sum::<u64>() as usize, CONFIG.len() + VOCABULARY.len() + weights().len());
    assert_eq!(hub.seen().iter().filter(|seen| seen.server == "store").count(), 1);
}

#[test]
fn an_etag_that_is_no_digest_proves_the_size_only() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    hub.gives_etag("config.json", "mirror-1");
    let fetched = get_at(&settings(&hub, cache.path()), "main", Files::Named(&["config.json"])).unwrap();
    assert_eq!(fetched.files[0].proof, Proof::SizeOnly);
    assert!(cache.path().join("models--org--name/blobs/mirror-1").is_file());
}
