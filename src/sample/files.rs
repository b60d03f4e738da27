//! The sample's folder: what is in it, whether it is whole, and how it appears at once or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::Drawn;
use crate::digest::Digest;

const FOLDER: &str = "UCM_captions";
const MARKER: &str = "sample.json";
const SCRATCH: &str = ".rsic-sample-";

#[derive(Serialize)]
struct Annotations<'a> {
    images: Vec<ImageRow<'a>>,
    dataset: &'static str,
}

#[derive(Serialize)]
struct ImageRow<'a> {
    sentids: Vec<usize>,
    imgid: usize,
    sentences: Vec<SentenceRow<'a>>,
    split: &'static str,
    filename: String,
}

#[derive(Serialize)]
struct SentenceRow<'a> {
    tokens: Vec<&'a str>,
    raw: &'a str,
    imgid: usize,
    sentid: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_chinese: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_chinese: Option<Vec<String>>,
}

/// Says that a folder is ours and what was put there.
#[derive(PartialEq, Serialize, Deserialize)]
struct Marker {
    /// Digest of the settings.
    config: Digest,
    /// File name, relative to the folder -> digest of its bytes.
    files: BTreeMap<String, Digest>,
}

/// Whether a folder of ours is in `dir`; it appears only when it is whole.
pub(super) fn is_published(dir: &Path) -> bool {
    dir.join(FOLDER).join(MARKER).is_file()
}

fn filename(place: usize) -> String {
    format!("{}.png", place + 1)
}

/// Writes the image number `place` (from 0).
pub(super) fn write_image(folder: &Path, place: usize, png: &[u8]) -> Result<()> {
    put(&folder.join("imgs").join(filename(place)), png)
}

/// Writes the annotation files of both languages and the classes.
pub(super) fn write_annotations(folder: &Path, drawn: &[Drawn]) -> Result<()> {
    let classes: serde_json::Map<String, serde_json::Value> =
        drawn.iter().enumerate().map(|(place, image)| (filename(place), image.class.info().name.into())).collect();
    put(&folder.join("dataset.json"), &serde_json::to_vec(&annotations(drawn, false))?)?;
    put(&folder.join("dataset_ucm_cn.json"), &serde_json::to_vec(&annotations(drawn, true))?)?;
    put(&folder.join("classes.json"), &serde_json::to_vec_pretty(&classes)?)
}

fn annotations(drawn: &[Drawn], chinese: bool) -> Annotations<'_> {
    let mut sentid = 0;
    let mut images = Vec::new();
    for (imgid, image) in drawn.iter().enumerate() {
        let mut sentences = Vec::new();
        for (raw, translated) in image.english.iter().zip(&image.chinese) {
            sentences.push(SentenceRow {
                tokens: raw.trim_end_matches(" .").split(' ').collect(),
                raw,
                imgid,
                sentid,
                raw_chinese: chinese.then_some(translated.as_str()),
                tokens_chinese: chinese.then(|| translated.chars().map(String::from).collect()),
            });
            sentid += 1;
        }
        let sentids = sentences.iter().map(|sentence| sentence.sentid).collect();
        images.push(ImageRow { sentids, imgid, sentences, split: image.split.name(), filename: filename(imgid) });
    }
    Annotations { images, dataset: "sample" }
}

/// Makes `dir/UCM_captions` by `fill`ing a folder beside it, unless a whole one with the same settings is there.
pub(super) fn publish(dir: &Path, config: Digest, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let _lock = lock(&dir.join(format!("{SCRATCH}lock")))?;
    let target = dir.join(FOLDER);
    let found = read_marker(&target)?;
    if let Some(marker) = found {
        if marker.config == config && is_whole(&target, &marker) {
            return Ok(());
        }
        refuse_strangers(&target, &marker)?;
    }
    remove_leftovers(dir)?;
    // Dropped, and with it all that was drawn, when `fill` fails.
    let scratch = tempfile::Builder::new()
        .prefix(SCRATCH)
        .tempdir_in(dir)
        .with_context(|| format!("cannot make a folder in {}", dir.display()))?;
    let fresh = scratch.path().join("new");
    fs::create_dir_all(fresh.join("imgs"))?;
    fill(&fresh)?;
    let marker = Marker { config, files: digests(&fresh)? };
    put(&fresh.join(MARKER), &serde_json::to_vec_pretty(&marker)?)?;
    if target.exists() {
        fs::rename(&target, scratch.path().join("old"))
            .with_context(|| format!("cannot replace {}", target.display()))?;
    }
    fs::rename(&fresh, &target).with_context(|| format!("cannot put {} in place", target.display()))
}

/// Waits until no other process writes here; a file system without locks has none to wait for.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.lock() {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
        _ => Ok(file),
    }
}

/// The marker of the folder, `None` if there is no folder.
///
/// Fails if the folder is not a sample: it may be somebody's dataset.
fn read_marker(target: &Path) -> Result<Option<Marker>> {
    if !target.exists() {
        return Ok(None);
    }
    match fs::read(target.join(MARKER)) {
        Ok(bytes) => {
            let damaged = || anyhow!("{} is damaged; remove that folder", target.join(MARKER).display());
            Ok(Some(serde_json::from_slice(&bytes).map_err(|_| damaged())?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "{} is there already and is not a sample (it has no {MARKER}); choose another folder or move it away",
            target.display()
        ),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", target.join(MARKER).display())),
    }
}

/// Whether every file of the sample is there with its bytes; others do not count.
fn is_whole(target: &Path, marker: &Marker) -> bool {
    let unchanged =
        |(name, digest): (&String, &Digest)| fs::read(target.join(name)).is_ok_and(|b| Digest::of(&b) == *digest);
    marker.files.iter().all(unchanged)
}

/// Fails if the folder holds files that replacing it would lose and that the sample did not bring (hidden ones aside).
fn refuse_strangers(target: &Path, marker: &Marker) -> Result<()> {
    let names = names(target)?;
    let stranger =
        names.iter().find(|name| !marker.files.contains_key(*name) && !name.contains("/.") && !name.starts_with('.'));
    match stranger {
        Some(name) => bail!(
            "{} must be drawn anew, but holds {name}, which is not the sample's; move it away first",
            target.display()
        ),
        None => Ok(()),
    }
}

/// The digests of all files of the sample but the marker.
fn digests(folder: &Path) -> Result<BTreeMap<String, Digest>> {
    let digest = |name: String| {
        let bytes = fs::read(folder.join(&name)).with_context(|| format!("cannot read {name}"))?;
        Ok((name, Digest::of(&bytes)))
    };
    names(folder)?.into_iter().map(digest).collect()
}

/// What is in the folder and its `imgs`, the marker and `imgs` aside.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (prefix, folder) in [("", folder.to_owned()), ("imgs/", folder.join("imgs"))] {
        if folder.is_dir() {
            let found = list(&folder)?;
            let found = found.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy());
            names.extend(found.filter(|name| name != MARKER && name != "imgs").map(|name| format!("{prefix}{name}")));
        }
    }
    Ok(names)
}

/// Removes what a killed run left; nobody else writes while the lock is held.
fn remove_leftovers(dir: &Path) -> Result<()> {
    for path in list(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(SCRATCH) && path.is_dir() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
