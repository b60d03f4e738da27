//! What happens when the network, the server or the disk misbehaves.

use std::net::TcpListener;

use super::server::{Fault, etag};
use super::*;

const HUB: &str = "GET /org/name/resolve";
const HEAD: &str = "HEAD /org/name/resolve";
const LIST: &str = "GET /api/";
const STORE: &str = "GET /store/";

#[test]
fn passing_faults_pass() {
    let gone = Fault::Status(403, "");
    // (name, request, faults, the ranges that the store is asked for)
    for (name, request, faults, ranges) in [
        ("none", STORE, vec![], vec!["-"]),
        ("cut, then on", STORE, vec![Fault::CutAfter(1_000_000)], vec!["-", "1000000"]),
        (
            "cut twice, then on",
            STORE,
            vec![Fault::CutAfter(300_000), Fault::CutAfter(5)],
            vec!["-", "300000", "300005"],
        ),
        ("cut, then the range is ignored", STORE, vec![Fault::CutAfter(9), Fault::NoRange], vec!["-", "9"]),
        ("cut, then another range is sent", STORE, vec![Fault::CutAfter(9), Fault::WrongRange(5)], vec!["-", "9", "-"]),
        ("cut, then 416", STORE, vec![Fault::CutAfter(9), Fault::Status(416, "")], vec!["-", "9", "-"]),
        ("hung up", STORE, vec![Fault::HangUp], vec!["-", "-"]),
        (
            "more faults than attempts, but it moves on",
            STORE,
            vec![Fault::HangUp, Fault::CutAfter(1_100_000), Fault::HangUp, Fault::CutAfter(1_100_000), Fault::HangUp],
            vec!["-", "-", "1100000", "1100000", "2200000", "2200000"],
        ),
        ("silence", STORE, vec![Fault::Silence(Duration::from_secs(1))], vec!["-", "-"]),
        ("expired address", STORE, vec![gone.clone()], vec!["-", "-"]),
        ("in chunks", STORE, vec![Fault::Chunked], vec!["-"]),
        ("503 of the store", STORE, vec![Fault::Status(503, "")], vec!["-", "-"]),
        ("503 of the hub", HUB, vec![Fault::Status(503, "")], vec!["-"]),
        ("429 of the hub", HEAD, vec![Fault::Status(429, "Retry-After: 0")], vec!["-"]),
        ("hung up on the list", LIST, vec![Fault::HangUp, Fault::Status(500, "")], vec!["-"]),
        ("list cut off", LIST, vec![Fault::CutAfter(20)], vec!["-"]),
    ] {
        let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
        hub.fails(request, &faults);
        let fetched = get_at(&settings(&hub, cache.path()), "main", Files::Named(&["model.safetensors"]));
        let fetched = fetched.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(fs::read(&fetched.files[0].path).unwrap() == weights(), "{name}");
        let seen = hub.seen().into_iter().filter(|seen| seen.server == "store");
        let seen: Vec<_> = seen
            .map(|seen| seen.range.map_or("-".into(), |range| range.replace("bytes=", "").replace('-', "")))
            .collect();
        assert_eq!(seen, ranges, "{name}");
        assert_eq!(list(cache.path(), "blobs"), [etag(weights(), true)], "{name}: no part is left behind");
    }
}

