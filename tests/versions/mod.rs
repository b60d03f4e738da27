//! The code of a stage must not change without a decision about its version.
//!
//! `versions.toml` has the version of every stage, and of every file that decides what some stage puts out a digest of its
//! code and the stages that it decides. When they differ from what is here, somebody has to decide: either results
//! change, then the stage's `VERSION` goes up with a line in its history; or they do not. Both are written down by the
//! command that the failure names.
//!
//! Which files decide: the file of the stage; every file that defines something it imports or names by a path, through
//! re-exports; files with `impl` blocks for what those define; and so on. A `mod.rs` that only hands names on does not
//! count, and `src/stage/mod.rs` is of that kind. Left out are the cache, progress, the pipeline and the commands: they
//! carry bytes, and what they decide is in the key (golden keys guard that) or in no output. Comments, blank space and
//! tests are not code. Packages count by their locked versions and those of all that they use.

mod closure;
mod code;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use rsic::digest::Digest;
use rsic::pipeline::Workspace;
use serde::Deserialize;

use crate::{accept, keys};
use closure::{Found, Sources};
use code::{Code, tokens};

/// What was accepted.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Table {
    versions: BTreeMap<String, u32>,
    /// File or package -> digest, and the stages that it decides; `*` is all of them.
    decides: BTreeMap<String, String>,
}

impl Table {
    fn now() -> Self {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let sources = Sources::read(&package);
        let lock: toml::Table = toml::from_str(&fs::read_to_string(package.join("Cargo.lock")).unwrap()).unwrap();
        let mut versions = BTreeMap::new();
        let mut stages: BTreeMap<Found, BTreeSet<String>> = BTreeMap::new();
        for (stage, version, entry) in stages_of_the_program(&sources) {
            versions.insert(stage.clone(), version);
            for found in sources.closure(&["stage".to_owned()], &entry) {
                stages.entry(found).or_default().insert(stage.clone());
            }
        }
        let line = |(found, of): (Found, BTreeSet<String>)| {
            let of =
                if of.len() == versions.len() { "*".to_owned() } else { of.into_iter().collect::<Vec<_>>().join(" ") };
            match found {
                Found::File(module) => {
                    let source = sources.get(&module);
                    (source.path.clone(), format!("{} {of}", short(&source.code.text)))
                }
                Found::Crate(name) => {
                    let (version, all) = locked(&lock, &name);
                    (format!("package {name}"), format!("{} {of} ({version})", short(&all)))
                }
            }
        };
        let decides = stages.into_iter().map(line).collect();
        Self { versions, decides }
    }

    fn text(&self) -> String {
        let versions = self.versions.iter().map(|(stage, version)| format!("{stage} = {version}"));
        let decides = self.decides.iter().map(|(what, line)| format!("{what:?} = {line:?}"));
        let lines = |lines: Vec<String>| lines.join("\n");
        format!("[versions]\n{}\n\n[decides]\n{}\n", lines(versions.collect()), lines(decides.collect()))
    }

    /// What changed since `old`, one line per stage; empty if nothing did.
    fn changes_since(&self, old: &Self) -> Vec<String> {
        let mut changed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let names: BTreeSet<&String> = self.decides.keys().chain(old.decides.keys()).collect();
        for name in names {
            let (before, after) = (old.decides.get(name), self.decides.get(name));
            if before != after {
                for line in [before, after].into_iter().flatten() {
                    for stage in line.split([' ', '(']).skip(1) {
                        changed.entry(stage).or_default().push(name);
                    }
                }
            }
        }
        let of_all = changed.get("*").cloned().unwrap_or_default();
        let stages: BTreeSet<&String> = self.versions.keys().chain(old.versions.keys()).collect();
        let mut lines = Vec::new();
        for stage in stages {
            let mut files = changed.get(stage.as_str()).cloned().unwrap_or_default();
            files.extend(&of_all);
            files.sort_unstable();
            files.dedup();
            let files = files.join(", ");
            lines.push(match (old.versions.get(stage), self.versions.get(stage)) {
                (Some(before), Some(after)) if before == after && files.is_empty() => continue,
                (Some(before), Some(after)) if before == after => {
                    format!("{stage} still has version {after}, but there are changes in {files}")
                }
                (Some(before), Some(after)) => format!("{stage} went from version {before} to {after}"),
                (None, _) => format!("{stage} is new"),
                (_, None) => format!("{stage} is gone"),
            });
        }
        lines
    }
}

