//! The sample dataset that `rsic demo` renders: drawn scenes with captions in two languages.
//!
//! [`write()`] makes the layout of UCM-captions. All of it follows from [`SampleConfig`]: every image draws from a
//! generator of its own, so neither the number of threads nor that of images changes a picture.

mod class;
mod draw;
mod facts;
mod files;
mod random;
mod scene;
mod words;

#[cfg(test)]
mod tests;

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::ImageFormat;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use class::{ClassInfo, classes, names_class};

use crate::digest::Digest;
use crate::language::{Language, Split};
use crate::progress::{Interrupted, Progress};
use class::Class;
use random::Rng;

/// Counts up whenever the same settings give another picture or sentence, so that old folders are drawn anew.
const VERSION: &str = "rsic 2026 sample dataset v1";

/// What [`write()`] renders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// Images of every class, at least 3 so that each split has one.
    pub images_per_class: u32,
    /// Width and height of an image in pixels, 16 to 1024.
    pub size: u32,
    /// Another number gives other scenes and sentences.
    pub seed: u64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { images_per_class: 36, size: 128, seed: 1 }
    }
}

impl SampleConfig {
    fn check(&self) -> Result<()> {
        ensure!(
            (3..=1000).contains(&self.images_per_class),
            "images_per_class is {}, but it must be 3 to 1000 (every split needs an image of every class)",
            self.images_per_class
        );
        ensure!((16..=1024).contains(&self.size), "size is {}, but it must be 16 to 1024 pixels", self.size);
        Ok(())
    }

    /// The digest of the settings and of the version of the renderer.
    fn digest(&self) -> Digest {
        let text = format!("images_per_class={} size={} seed={}", self.images_per_class, self.size, self.seed);
        Digest::derive(VERSION, text.as_bytes())
    }
}

/// The `pipeline.toml` of a workspace around the sample dataset: scratch models, small mappers.
pub const PIPELINE: &str = include_str!("pipeline.toml");

/// Whether [`write()`] has made a dataset in `dir`, with whatever settings; users may have edited it since.
pub fn is_written(dir: &Path) -> bool {
    files::is_published(dir)
}

/// One image's place in the dataset and what is said about it.
struct Drawn {
    class: Class,
    split: Split,
    english: Vec<String>,
    chinese: Vec<String>,
    png: Vec<u8>,
}

/// Writes the sample dataset to `dir/UCM_captions`.
///
/// The folder then holds `dataset.json` (English), `dataset_ucm_cn.json` (the same images, both languages),
/// `classes.json` (file name -> class), `imgs/1.png` and so on, and a marker with the digests of settings and content.
/// A whole folder with the same settings is left alone. Otherwise everything is rendered beside it and renamed, so that
/// a kill leaves the old folder, none, or the new one. Another process that writes meanwhile is waited for.
///
/// Fails if the settings are out of range, if the folder was made by something else, with
/// [`Interrupted`] if the user asks to stop, and if the disk does.
pub fn write(dir: &Path, config: &SampleConfig, progress: &dyn Progress) -> Result<()> {
    config.check()?;
    files::publish(dir, config.digest(), |folder| {
        progress.begin("drawing the sample", u64::from(config.images_per_class) * Class::ALL.len() as u64, "images");
        let tasks = tasks(config);
        let drawn: Vec<Drawn> = tasks
            .par_iter()
            .enumerate()
            .map(|(place, task)| {
                if progress.cancelled() {
                    return Err(Interrupted.into());
                }
                let mut drawn = draw(config, *task)?;
                files::write_image(folder, place, &std::mem::take(&mut drawn.png))?;
                progress.advance(1);
                Ok(drawn)
            })
            .collect::<Result<_>>()?;
        files::write_annotations(folder, &drawn)
    })
}

/// The captions of every image of the default sample, without its pictures.
pub fn captions(language: Language) -> Result<Vec<Vec<String>>> {
    let config = SampleConfig { size: 16, ..SampleConfig::default() };
    tasks(&config)
        .par_iter()
        .map(|&(class, index, _)| {
            let rng = |purpose| Rng::new(config.seed, class.info().name, index, purpose);
            let (_, facts) = scene::render(class, config.size, &mut rng("scene"));
            let purpose = if language == Language::En { "english" } else { "chinese" };
            words::describe(class, &facts, language, &mut rng(purpose))
        })
        .collect()
}

/// Class, number within the class and split of every image, in the order of the dataset.
fn tasks(config: &SampleConfig) -> Vec<(Class, u32, Split)> {
    let count = config.images_per_class;
    let held_out = ((count + 5) / 10).max(1) as usize;
    let mut tasks = Vec::new();
    for class in Class::ALL {
        let mut splits = vec![Split::Train; count as usize];
        splits[..held_out].fill(Split::Val);
        splits[held_out..2 * held_out].fill(Split::Test);
        Rng::new(config.seed, class.info().name, count, "splits").shuffle(&mut splits);
        tasks.extend((0..count).zip(splits).map(|(index, split)| (class, index, split)));
    }
    tasks
}

fn draw(config: &SampleConfig, (class, index, split): (Class, u32, Split)) -> Result<Drawn> {
    let rng = |purpose| Rng::new(config.seed, class.info().name, index, purpose);
    let (picture, facts) = scene::render(class, config.size, &mut rng("scene"));
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).context("cannot encode a sample image")?;
    Ok(Drawn {
        class,
        split,
        english: words::describe(class, &facts, Language::En, &mut rng("english"))?,
        chinese: words::describe(class, &facts, Language::Zh, &mut rng("chinese"))?,
        png: png.into_inner(),
    })
}
