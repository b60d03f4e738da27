//! Equal inputs give equal bytes: whatever the threads, and whether or not the work was killed half way.

use std::thread::sleep;
use std::time::Duration;

use crate::sandbox::{Sandbox, TINY};

const TARGETS: &[&str] = &["score/ucm_amht", "score/ucm_cn_mlp", "score/ucm_cn_r50"];

fn build_in_empty_cache(threads: &str) -> Vec<(String, Vec<(String, String)>)> {
    let sandbox = Sandbox::new(TINY);
    let mut command = sandbox.command(&["build", "--threads", threads]);
    let output = command.args(TARGETS).env("POLARS_MAX_THREADS", threads).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    sandbox.data(TARGETS)
}

#[test]
fn data_hashes_do_not_depend_on_threads() {
    let one = build_in_empty_cache("1");
    let two = build_in_empty_cache("2");
    assert!(one.len() > 8 && one.iter().all(|(_, outputs)| !outputs.is_empty()));
    assert_eq!(one, two);
}

/// Kills a build of `target` again and again, a little later each time, until one gets through.
#[test]
fn a_killed_build_goes_on_to_the_same_bytes() {
    let reference = build_in_empty_cache("2");
    let sandbox = Sandbox::new(TINY);
    let mut kills = 0;
    for round in 1..200 {
        let mut child = sandbox
            .command(&["build", "--quiet"])
            .args(TARGETS)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(40 * round));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 3, "only {kills} kills");
    println!("{kills} kills");
    sandbox.rsic(&["build"]).fails(2, &["TARGET"]);
    sandbox.rsic(&[&["build"], TARGETS].concat()).ok();
    assert_eq!(sandbox.data(TARGETS), reference);
    assert_eq!(std::fs::read_dir(sandbox.path("cache/partial")).unwrap().count(), 0, "partial work is left over");
}

#[test]
fn two_builds_at_once_share_the_work() {
    let sandbox = Sandbox::new(TINY);
    let start = || sandbox.command(&["build", "score/ucm_mlp"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let (first, second) = (start(), start());
    let runs = [first, second].map(|child| crate::sandbox::Ran::from(child.wait_with_output().unwrap()).ok().built());
    let both: Vec<&String> = runs[0].intersection(&runs[1]).collect();
    assert!(both.is_empty(), "built twice: {both:?}");
    assert_eq!(runs[0].len() + runs[1].len(), 9, "{runs:?}");
}

#[test]
fn a_damaged_object_is_quarantined_and_built_again() {
    let sandbox = Sandbox::with_models();
    let mut damaged = 0;
    for fan in std::fs::read_dir(sandbox.path("cache/objects")).unwrap() {
        for entry in std::fs::read_dir(fan.unwrap().path()).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 10);
    let before = sandbox.data(&["score/ucm_amht"]);
    sandbox.rsic(&["build", "--force", "score/ucm_amht"]).ok();
    assert_eq!(sandbox.data(&["score/ucm_amht"]), before);
}