#[test]
fn lasting_faults_are_errors_with_hints() {
    let json = "application/json";
    // (name, request, the fault each time, message, hint)
    for (name, request, fault, message, hint) in [
        ("401", LIST, Fault::Status(401, ""), "the hub does not show org/name without a token", "HF_TOKEN"),
        ("401 gated", HEAD, Fault::Status(401, "X-Error-Code: GatedRepo"), "refuses access to org/name", "licence"),
        (
            "403 gated, with reason",
            HEAD,
            Fault::Status(403, "X-Error-Code: GatedRepo\nX-Error-Message: ask the authors"),
            "the hub refuses access to org/name: ask the authors",
            "accept the licence",
        ),
        ("403", LIST, Fault::Status(403, ""), "the hub refuses access to org/name", "token"),
        ("404 model", LIST, Fault::Status(404, "X-Error-Code: RepoNotFound"), "the hub has no model org/name", "id"),
        ("404 silent", LIST, Fault::Status(404, ""), "the hub has no model org/name", "id"),
        (
            "404 revision",
            LIST,
            Fault::Status(404, "X-Error-Code: RevisionNotFound"),
            "org/name has no revision main",
            "branches",
        ),
        ("404 file", HEAD, Fault::Status(404, "X-Error-Code: EntryNotFound"), "no file config.json at", "Files"),
        ("410", LIST, Fault::Status(410, ""), "answers with status 410", "later"),
        ("500", LIST, Fault::Status(500, ""), "answers with status 500", "later"),
        ("429", LIST, Fault::Status(429, "Retry-After: 3600"), "asks to wait 3600 s", "wait"),
        ("429 silent", LIST, Fault::Status(429, ""), "asks to wait", "wait"),
        ("web page", LIST, Fault::Page("text/html", "<html>"), "a web page instead of JSON", "HF_ENDPOINT"),
        ("web page in disguise", LIST, Fault::Page(json, "\n<html>"), "a web page instead of JSON", "proxy"),
        ("no JSON", LIST, Fault::Page(json, "what?"), "something else than JSON", "HF_ENDPOINT"),
        ("no commit", LIST, Fault::Page(json, "{\"siblings\": []}"), "names no commit", "HF_ENDPOINT"),
        ("commit is a path", LIST, Fault::Page(json, "{\"sha\": \"../x\"}"), "names no commit", "HF_ENDPOINT"),
        ("login page for a file", HEAD, Fault::Page("text/html", "<html>"), "not say of which commit", "login page"),
        (
            "endless redirects",
            LIST,
            Fault::Status(307, "Location: /api/models/org/name/revision/main"),
            "its redirects have no end",
            "HF_ENDPOINT",
        ),
        ("redirect to a file", LIST, Fault::Status(302, "Location: file:///etc/passwd"), "no address", "HF_ENDPOINT"),
        ("damaged", HUB, Fault::OtherBytes, "config.json came damaged: its Git blob id is", "mirror"),
        (
            "another etag",
            HUB,
            Fault::Status(200, "X-Repo-Commit: x\nETag: \"other\""),
            "config.json changed on the hub while it was fetched",
            "later",
        ),
        ("longer", HUB, Fault::Longer, "config.json should have 22 bytes, but the server sends 26", "mirror"),
        ("cut each time", HUB, Fault::CutAfter(0), "broke after 0 bytes", "run it again"),
        ("silence each time", LIST, Fault::Silence(Duration::from_secs(1)), "no answer in time", "HF_HUB_OFFLINE"),
    ] {
        let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
        hub.fails(request, &vec![fault; 20]);
        let error = get_at(&settings(&hub, cache.path()), "main", Files::Tokenizer).unwrap_err();
        assert!(error.to_string().contains(message), "{name}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{name}: {:?}", error.hint());
        assert!(!error.to_string().contains("secret"), "{name}: {error}");
        assert!(list(cache.path(), "refs").is_empty() && list(cache.path(), "snapshots").is_empty(), "{name}");
        let kept = list(cache.path(), "blobs");
        assert!(kept.iter().all(|blob| blob.ends_with(".incomplete") && name == "cut each time"), "{name}: {kept:?}");
        // The next run finds nothing in its way.
        hub.fails(request, &[]);
        get_at(&settings(&hub, cache.path()), "main", Files::Tokenizer)
            .unwrap_or_else(|error| panic!("after {name}: {error}"));
    }
}

#[test]
fn wrong_bytes_of_the_store_are_discarded() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    hub.fails(STORE, &[Fault::OtherBytes]);
    let error = get(&settings(&hub, cache.path())).unwrap_err();
    let digest = etag(weights(), true);
    assert!(error.to_string().starts_with("model.safetensors came damaged: its SHA-256 is "), "{error}");
    assert!(error.to_string().ends_with(&format!(", not {digest}; the file was discarded")), "{error}");
    assert!(list(cache.path(), "blobs").iter().all(|blob| !blob.starts_with(&digest)));
    assert!(list(cache.path(), "refs").is_empty(), "readers see nothing of a half model");
}

#[test]
fn a_server_that_always_begins_anew_is_given_up() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    hub.fails(STORE, &vec![Fault::WholeCutAfter(2_000_000); 20]);
    let error = get(&settings(&hub, cache.path())).unwrap_err();
    assert!(error.to_string().contains("broke after 2000000 bytes"), "{error}");
    assert_eq!(hub.seen().iter().filter(|seen| seen.server == "store").count(), 3);
}

