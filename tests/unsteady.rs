//! Sources that change while a stage reads them: the result is discarded with the name of the file, nothing of it stays,
//! and the next build is right.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::sandbox::{Ran, Sandbox, TINY, files};

const ANNOTATIONS: &str = "datasets/UCM_captions/dataset.json";
const IMAGES: &str = "datasets/UCM_captions/imgs";

/// Runs `rsic ARGS`, and `strike` each time that it comes to a point of `points`; the number is how often it came before.
fn struck(sandbox: &Sandbox, args: &[&str], points: &str, mut strike: impl FnMut(usize)) -> Ran {
    let [pause, said] = ["pause", "said"].map(|name| sandbox.root.with_file_name(name));
    let mut command = sandbox.command(args);
    command.env("RSIC_FAIL_AT", format!("{points}={}", pause.display()));
    command.stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap());
    let mut child = command.spawn().unwrap();
    let (began, mut times) = (Instant::now(), 0);
    let status = loop {
        if pause.exists() {
            strike(times);
            times += 1;
            fs::remove_file(&pause).unwrap();
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_mins(2), "{args:?} does not end");
        thread::sleep(Duration::from_millis(2));
    };
    assert!(times > 0, "{args:?} never came to {points}");
    Ran { code: status.code(), out: String::new(), err: fs::read_to_string(said).unwrap() }
}

/// The first image file, by name.
fn image(sandbox: &Sandbox) -> PathBuf {
    files(&sandbox.path(IMAGES)).remove(0)
}

/// Changes one byte near the end of a file, which keeps its size.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() - 3;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// One kind of source and what happens to it.
struct Row {
    name: &'static str,
    target: &'static str,
    /// The source, relative to the workspace.
    file: fn(&Sandbox) -> PathBuf,
    change: fn(&Path),
    /// What the error says besides the name of the file.
    words: &'static str,
    /// Whether undoing the change before the stage ends is noticed; else the result is right all the same.
    undone: bool,
    /// Whether nothing can be built until the change is undone.
    broken: bool,
}

const ROWS: [Row; 11] = [
    Row {
        name: "annotations edited",
        target: "annotations/ucm",
        file: |sandbox| sandbox.path(ANNOTATIONS),
        change: |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.replacen("\"raw\":\"", "\"raw\":\"x ", 1).replacen("\"raw\": \"", "\"raw\": \"x ", 1))
                .unwrap();
        },
        words: "changed",
        undone: true,
        broken: false,
    },
    Row {
        name: "annotations cut short",
        target: "annotations/ucm",
        file: |sandbox| sandbox.path(ANNOTATIONS),
        change: |path| fs::write(path, &fs::read(path).unwrap()[..1000]).unwrap(),
        words: "changed",
        undone: true,
        broken: true,
    },
    Row {
        name: "annotations replaced by an equal file",
        target: "annotations/ucm",
        file: |sandbox| sandbox.path(ANNOTATIONS),
        change: |path| {
            let copy = path.with_extension("copy");
            fs::copy(path, &copy).unwrap();
            fs::rename(copy, path).unwrap();
        },
        words: "",
        undone: false,
        broken: false,
    },
    Row {
        name: "annotations removed",
        target: "annotations/ucm",
        file: |sandbox| sandbox.path(ANNOTATIONS),
        change: |path| fs::remove_file(path).unwrap(),
        words: "missing source",
        undone: true,
        broken: true,
    },
    Row {
        name: "image changed",
        target: "ingest/ucm",
        file: image,
        change: |path| {
            let other = files(path.parent().unwrap()).pop().unwrap();
            fs::copy(other, path).unwrap();
        },
        words: "changed",
        undone: true,
        broken: false,
    },
    Row {
        name: "image half written",
        target: "ingest/ucm",
        file: image,
        change: |path| fs::write(path, &fs::read(path).unwrap()[..60]).unwrap(),
        words: "changed",
        undone: true,
        broken: true,
    },
    Row {
        name: "image added",
        target: "ingest/ucm",
        file: |sandbox| sandbox.path(IMAGES).join("added.png"),
        change: |path| {
            fs::copy(files(path.parent().unwrap()).remove(0), path).unwrap();
        },
        words: "was added",
        undone: false,
        broken: false,
    },
    Row {
        name: "image removed",
        target: "ingest/ucm",
        file: image,
        change: |path| fs::remove_file(path).unwrap(),
        words: "was removed",
        undone: true,
        broken: true,
    },
    Row {
        name: "weights of the image encoder",
        target: "embed/ucm",
        file: |sandbox| sandbox.path("models/clip/model.safetensors"),
        change: flip,
        words: "changed",
        undone: true,
        broken: false,
    },
    Row {
        name: "tokenizer",
        target: "tokenize/ucm",
        file: |sandbox| sandbox.path("models/gpt2/tokenizer.json"),
        change: |path| fs::write(path, fs::read_to_string(path).unwrap() + " \n").unwrap(),
        words: "changed",
        undone: true,
        broken: false,
    },
    Row {
        name: "captions made elsewhere",
        target: "caption/ucm_theirs",
        file: |sandbox| sandbox.path("theirs.json"),
        change: |path| fs::write(path, fs::read_to_string(path).unwrap().replacen("many", "some", 1)).unwrap(),
        words: "changed",
        undone: true,
        broken: false,
    },
];