/// Name in the key, version and the path in `src/stage/mod.rs` of every stage, as the program has them.
fn stages_of_the_program(sources: &Sources) -> Vec<(String, u32, Vec<String>)> {
    let tokens: Vec<&str> = sources.get(&["stage".to_owned()]).code.text.split(' ').collect();
    let folder = tempfile::tempdir().unwrap();
    keys::write(folder.path(), keys::PIPELINE);
    let mut stages = BTreeMap::new();
    for overrides in [&[], keys::SCRATCH, &["train.seeds=[1,2]"]] {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        for node in Workspace::peek(folder.path(), &overrides).unwrap().graph.nodes {
            let shown = format!("{:?}", node.stage);
            let variant = shown.split('(').next().unwrap();
            // `Embed ( embed :: Embed ) ,` in the enum.
            let at = tokens.windows(4).position(|window| window[0] == variant && window[1] == "(" && window[3] == "::");
            let path = tokens[at.unwrap() + 2..].iter().take_while(|token| **token != ")");
            let path = path.filter(|token| **token != "::").map(|&token| token.to_owned()).collect();
            stages.insert(node.stage.key_name().to_owned(), (node.version, path));
        }
    }
    stages.into_iter().map(|(name, (version, path))| (name, version, path)).collect()
}

fn short(text: &str) -> String {
    Digest::of(text.as_bytes()).to_hex()[..16].to_owned()
}

/// The locked version of a package that this one uses, and the versions of all that it uses as a text.
fn locked(lock: &toml::Table, name: &str) -> (String, String) {
    let packages = lock["package"].as_array().unwrap();
    let text = |package: &toml::Value, field: &str| package[field].as_str().unwrap().to_owned();
    let needs = |package: &toml::Value| -> Vec<String> {
        let needs = package.get("dependencies").and_then(|needs| needs.as_array());
        needs.into_iter().flatten().map(|need| need.as_str().unwrap().to_owned()).collect()
    };
    // A dependency is named `name`, or `name version` where there are several.
    let find = |wanted: &str| {
        let is_it = |package: &&toml::Value| {
            let (name, version) = (text(package, "name"), text(package, "version"));
            wanted == name || wanted == format!("{name} {version}")
        };
        packages.iter().find(is_it).unwrap_or_else(|| panic!("{wanted} is not locked"))
    };
    let direct = needs(find("rsic"));
    let is_it = |need: &&String| need.split(' ').next().unwrap().replace('-', "_") == name;
    let first = find(direct.iter().find(is_it).unwrap_or_else(|| panic!("{name} is not used")));
    let mut known = BTreeSet::new();
    let mut open = vec![first];
    while let Some(package) = open.pop() {
        if known.insert(format!("{} {}", text(package, "name"), text(package, "version"))) {
            open.extend(needs(package).iter().map(|need| find(need)));
        }
    }
    (text(first, "version"), known.into_iter().collect::<Vec<_>>().join("\n"))
}

#[test]
fn code_does_not_change_without_a_decision_about_versions() {
    let now = Table::now();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/versions.toml");
    let Some(text) = accept::table(
        &path,
        "# Versions of stages and what decides their results; see versions/mod.rs.\n\n",
        &now.text(),
    ) else {
        return;
    };
    let accepted: Table = toml::from_str(&text).unwrap();
    let changes = now.changes_since(&accepted);
    assert!(
        changes.is_empty() && now == accepted,
        "{}\n\nIf equal inputs now give other outputs: raise the stage's VERSION and say why in its history. Then, or if no \
         output changes: {}",
        changes.join("\n"),
        accept::command("versions"),
    );
}

