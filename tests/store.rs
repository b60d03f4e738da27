//! The store as a user meets it: deaths at every step, damage, collection, pins, and workspaces that share it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rsic::cache::fail_points;
use serde_json::Value;

use crate::sandbox::{Ran, Sandbox, TINY, files};

/// A target whose build writes every kind of file but unfinished work, in a moment.
const QUICK: &str = "score/ucm_constant";

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn a_death_after_any_step_loses_nothing() {
    // A remote store that does not answer, so that this is noted.
    let options = r#"options = { endpoint = "http://127.0.0.1:1", skip_signature = "true" }"#;
    let sandbox = Sandbox::new(&format!("{TINY}[store.remote]\nurl = \"s3://bucket\"\n{options}\n"));
    // Training that keeps its place between two epochs, and rows that may serve another build.
    let slow = ["build", "features/ucm_r50", "-p", "scratch.clip.epochs=1", "--offline"];
    sandbox.rsic(&["build", QUICK]).ok();
    let expected = fs::read(sandbox.path("output/score/ucm_constant.parquet")).unwrap();
    let (mut died, mut never) = (BTreeSet::new(), BTreeSet::new());
    let of_builds = |point: &String| !point.starts_with("gc.") && !point.starts_with("pin.");
    // What is known of source files comes last: it is only written when they are older than a moment.
    for point in fail_points().into_iter().filter(of_builds).rev() {
        let needs_more = point.starts_with("partial.") || point.starts_with("hint.");
        let build: &[&str] = match point.split('.').next() {
            Some("partial" | "hint") => &slow,
            Some("rest") => &["build", QUICK],
            _ => &["build", QUICK, "--offline"],
        };
        for folder in ["cache", "output"] {
            fs::remove_dir_all(sandbox.path(folder)).unwrap();
        }
        _ = fs::remove_file(sandbox.path("pipeline.lock"));
        let output = sandbox.command(build).env("RSIC_FAIL_AT", &point).output().unwrap();
        if output.status.success() {
            never.insert(point);
            continue;
        }
        assert_eq!(output.status.code(), None, "{point}: {}", String::from_utf8_lossy(&output.stderr));
        died.insert(point.clone());
        sandbox.rsic(build).ok();
        sandbox.rsic(&["verify"]).ok();
        if !needs_more {
            assert_eq!(fs::read(sandbox.path("output/score/ucm_constant.parquet")).unwrap(), expected, "{point}");
        }
        sandbox.rsic(&["gc", "--apply", "--keep-within", "0s"]).ok();
        let left: Vec<PathBuf> = files(&sandbox.path("cache/tmp"));
        assert_eq!(left, Vec::<PathBuf>::new(), "{point}");
    }
    println!("died at {} points", died.len());
    assert_eq!(never, BTreeSet::new(), "points that no build reaches");
}

/// A name, what is done, how it is named, and whether a quick look finds it.
type Damage<'a> = (&'a str, &'a dyn Fn(&Sandbox) -> PathBuf, &'a str, bool);

#[test]
fn damage_is_found_named_and_repaired() {
    let sandbox = Sandbox::new(TINY);
    sandbox.rsic(&["build", QUICK]).ok();
    sandbox.rsic(&["verify"]).ok();
    let object = |sandbox: &Sandbox| {
        let all = files(&sandbox.path("cache/objects"));
        all.into_iter().rfind(|path| path.extension().is_some_and(|end| end == "parquet")).unwrap()
    };
    let writable = |path: &Path| {
        let mut permissions = fs::metadata(path).unwrap().permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "damage needs it")]
        permissions.set_readonly(false);
        fs::set_permissions(path, permissions).unwrap();
    };
    let change = |path: PathBuf, change: &dyn Fn(&mut Vec<u8>)| {
        writable(&path);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        path
    };
    let cases: [Damage; 5] = [
        ("flipped bit", &|sandbox| change(object(sandbox), &|bytes| bytes[100] ^= 1), "not those of its name", false),
        ("cut short", &|sandbox| change(object(sandbox), &|bytes| bytes.truncate(10)), "10 bytes instead of", true),
        ("empty", &|sandbox| change(object(sandbox), &Vec::clear), "0 bytes instead of", true),
        (
            "gone",
            &|sandbox| {
                let path = object(sandbox);
                fs::remove_file(&path).unwrap();
                path
            },
            "missing: output",
            true,
        ),
        (
            "garbage record",
            &|sandbox| change(files(&sandbox.path("cache/actions")).pop().unwrap(), &|bytes| bytes[20] ^= 4),
            "damaged record",
            true,
        ),
    ];
    for (name, damage, words, quick) in cases {
        let path = damage(&sandbox);
        let file = path.file_name().unwrap().to_str().unwrap();
        let ran = sandbox.rsic(&["verify"]).fails(4, &["--repair"]);
        assert!(ran.out.contains(words) && ran.out.contains(file), "{name}: {}", ran.out);
        let looked = sandbox.rsic(&["verify", "--quick"]);
        assert_eq!(looked.code == Some(4), quick, "{name}: {}", looked.out);
        // What is missing only a build brings back.
        let repaired = sandbox.rsic(&["verify", "--repair", "--json"]);
        assert!(repaired.out.contains("\"findings\""), "{name}");
        sandbox.rsic(&["build", QUICK]).ok();
        sandbox.rsic(&["verify"]).ok();
    }
}

