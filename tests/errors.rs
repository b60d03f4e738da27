//! What users see when something is wrong: file, position, cause, and what helps.

use std::fs;

use crate::sandbox::{Sandbox, TINY};

struct Row {
    name: &'static str,
    spoil: fn(&Sandbox),
    args: &'static [&'static str],
    code: i32,
    words: &'static [&'static str],
}

const DATASET: &str = "datasets/UCM_captions/dataset.json";

fn some_image(sandbox: &Sandbox) -> std::path::PathBuf {
    let folder = fs::read_dir(sandbox.path("datasets/UCM_captions/imgs")).unwrap();
    folder.map(|entry| entry.unwrap().path()).min().unwrap()
}

const ROWS: &[Row] = &[
    Row {
        name: "no workspace",
        spoil: |s| fs::remove_file(s.path("pipeline.toml")).unwrap(),
        args: &["status"],
        code: 2,
        words: &["error: no pipeline.toml in ", "hint: ", "rsic demo"],
    },
    Row {
        name: "missing dataset",
        spoil: |s| fs::remove_file(s.path(DATASET)).unwrap(),
        args: &["build", "ingest/ucm"],
        code: 1,
        words: &["annotations/ucm: missing source ", "dataset.json", "hint: "],
    },
    Row {
        name: "broken JSON",
        spoil: |s| s.edit(DATASET, |text| text.replacen("\"images\"", "\n\n  \"images\" oops", 1)),
        args: &["build", "ingest/ucm"],
        code: 1,
        words: &["dataset.json:3:12: expected `:`"],
    },
    Row {
        name: "missing image",
        spoil: |s| fs::remove_file(some_image(s)).unwrap(),
        args: &["build", "ingest/ucm"],
        code: 1,
        words: &["1 of ", "images that the annotation file names are missing", "imgs/"],
    },
    Row {
        name: "truncated image",
        spoil: |s| {
            let path = some_image(s);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        },
        args: &["build", "ingest/ucm"],
        code: 1,
        words: &["1 of ", "cannot be read", "imgs/"],
    },
    Row {
        name: "unknown key",
        spoil: |s| s.edit("pipeline.toml", |text| text.replace("lr = 1e-3", "lrr = 1e-3")),
        args: &["status"],
        code: 2,
        words: &["pipeline.toml:", "unknown field `lrr`", "did you mean `lr`?"],
    },
    Row {
        name: "wrong type",
        spoil: |s| s.edit("pipeline.toml", |text| text.replace("[train]\nepochs = 2", "[train]\nepochs = \"two\"")),
        args: &["status"],
        code: 2,
        words: &["pipeline.toml:", "epochs = \"two\"", "expected u32"],
    },
    Row {
        name: "not TOML",
        spoil: |s| s.edit("pipeline.toml", |text| text.replace("[train]", "[train")),
        args: &["status"],
        code: 2,
        words: &["pipeline.toml:"],
    },
    Row {
        name: "unknown target",
        spoil: |_| {},
        args: &["build", "score/ucm_ahmt"],
        code: 2,
        words: &["no target matches `score/ucm_ahmt`", "did you mean `score/ucm_amht`"],
    },
    Row {
        name: "circle",
        spoil: |s| {
            s.edit("pipeline.toml", |text| {
                text.replace("imgs\"\nlanguage = \"en\"", "imgs\"\nlanguage = \"en\"\nimages_of = \"ucm_cn\"")
            });
        },
        args: &["build", "embed/ucm"],
        code: 2,
        words: &["pipeline.toml:", "circle", "images_of"],
    },
    Row {
        name: "impossible heads",
        spoil: |_| {},
        args: &["build", "train/ucm_amht", "-p", "mappers.amht.heads=7"],
        code: 1,
        words: &["train/ucm_amht", "heads", "7"],
    },
    Row {
        name: "hub model not present",
        spoil: |s| {
            s.edit("pipeline.toml", |text| {
                text.replace("clip = \"scratch\"", "clip = \"openai/clip-vit-base-patch32\"")
            });
        },
        args: &["build", "embed/ucm"],
        code: 1,
        words: &[
            "openai/clip-vit-base-patch32 is not in the Hugging Face cache",
            "hint: fetch it with `rsic fetch openai/clip-vit-base-patch32`",
        ],
    },
    Row {
        name: "model folder not there",
        spoil: |s| s.edit("pipeline.toml", |text| text.replace("clip = \"scratch\"", "clip = \"./nowhere\"")),
        args: &["build", "embed/ucm"],
        code: 1,
        words: &["nowhere does not exist", "hint: "],
    },
    Row {
        name: "bad override",
        spoil: |_| {},
        args: &["status", "-p", "train.epoch=3"],
        code: 2,
        words: &["-p train.epoch=3", "unknown field `epoch`", "did you mean `epochs`"],
    },
    Row {
        name: "override of the wrong type",
        spoil: |_| {},
        args: &["status", "-p", "train.epochs=many"],
        code: 2,
        words: &["-p train.epochs=many", "expected u32"],
    },
    Row {
        name: "override out of range",
        spoil: |_| {},
        args: &["status", "-p", "train.lr=-1"],
        code: 2,
        words: &["-p train.lr=-1", "`lr` must be a positive number"],
    },
    Row {
        name: "two models of one name",
        spoil: |s| s.edit("pipeline.toml", |text| format!("{text}\n[mappers.cn_amht]\nkind = \"mlp\"\n")),
        args: &["status"],
        code: 2,
        words: &["ucm_cn_amht", "give one of them another name"],
    },
    Row {
        name: "a model that is missing at the end",
        spoil: |s| s.edit("pipeline.toml", |text| text.replace("en = \"scratch\"", "en = \"./nowhere\"")),
        args: &["build", "score/ucm_amht"],
        code: 1,
        words: &["tokenize/ucm: model folder ", "1 stage: 1 failed"],
    },
    Row {
        name: "a pretraining that diverges",
        spoil: |_| {},
        args: &["build", "pretrain/ucm_gpt2", "-p", "scratch.gpt2.lr=1e30"],
        code: 1,
        words: &["pretrain/ucm_gpt2: the loss is ", "lower `lr`"],
    },
    Row {
        name: "demo in a workspace of one's own",
        spoil: |s| fs::remove_dir_all(s.path("datasets")).unwrap(),
        args: &["demo", "."],
        code: 1,
        words: &["is a workspace already"],
    },
    Row {
        name: "Chinese without raw_chinese",
        spoil: |s| {
            fs::copy(s.path(DATASET), s.path("datasets/UCM_captions/dataset_ucm_cn.json")).unwrap();
        },
        args: &["build", "ingest/ucm_cn"],
        code: 1,
        words: &["raw_chinese"],
    },
];

