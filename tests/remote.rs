//! A remote store as a user meets it: push, pull, builds that fetch, `pipeline.lock`, and stores that are damaged or dead.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox, TINY};

/// A target whose build needs no training.
const QUICK: &str = "score/ucm_constant";
/// What users see of it.
const VIEW: &str = "output/score/ucm_constant.parquet";

/// [`TINY`] with a remote store.
fn pipeline(remote: &str) -> String {
    format!("{TINY}\n[store.remote]\nurl = \"{remote}\"\n")
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let below = entries.map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = below.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

/// Target -> state, as `--json` tells it.
fn states(ran: &Ran) -> Vec<(String, String)> {
    let rows: Value = serde_json::from_str(&ran.out).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(|row| (text(&row["target"]), text(&row["state"]))).collect()
}

/// The targets that came from the remote store.
fn pulled(ran: &Ran) -> BTreeSet<String> {
    let lines = ran.err.lines().filter_map(|line| line.trim().strip_prefix("pulled "));
    lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn all_are(states: &[(String, String)], state: &str) -> bool {
    !states.is_empty() && states.iter().all(|(_, found)| found == state)
}

#[test]
fn another_machine_gets_results_without_building_them() {
    let shared = tempfile::tempdir().unwrap();
    let text = pipeline(shared.path().to_str().unwrap());
    let first = Sandbox::new(&text);
    first.rsic(&["build", QUICK]).ok();
    let expected = fs::read(first.path(VIEW)).unwrap();
    let sent: Value = serde_json::from_str(&first.rsic(&["push", "--json"]).ok().out).unwrap();
    assert!(sent["new"].as_u64() > Some(1) && sent["there"] == 0, "{sent}");
    let again: Value = serde_json::from_str(&first.rsic(&["push", "--json", QUICK]).ok().out).unwrap();
    assert_eq!((&again["new"], &again["there"], &again["bytes"]), (&Value::from(0), &sent["new"], &Value::from(0)));
    first.rsic(&["push", "--verify"]).ok();

    // With the sources: the dry run, and only with --remote the status, say what the build does.
    let second = Sandbox::new(&text);
    assert!(!states(&second.rsic(&["status", "--json", QUICK]).ok()).iter().any(|(_, state)| state == "pullable"));
    let asked = states(&second.rsic(&["status", "--remote", "--json", QUICK]).ok());
    let dry = states(&second.rsic(&["build", "--dry-run", "--json", QUICK]).ok());
    assert!(all_are(&dry, "pullable") && asked == dry, "{asked:?} {dry:?}");
    let built = second.rsic(&["build", QUICK]).ok();
    assert_eq!(built.built(), BTreeSet::new());
    assert_eq!(pulled(&built), dry.into_iter().map(|(target, _)| target).collect());
    assert_eq!(fs::read(second.path(VIEW)).unwrap(), expected);
    assert!(all_are(&states(&second.rsic(&["status", "--json"]).ok()), "fresh"));
    second.rsic(&["verify"]).ok();
    // What differs is built on what is there.
    let other = second.rsic(&["build", QUICK, "-p", "score.resamples=50"]).ok();
    assert_eq!(other.built(), BTreeSet::from([QUICK.to_owned()]));

    // A place that holds nothing, as where a disk is not mounted, is told from a store that lacks a result.
    let empty = Sandbox::new(&pipeline("nothing/here"));
    let built = empty.rsic(&["build", QUICK]).ok();
    assert_eq!(built.err.matches("there is no remote store at nothing/here yet").count(), 1, "{}", built.err);
    assert!(empty.rsic(&["push"]).ok().err.contains("holds no remote store yet"));

    // Without the sources: pipeline.lock is enough.
    let clone = Sandbox::new(&text);
    fs::remove_dir_all(clone.path("datasets")).unwrap();
    clone.rsic(&["pull"]).fails(2, &["there is no pipeline.lock", "rsic build"]);
    fs::copy(first.path("pipeline.lock"), clone.path("pipeline.lock")).unwrap();
    clone.rsic(&["pull", "score/ucm_human"]).fails(2, &["no result of score/ucm_human"]);
    clone.rsic(&["pull"]).ok();
    assert_eq!(fs::read(clone.path(VIEW)).unwrap(), expected);
    let names = |sandbox: &Sandbox| -> Vec<PathBuf> {
        files(&sandbox.path("output")).iter().map(|f| f.strip_prefix(&sandbox.root).unwrap().to_owned()).collect()
    };
    assert_eq!(names(&clone), names(&first));
    clone.rsic(&["verify"]).ok();
    let status = clone.rsic(&["status"]).ok();
    assert!(status.out.contains("blocked") && status.err.contains("`rsic pull` gets the results"), "{}", status.err);
    assert!(pulled(&clone.rsic(&["pull"]).ok()).is_empty(), "all is here");
    clone.rsic(&["gc", "--apply", "--keep-last", "1", "--keep-within", "0s"]).ok();
    assert!(pulled(&clone.rsic(&["pull", QUICK]).ok()).is_empty(), "what was pulled is kept");

    // And a build that must not ask does not.
    let alone = Sandbox::new(&text);
    let built = alone.rsic(&["build", "--offline", QUICK]).ok();
    assert!(pulled(&built).is_empty() && built.built().contains(QUICK));
    assert_eq!(fs::read(alone.path(VIEW)).unwrap(), expected);
}

/// What is done to the files of the remote store, and what a build says then.
type Harm<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);

#[test]
fn a_damaged_remote_store_costs_only_the_time_to_build() {
    let largest = |store: &Path, folder: &str| {
        files(&store.join(folder)).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap()
    };
    let harms: [Harm; 5] = [
        (
            "flipped",
            &|store| {
                let path = largest(store, "objects");
                let mut bytes = fs::read(&path).unwrap();
                bytes[100] ^= 1;
                fs::write(&path, bytes).unwrap();
            },
            "its bytes are not those of its name",
        ),
        ("short", &|store| fs::write(largest(store, "objects"), "x").unwrap(), "1 bytes instead of"),
        (
            "missing",
            &|store| fs::remove_file(largest(store, "objects")).unwrap(),
            "is missing, though a record names it",
        ),
        (
            "garbage records",
            &|store| files(&store.join("actions")).iter().for_each(|file| fs::write(file, "{}").unwrap()),
            "it is not a record of this key",
        ),
        ("of another version", &|store| fs::write(store.join("FORMAT"), "rsic remote 9\n").unwrap(), "knows only"),
    ];
    let shared = tempfile::tempdir().unwrap();
    let first = Sandbox::new(&pipeline(shared.path().to_str().unwrap()));
    first.rsic(&["build", QUICK]).ok();
    first.rsic(&["push"]).ok();
    let expected = fs::read(first.path(VIEW)).unwrap();
    for (name, harm, words) in harms {
        let store = tempfile::tempdir().unwrap();
        crate::sandbox::copy(shared.path(), store.path());
        harm(store.path());
        let text = pipeline(store.path().to_str().unwrap());
        let second = Sandbox::new(&text);
        let built = second.rsic(&["build", QUICK]).ok();
        assert!(built.err.contains(words), "{name}: {}", built.err);
        assert!(!built.built().is_empty(), "{name}");
        assert_eq!(fs::read(second.path(VIEW)).unwrap(), expected, "{name}");
        second.rsic(&["verify"]).ok();
        // A pull, that cannot build, says what is wrong.
        let clone = Sandbox::new(&text);
        fs::copy(first.path("pipeline.lock"), clone.path("pipeline.lock")).unwrap();
        let code = if name == "of another version" { 2 } else { 4 };
        clone.rsic(&["pull"]).fails(code, &[words]);
        clone.rsic(&["verify"]).ok();
        // And a push mends it, but not what belongs to somebody else.
        if code == 4 {
            second.rsic(&["push", "--verify"]).ok();
            clone.rsic(&["pull"]).ok();
            assert_eq!(fs::read(clone.path(VIEW)).unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn a_result_that_pipeline_lock_does_not_name_is_refused() {
    let shared = tempfile::tempdir().unwrap();
    let first = Sandbox::new(&pipeline(shared.path().to_str().unwrap()));
    first.rsic(&["build", QUICK]).ok();
    first.rsic(&["push"]).ok();
    let lock = fs::read_to_string(first.path("pipeline.lock")).unwrap();
    let clone = Sandbox::new(&fs::read_to_string(first.path("pipeline.toml")).unwrap());
    // Another object under the same key: the remote store was replaced by somebody.
    let at = lock.find("text = \"").unwrap() + 8;
    let other = if lock.as_bytes()[at] == b'0' { "1" } else { "0" };
    fs::write(clone.path("pipeline.lock"), format!("{}{other}{}", &lock[..at], &lock[at + 1..])).unwrap();
    clone.rsic(&["pull"]).fails(1, &["it is not the result that pipeline.lock names"]);
    for (name, text, words) in [
        ("conflict", format!("<<<<<<< ours\n{lock}"), "pipeline.lock:1"),
        ("version", lock.replace("version = 1", "version = 2"), "version 2 is not known"),
        ("unknown", lock.replace("version = 1", "version = 1\ncolour = 1"), "colour"),
        ("no digest", lock.replace("key = \"", "key = \"x"), "is not a digest"),
    ] {
        fs::write(clone.path("pipeline.lock"), text).unwrap();
        let ran = clone.rsic(&["pull"]).fails(2, &[words]);
        let hint = if name == "version" { "the program that wrote it" } else { "merge conflict" };
        assert!(ran.err.contains(hint), "{name}: {}", ran.err);
    }
}

#[test]
fn pipeline_lock_holds_what_pipeline_toml_says_and_nothing_else() {
    let shared = tempfile::tempdir().unwrap();
    let text = pipeline(shared.path().to_str().unwrap());
    let sandbox = Sandbox::new(&text);
    let read = |name: &str| fs::read_to_string(sandbox.path("pipeline.lock")).unwrap_or_else(|_| panic!("{name}"));
    sandbox.rsic(&["build", QUICK, "-p", "score.resamples=50"]).ok();
    assert!(!sandbox.path("pipeline.lock").exists(), "a trial is not written down");
    sandbox.rsic(&["build", QUICK, "-p", "store.remote.timeout=5"]).ok();
    let one = read("where the store is changes no result");
    sandbox.rsic(&["build", "score/ucm_human"]).ok();
    let two = read("two");
    assert!(!one.contains("score/ucm_human") && two.contains("score/ucm_human") && two.contains(QUICK), "{two}");
    sandbox.rsic(&["build", QUICK]).ok();
    assert_eq!(read("same"), two);
    // Another workspace writes the same bytes, in whatever order it builds.
    let other = Sandbox::new(&text);
    other.rsic(&["build", "score/ucm_human", QUICK]).ok();
    assert_eq!(fs::read_to_string(other.path("pipeline.lock")).unwrap(), two);
    // Targets that are no more are left out.
    let gone = two.replace("score/ucm_human", "score/ucm_nobody");
    fs::write(sandbox.path("pipeline.lock"), gone).unwrap();
    sandbox.rsic(&["build", QUICK]).ok();
    let left = read("gone");
    assert!(
        !left.contains("nobody") && !left.contains("score/ucm_human") && left.contains("caption/ucm_human"),
        "{left}"
    );
    // Without a remote store there is no such file.
    let plain = Sandbox::new(TINY);
    plain.rsic(&["build", QUICK]).ok();
    assert!(!plain.path("pipeline.lock").exists());
    plain.rsic(&["push"]).fails(2, &["names no remote store", "[store.remote]"]);
}

#[test]
fn a_dead_store_stops_nothing_and_no_credential_shows() {
    // Nothing listens there any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "{}options = {{ endpoint = \"http://127.0.0.1:{port}\", region = \"us-east-1\" }}\n",
        pipeline("s3://bucket/prefix")
    );
    let sandbox = Sandbox::new(&text);
    let secret = "wJalrXUtnFEMIsecret";
    let run = |args: &[&str]| -> Ran {
        let mut command = sandbox.command(args);
        command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", secret);
        command.output().unwrap().into()
    };
    let plain = Sandbox::new(TINY);
    plain.rsic(&["build", QUICK]).ok();
    let mut said = Vec::new();
    let built = run(&["build", QUICK]).ok();
    assert_eq!(built.err.matches("going on without the remote store").count(), 1, "{}", built.err);
    assert_eq!(fs::read(sandbox.path(VIEW)).unwrap(), fs::read(plain.path(VIEW)).unwrap());
    said.push(built);
    let next = run(&["build", "score/ucm_human"]).ok();
    assert!(next.err.contains("did not answer a moment ago"), "{}", next.err);
    said.push(next);
    let fresh = run(&["build", QUICK]).ok();
    assert!(!fresh.err.contains("remote store"), "a fresh build has no question: {}", fresh.err);
    said.push(run(&["push"]).fails(5, &["127.0.0.1", "--offline"]));
    said.push(run(&["pull"]));
    said.push(run(&["verify"]).ok());
    for ran in &said {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{}", ran.err);
    }
    for file in files(&sandbox.root) {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", file.display());
    }
    // Settings are checked before anything is done.
    for (line, words) in [
        ("options = { secret_access_key = \"x\" }", "must not hold credentials"),
        ("options = { secret_access_key = hunter2 }", "***"),
        ("aws_secret_access_key = \"hunter2\"", "***"),
        ("options = { endpoint = \"hunter2\" }", "must be an address"),
        ("options = { colour = \"x\" }", "no option `colour`"),
        ("timeout = 0", "1 to 3600 seconds"),
        ("colour = 1", "colour"),
    ] {
        let wrong = Sandbox::new(&format!("{}{line}\n", pipeline("s3://bucket")));
        let ran = wrong.rsic(&["status"]).fails(2, &[words, "pipeline.toml"]);
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    }
}