/// A workspace with models in folders and captions made elsewhere.
fn workspace() -> Sandbox {
    let sandbox = Sandbox::with_models();
    sandbox.edit("pipeline.toml", |text| text + "\n[captions.theirs]\nfiles = { ucm = \"theirs.json\" }\n");
    fs::copy(sandbox.path("output/eval_files/ucm_amht.json"), sandbox.path("theirs.json")).unwrap();
    sandbox.edit("theirs.json", |text| text.replacen(": \"", ": \"many ", 1).replacen(":\"", ":\"many ", 1));
    sandbox
}

/// Everything in the store that could be taken for a result.
fn results(sandbox: &Sandbox) -> BTreeSet<PathBuf> {
    ["actions", "objects", "hints", "partial"]
        .iter()
        .flat_map(|name| files(&sandbox.path("cache").join(name)))
        .collect()
}

/// What a build of `target` gives that knows of no other.
fn alone(sandbox: &Sandbox, target: &str) -> Vec<(String, Vec<(String, String)>)> {
    for folder in ["cache", "output"] {
        fs::remove_dir_all(sandbox.path(folder)).unwrap();
    }
    sandbox.rsic(&["build", target]).ok();
    sandbox.data(&[target])
}

#[test]
fn a_source_that_changes_under_a_stage_discards_its_result() {
    let sandbox = workspace();
    for row in &ROWS {
        for undo in [false, true] {
            let what = format!("{}, undone: {undo}", row.name);
            let path = (row.file)(&sandbox);
            let whole = fs::read(&path).ok();
            let put_back = || match &whole {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => _ = fs::remove_file(&path),
            };
            sandbox.rsic(&["build", row.target]).ok();
            let before = results(&sandbox);
            let ran = struck(&sandbox, &["build", "--force", row.target], "stage", |times| match times {
                0 => (row.change)(&path),
                1 if undo => put_back(),
                _ => {}
            });
            if row.words.is_empty() || (undo && !row.undone) {
                ran.ok();
            } else {
                let name = path.file_name().unwrap().to_str().unwrap();
                let ran = ran.fails(1, &[name]);
                let discarded = format!("{} ran; its result is discarded", row.target);
                if undo {
                    assert!(!ran.err.contains(&discarded), "{what}: {}", ran.err);
                } else {
                    assert!(ran.err.contains(row.words) && ran.err.contains(&discarded), "{what}: {}", ran.err);
                    assert!(ran.err.contains("hint: let the program"), "{what}: {}", ran.err);
                }
                assert_eq!(results(&sandbox), before, "{what}: something stays");
            }
            if row.broken {
                put_back();
            }
            sandbox.rsic(&["build", row.target]).ok();
            let made = sandbox.data(&[row.target]);
            assert_eq!(made, alone(&sandbox, row.target), "{what}");
            put_back();
        }
    }
}

#[test]
fn training_on_weights_that_change_goes_on_from_the_sound_part() {
    let sandbox = Sandbox::with_models();
    let weights = sandbox.path("models/gpt2/model.safetensors");
    let whole = fs::read(&weights).unwrap();
    let target = "train/ucm_mlp";
    let long = [target, "-p", "train.epochs=4"];
    sandbox.rsic(&[&["build"], &long[..]].concat()).ok();
    let expected = sandbox.data(&long);
    sandbox.rsic(&[&["clean", "--cache"], &long[..]].concat()).ok();
    let before = results(&sandbox);
    // In the middle of training: its first epoch is about to be saved.
    let mut saves = 0;
    let ran = struck(&sandbox, &[&["build"], &long[..]].concat(), "partial.create", |times| {
        saves = times + 1;
        if times == 0 {
            flip(&weights);
        }
    });
    assert_eq!(saves, 1, "it does not train to the end in vain");
    ran.fails(1, &["models/gpt2/model.safetensors changed while train/ucm_mlp ran; its result is discarded"]);
    let left: Vec<PathBuf> = results(&sandbox).difference(&before).cloned().collect();
    assert!(left.iter().all(|path| path.ends_with("checkpoint")) && left.len() == 1, "{left:?}");
    // What was saved before the change is sound: with the old weights training goes on from there to the same bytes.
    fs::write(&weights, whole).unwrap();
    sandbox.rsic(&[&["build"], &long[..]].concat()).ok();
    assert_eq!(sandbox.data(&long), expected);
    sandbox.rsic(&["verify"]).ok();
}

#[test]
fn an_edit_that_keeps_size_and_time_is_seen() {
    let sandbox = Sandbox::new(TINY);
    let path = sandbox.path(ANNOTATIONS);
    let text = fs::read_to_string(&path).unwrap();
    let at = text.find("\"raw\"").unwrap() + "\"raw\":".len();
    let at = at + text[at..].find('"').unwrap() + 1;
    let mut seen = BTreeSet::new();
    for (n, letter) in ('a'..='h').enumerate() {
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let mut edited = text.clone();
        edited.replace_range(at..=at, &letter.to_string());
        assert_eq!(edited.len(), text.len());
        fs::write(&path, edited).unwrap();
        if n % 2 == 1 {
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        let built = sandbox.rsic(&["build", "annotations/ucm"]).ok().built();
        assert_eq!(built.len(), 1, "{letter}");
        seen.insert(sandbox.data(&["annotations/ucm"]));
    }
    assert_eq!(seen.len(), 8, "every edit is a result of its own");
}