#[test]
fn collection_removes_what_it_says_and_nothing_that_is_needed() {
    let sandbox = Sandbox::new(TINY);
    let build = |resamples: &str| {
        let setting = format!("score.resamples={resamples}");
        sandbox.rsic(&["build", QUICK, "score/ucm_human", "-p", &setting]).ok().built()
    };
    build("100");
    sandbox.rsic(&["pin", "paper", QUICK, "-p", "score.resamples=100"]).ok();
    for resamples in ["200", "300", "400"] {
        build(resamples);
    }
    let rules = ["gc", "--keep-last", "2", "--keep-within", "0s", "--json"];
    let planned = json(&sandbox.rsic(&rules).ok());
    let names = |report: &Value| -> BTreeSet<String> {
        report["removed"].as_array().unwrap().iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect()
    };
    assert!(!names(&planned).is_empty() && planned["applied"] == false, "{planned}");
    assert!(names(&planned).iter().all(|path| sandbox.path("cache").join(path).exists()), "a plan removes nothing");
    let applied = json(&sandbox.rsic(&[&rules[..], &["--apply"]].concat()).ok());
    assert_eq!(names(&applied), names(&planned));
    assert!(names(&planned).iter().all(|path| !sandbox.path("cache").join(path).exists()));
    sandbox.rsic(&["verify"]).ok();
    // The last two builds of each, and what is pinned, need no run; the others do.
    for (resamples, runs) in [("400", 0), ("300", 0), ("200", 2)] {
        assert_eq!(build(resamples).len(), runs, "{resamples}");
    }
    let pinned = sandbox.rsic(&["build", QUICK, "-p", "score.resamples=100"]).ok().built();
    assert!(pinned.is_empty(), "{pinned:?}");
    let pins = json(&sandbox.rsic(&["pin", "--json"]).ok());
    assert_eq!((pins[0]["name"].as_str(), pins[0]["target"].as_str()), (Some("paper"), Some(QUICK)));
    sandbox.rsic(&["pin", "--remove", "paper"]).ok();
    sandbox.rsic(&["pin", "--remove", "paper"]).fails(2, &["nothing is pinned as `paper`"]);
    sandbox.rsic(&["pin", "new", "score/ucm_class"]).fails(5, &["no whole result of score/ucm_class"]);
    // A budget takes the oldest that only a rule keeps, never what is needed.
    let poor = json(&sandbox.rsic(&["gc", "--budget", "1", "--json"]).ok());
    let needed = json(&sandbox.rsic(&["gc", "--keep-last", "1", "--keep-within", "0s", "--json"]).ok());
    assert_eq!(poor["kept"], needed["kept"]);
    for (args, words) in [
        (["gc", "--keep-within", "soon"], "is no time"),
        (["gc", "--budget", "much"], "is no size"),
        (["gc", "--keep-last", "few"], "--keep-last"),
    ] {
        sandbox.rsic(&args).fails(2, &[words]);
    }
}

#[test]
fn what_a_pin_or_another_workspace_has_is_not_forgotten() {
    let (first, second) = (Sandbox::new(TINY), Sandbox::new(TINY));
    let store = tempfile::tempdir().unwrap();
    let run = |sandbox: &Sandbox, args: &[&str]| -> Ran {
        sandbox.command(args).env("RSIC_STORE", store.path().join("store")).output().unwrap().into()
    };
    run(&first, &["build", QUICK, "score/ucm_human"]).ok();
    run(&second, &["build", QUICK]).ok();
    run(&first, &["pin", "paper", "score/ucm_human"]).ok();
    let cleaned = run(&first, &["clean", "--cache"]).ok();
    let other = second.root.display().to_string();
    for words in
        [&format!("score/ucm_constant in the cache: the workspace in {other}"), "score/ucm_human in the cache: pin"]
    {
        assert!(cleaned.err.contains(words), "{words}: {}", cleaned.err);
    }
    assert!(!first.path("output/score/ucm_constant.parquet").exists());
    assert!(run(&second, &["build", QUICK]).ok().built().is_empty());
    assert!(run(&first, &["build", "score/ucm_human"]).ok().built().is_empty());
    // What nobody else has is forgotten, and made again.
    run(&first, &["pin", "--remove", "paper"]).ok();
    run(&first, &["clean", "--cache", "score/ucm_human"]).ok();
    assert_eq!(run(&first, &["build", "score/ucm_human"]).ok().built(), BTreeSet::from(["score/ucm_human".to_owned()]));
}

#[test]
fn two_workspaces_share_a_store() {
    let (first, second) = (Sandbox::new(TINY), Sandbox::new(TINY));
    let store = tempfile::tempdir().unwrap();
    let run = |sandbox: &Sandbox, args: &[&str]| -> Ran {
        sandbox.command(args).env("RSIC_STORE", store.path().join("store")).output().unwrap().into()
    };
    assert!(!run(&first, &["build", QUICK]).ok().built().is_empty());
    assert!(run(&second, &["build", QUICK]).ok().built().is_empty(), "the other workspace has built it");
    assert!(!first.path("cache").exists() && !second.path("cache").exists());
    let view = "output/score/ucm_constant.parquet";
    assert_eq!(fs::read(first.path(view)).unwrap(), fs::read(second.path(view)).unwrap());
    // The second goes on; what the first needs stays.
    run(&second, &["build", QUICK, "-p", "score.resamples=50"]).ok();
    run(&second, &["gc", "--apply", "--keep-last", "1", "--keep-within", "0s"]).ok();
    assert!(run(&first, &["build", QUICK]).ok().built().is_empty());
    // A workspace that is gone keeps its results until it is said that it is gone for good.
    fs::rename(&second.root, second.root.with_file_name("elsewhere")).unwrap();
    let rules = ["gc", "--keep-last", "1", "--keep-within", "0s", "--json"];
    let kept = json(&run(&first, &rules).ok());
    let forgotten = json(&run(&first, &[&rules[..], &["--forget-gone"]].concat()).ok());
    assert!(kept["kept"].as_u64() > forgotten["kept"].as_u64(), "{kept} {forgotten}");
}
