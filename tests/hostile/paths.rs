//! Names and links that lead out of the folders that they should stay in; files that are no files.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{bounded, each, refused, snapshot, within_bounds};
use crate::sandbox::{Sandbox, TINY};

const DATASET: &str = "datasets/UCM_captions/dataset.json";
const IMAGES: &str = "datasets/UCM_captions/imgs";
/// A target whose build reads all images and writes views.
const TARGET: &str = "score/ucm_constant";
/// The view of that target.
const VIEW: &str = "output/score/ucm_constant.parquet";

/// A folder beside the workspace, with a file that nobody may touch.
fn beside(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.root.parent().unwrap().join("beside");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("victim"), "mine").unwrap();
    folder
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn first_image(sandbox: &Sandbox) -> PathBuf {
    sandbox.path(IMAGES).join(first_name(sandbox))
}

fn first_name(sandbox: &Sandbox) -> String {
    let json: Value = serde_json::from_slice(&fs::read(sandbox.path(DATASET)).unwrap()).unwrap();
    json["images"][0]["filename"].as_str().unwrap().to_owned()
}

/// Gives the first image of the annotation file another name, and leaves the files as they are.
fn rename(sandbox: &Sandbox, name: &str) {
    sandbox.edit(DATASET, |text| {
        let mut json: Value = serde_json::from_str(&text).unwrap();
        json["images"][0]["filename"] = name.into();
        json.to_string()
    });
}

/// Puts something else in the place of the first image.
fn replace(sandbox: &Sandbox, with: impl FnOnce(&Path)) {
    let path = first_image(sandbox);
    fs::rename(&path, beside(sandbox).join("image")).unwrap();
    with(&path);
}

