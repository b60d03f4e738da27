//! A small workspace as a value: its files follow from it, so that any state can be written into any folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sandbox::{Sandbox, copy};

/// File name -> split at first; the first part is the scene class.
pub(super) const IMAGES: [(&str, &str); 9] = [
    ("beach_1.png", "train"),
    ("river_2.png", "train"),
    ("beach_3.png", "train"),
    ("river_4.png", "train"),
    ("beach_5.png", "val"),
    ("river_6.png", "val"),
    ("beach_7.png", "test"),
    ("river_8.png", "test"),
    ("beach_9.png", "test"),
];
const SPLITS: [&str; 3] = ["train", "val", "test"];
/// The annotation files: `a` and `b` are English with equal content at first, `c` is Chinese.
pub(super) const SETS: [&str; 3] = ["a", "b", "c"];

/// Settings with the values that they take; the first is where all begin.
pub(super) const SETTINGS: [(&str, &[&str]); 9] = [
    ("score.resamples", &["20", "30", "40"]),
    ("score.seed", &["1", "2"]),
    ("caption.split", &["\"test\"", "\"val\""]),
    ("caption.max_tokens", &["{ en = 4, zh = 4 }", "{ en = 5, zh = 4 }"]),
    ("train.lr", &["1e-3", "2e-3"]),
    ("train.seeds", &["[]", "[1, 2]"]),
    ("embed.unit_length", &["false", "true"]),
    ("models.clip", &["\"./models/clip\"", "\"scratch\""]),
    // The second mapper does the same work as the first, or not.
    ("mappers.twin.prefix_length", &["2", "3"]),
];

/// All targets that are worth building; the first ones are the quickest.
pub(super) const TARGETS: [&str; 14] = [
    "caption/a_constant",
    "score/a_constant",
    "score/a_class",
    "score/a_human",
    "score/b_constant",
    "caption/b_human_distinct",
    "score/c_constant",
    "score/a_theirs",
    "ingest/a",
    "tokenize/a",
    "score/a_knn",
    "score/c_knn",
    "score/a_mlp",
    "caption/a_twin*",
];

/// A picture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picture {
    /// As at first.
    Plain,
    /// The same pixels in other bytes.
    SavedAnew,
    /// Other pixels.
    Repainted,
    /// No file.
    Gone,
}

/// How a text file is written; readers see no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Spaced,
    Reversed,
}

/// A source file besides pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Plain,
    /// Other bytes that mean the same (`models/clip/config.json`), or another caption (`theirs.json`).
    Changed,
    Gone,
}

/// Everything in a workspace that is not a result.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) settings: [usize; SETTINGS.len()],
    pub(super) toml: Style,
    /// (set, image, sentence) -> which text.
    pub(super) captions: BTreeMap<(usize, usize, usize), usize>,
    pub(super) splits: Vec<usize>,
    /// Images that no annotation file names.
    pub(super) unlisted: BTreeSet<usize>,
    pub(super) styles: [Style; SETS.len()],
    pub(super) missing: [bool; SETS.len()],
    pub(super) pictures: Vec<Picture>,
    pub(super) theirs: Source,
    pub(super) clip: Source,
}

impl World {
    pub(super) fn new() -> Self {
        let split = |(_, name): &(&str, &str)| SPLITS.iter().position(|split| split == name).unwrap();
        Self {
            settings: [0; SETTINGS.len()],
            toml: Style::Plain,
            captions: BTreeMap::new(),
            splits: IMAGES.iter().map(split).collect(),
            // The last is added by edits.
            unlisted: BTreeSet::from([IMAGES.len() - 1]),
            styles: [Style::Plain; SETS.len()],
            missing: [false; SETS.len()],
            pictures: vec![Picture::Plain; IMAGES.len()],
            theirs: Source::Plain,
            clip: Source::Plain,
        }
    }

