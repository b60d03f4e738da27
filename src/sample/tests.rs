use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::*;
use crate::progress::Silent;

const SMALL: SampleConfig = SampleConfig { images_per_class: 4, size: 32, seed: 7 };

fn make(config: &SampleConfig) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), config, &Silent).unwrap();
    dir
}

fn json(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(dir.join("UCM_captions").join(name)).unwrap()).unwrap()
}

/// Every file below `dir`, the lock aside, with its bytes.
fn bytes(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with(".rsic-sample-lock") {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                all.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// All captions of a dataset of the default length, by class.
fn captions() -> Vec<(Class, Language, Vec<String>)> {
    let config = SampleConfig { size: 16, ..SampleConfig::default() };
    let mut all = Vec::new();
    for task in tasks(&config) {
        let drawn = draw(&config, task).unwrap();
        all.push((task.0, Language::En, drawn.english));
        all.push((task.0, Language::Zh, drawn.chinese));
    }
    all
}

/// Counts what is begun and done; stops once `limit` steps are done.
struct Counting {
    total: AtomicU64,
    done: AtomicU64,
    limit: u64,
}

impl Counting {
    fn new(limit: u64) -> Self {
        Self { total: AtomicU64::new(0), done: AtomicU64::new(0), limit }
    }
}

impl Progress for Counting {
    fn begin(&self, _: &str, total: u64, _: &str) {
        self.total.store(total, Ordering::SeqCst);
    }
    fn advance(&self, steps: u64) {
        self.done.fetch_add(steps, Ordering::SeqCst);
    }
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.done.load(Ordering::SeqCst) >= self.limit
    }
}

#[test]
fn equal_settings_give_equal_bytes_whatever_the_thread_count() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bytes(make(&SMALL).path()))
    };
    let one = on(1);
    assert!(one == on(2) && one == on(3));
    assert!(one != bytes(make(&SampleConfig { seed: 8, ..SMALL }).path()));
}

/// Pins pixels and sentences: when this fails on purpose, count [`VERSION`] up and write the new digest here.
#[test]
fn the_same_version_draws_the_same_dataset_everywhere() {
    let mut hasher = blake3::Hasher::new();
    for task in tasks(&SMALL) {
        let drawn = draw(&SMALL, task).unwrap();
        // Decoded, because another release of the PNG encoder may pack differently.
        hasher.update(image::load_from_memory(&drawn.png).unwrap().as_bytes());
        hasher.update(drawn.english.concat().as_bytes()).update(drawn.chinese.concat().as_bytes());
        hasher.update(drawn.split.name().as_bytes());
    }
    // Computed by this code (x86-64 Linux); there is no other source.
    assert_eq!(Digest::from(hasher.finalize()).short(), "950db5f4b2fc");
}

#[test]
fn more_images_keep_the_scenes_of_the_first() {
    let (few, many) = (SMALL, SampleConfig { images_per_class: 9, ..SMALL });
    let first = |config| draw(config, (Class::River, 2, Split::Train)).unwrap();
    assert_eq!(first(&few).png, first(&many).png);
    assert_eq!(first(&few).chinese, first(&many).chinese);
}

