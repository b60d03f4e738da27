//! Which stages run again after which change.

use std::collections::BTreeSet;
use std::fs;

use rsic::pipeline::plan::{Planner, State};
use rsic::pipeline::run::{self, Ending, Options, Reporter};
use rsic::pipeline::{NodeId, Workspace};
use rsic::progress::{Progress, Silent};
use rsic::stage::Kind;
use serde_json::Value;

use crate::sandbox::Sandbox;

const DATASET: &str = "datasets/UCM_captions/dataset.json";
/// An installed pycocoevalcap must not show in what a library call plans.
const NO_METEOR: [&str; 1] = ["score.meteor=off"];

const TARGET: &str = "score/ucm_amht";

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn edit_json(sandbox: &Sandbox, change: impl FnOnce(&mut Value)) {
    sandbox.edit(DATASET, |text| {
        let mut json: Value = serde_json::from_str(&text).unwrap();
        change(&mut json);
        serde_json::to_string(&json).unwrap()
    });
}

fn first_of<'a>(json: &'a mut Value, split: &str) -> &'a mut Value {
    json["images"].as_array_mut().unwrap().iter_mut().find(|image| image["split"] == split).unwrap()
}

/// Adds a picture of its own with a record of its own to the test split.
pub(crate) fn add_an_image(sandbox: &Sandbox) {
    let folder = sandbox.path("datasets/UCM_captions/imgs");
    let picture = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 4, y as u8 * 4, 77]));
    picture.save(folder.join("900001.png")).unwrap();
    edit_json(sandbox, |json| {
        let images = json["images"].as_array_mut().unwrap();
        let mut added = images.last().unwrap().clone();
        added["imgid"] = 900_000.into();
        added["filename"] = "900001.png".into();
        added["split"] = "test".into();
        for (n, sentence) in added["sentences"].as_array_mut().unwrap().iter_mut().enumerate() {
            sentence["imgid"] = 900_000.into();
            sentence["sentid"] = (9_000_000 + n).into();
        }
        added["sentids"] = (9_000_000..9_000_005).collect::<Vec<u32>>().into();
        images.push(added);
    });
}

/// Writes one image file anew: other bytes, equal pixels.
fn save_anew(sandbox: &Sandbox) {
    let folder = sandbox.path("datasets/UCM_captions/imgs");
    let name = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let before = fs::read(&name).unwrap();
    let picture = image::load_from_memory(&before).unwrap().to_rgb8();
    let mut after = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new_with_quality(
        &mut after,
        image::codecs::png::CompressionType::Fast,
        image::codecs::png::FilterType::NoFilter,
    );
    picture.write_with_encoder(encoder).unwrap();
    assert_ne!(before, after, "the file should have other bytes");
    fs::write(name, after).unwrap();
}

struct Row {
    name: &'static str,
    change: fn(&mut Sandbox),
    /// What must run again.
    runs: &'static [&'static str],
    /// What may run again: it does unless what it reads comes out equal.
    may: &'static [&'static str],
}

