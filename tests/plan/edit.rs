//! What happens to a workspace between two builds.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rsic::cache::fail_points;

use super::world::{IMAGES, Picture, SETS, SETTINGS, Source, Style, TARGETS, World};

/// One edit; whatever is counted is taken modulo the number of what is there.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    Nothing,
    /// A setting takes one of its values, maybe one that it had before.
    Setting(usize, usize),
    Toml(Style),
    Caption {
        set: usize,
        image: usize,
        sentence: usize,
        text: usize,
    },
    Split {
        image: usize,
        split: usize,
    },
    Listed {
        image: usize,
        yes: bool,
    },
    AnnotationStyle(usize, Style),
    AnnotationsMissing(usize, bool),
    Picture(usize, Picture),
    Theirs(Source),
    Clip(Source),
    Object(usize, Harm),
    Record(usize, Harm),
    View(usize, Harm),
    Root(usize, Harm),
    /// Every object has the right size and a wrong byte.
    Rot,
    /// Everything in a folder of the store is gone.
    Forget(&'static str),
    /// Unfinished work of a finished action, as a kill between the two leaves it.
    LeftOver(usize),
    Collect,
    /// Other targets are built.
    Build(Vec<usize>),
    Forced(usize),
    /// The user stops a build after some stages.
    Stopped(usize),
    /// A build dies at a fail point.
    Killed(usize),
    Moved,
    /// All sources are written anew with the same bytes.
    Touched,
}

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Harm {
    Gone,
    /// Its size is wrong.
    Cut,
    /// Its size is right.
    Flipped,
}

pub(super) fn edits() -> impl Strategy<Value = Edit> {
    let harm = || prop_oneof![Just(Harm::Gone), Just(Harm::Cut), Just(Harm::Flipped)];
    let style = || prop_oneof![Just(Style::Plain), Just(Style::Spaced), Just(Style::Reversed)];
    let source = || prop_oneof![3 => Just(Source::Plain), 3 => Just(Source::Changed), 1 => Just(Source::Gone)];
    let picture = prop_oneof![
        2 => Just(Picture::Plain),
        2 => Just(Picture::SavedAnew),
        2 => Just(Picture::Repainted),
        1 => Just(Picture::Gone),
    ];
    let folders = prop_oneof![Just("roots"), Just("hints"), Just("objects"), Just("actions"), Just("stat.txt")];
    let image = || 0..IMAGES.len();
    let nth = || any::<prop::sample::Index>().prop_map(|index| index.index(1000));
    prop_oneof![
        1 => Just(Edit::Nothing),
        10 => (0..SETTINGS.len(), 0..3_usize).prop_map(|(name, value)| Edit::Setting(name, value)),
        1 => style().prop_map(Edit::Toml),
        4 => (0..SETS.len(), image(), 0..2_usize, 0..3_usize)
            .prop_map(|(set, image, sentence, text)| Edit::Caption { set, image, sentence, text }),
        3 => (image(), 0..3_usize).prop_map(|(image, split)| Edit::Split { image, split }),
        3 => (image(), any::<bool>()).prop_map(|(image, yes)| Edit::Listed { image, yes }),
        4 => (0..SETS.len(), style()).prop_map(|(set, style)| Edit::AnnotationStyle(set, style)),
        2 => (0..SETS.len(), prop::bool::weighted(0.4)).prop_map(|(set, gone)| Edit::AnnotationsMissing(set, gone)),
        4 => (image(), picture).prop_map(|(image, picture)| Edit::Picture(image, picture)),
        2 => source().prop_map(Edit::Theirs),
        2 => source().prop_map(Edit::Clip),
        4 => (nth(), harm()).prop_map(|(nth, harm)| Edit::Object(nth, harm)),
        3 => (nth(), harm()).prop_map(|(nth, harm)| Edit::Record(nth, harm)),
        3 => (nth(), harm()).prop_map(|(nth, harm)| Edit::View(nth, harm)),
        3 => (nth(), harm()).prop_map(|(nth, harm)| Edit::Root(nth, harm)),
        1 => Just(Edit::Rot),
        2 => folders.prop_map(Edit::Forget),
        2 => nth().prop_map(Edit::LeftOver),
        2 => Just(Edit::Collect),
        3 => prop::collection::vec(0..TARGETS.len(), 1..3).prop_map(Edit::Build),
        1 => (0..TARGETS.len()).prop_map(Edit::Forced),
        2 => (0..4_usize).prop_map(Edit::Stopped),
        2 => nth().prop_map(Edit::Killed),
        1 => Just(Edit::Moved),
        1 => Just(Edit::Touched),
    ]
}