#[test]
fn annotations_have_the_published_schema() {
    let dir = make(&SMALL);
    let (english, chinese) = (json(dir.path(), "dataset.json"), json(dir.path(), "dataset_ucm_cn.json"));
    let classes = json(dir.path(), "classes.json");
    let images = english["images"].as_array().unwrap();
    assert_eq!(images.len(), 64);
    assert_eq!(classes.as_object().unwrap().len(), 64);
    for (imgid, image) in images.iter().enumerate() {
        let other = &chinese["images"][imgid];
        assert_eq!(image["imgid"], imgid);
        assert_eq!(image["filename"], format!("{}.png", imgid + 1));
        assert_eq!(classes[format!("{}.png", imgid + 1)], Class::ALL[imgid / 4].info().name);
        assert_eq!((&image["filename"], &image["split"]), (&other["filename"], &other["split"]));
        assert_eq!(image["sentids"], serde_json::json!((imgid * 5..imgid * 5 + 5).collect::<Vec<_>>()));
        for place in 0..5 {
            let (sentence, other) = (&image["sentences"][place], &other["sentences"][place]);
            assert_eq!(
                (sentence["imgid"].clone(), sentence["sentid"].clone()),
                (imgid.into(), (imgid * 5 + place).into())
            );
            let raw = sentence["raw"].as_str().unwrap();
            let tokens: Vec<&str> =
                sentence["tokens"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
            assert_eq!(format!("{} .", tokens.join(" ")), raw);
            assert!(sentence.get("raw_chinese").is_none() && other["raw"] == sentence["raw"]);
            let tokens = other["tokens_chinese"].as_array().unwrap().iter().map(|t| t.as_str().unwrap());
            assert_eq!(tokens.collect::<String>(), other["raw_chinese"].as_str().unwrap());
        }
        let picture = image::open(dir.path().join("UCM_captions/imgs").join(format!("{}.png", imgid + 1))).unwrap();
        assert_eq!((picture.width(), picture.height()), (32, 32));
    }
}

#[test]
fn every_class_is_in_every_split() {
    // name, images of each class, of which (train, val, test)
    let rows =
        [("the default", 36, (28, 4, 4)), ("the least", 3, (1, 1, 1)), ("ten", 10, (8, 1, 1)), ("odd", 25, (19, 3, 3))];
    for (name, images_per_class, expected) in rows {
        let tasks = tasks(&SampleConfig { images_per_class, ..SMALL });
        for class in Class::ALL {
            let count = |split| tasks.iter().filter(|task| task.0 == class && task.2 == split).count();
            assert_eq!((count(Split::Train), count(Split::Val), count(Split::Test)), expected, "{name}, {class:?}");
        }
    }
}

#[test]
fn captions_are_well_formed_and_the_five_of_an_image_differ() {
    for (class, language, five) in captions() {
        assert_eq!(five.iter().collect::<BTreeSet<_>>().len(), 5, "{class:?}");
        for caption in &five {
            assert!(!caption.contains(['{', '}', '[', ']', '|', '\u{fffd}']), "{caption}");
            match language {
                Language::En => {
                    assert!(
                        caption.starts_with(|c: char| c.is_ascii_uppercase()) && caption.ends_with(" ."),
                        "{caption}"
                    );
                    assert!(caption.is_ascii() && !caption.contains("  "), "{caption}");
                }
                Language::Zh => {
                    assert!(caption.ends_with('.') && !caption.contains(char::is_whitespace), "{caption}");
                    assert!(!caption.contains(|c: char| c.is_ascii_alphanumeric() || c == ','), "{caption}");
                    let body = caption.trim_end_matches('.').chars();
                    assert!(body.clone().all(|c| c == '，' || ('\u{4e00}'..='\u{9fff}').contains(&c)), "{caption}");
                }
            }
        }
    }
}

#[test]
fn captions_name_their_class_and_no_other() {
    for (class, language, five) in captions() {
        for caption in &five {
            for info in classes() {
                let named = names_class(caption, language, info.name);
                assert_eq!(named, info.name == class.info().name, "{} in: {caption}", info.name);
            }
        }
    }
}

#[test]
fn captions_vary_within_a_class() {
    let mut distinct: BTreeMap<(Class, &str), BTreeSet<String>> = BTreeMap::new();
    for (class, language, five) in captions() {
        distinct.entry((class, language.code())).or_default().extend(five);
    }
    for (key, captions) in distinct {
        assert!(captions.len() >= 40, "{key:?} has only {} different captions", captions.len());
    }
}

#[test]
fn pictures_are_neither_flat_nor_burnt_out() {
    for (class, index, split) in tasks(&SMALL) {
        let drawn = draw(&SampleConfig { size: 64, ..SMALL }, (class, index, split)).unwrap();
        let picture = image::load_from_memory(&drawn.png).unwrap().to_luma8();
        let count = picture.len() as f64;
        let mean = picture.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let spread = (picture.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count).sqrt();
        // Wide limits: a scene that fails to draw is black or one colour.
        assert!((20.0..236.0).contains(&mean) && spread > 4.0, "{class:?} {index}: mean {mean}, spread {spread}");
    }
}

#[test]
fn a_whole_folder_is_left_alone() {
    let dir = make(&SMALL);
    let before = fs::metadata(dir.path().join("UCM_captions/imgs/1.png")).unwrap().modified().unwrap();
    let progress = Counting::new(u64::MAX);
    write(dir.path(), &SMALL, &progress).unwrap();
    assert_eq!(progress.total.into_inner(), 0);
    assert_eq!(fs::metadata(dir.path().join("UCM_captions/imgs/1.png")).unwrap().modified().unwrap(), before);
}

#[test]
fn progress_counts_every_image() {
    let (dir, progress) = (tempfile::tempdir().unwrap(), Counting::new(u64::MAX));
    write(dir.path(), &SMALL, &progress).unwrap();
    assert_eq!((progress.total.into_inner(), progress.done.into_inner()), (64, 64));
}

#[test]
fn damage_is_repaired() {
    type Harm = fn(&Path);
    let whole = bytes(make(&SMALL).path());
    let rows: [(&str, Harm); 4] = [
        ("an image is missing", |folder| fs::remove_file(folder.join("imgs/5.png")).unwrap()),
        ("an image is cut off", |folder| fs::write(folder.join("imgs/5.png"), b"\x89PNG").unwrap()),
        ("all images are missing", |folder| fs::remove_dir_all(folder.join("imgs")).unwrap()),
        ("the annotations are edited", |folder| fs::write(folder.join("dataset.json"), b"{}").unwrap()),
    ];
    for (name, harm) in rows {
        let dir = make(&SMALL);
        harm(&dir.path().join("UCM_captions"));
        write(dir.path(), &SMALL, &Silent).unwrap();
        assert!(bytes(dir.path()) == whole, "{name}");
    }
}

#[test]
fn other_settings_replace_the_sample() {
    let dir = make(&SMALL);
    let other = SampleConfig { images_per_class: 3, ..SMALL };
    write(dir.path(), &other, &Silent).unwrap();
    assert!(bytes(dir.path()) == bytes(make(&other).path()));
}

#[test]
fn an_interrupted_write_leaves_nothing_and_the_next_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let error = write(dir.path(), &SMALL, &Counting::new(9)).unwrap_err();
    assert!(error.downcast_ref::<Interrupted>().is_some(), "{error:#}");
    assert!(bytes(dir.path()).is_empty());
    // What a kill leaves, which no destructor cleans.
    let left = dir.path().join(".rsic-sample-dead/new/imgs");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("1.png"), b"half").unwrap();
    write(dir.path(), &SMALL, &Silent).unwrap();
    assert!(bytes(dir.path()) == bytes(make(&SMALL).path()));
}