#[test]
fn every_mistake_is_named_with_its_place_and_its_remedy() {
    for row in ROWS {
        println!("{}", row.name);
        let sandbox = Sandbox::new(TINY);
        (row.spoil)(&sandbox);
        let ran = sandbox.rsic(row.args);
        println!("{}", ran.err);
        ran.fails(row.code, row.words);
    }
}

#[test]
fn a_failed_stage_loses_nothing_and_the_next_build_goes_on() {
    let sandbox = Sandbox::new(TINY);
    let image = some_image(&sandbox);
    let bytes = fs::read(&image).unwrap();
    fs::write(&image, &bytes[..20]).unwrap();
    sandbox.rsic(&["build", "embed/ucm"]).fails(1, &["cannot be read"]);
    fs::write(&image, bytes).unwrap();
    let built = sandbox.rsic(&["build", "ingest/ucm"]).ok().built();
    assert_eq!(built.into_iter().collect::<Vec<_>>(), ["ingest/ucm"]);
}

#[test]
fn keep_going_builds_what_does_not_depend_on_the_failure() {
    let sandbox = Sandbox::new(TINY);
    fs::write(sandbox.path(DATASET), "{").unwrap();
    let targets = ["ingest/ucm", "ingest/ucm_cn"];
    let stops = sandbox.rsic(&[&["build"], &targets[..]].concat());
    assert!(stops.built().is_empty(), "{}", stops.err);
    let goes_on = sandbox.rsic(&[&["build", "--keep-going"], &targets[..]].concat());
    assert_eq!(
        goes_on.built().into_iter().collect::<Vec<_>>(),
        ["annotations/ucm_cn", "ingest/ucm_cn"],
        "{}",
        goes_on.err
    );
    goes_on.fails(1, &["dataset.json:1:"]);
}