#[test]
fn a_part_from_before_is_gone_on_with_if_it_is_good() {
    let (weights, digest) = (weights(), etag(weights(), true));
    let longer = [weights, b"more"].concat();
    let damaged = vec![0; weights.len()];
    // (name, what is there, ranges, bytes that come)
    for (name, part, ranges, bytes) in [
        ("a good beginning", &weights[..1_000_000], vec![Some("bytes=1000000-")], 1_800_000),
        ("all of it", weights, vec![], 0),
        ("too much", &longer, vec![None], 2_800_000),
        ("a damaged beginning", &damaged[..1_000_000], vec![Some("bytes=1000000-"), None], 4_600_000),
        ("damage throughout", &damaged, vec![None], 2_800_000),
    ] {
        let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
        let blobs = cache.path().join("models--org--name/blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{digest}.incomplete")), part).unwrap();
        // The part of another version of the file is nobody's.
        fs::write(blobs.join("0000.incomplete"), "old").unwrap();
        let fetched = get_at(&settings(&hub, cache.path()), "main", Files::Named(&["model.safetensors"])).unwrap();
        assert_eq!(fetched.downloaded_bytes, bytes, "{name}");
        assert!(fs::read(&fetched.files[0].path).unwrap() == weights, "{name}");
        let seen: Vec<_> =
            hub.seen().into_iter().filter(|seen| seen.server == "store").map(|seen| seen.range).collect();
        assert_eq!(seen.iter().map(Option::as_deref).collect::<Vec<_>>(), ranges, "{name}");
    }
}

#[test]
fn a_user_who_stops_keeps_what_has_come() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    let settings = settings(&hub, cache.path());
    let wanted = Wanted { id: ID, revision: "main", files: Files::Named(&["model.safetensors"]) };
    let watch = Watch { stop_at: Some(500_000), ..Watch::default() };
    let error = fetch(&settings, &wanted, &watch).unwrap_err();
    assert!(matches!(error, HubError::Interrupted(_)), "{error}");
    let part = cache.path().join(format!("models--org--name/blobs/{}.incomplete", etag(weights(), true)));
    let kept = fs::metadata(part).unwrap().len();
    assert!((500_000..2_800_000).contains(&kept), "{kept}");
    assert!(list(cache.path(), "refs").is_empty() && list(cache.path(), "snapshots").is_empty());
    let fetched = fetch(&settings, &wanted, &Watch::default()).unwrap();
    assert_eq!(fetched.downloaded_bytes, 2_800_000 - kept);
}

#[test]
fn retries_are_told() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    hub.fails(STORE, &[Fault::CutAfter(10)]);
    let watch = Watch::default();
    let wanted = Wanted { id: ID, revision: "main", files: Files::Named(&["model.safetensors"]) };
    fetch(&settings(&hub, cache.path()), &wanted, &watch).unwrap();
    let notes = watch.notes.lock().unwrap().join("\n");
    assert!(notes.contains("broke after 10 bytes") && notes.ends_with("trying again"), "{notes}");
    assert!(!notes.contains("Signature"), "{notes}");
}

#[test]
fn nobody_listens() {
    let cache = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = Settings { endpoint: format!("http://{address}"), ..settings(&hub(), cache.path()) };
    let error = get(&settings).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot reach {address}: ")), "{error}");
    assert!(error.hint().unwrap().contains("HF_ENDPOINT"));
}

#[test]
fn hostile_names_go_nowhere() {
    let index = br#"{"weight_map": {"a": "../../../../evil"}}"#;
    let (hub, cache) = (
        Hub::with(&[("config.json", CONFIG, false), ("model.safetensors.index.json", index, false)]),
        tempfile::tempdir().unwrap(),
    );
    let settings = settings(&hub, cache.path());
    let error = get(&settings).unwrap_err();
    assert_eq!(error.to_string(), "the hub lists a file with the unsafe name \"../../../../evil\"");
    hub.lists(&["../config.json", "/config.json"]);
    assert!(matches!(get(&settings), Err(HubError::NoModel { .. })));
    let named = Files::Named(&["../config.json"]);
    assert!(matches!(get_at(&settings, "main", named), Err(HubError::BadFileName { .. })));
    hub.gives_etag("config.json", "../../evil");
    let error = get_at(&settings, "main", Files::Named(&["config.json"])).map(|fetched| fetched.downloaded_bytes);
    // What came before is here already; nothing new is taken under such an etag.
    assert_eq!(error.unwrap(), 0);
    let other = tempfile::tempdir().unwrap();
    let error =
        get_at(&Settings { cache: other.path().to_owned(), ..settings }, "main", Files::Named(&["config.json"]));
    assert!(error.unwrap_err().to_string().contains("gives no etag"));
}

#[cfg(unix)]
#[test]
fn a_cache_that_cannot_be_written_is_said() {
    let (hub, cache) = (hub(), tempfile::tempdir().unwrap());
    fs::write(cache.path().join("models--org--name"), "a file in the way").unwrap();
    let error = get(&settings(&hub, cache.path())).unwrap_err();
    assert!(error.to_string().starts_with("cannot write "), "{error}");
}