#[test]
fn changes_are_told_by_stage() {
    let table = |versions: &[(&str, u32)], decides: &[(&str, &str)]| Table {
        versions: versions.iter().map(|(stage, version)| ((*stage).to_owned(), *version)).collect(),
        decides: decides.iter().map(|(what, line)| ((*what).to_owned(), (*line).to_owned())).collect(),
    };
    let versions = [("embed", 1), ("train", 4)];
    let old = table(&versions, &[("a.rs", "00 embed"), ("b.rs", "00 *"), ("package image", "00 embed (0.25.1)")]);
    let rows: [(&str, Table, &[&str]); 5] = [
        (
            "nothing",
            table(&versions, &[("a.rs", "00 embed"), ("b.rs", "00 *"), ("package image", "00 embed (0.25.1)")]),
            &[],
        ),
        (
            "a file of one stage",
            table(&versions, &[("a.rs", "11 embed"), ("b.rs", "00 *"), ("package image", "00 embed (0.25.1)")]),
            &["embed still has version 1, but there are changes in a.rs"],
        ),
        (
            "a file of all and a package",
            table(&versions, &[("a.rs", "00 embed"), ("b.rs", "11 *"), ("package image", "11 embed (0.25.2)")]),
            &[
                "embed still has version 1, but there are changes in b.rs, package image",
                "train still has version 4, but there are changes in b.rs",
            ],
        ),
        (
            "a file that another stage uses now",
            table(&versions, &[("a.rs", "00 embed train"), ("b.rs", "00 *"), ("package image", "00 embed (0.25.1)")]),
            &[
                "embed still has version 1, but there are changes in a.rs",
                "train still has version 4, but there are changes in a.rs",
            ],
        ),
        (
            "a version",
            table(
                &[("embed", 2), ("train", 4)],
                &[("a.rs", "11 embed"), ("b.rs", "00 *"), ("package image", "00 embed (0.25.1)")],
            ),
            &["embed went from version 1 to 2"],
        ),
    ];
    for (name, now, expected) in rows {
        assert_eq!(now.changes_since(&old), expected, "{name}");
    }
}

#[test]
fn only_code_counts() {
    let plain = "use a::b; fn f() -> u8 { g(\"x // y\", 'z') }";
    let same = [
        "//! Says something.\nuse a::b;\n\n/// Does it.\nfn f() -> u8 {\n    // why\n    g(\"x // y\", /* a /* nested */ one */ 'z')\n}\n",
        "use a::b; fn f() -> u8 { g(\"x // y\", 'z') } #[cfg(test)] mod tests { fn t() { assert!(true); } }",
        "use a::b; #[cfg(test)] use c::{d, e}; fn f() -> u8 { g(\"x // y\", 'z') } #[cfg(test)]\n#[path = \"t.rs\"]\nmod tests;",
        "use a::b; #[cfg(test)] pub(crate) const X: [u8; 2] = [1, 2]; fn f() -> u8 { g(\"x // y\", 'z') }",
    ];
    let other = [
        "use a::b; fn f() -> u8 { g(\"x //  y\", 'z') }",
        "use a::b; fn f() -> u8 { g(\"x // y\", 'Z') }",
        "use a::c; fn f() -> u8 { g(\"x // y\", 'z') }",
        "use a::b; fn f() -> u16 { g(\"x // y\", 'z') }",
    ];
    for text in same {
        assert_eq!(Code::new(text).text, Code::new(plain).text, "{text}");
    }
    for text in other {
        assert_ne!(Code::new(text).text, Code::new(plain).text, "{text}");
    }
    // Signs, by hand.
    for (text, expected) in [
        ("&'a str", vec!["&", "'", "a", "str"]),
        ("'\\'' b'x' '\\u{1F}'", vec!["'\\''", "b'x'", "'\\u{1F}'"]),
        ("r#\"a\"b\"# b\"c\\\"\" r", vec!["r#\"a\"b\"#", "b\"c\\\"\"", "r"]),
        ("a::b:c", vec!["a", "::", "b", ":", "c"]),
    ] {
        assert_eq!(tokens(text), expected, "{text}");
    }
}

