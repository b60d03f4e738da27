//! Work that is spread over threads, or done once instead of many times, comes out the same.

use std::fs;

use crate::sandbox::{Sandbox, TINY};

/// What a build and `status` are asked for: instances that take moments.
const FLOORS: [&str; 3] = ["score/*_constant", "score/*_human", "score/ucm_class"];

/// Something that happens to the workspace.
type Change = (&'static str, fn(&Sandbox));

#[test]
fn plans_are_the_same_whatever_the_threads() {
    let sandbox = Sandbox::new(TINY);
    let build: Vec<&str> = [&["build"][..], &FLOORS].concat();
    let forced: Vec<&str> = [&build[..], &["--dry-run", "--json", "--force"]].concat();
    let changes: [Change; 5] = [
        ("nothing is built", |_| ()),
        ("floors are built", |sandbox| {
            sandbox.rsic(&[&["build"][..], &FLOORS].concat()).ok();
        }),
        ("an output was edited", |sandbox| {
            fs::write(sandbox.path("output/score/ucm_class.parquet"), "edited").unwrap();
        }),
        ("a caption was edited", |sandbox| {
            sandbox.edit("datasets/UCM_captions/dataset.json", |text| text.replacen(" .", " !", 1));
        }),
        ("a source is gone", |sandbox| {
            fs::remove_file(sandbox.path("datasets/UCM_captions/dataset_ucm_cn.json")).unwrap();
        }),
    ];
    let mut seen = Vec::new();
    for (name, change) in changes {
        change(&sandbox);
        for command in [&["status", "--json"][..], &["status", "--all", "--json"], &forced] {
            let [one, many] = ["1", "8"].map(|threads| {
                let ran = sandbox.rsic(&[command, &["--threads", threads]].concat());
                (ran.code, ran.out, ran.err)
            });
            assert_eq!(one, many, "{name}: {command:?}");
            assert!(!seen.contains(&one), "{name}: {command:?} shows nothing of the change");
            // A forced plan is the same before and after an output is edited; all others show what happened.
            if command[0] == "status" {
                seen.push(one);
            }
        }
    }
}

#[test]
fn parallel_builds_of_many_instances_build_each_once() {
    let sandbox = Sandbox::new(TINY);
    let targets = ["score/*_constant", "score/*_class", "score/*_human", "score/*_human_distinct"];
    let built = sandbox.rsic(&[&["build", "--jobs", "4"][..], &targets].concat()).ok().built();
    // Of two datasets: annotations, and captions and scores of four floors.
    assert_eq!(built.len(), 2 * (1 + 2 * 4), "{built:?}");
    let again = sandbox.rsic(&[&["build"][..], &targets].concat()).ok();
    assert!(again.built().is_empty() && again.err.contains("18 stages: 18 fresh"), "{}", again.err);
}

#[test]
fn the_bench_of_the_store_measures_everything() {
    let sandbox = Sandbox::new(TINY);
    let ran = sandbox.rsic(&["bench", "store", "--images", "12", "--instances", "10", "--repeats", "1", "--json"]).ok();
    let rows: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let rows = rows.as_array().unwrap();
    let of = |of: &str| rows.iter().filter(|row| row["of"] == of).count();
    // Two datasets of nine instances are the fewest that have ten.
    assert_eq!((of("12 images"), of("18 instances")), (7, 6), "{rows:#?}");
    for row in rows {
        assert!(row["rsic"]["seconds"].as_f64().unwrap() > 0.0 && row["dvc"].is_null(), "{row}");
    }
}
