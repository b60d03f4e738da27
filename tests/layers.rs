//! The layers as a table that is checked against the `use` lines of the code.

use std::fs;
use std::path::{Path, PathBuf};

/// Module -> the modules of this crate that it may use, and the outside crates that it may not.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    ("digest", &[], &["polars", "candle_core", "arrow"]),
    ("language", &[], &["polars", "candle_core", "arrow"]),
    ("progress", &[], &["polars", "candle_core", "arrow"]),
    ("table", &["digest"], &["polars", "candle_core"]),
    ("cache", &["digest", "progress"], &["polars", "candle_core", "arrow", "parquet"]),
    ("dataset", &["digest", "language"], &["polars", "candle_core", "arrow"]),
    ("fetch", &["digest", "progress"], &["polars", "candle_core", "arrow"]),
    ("picture", &["digest"], &["polars", "candle_core", "arrow"]),
    ("metric", &["language"], &["candle_core", "arrow", "parquet"]),
    ("model", &["language", "progress", "picture", "digest"], &["polars", "arrow", "parquet"]),
    ("sample", &["language", "progress", "digest"], &["polars", "candle_core", "arrow", "parquet"]),
    (
        "stage",
        &["digest", "language", "progress", "table", "cache", "dataset", "picture", "metric", "model"],
        &["candle_core", "clap", "indicatif"],
    ),
    (
        "pipeline",
        // `model` for the settings of scratch models that pipeline.toml holds.
        &["digest", "fetch", "language", "progress", "table", "cache", "stage", "model"],
        &["polars", "candle_core", "clap", "indicatif"],
    ),
    (
        "command",
        &[
            "cache", "dataset", "digest", "fetch", "language", "metric", "model", "picture", "pipeline", "progress",
            "sample", "stage", "table", "ui",
        ],
        &["polars", "candle_core", "indicatif"],
    ),
    ("ui", &["cache", "pipeline", "progress"], &["polars", "candle_core", "arrow"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules named after `crate::` in a line, be it `use crate::a::b`, `use crate::{a, b::c}` or a path in code.
fn named(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in line.split("crate::").skip(1) {
        let word =
            |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match part.strip_prefix('{') {
            None => names.push(word(part)),
            Some(list) => {
                let mut depth = 0;
                let mut item = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => names.push(word(&std::mem::take(&mut item))),
                        _ => {}
                    }
                    if depth == 0 && c != ',' {
                        item.push(c);
                    }
                }
                names.push(word(&item));
            }
        }
    }
    names
}

#[test]
fn names_are_read_from_every_form_of_use() {
    for (line, expected) in [
        ("use crate::digest::Digest;", vec!["digest"]),
        ("use crate::{cache, stage::{Kind, Stage}, ui};", vec!["cache", "stage", "ui"]),
        ("    crate::table::read(bytes)", vec!["table"]),
        ("use std::fs;", vec![]),
    ] {
        assert_eq!(named(line), expected, "{line}");
    }
}

#[test]
fn every_module_uses_only_what_lies_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    let mut checked = 0;
    for path in files {
        let relative = path.strip_prefix(&root).unwrap().to_owned();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["main", "lib", "shared"].contains(&module) {
            continue;
        }
        let layer = LAYERS.iter().find(|(name, ..)| *name == module);
        let (_, may, may_not) = layer.unwrap_or_else(|| panic!("module `{module}` has no layer"));
        let text = fs::read_to_string(&path).unwrap();
        checked += 1;
        // Tests may reach anywhere; they stand at the end of a file or in files of their own.
        if relative.to_str().unwrap().contains("tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let place = format!("{}:{}", relative.display(), number + 1);
            for name in named(line) {
                if name != module && !may.contains(&name.as_str()) && name != "shared" {
                    wrong.push(format!("{place}: `{module}` must not use `{name}`"));
                }
            }
            for outside in *may_not {
                if line.contains(&format!("{outside}::")) {
                    wrong.push(format!("{place}: `{module}` must not use the crate `{outside}`"));
                }
            }
        }
    }
    assert!(checked > 50, "only {checked} files were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
