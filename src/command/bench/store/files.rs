//! Made-up datasets and pipelines, as large as one likes.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use image::ExtendedColorType;
use image::ImageEncoder as _;
use image::codecs::png::PngEncoder;
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::language::Language;
use crate::sample;

/// The folder of the images.
pub(super) const IMAGES: &str = "x/imgs";
/// What is built of every dataset of [`instances`]: with annotations and captions nine instances each.
pub(super) const TARGETS: [&str; 4] = ["score/*_constant", "score/*_class", "score/*_human", "score/*_human_distinct"];
const PER_DATASET: u32 = 9;

/// Settings with which nothing has to be downloaded.
const SETTINGS: &str = "[models]\nclip = \"scratch\"\ngpt2 = { en = \"scratch\" }\n[mappers]\n[score]\nmeteor = \"off\"\n\
    resamples = 100\n";

/// A workspace with one dataset `x`: distinct pictures of 0.2 to 4 kB with five captions each.
pub(super) fn images(folder: &Path, count: u32) -> Result<()> {
    let images = folder.join(IMAGES);
    std::fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
    (0..count).into_par_iter().try_for_each(|n| write(&images.join(name(n)), &picture(n)?))?;
    write(&folder.join("x/dataset.json"), &annotations(&sample::captions(Language::En)?, 0..count)?)?;
    write(&folder.join("pipeline.toml"), format!("{}{SETTINGS}", dataset("x")).as_bytes())
}

/// A workspace of many datasets with four images each, of which only the captions are read; returns how many
/// instances [`TARGETS`] have.
pub(super) fn instances(folder: &Path, about: u32) -> Result<u32> {
    let datasets = about.div_ceil(PER_DATASET);
    let captions = sample::captions(Language::En)?;
    let mut settings = String::new();
    for n in 0..datasets {
        let name = format!("d{n}");
        let place = folder.join(&name);
        std::fs::create_dir_all(place.join("imgs")).with_context(|| format!("cannot make {}", place.display()))?;
        write(&place.join("dataset.json"), &annotations(&captions, 4 * n..4 * n + 4)?)?;
        settings += &dataset(&name);
    }
    write(&folder.join("pipeline.toml"), (settings + SETTINGS).as_bytes())?;
    Ok(datasets * PER_DATASET)
}

fn dataset(name: &str) -> String {
    let mut text = String::new();
    _ = writeln!(text, "[datasets.{name}]\nannotations = \"{name}/dataset.json\"\nimages = \"{name}/imgs\"");
    text + "language = \"en\"\n"
}

fn name(n: u32) -> String {
    format!("{n}.png")
}

/// Noise, so that no two pictures are alike and none gets smaller by packing.
fn picture(n: u32) -> Result<Vec<u8>> {
    let (width, height) = (8 + n % 29, 8 + n / 29 % 29);
    let mut pixels = vec![0; (width * height * 3) as usize];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut pixels);
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&pixels, width, height, ExtendedColorType::Rgb8)?;
    Ok(png)
}

fn annotations(captions: &[Vec<String>], images: std::ops::Range<u32>) -> Result<Vec<u8>> {
    let rows = images.map(|n| {
        let raws = captions[n as usize % captions.len()].iter().cycle().take(5);
        let sentences: Vec<Value> = raws.map(|raw| json!({ "raw": raw })).collect();
        let split = ["train", "train", "val", "test"][n as usize % 4];
        json!({"imgid": n, "filename": name(n), "split": split, "sentences": sentences})
    });
    Ok(serde_json::to_vec(&json!({"images": rows.collect::<Vec<Value>>()}))?)
}

/// Waits until files that were just written are old enough to be remembered.
pub(super) fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(2100));
}

/// Writes a file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