const CHANGES: &[Row] = &[
    Row { name: "nothing", change: |_| {}, runs: &[], may: &[] },
    Row {
        name: "one train caption edited",
        change: |sandbox| {
            edit_json(sandbox, |json| {
                first_of(json, "train")["sentences"][0]["raw"] = "A quite different text .".into();
            });
        },
        runs: &["annotations/ucm", "tokenize/ucm", "train/ucm_amht", "caption/ucm_amht", TARGET],
        may: &[],
    },
    Row {
        name: "one image added",
        change: |sandbox| add_an_image(sandbox),
        runs: &[
            "annotations/ucm",
            "ingest/ucm",
            "tokenize/ucm",
            "embed/ucm",
            "train/ucm_amht",
            "caption/ucm_amht",
            TARGET,
        ],
        may: &[],
    },
    Row { name: "one image saved anew with equal pixels", change: |s| save_anew(s), runs: &["ingest/ucm"], may: &[] },
    Row {
        name: "a comment in pipeline.toml",
        change: |sandbox| sandbox.edit("pipeline.toml", |text| format!("# a remark\n{text}")),
        runs: &[],
        may: &[],
    },
    Row {
        name: "a key reordered",
        change: |sandbox| {
            sandbox.edit("pipeline.toml", |text| {
                text.replace("epochs = 2\nbatch_size = 16\n", "batch_size = 16\nepochs = 2\n")
            });
        },
        runs: &[],
        may: &[],
    },
    Row {
        name: "the learning rate changed",
        change: |sandbox| sandbox.edit("pipeline.toml", |text| text.replace("lr = 1e-3", "lr = 2e-3")),
        runs: &["train/ucm_amht"],
        may: &["caption/ucm_amht", TARGET],
    },
    Row {
        name: "the beam width changed",
        change: |sandbox| sandbox.edit("pipeline.toml", |text| text.replace("width = 2", "width = 3")),
        runs: &["caption/ucm_amht"],
        may: &[TARGET],
    },
    Row {
        name: "a file touched",
        change: |sandbox| {
            let bytes = fs::read(sandbox.path(DATASET)).unwrap();
            fs::write(sandbox.path(DATASET), bytes).unwrap();
        },
        runs: &[],
        may: &[],
    },
    Row { name: "the workspace moved", change: Sandbox::relocate, runs: &[], may: &[] },
];

#[test]
fn each_change_reruns_exactly_what_reads_it() {
    for row in CHANGES {
        let mut sandbox = Sandbox::with_models();
        (row.change)(&mut sandbox);
        let built = sandbox.rsic(&["build", TARGET]).ok().built();
        let must = set(row.runs);
        let may: BTreeSet<String> = must.union(&set(row.may)).cloned().collect();
        assert!(built.is_superset(&must), "{}: {must:?} should have run, but only {built:?} did", row.name);
        assert!(built.is_subset(&may), "{}: only {may:?} may run, but {built:?} did", row.name);
        let again = sandbox.rsic(&["build", TARGET]).ok().built();
        assert!(again.is_empty(), "{}: a second build ran {again:?}", row.name);
    }
}

#[test]
fn an_added_image_is_the_only_one_that_is_embedded() {
    let sandbox = Sandbox::with_models();
    add_an_image(&sandbox);
    sandbox.rsic(&["build", "embed/ucm"]).ok();
    let record = newest_record(&sandbox, "embed");
    let log = record["log"][0].as_str().unwrap();
    assert!(log.contains(": 1 computed,"), "{log}");
}

/// The record of a stage that was written last.
pub(crate) fn newest_record(sandbox: &Sandbox, stage: &str) -> Value {
    let mut newest = None;
    for fan in fs::read_dir(sandbox.path("cache/actions")).unwrap() {
        for entry in fs::read_dir(fan.unwrap().path()).unwrap() {
            let path = entry.unwrap().path();
            let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            if json["ingredients"]["stage"] == stage && newest.as_ref().is_none_or(|(old, _)| *old < time) {
                newest = Some((time, json));
            }
        }
    }
    newest.unwrap().1
}

/// Hears nothing.
struct Deaf;

impl Reporter for Deaf {
    fn transfer(&self, _: &str) -> Box<dyn Progress> {
        Box::new(Silent)
    }
    fn begin(&self, _: &str, _: &[rsic::cache::Reason]) -> Box<dyn Progress> {
        Box::new(Silent)
    }
    fn waiting(&self, _: &str, _: &str) {}
    fn remark(&self, _: &str, _: &str) {}
    fn stopped(&self) -> bool {
        false
    }
    fn end(&self, _: &str, _: &Ending, _: std::time::Duration) {}
}