#[test]
fn an_interrupted_replacement_keeps_the_old_sample() {
    let dir = make(&SMALL);
    let before = bytes(dir.path());
    assert!(write(dir.path(), &SampleConfig { seed: 8, ..SMALL }, &Counting::new(9)).is_err());
    assert!(bytes(dir.path()) == before);
}

#[test]
fn two_writers_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2).map(|_| scope.spawn(|| write(dir.path(), &SMALL, &Silent))).collect();
        for writer in writers {
            writer.join().unwrap().unwrap();
        }
    });
    assert!(bytes(dir.path()) == bytes(make(&SMALL).path()));
}

#[test]
fn foreign_files_are_never_lost() {
    let other = SampleConfig { seed: 8, ..SMALL };
    let foreign = tempfile::tempdir().unwrap();
    fs::create_dir(foreign.path().join("UCM_captions")).unwrap();
    fs::write(foreign.path().join("UCM_captions/dataset.json"), b"mine").unwrap();
    let mixed = make(&SMALL);
    fs::write(mixed.path().join("UCM_captions/imgs/mine.png"), b"mine").unwrap();
    write(mixed.path(), &SMALL, &Silent).unwrap();
    let rows = [
        ("a folder that is no sample", foreign.path(), "is not a sample"),
        ("a sample with another file", mixed.path(), "holds imgs/mine.png"),
    ];
    for (name, dir, message) in rows {
        let before = bytes(dir);
        let error = write(dir, &other, &Silent).unwrap_err().to_string();
        assert!(error.contains(message), "{name}: {error}");
        assert!(bytes(dir) == before, "{name}");
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let rows = [
        ("too few images", SampleConfig { images_per_class: 2, ..SMALL }, "images_per_class is 2"),
        ("too many images", SampleConfig { images_per_class: 1001, ..SMALL }, "images_per_class is 1001"),
        ("too small", SampleConfig { size: 8, ..SMALL }, "size is 8"),
        ("too big", SampleConfig { size: 4000, ..SMALL }, "size is 4000"),
    ];
    for (name, config, message) in rows {
        let dir = tempfile::tempdir().unwrap();
        let error = write(dir.path(), &config, &Silent).unwrap_err().to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
}