/// A name, what is done, the exit code, and words on stderr.
type Row<'a> = (&'a str, &'a dyn Fn(&Sandbox), i32, &'a [&'a str]);

/// Every row in a sandbox of its own; nothing outside `cache` and `output` may change.
fn check(rows: &[Row<'_>], args: &[&str]) {
    each(rows, |&(name, spoil, code, words)| {
        let sandbox = Sandbox::new(TINY);
        beside(&sandbox);
        spoil(&sandbox);
        let before = snapshot(sandbox.root.parent().unwrap());
        let ran = within_bounds(name, &sandbox, args);
        assert_eq!(snapshot(sandbox.root.parent().unwrap()), before, "{name}: {}", ran.err);
        refused(name, &ran, code, words);
    });
}

#[test]
fn image_names_stay_in_the_image_folder() {
    let missing = &["1 of ", "images that the annotation file names are missing"][..];
    let separator = &["dataset.json: image 1: file name ", "has a path separator"][..];
    check(
        &[
            ("up", &|s| rename(s, "../../../../beside/image"), 1, separator),
            ("absolute", &|s| rename(s, &beside(s).join("victim").display().to_string()), 1, separator),
            ("Windows", &|s| rename(s, r"..\beside\image"), 1, separator),
            ("drive", &|s| rename(s, "C:x.png"), 1, &["begins with a drive letter"]),
            ("NUL", &|s| rename(s, "a\0.png"), 1, &["has a control character"]),
            ("only up", &|s| rename(s, ".."), 1, &["is a folder"]),
            ("a very long name", &|s| rename(s, &"x".repeat(1_000_000)), 1, &["is longer than 255 bytes"]),
            ("another case", &|s| rename(s, &first_name(s).to_uppercase()), 1, missing),
            (
                "composed and decomposed",
                &|s| {
                    fs::rename(first_image(s), s.path(IMAGES).join("caf\u{e9}.png")).unwrap();
                    rename(s, "cafe\u{301}.png");
                },
                1,
                missing,
            ),
            (
                "names that differ only in case",
                &|s| {
                    let from = first_image(s);
                    fs::rename(&from, s.path(IMAGES).join("a.png")).unwrap();
                    rename(s, "a.png");
                    s.edit(DATASET, |text| {
                        let mut json: Value = serde_json::from_str(&text).unwrap();
                        let old = json["images"][1]["filename"].as_str().unwrap().to_owned();
                        fs::rename(s.path(IMAGES).join(old), s.path(IMAGES).join("A.png")).unwrap();
                        json["images"][1]["filename"] = "A.png".into();
                        json.to_string()
                    });
                },
                0,
                &[],
            ),
        ],
        &["build", "ingest/ucm"],
    );
}

#[test]
fn what_is_no_image_file_is_named_and_never_waited_for() {
    let missing = &["1 of ", "images that the annotation file names are missing", IMAGES][..];
    check(
        &[
            ("fifo", &|s| replace(s, fifo), 1, missing),
            ("socket", &|s| replace(s, |path| drop(UnixListener::bind(path).unwrap())), 1, missing),
            ("endless device", &|s| replace(s, |path| symlink("/dev/zero", path).unwrap()), 1, missing),
            ("folder", &|s| replace(s, |path| fs::create_dir(path).unwrap()), 1, missing),
            ("link to itself", &|s| replace(s, |path| symlink(path, path).unwrap()), 1, missing),
            ("link to nothing", &|s| replace(s, |path| symlink("nowhere", path).unwrap()), 1, missing),
            (
                "a terabyte of holes",
                &|s| replace(s, |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap()),
                1,
                &[IMAGES, "1099511627776 bytes", "hint: "],
            ),
            // Datasets are often linked from where they were downloaded; what a link shows is only read.
            (
                "link to a file elsewhere",
                &|s| replace(s, |path| symlink("../../../../beside/image", path).unwrap()),
                0,
                &[],
            ),
            (
                "image folder that is a link",
                &|s| {
                    fs::rename(s.path(IMAGES), beside(s).join("imgs")).unwrap();
                    symlink("../../../beside/imgs", s.path(IMAGES)).unwrap();
                },
                0,
                &[],
            ),
            ("folder in itself", &|s| symlink(".", s.path(IMAGES).join("again")).unwrap(), 0, &[]),
            (
                "annotations: fifo",
                &|s| {
                    fs::remove_file(s.path(DATASET)).unwrap();
                    fifo(&s.path(DATASET));
                },
                1,
                &["missing source", "dataset.json", "hint: "],
            ),
            (
                "pipeline.toml: fifo",
                &|s| {
                    fs::remove_file(s.path("pipeline.toml")).unwrap();
                    fifo(&s.path("pipeline.toml"));
                },
                2,
                &["pipeline.toml", "not a file"],
            ),
        ],
        &["build", "ingest/ucm"],
    );
}

#[test]
fn names_in_pipeline_toml_stay_names() {
    let dataset = "\nannotations = \"a\"\nimages = \"b\"\nlanguage = \"en\"\n";
    let long = format!("[datasets.{}]{dataset}", "x".repeat(1_000));
    let rows: &[(&str, &str, &[&str])] = &[
        ("dataset up", &format!("[datasets.\"../x\"]{dataset}"), &["dataset name `../x` may hold only"]),
        ("dataset absolute", &format!("[datasets.\"/x\"]{dataset}"), &["dataset name `/x` may hold only"]),
        ("dataset without a name", &format!("[datasets.\"\"]{dataset}"), &["dataset name `` may hold only"]),
        ("dataset NUL", &format!("[datasets.\"x\\u0000\"]{dataset}"), &["dataset name "]),
        ("dataset dot", &format!("[datasets.\".\"]{dataset}"), &["dataset name `.` may hold only"]),
        ("dataset with a very long name", &long, &["longer than 80 bytes"]),
        ("mapper", "[mappers.\"a/b\"]\nkind = \"mlp\"\n", &["mapper name `a/b` may hold only"]),
        ("attention", "[attention.\"../b\"]\nencoder = \"scratch\"\n", &["attention name `../b` may hold only"]),
        ("captions", "[captions.\"../b\"]\nfiles = { ucm = \"x.json\" }\n", &["captions name `../b` may hold only"]),
        ("captions of another dataset", "[captions.b]\nfiles = { \"../ucm\" = \"x\" }\n", &["which is no dataset"]),
        ("checkpoint", "[checkpoints.\"ucm_../b\"]\nfile = \"x.pt\"\n", &["cannot be the name of a model"]),
    ];
    let sandbox = Sandbox::new(TINY);
    each(rows, |(name, text, words)| {
        fs::write(sandbox.path("pipeline.toml"), format!("{TINY}\n{text}")).unwrap();
        let before = snapshot(sandbox.root.parent().unwrap());
        let ran = within_bounds(name, &sandbox, &["build", TARGET]);
        refused(name, &ran, 2, &[&["pipeline.toml:"], *words].concat());
        assert_eq!(snapshot(sandbox.root.parent().unwrap()), before, "{name}");
        assert!(!sandbox.path("cache").exists() && !sandbox.path("output").exists(), "{name}");
    });
}

#[test]
fn names_on_the_command_line_stay_names() {
    let sandbox = Sandbox::new(TINY);
    sandbox.rsic(&["build", TARGET]).ok();
    let folder = beside(&sandbox);
    let before = snapshot(sandbox.root.parent().unwrap());
    let victim = folder.join("victim").display().to_string();
    for (name, args, code) in [
        ("target up", &["build", "../../beside"][..], 2),
        ("target of a stage up", &["build", "score/../../beside"], 2),
        ("status", &["status", "../../../etc/passwd"], 2),
        ("clean", &["clean", "--force", "../../beside/victim"], 2),
        ("show", &["show", "score/../../../beside/victim"], 2),
        ("pin up", &["pin", "../../beside/pin", TARGET], 2),
        ("pin absolute", &["pin", &victim, TARGET], 2),
        ("unpin up", &["pin", "--remove", "../../beside/victim"], 2),
        ("model up", &["build", "embed/ucm", "-p", "models.clip=../../beside@../../../x"], 1),
        ("hub id up", &["build", "embed/ucm", "-p", "models.clip=a/../../../../beside@../../x"], 1),
        ("export over a folder", &["export", "train/ucm_mlp", "--to", "/"], 2),
    ] {
        let ran = within_bounds(name, &sandbox, args);
        refused(name, &ran, code, &["error: "]);
        assert_eq!(snapshot(sandbox.root.parent().unwrap()), before, "{name}");
    }
}

#[test]
fn links_below_output_are_not_followed() {
    let link_to = |s: &Sandbox, at: &str, target: &Path| {
        let at = s.path(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
    };
    let is_link = &["output/score", "is a link", "hint: "][..];
    check(
        &[
            ("folder", &|s| link_to(s, "output/score", &beside(s)), 5, is_link),
            ("folder, relative", &|s| link_to(s, "output/score", Path::new("../../beside")), 5, is_link),
            ("folder below", &|s| link_to(s, "output/score/statistics", &beside(s)), 5, &["is a link"]),
            // The file is replaced by rename, so that what the link shows stays as it is.
            ("file", &|s| link_to(s, VIEW, &beside(s).join("victim")), 0, &[]),
            ("file, to nothing", &|s| link_to(s, VIEW, Path::new("../../../beside/new")), 0, &[]),
            (
                "hard link",
                &|s| {
                    fs::create_dir_all(s.path("output/score")).unwrap();
                    fs::hard_link(beside(s).join("victim"), s.path(VIEW)).unwrap();
                },
                0,
                &[],
            ),
            (
                "fifo",
                &|s| {
                    fs::create_dir_all(s.path("output/score")).unwrap();
                    fifo(&s.path(VIEW));
                },
                0,
                &[],
            ),
            ("folder in the place of a file", &|s| fs::create_dir_all(s.path(VIEW).join("x")).unwrap(), 5, &[VIEW]),
            ("file in the place of a folder", &|s| fs::write(s.path("output"), "x").unwrap(), 5, &["output"]),
            ("link to nothing", &|s| symlink("nowhere", s.path("output")).unwrap(), 5, &["output"]),
            ("link to itself", &|s| symlink("output", s.path("output")).unwrap(), 5, &["output"]),
        ],
        &["build", TARGET],
    );
}

#[test]
fn clean_removes_nothing_behind_a_link() {
    let sandbox = Sandbox::new(TINY);
    sandbox.rsic(&["build", TARGET]).ok();
    let folder = beside(&sandbox);
    fs::rename(sandbox.path("output/score"), folder.join("score")).unwrap();
    symlink(folder.join("score"), sandbox.path("output/score")).unwrap();
    let before = snapshot(sandbox.root.parent().unwrap());
    let ran = within_bounds("clean", &sandbox, &["clean", "--force"]);
    refused("clean", &ran, 5, &["output/score", "is a link"]);
    assert_eq!(snapshot(sandbox.root.parent().unwrap()), before);
}

/// `cache` and `output` themselves may be links: that is how users put them on another disk.
#[test]
fn the_two_folders_may_be_links_themselves() {
    let sandbox = Sandbox::new(TINY);
    let folder = beside(&sandbox);
    for name in ["cache", "output"] {
        fs::create_dir(folder.join(name)).unwrap();
        symlink(folder.join(name), sandbox.path(name)).unwrap();
    }
    sandbox.rsic(&["build", TARGET]).ok();
    sandbox.rsic(&["verify"]).ok();
    assert!(folder.join("output/score/ucm_constant.parquet").is_file() && folder.join("cache/FORMAT").is_file());
    assert_eq!(fs::read_to_string(folder.join("victim")).unwrap(), "mine");
}

#[test]
fn links_in_the_store_are_not_followed() {
    each(
        ["objects", "actions", "tmp", "partial", "quarantine", "roots", "pins", "hints", "lock", "runs", "sessions"],
        |name| {
            let sandbox = Sandbox::new(TINY);
            sandbox.rsic(&["build", TARGET]).ok();
            let (inside, outside) = (sandbox.path("cache").join(name), beside(&sandbox).join(name));
            fs::rename(&inside, &outside).unwrap();
            symlink(&outside, &inside).unwrap();
            let before = snapshot(sandbox.root.parent().unwrap());
            for args in
                [&["build", TARGET, "--force"][..], &["gc", "--apply", "--keep-last", "0"], &["verify", "--repair"]]
            {
                let ran = within_bounds(name, &sandbox, args);
                refused(name, &ran, 5, &[&format!("cache/{name} is a link"), "hint: "]);
                assert_eq!(snapshot(sandbox.root.parent().unwrap()), before, "{name} {args:?}");
            }
        },
    );
}

/// Where something of the store is, which file there stands for all, and the exit code of `verify`.
type Place<'a> = (&'a str, &'a dyn Fn(&Path) -> PathBuf, i32);

#[test]
fn what_is_no_file_in_the_store_is_damage_and_never_waited_for() {
    /// The first file below a folder.
    fn first(folder: &Path) -> PathBuf {
        let path = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
        if path.is_dir() { first(&path) } else { path }
    }
    let cases: [Place; 6] = [
        ("objects", &first, 4),
        ("actions", &first, 4),
        ("roots", &first, 4),
        ("pins", &first, 4),
        ("stat.txt", &|path| path.to_owned(), 0),
        ("FORMAT", &|path| path.to_owned(), 5),
    ];
    each(cases, |(name, find, verified)| {
        let sandbox = Sandbox::new(TINY);
        sandbox.rsic(&["build", TARGET]).ok();
        sandbox.rsic(&["pin", "paper", TARGET]).ok();
        let path = find(&sandbox.path("cache").join(name));
        let _ = fs::remove_file(&path);
        fifo(&path);
        let ran = within_bounds(name, &sandbox, &["verify"]);
        assert_eq!(ran.code, Some(verified), "{name}: {} {}", ran.out, ran.err);
        within_bounds(name, &sandbox, &["status"]);
        within_bounds(name, &sandbox, &["gc"]);
        let built = within_bounds(name, &sandbox, &["build", TARGET]);
        assert_eq!(built.code, Some(if verified == 5 { 5 } else { 0 }), "{name}: {}", built.err);
    });
}

#[test]
fn a_folder_that_is_no_store_is_left_alone() {
    let sandbox = Sandbox::new(TINY);
    let folder = beside(&sandbox);
    let before = snapshot(sandbox.root.parent().unwrap());
    for (name, store) in
        [("home", folder.clone()), ("workspace", sandbox.root.clone()), ("file", folder.join("victim"))]
    {
        let mut command = sandbox.command(&["build", TARGET]);
        let ran = bounded(name, command.env("RSIC_STORE", &store));
        refused(name, &ran, 5, &["error: "]);
        assert_eq!(snapshot(sandbox.root.parent().unwrap()), before, "{name}");
    }
}