impl Edit {
    /// Makes the edit if it is one of sources or files; the others need a build.
    pub(super) fn apply(&self, world: &mut World, root: &Path) {
        match *self {
            Self::Setting(name, value) => world.settings[name] = value % SETTINGS[name].1.len(),
            Self::Toml(style) => world.toml = style,
            Self::Caption { set, image, sentence, text } => {
                _ = world.captions.insert((set, image, sentence), text);
            }
            Self::Split { image, split } => world.splits[image] = split,
            Self::Listed { image, yes: true } => _ = world.unlisted.remove(&image),
            Self::Listed { image, yes: false } => _ = world.unlisted.insert(image),
            Self::AnnotationStyle(set, style) => world.styles[set] = style,
            Self::AnnotationsMissing(set, gone) => world.missing[set] = gone,
            Self::Picture(image, picture) => world.pictures[image] = picture,
            Self::Theirs(source) => world.theirs = source,
            Self::Clip(source) => world.clip = source,
            Self::Object(nth, harm) => harm.apply(&root.join("cache/objects"), nth),
            Self::Record(nth, harm) => harm.apply(&root.join("cache/actions"), nth),
            Self::View(nth, harm) => harm.apply(&root.join("output"), nth),
            Self::Root(nth, harm) => harm.apply(&root.join("cache/roots"), nth),
            Self::Rot => {
                let folder = root.join("cache/objects");
                (0..files(&folder).len()).for_each(|nth| Harm::Flipped.apply(&folder, nth));
            }
            Self::Forget(folder) => {
                let path = root.join("cache").join(folder);
                for file in files(&path) {
                    fs::remove_file(file).unwrap();
                }
            }
            Self::LeftOver(nth) => {
                if let Some(record) = pick(&root.join("cache/actions"), nth) {
                    let folder = root.join("cache/partial").join(record.file_stem().unwrap());
                    fs::create_dir_all(&folder).unwrap();
                    fs::write(folder.join("checkpoint"), b"old").unwrap();
                }
            }
            Self::Touched => {
                for file in ["a.json", "b.json", "imgs/beach_1.png", "models/gpt2/config.json"] {
                    if let Ok(bytes) = fs::read(root.join(file)) {
                        fs::write(root.join(file), bytes).unwrap();
                    }
                }
            }
            Self::Nothing
            | Self::Collect
            | Self::Build(_)
            | Self::Forced(_)
            | Self::Stopped(_)
            | Self::Killed(_)
            | Self::Moved => {}
        }
        world.write(root);
    }
}

/// The name of a fail point that a build may reach.
pub(super) fn fail_point(nth: usize) -> String {
    let points: Vec<String> =
        fail_points().into_iter().filter(|point| !point.starts_with("gc.") && !point.starts_with("pin.")).collect();
    format!("{}:{}", points[nth % points.len()], nth % 4 + 1)
}

impl Harm {
    fn apply(self, folder: &Path, nth: usize) {
        let Some(path) = pick(folder, nth) else { return };
        let mut bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        match self {
            Self::Gone => return,
            Self::Cut => bytes.truncate(bytes.len() / 2),
            Self::Flipped => {
                let middle = bytes.len() / 2;
                bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
            }
        }
        fs::write(&path, bytes).unwrap();
    }
}

fn pick(folder: &Path, nth: usize) -> Option<PathBuf> {
    let all = files(folder);
    (!all.is_empty()).then(|| all[nth % all.len()].clone())
}

/// All files below a path, sorted.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.flat_map(|entry| files(&entry.unwrap().path())).collect();
    all.sort();
    all
}