    /// Makes the sources in `root` those of this world; files that are right already are left alone.
    pub(super) fn write(&self, root: &Path) {
        self.write_data(root);
        let clip = root.join("models/clip");
        if !root.join("models/gpt2").exists() {
            copy(&models(), &root.join("models"));
        }
        if self.clip == Source::Gone {
            _ = fs::remove_dir_all(&clip);
            return;
        }
        if !clip.exists() {
            copy(&models().join("clip"), &clip);
        }
        let plain = fs::read(models().join("clip/config.json")).unwrap();
        let changed = [plain.as_slice(), b"\n"].concat();
        put(&clip.join("config.json"), Some(if self.clip == Source::Plain { plain } else { changed }));
    }

    /// Everything but the models.
    fn write_data(&self, root: &Path) {
        put(&root.join("pipeline.toml"), Some(self.pipeline().into_bytes()));
        for (set, name) in SETS.iter().enumerate() {
            let text = (!self.missing[set]).then(|| self.annotations(set).into_bytes());
            put(&root.join(format!("{name}.json")), text);
        }
        for (image, picture) in self.pictures.iter().enumerate() {
            put(&root.join("imgs").join(IMAGES[image].0), paint(image, *picture));
        }
        let theirs = |caption: &str| json!({"7": caption, "8": "a wide river"}).to_string().into_bytes();
        put(
            &root.join("theirs.json"),
            match self.theirs {
                Source::Plain => Some(theirs("a long beach")),
                Source::Changed => Some(theirs("a beach and a river")),
                Source::Gone => None,
            },
        );
    }

    fn pipeline(&self) -> String {
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((name, values), choice) in SETTINGS.iter().zip(self.settings) {
            let (table, key) = name.rsplit_once('.').unwrap();
            tables.entry(table.to_owned()).or_default().push(format!("{key} = {}", values[choice]));
        }
        let mut add = |table: &str, lines: &[&str]| {
            tables.entry(table.to_owned()).or_default().extend(lines.iter().map(|line| (*line).to_owned()));
        };
        let annotations = SETS.map(|set| format!("annotations = \"{set}.json\""));
        add("datasets.a", &[&annotations[0], "images = \"imgs\"", "language = \"en\""]);
        add("datasets.b", &[&annotations[1], "images = \"imgs\"", "language = \"en\""]);
        add("datasets.c", &[&annotations[2], "images = \"imgs\"", "language = \"zh\"", "images_of = \"a\""]);
        add("models", &["gpt2 = { en = \"./models/gpt2\", zh = \"./models/none\" }"]);
        add("mappers.mlp", &["kind = \"mlp\"", "prefix_length = 2"]);
        add("mappers.twin", &["kind = \"mlp\""]);
        add("captions.theirs", &["files = { a = \"theirs.json\" }", "allow_missing = true"]);
        add("train", &["epochs = 1", "batch_size = 8"]);
        add("caption", &["decoding = { method = \"greedy\" }"]);
        add("score", &["meteor = \"off\""]);
        add("scratch.clip", CLIP);
        add("scratch.gpt2", GPT2);
        let table = |(name, lines): (&String, &Vec<String>)| {
            let mut lines = lines.clone();
            if self.toml == Style::Reversed {
                lines.reverse();
            }
            format!("[{name}]\n{}\n", lines.join("\n"))
        };
        let mut tables: Vec<String> = tables.iter().map(table).collect();
        match self.toml {
            Style::Plain => {}
            Style::Spaced => tables.insert(0, "# a remark\n\n".to_owned()),
            Style::Reversed => tables.reverse(),
        }
        tables.concat()
    }

    fn annotations(&self, set: usize) -> String {
        let listed = (0..IMAGES.len()).filter(|image| !self.unlisted.contains(image));
        let images: Vec<Value> = listed.map(|image| self.entry(set, image)).collect();
        let file = json!({"images": images, "dataset": SETS[set]});
        match self.styles[set] {
            Style::Plain => file.to_string(),
            Style::Spaced => serde_json::to_string_pretty(&file).unwrap(),
            Style::Reversed => reversed(&file).to_string(),
        }
    }