fn build(workspace: &Workspace, target: NodeId) -> BTreeSet<String> {
    let options = Options { jobs: 1, forced: Vec::new(), keep_going: false, lock_timeout: None, offline: false };
    let summary = run::build(workspace, &[target], &options, &Deaf).unwrap();
    assert!(summary.failures.is_empty(), "{:?}", summary.failures);
    let built = summary.endings.iter().filter(|(_, ending)| matches!(ending, Ending::Built { .. }));
    built.map(|(node, _)| workspace.graph.name(*node)).collect()
}

#[test]
fn a_metric_version_raised_reruns_score_alone() {
    let sandbox = Sandbox::with_models();
    let mut workspace = Workspace::open(&sandbox.root, &NO_METEOR.map(str::to_owned)).unwrap();
    for node in &mut workspace.graph.nodes {
        if node.instance.kind == Kind::Score {
            node.version += 1;
        }
    }
    let target = workspace.graph.find(TARGET).unwrap();
    let plan = Planner::new(&workspace).plan(&[target], &[]).unwrap();
    let State::Stale { reasons } = &plan.nodes.last().unwrap().state else { panic!("score should be stale") };
    assert_eq!(reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), ["version 2 -> 3"]);
    assert_eq!(build(&workspace, target), set(&[TARGET]));
}

#[test]
fn a_column_that_nobody_reads_changes_no_key() {
    let sandbox = Sandbox::with_models();
    let workspace = Workspace::open(&sandbox.root, &NO_METEOR.map(str::to_owned)).unwrap();
    let find = |name: &str| workspace.graph.find(name).unwrap();
    let keys = |targets: &[NodeId]| -> Vec<_> {
        let plan = Planner::new(&workspace).plan(targets, &[]).unwrap();
        plan.nodes.into_iter().map(|planned| (planned.node, planned.key, planned.state)).collect()
    };
    let before = keys(&[find(TARGET)]);
    assert!(before.iter().all(|(.., state)| *state == State::Fresh), "{before:?}");
    // The record of ingest gets one more column in `images`, as a newer version of the stage would write.
    let ingest = find("ingest/ucm");
    let key = before.iter().find(|(node, ..)| *node == ingest).unwrap().1.unwrap();
    let mut record = workspace.cache.record(key).unwrap().unwrap();
    let images = record.outputs.iter_mut().find(|output| output.name == "images").unwrap();
    images.columns.insert("altitude".to_owned(), rsic::digest::Digest::of(b"new"));
    images.data = rsic::digest::Digest::of(b"new table");
    workspace.cache.publish(&record).unwrap();
    assert_eq!(keys(&[find(TARGET)]), before);
}

#[test]
fn why_names_the_change() {
    type Change = fn(&Sandbox);
    let rows: &[(&str, Change, &str, &str)] = &[
        (
            "parameter",
            |sandbox| sandbox.edit("pipeline.toml", |text| text.replace("lr = 1e-3", "lr = 2e-3")),
            "train/ucm_amht",
            "parameter train.lr 0.001 -> 0.002",
        ),
        (
            "annotations",
            |sandbox| edit_json(sandbox, |json| first_of(json, "train")["sentences"][0]["raw"] = "Other .".into()),
            "annotations/ucm",
            "input annotations changed",
        ),
        ("upstream", |sandbox| save_anew(sandbox), "embed/ucm", "depends on ingest/ucm, which will be built"),
        ("object gone", |sandbox| fs::remove_dir_all(sandbox.path("cache/objects")).unwrap(), "ingest/ucm", "missing"),
    ];
    for (name, change, target, expected) in rows {
        let sandbox = Sandbox::with_models();
        change(&sandbox);
        let out = sandbox.rsic(&["why", target]).ok().out;
        assert!(out.contains(expected), "{name}: no {expected:?} in {out}");
        // status tells the same, and says so through its exit code
        sandbox.rsic(&["status", "--exit-code", target]).fails(3, &[]);
    }
}
