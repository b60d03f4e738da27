//! Golden keys: the key of every kind of stage, so that none changes by accident.
//!
//! The planner computes them from fixed sources and from fixed hashes of what earlier stages made: a hash of trained
//! weights may differ between machines. The table `keys.toml` is what the program said when it was accepted; that the
//! encoding below it is right is tested beside it (`src/cache/key_tests.rs`), against another program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rsic::cache::{Ingredients, Output, Record};
use rsic::digest::Digest;
use rsic::pipeline::graph::From;
use rsic::pipeline::plan::Planner;
use rsic::pipeline::{Graph, NodeId, Workspace};

use crate::accept;

/// Everything with its defaults; models and programs are named, so that the machine does not matter.
pub(crate) const PIPELINE: &str = r#"
[datasets.en]
annotations = "en.json"
images = "imgs"
language = "en"

[datasets.zh]
annotations = "zh.json"
images = "imgs"
language = "zh"
images_of = "en"

[models]
clip = "./models/clip"
gpt2 = { en = "./models/gpt2", zh = "./models/gpt2" }

[mappers.mlp]
kind = "mlp"
prefix_length = 20

[mappers.transformer]
kind = "transformer"
prefix_length = 20
clip_length = 20
layers = 16
heads = 16

[mappers.amht]
kind = "amht"
prefix_length = 20
clip_length = 20
layers = 16
heads = 16

[attention.r50]
encoder = "./models/resnet"

[captions.theirs]
files = { en = "theirs.json" }

[checkpoints.en_clipcap]
file = "clipcap.pt"

[score]
meteor = "./meteor"
spice = "./spice"
"#;

pub(crate) const SCRATCH: &[&str] = &["models.clip=scratch", "models.gpt2.en=scratch", "models.gpt2.zh=scratch"];

/// Settings, and the instances that are looked at under them.
const CASES: &[(&[&str], &[&str])] = &[
    (
        &[],
        &[
            "annotations/en",
            "annotations/zh",
            "ingest/en",
            "ingest/zh",
            "tokenize/en",
            "tokenize/zh",
            "tokenize/en_r50",
            "tokenize/zh_r50",
            "embed/en",
            "features/en_r50",
            "train/en_mlp",
            "train/en_transformer",
            "train/en_amht",
            "train/zh_amht",
            "train/en_mlp_gpt",
            "train/en_clipcap",
            "train/en_r50",
            "train/zh_r50",
            "train/en_r50_ft",
            "features/en_r50_ft",
            "caption/en_mlp",
            "caption/zh_mlp",
            "caption/en_mlp_gpt",
            "caption/en_clipcap",
            "caption/en_r50",
            "caption/zh_r50",
            "caption/en_constant",
            "caption/zh_constant",
            "caption/en_class",
            "caption/en_knn",
            "caption/zh_knn",
            "caption/en_human",
            "caption/en_human_distinct",
            "caption/en_theirs",
            "resource/meteor",
            "spice/en_mlp",
            "spice/en_human",
            "score/en_mlp",
            "score/zh_mlp",
            "score/en_human",
        ],
    ),
    (SCRATCH, &["pretrain/en_clip", "pretrain/en_gpt2", "pretrain/zh_gpt2", "train/zh_mlp", "embed/en"]),
    (&["train.seeds=[1,2]"], &["train/en_mlp_seed2", "score/en_mlp"]),
    (&["score.meteor=off", "score.spice=off"], &["score/en_mlp"]),
    (&["score.resamples=2000"], &["score/en_mlp", "score/zh_mlp"]),
    (&["caption.split=val"], &["caption/en_class", "caption/en_human", "caption/en_theirs", "caption/en_r50"]),
    (&["caption.decoding={method=\"greedy\"}"], &["caption/en_mlp"]),
    (&["caption.max_tokens={en=30,zh=30}"], &["caption/en_mlp", "caption/zh_mlp"]),
    (&["train.lr=1e-4"], &["train/en_mlp", "train/en_mlp_gpt"]),
    (&["train.dropout=0.1"], &["train/en_mlp", "train/en_mlp_gpt"]),
    (&["mappers.amht.init=original"], &["train/en_amht"]),
    (&["embed.unit_length=true"], &["embed/en"]),
    (&["attention.r50.store=f32"], &["features/en_r50"]),
    (&["attention.r50.vocabulary.min_word_freq=1"], &["tokenize/en_r50"]),
    (&["attention.r50.grid=7"], &["train/en_r50", "caption/en_r50"]),
    (&["attention.r50.finetune.lr=2e-4"], &["train/en_r50_ft"]),
    (&["captions.theirs.allow_missing=true"], &["caption/en_theirs"]),
    (&["checkpoints.en_clipcap.normalize=true"], &["train/en_clipcap"]),
    (&["datasets.en.language=zh"], &["annotations/en", "tokenize/en", "caption/en_constant"]),
];

/// The sources: none of them is read, only hashed.
pub(crate) fn write(root: &Path, pipeline: &str) {
    let model = ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"];
    let mut names: Vec<String> = ["clip", "gpt2", "resnet"]
        .iter()
        .flat_map(|folder| model.iter().map(move |file| format!("models/{folder}/{file}")))
        .collect();
    names.extend(
        ["en.json", "zh.json", "imgs/1.png", "imgs/2.png", "theirs.json", "clipcap.pt", "meteor/meteor-1.5.jar"]
            .map(str::to_owned),
    );
    names.extend(["meteor/data/paraphrase-en.gz", "spice/spice-1.0.jar", "spice/lib/a.jar"].map(str::to_owned));
    for name in names {
        let path = root.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("content of {name}")).unwrap();
    }
    fs::write(root.join("pipeline.toml"), pipeline).unwrap();
}