    fn entry(&self, set: usize, image: usize) -> Value {
        let sentence = |n: usize| {
            let choice = self.captions.get(&(set, image, n)).copied().unwrap_or_default();
            let id = image * 2 + n;
            if SETS[set] == "c" {
                let raw = ["海滩很长", "河流很宽", "海滩和河流"][(image + n + choice) % 3];
                return json!({"sentid": id, "imgid": image + 1, "raw": "unused", "raw_chinese": raw});
            }
            let raw = ["a long beach", "a wide river by the beach", "some water and sand"][(image + n + choice) % 3];
            json!({"sentid": id, "imgid": image + 1, "raw": raw, "tokens": []})
        };
        json!({
            "imgid": image + 1,
            "filename": IMAGES[image].0,
            "split": SPLITS[self.splits[image]],
            "sentids": [image * 2, image * 2 + 1],
            "sentences": [sentence(0), sentence(1)],
        })
    }
}

/// Sizes of the models that are trained from scratch.
const CLIP: &[&str] = &[
    "epochs = 1",
    "image_size = 24",
    "crop = 16",
    "channels = [8, 8]",
    "dim = 8",
    "text_width = 8",
    "batch = 2",
    "min_pictures = 1",
    "views = 1",
];
const GPT2: &[&str] = &["epochs = 1", "vocab_size = 270", "width = 16", "layers = 1", "heads = 1"];

/// The same JSON with the keys of all objects in reverse order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(reversed).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().rev().map(|(name, field)| (name.clone(), reversed(field))).collect())
        }
        leaf => leaf.clone(),
    }
}

/// Makes a file hold `bytes`, or not be there.
fn put(path: &Path, bytes: Option<Vec<u8>>) {
    match bytes {
        None => _ = fs::remove_file(path),
        Some(bytes) if fs::read(path).is_ok_and(|old| old == bytes) => {}
        Some(bytes) => {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

/// The bytes of a picture of coloured squares, which compresses so that filters matter.
fn paint(image: usize, picture: Picture) -> Option<Vec<u8>> {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    let seed = match picture {
        Picture::Gone => return None,
        Picture::Repainted => image + 100,
        Picture::Plain | Picture::SavedAnew => image,
    };
    let pixels = image::RgbImage::from_fn(20, 20, |x, y| {
        let value = (x as usize / 5 * 31 + y as usize / 5 * 17 + seed * 101) * (seed * 7 + 3);
        image::Rgb([value as u8, (value >> 3) as u8, (value >> 6) as u8])
    });
    let filter = if picture == Picture::SavedAnew { FilterType::Up } else { FilterType::NoFilter };
    let mut bytes = Vec::new();
    pixels.write_with_encoder(PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, filter)).unwrap();
    Some(bytes)
}

#[test]
fn pictures_differ_as_they_say() {
    let bytes = |picture| paint(0, picture).unwrap();
    let pixels = |picture| image::load_from_memory(&bytes(picture)).unwrap().to_rgb8();
    assert_ne!(bytes(Picture::Plain), bytes(Picture::SavedAnew));
    assert_eq!(pixels(Picture::Plain), pixels(Picture::SavedAnew));
    assert_ne!(pixels(Picture::Plain), pixels(Picture::Repainted));
}

/// A folder with a small `clip` and a small `gpt2`, trained once for all tests.
fn models() -> PathBuf {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::empty();
        let world = World { settings: [0, 0, 0, 0, 0, 0, 0, 1, 0], ..World::new() };
        world.write_data(&sandbox.root);
        sandbox.edit("pipeline.toml", |text| text.replace("./models/gpt2", "scratch"));
        sandbox.rsic(&["build", "pretrain/a_clip", "pretrain/a_gpt2"]).ok();
        for model in ["clip", "gpt2"] {
            copy(&sandbox.path("output/pretrain").join(format!("a_{model}")), &folder.path().join(model));
        }
        folder
    });
    made.path().to_owned()
}