#[test]
fn names_lead_to_the_files_that_define_them() {
    let code = Code::new(
        "pub use x::{self, y::Z as W, *}; use super::q; impl<T: A<B>> Show for deep::Kept<T> {} impl Own { fn f() { q::run(crate::c::D) } }",
    );
    let shown: Vec<String> = code
        .imports
        .iter()
        .map(|import| format!("{} {} {}", import.name, import.path.join("::"), import.public))
        .collect();
    assert_eq!(shown, ["x x true", "W x::y::Z true", "* x true", "q super::q false"]);
    assert_eq!(code.implements, ["Kept", "Own"]);
    let paths: Vec<String> = code.paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["deep::Kept", "q::run", "crate::c::D"]);

    let now = Table::now();
    let decides = |what: &str, stage: &str| {
        now.decides.get(what).is_some_and(|line| line.split([' ', '(']).skip(1).any(|of| of == stage || of == "*"))
    };
    for (what, stage, expected) in [
        ("src/stage/embed.rs", "embed", true),
        ("src/stage/per_image.rs", "embed", true),
        ("src/model/clip/vision.rs", "embed", true),
        ("src/model/ops/linear.rs", "embed", true),
        ("src/model/kernel/gemm.rs", "embed", true),
        ("src/picture/resize.rs", "embed", true),
        ("package image", "embed", true),
        ("src/model/gpt2/net.rs", "embed", false),
        ("src/metric/bleu.rs", "embed", false),
        ("src/model/gpt2/net.rs", "caption", true),
        ("src/model/search/beam.rs", "caption", true),
        ("src/metric/bleu.rs", "score", true),
        ("src/metric/meteor/search.rs", "score", true),
        ("src/metric/ptb/words.rs", "constant", true),
        ("package polars", "annotations", false),
        ("src/dataset/rows.rs", "annotations", true),
        ("src/table/mod.rs", "annotations", true),
        ("src/model/attend/net.rs", "train", false),
        ("src/model/attend/net.rs", "train_attention", true),
        ("src/stage/mod.rs", "score", false),
        ("src/cache/object.rs", "score", false),
    ] {
        assert_eq!(decides(what, stage), expected, "whether {what} decides {stage}");
    }
}

/// Files in the folders of stages that decide no stage, each with the reason.
const DECIDE_NOTHING: &[(&str, &str)] = &[
    ("src/metric/resample/compare.rs", "for `rsic compare`"),
    ("src/metric/resample/exchange.rs", "for `rsic compare`"),
    ("src/metric/resample/holm.rs", "for `rsic compare`"),
    ("src/model/checkpoint/export.rs", "for `rsic export`"),
    ("src/model/clip/convert.rs", "for `rsic import`"),
    ("src/model/clip/text.rs", "CLIP's text tower, which no stage reads"),
    ("src/model/weights/torch/write.rs", "for `rsic export`"),
];

#[test]
fn every_file_below_the_pipeline_is_accounted_for() {
    let sources = Sources::read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let now = Table::now();
    let folders = ["stage", "model", "metric", "dataset", "picture", "table"];
    let hands_on = |module: &[String]| sources.get(module).path.ends_with("mod.rs");
    let unused: Vec<&str> = sources
        .paths()
        .filter(|(module, path)| {
            folders.contains(&module.first().map_or("", String::as_str))
                && !hands_on(module)
                && !now.decides.contains_key(*path)
        })
        .map(|(_, path)| path)
        .collect();
    let known: Vec<&str> = DECIDE_NOTHING.iter().map(|(path, _)| *path).collect();
    assert_eq!(unused, known);
}