/// Records of everything, with hashes that only the names decide.
fn records(graph: &Graph) -> BTreeMap<NodeId, Record> {
    let mut columns: BTreeMap<NodeId, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for input in graph.nodes.iter().flat_map(|node| &node.inputs) {
        match &input.from {
            From::Output { node, output, columns: read } => {
                columns.entry(*node).or_default().entry(output).or_default().extend(*read);
            }
            From::Scratch { node, .. } => {
                let outputs = columns.entry(*node).or_default();
                for file in ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"] {
                    outputs.entry(file).or_default();
                }
            }
            _ => {}
        }
    }
    let record = |(node, outputs): (NodeId, BTreeMap<&str, BTreeSet<&str>>)| {
        let name = graph.name(node);
        let hash = |what: &str| Digest::of(format!("{name} {what}").as_bytes());
        let output = |(output, columns): (&str, BTreeSet<&str>)| Output {
            name: output.to_owned(),
            object: hash("bytes"),
            extension: "parquet".to_owned(),
            bytes: 1,
            data: hash(output),
            columns: columns
                .into_iter()
                .map(|column| (column.to_owned(), hash(&format!("{output} {column}"))))
                .collect(),
            rows: None,
        };
        (node, Record::new(Ingredients::default(), outputs.into_iter().map(output).collect(), Vec::new()))
    };
    columns.into_iter().map(record).collect()
}

/// The ingredients of all cases, by instance and settings.
fn all(root: &Path) -> BTreeMap<String, Ingredients> {
    let mut all = BTreeMap::new();
    for (settings, instances) in CASES {
        let overrides: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let workspace = Workspace::peek(root, &overrides).unwrap();
        let records = records(&workspace.graph);
        let planner = Planner::new(&workspace);
        for instance in *instances {
            let node = workspace.graph.find(instance).unwrap_or_else(|| panic!("no {instance}"));
            let ingredients = planner.ingredients(&workspace.graph.nodes[node], &|id| records.get(&id)).unwrap();
            let with = if settings.is_empty() { String::new() } else { format!(" {}", settings.join(" ")) };
            all.insert(format!("{instance}{with}"), ingredients);
        }
    }
    all
}

fn keys(root: &Path) -> BTreeMap<String, String> {
    all(root).into_iter().map(|(name, ingredients)| (name, ingredients.key().to_hex())).collect()
}

#[test]
fn golden_keys_of_stages_never_change() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), PIPELINE);
    let found = all(folder.path());
    let stages: BTreeSet<&str> = found.values().map(|ingredients| ingredients.stage.as_str()).collect();
    assert_eq!(stages.len(), 22, "every kind of stage has a key here: {stages:?}");
    let table = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/keys.toml");
    let lines = found.iter().map(|(name, ingredients)| format!("{name:?} = \"{}\"\n", ingredients.key()));
    let text = lines.collect::<String>();
    let Some(accepted) = accept::table(&table, "# Keys; see keys.rs.\n\n", &text) else { return };
    let accepted: BTreeMap<String, String> = toml::from_str(&accepted).unwrap();
    let mut wrong = Vec::new();
    for (name, ingredients) in &found {
        if accepted.get(name) != Some(&ingredients.key().to_hex()) {
            wrong.push(format!("{name}, now made of {}", serde_json::to_string(ingredients).unwrap()));
        }
    }
    wrong
        .extend(accepted.keys().filter(|name| !found.contains_key(*name)).map(|name| format!("{name}, which is gone")));
    assert!(
        wrong.is_empty(),
        "{} keys changed, so that everybody's results under them are built again:\n  {}\n\
         A new parameter should leave out its neutral default (`skip_serializing_if`). If results change, raise the \
         stage's VERSION and say why in its history. If all this is wanted: {}",
        wrong.len(),
        wrong.join("\n  "),
        accept::command("keys"),
    );
}

#[test]
fn keys_depend_on_content_alone() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["one", "another place/two"].map(|name| folder.path().join(name));
    write(&first, PIPELINE);
    // Tables and fields the other way round, a remark, and the same values in other spellings.
    let mut tables: Vec<String> = PIPELINE
        .trim()
        .split("\n\n")
        .map(|table| {
            let (head, fields) = table.split_once('\n').unwrap();
            let fields: Vec<&str> = fields.lines().rev().collect();
            format!("{head} # a remark\n{}\n", fields.join("\n"))
        })
        .collect();
    tables.reverse();
    write(&second, &format!("{}\n[train]\nlr = 0.00002\nepochs = 1_0\n", tables.join("\n")));
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365);
    for file in ["en.json", "imgs/1.png", "models/gpt2/config.json"] {
        fs::File::open(second.join(file)).unwrap().set_modified(long_ago).unwrap();
    }
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(keys(&first), one_thread.install(|| keys(&second)));
    // And content does matter.
    fs::write(second.join("en.json"), "other").unwrap();
    let differ = |name: &String| keys(&first)[name] != keys(&second)[name];
    assert!(differ(&"annotations/en".to_owned()) && !differ(&"annotations/zh".to_owned()));
}

#[test]
fn a_changed_parameter_changes_the_key() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), PIPELINE);
    let found = keys(folder.path());
    // Dropout is for language models that are trained along; the settings of METEOR and SPICE are in no key, their files are.
    let same = ["train/en_mlp train.dropout=0.1"];
    for (name, key) in &found {
        let Some((instance, _)) = name.split_once(' ') else { continue };
        if let Some(plain) = found.get(instance) {
            assert_eq!(plain == key, same.contains(&name.as_str()), "{name}");
        }
    }
}
