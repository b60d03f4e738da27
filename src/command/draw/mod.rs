//! `rsic draw`.

mod svg;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use arrow::array::RecordBatch;
use clap::Args;

use super::Global;
use super::file::write;
use crate::model::feature_map::as_seen;
use crate::picture::{self, Picture};
use crate::pipeline::config::near;
use crate::pipeline::graph::From;
use crate::pipeline::plan::Planner;
use crate::pipeline::target::{self, UsageError};
use crate::pipeline::{State, Workspace, inputs};
use crate::stage::{Inputs, Stage};
use crate::table;
use crate::ui::Ui;
use svg::{Drawing, Word};

/// Draw where the attention baseline looked in an image while it wrote each word of its caption.
///
/// The file is a SVG that any browser shows: one panel per word, the picture dark where it was not looked at. The captions must have
/// been made with `keep_attention = true` under `[attention.NAME]`.
#[derive(Debug, Args)]
pub struct Draw {
    /// The captions, such as `caption/ucm_r50`.
    #[arg(value_name = "TARGET")]
    target: String,
    /// The image, by its file name or number.
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// The file to write.
    #[arg(long, value_name = "FILE.svg")]
    to: PathBuf,
    /// Overwrite the file.
    #[arg(short, long)]
    force: bool,
}

/// Side in pixels of the picture in the drawing.
const SIDE: u32 = 256;

impl Draw {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        if self.to.extension().is_none_or(|extension| extension != "svg") {
            let text = format!("{} is not named as a SVG", self.to.display());
            return Err(UsageError { text, hint: "end it in `.svg`".to_owned() }.into());
        }
        if self.to.exists() && !self.force {
            let text = format!("{} is there already", self.to.display());
            return Err(UsageError { text, hint: "`--force` overwrites it".to_owned() }.into());
        }
        let workspace = global.peek()?;
        let built = self.built(&workspace)?;
        let image = self.image(&built.inputs.table("images")?)?;
        let (caption, words) = words(&built.captions, &built.inputs.table("vocabulary")?, &image)?;
        let picture = picture(&workspace, &built.dataset, &image)?;
        let picture = as_seen(&picture, &built.encoder.bundle("encoder")?, SIDE)?;
        let drawing = Drawing { title: &image.filename, caption: &caption, picture: &picture, words: &words };
        write(&self.to, |out| Ok(out.write_all(drawing.svg()?.as_bytes())?))?;
        ui.say(&format!("{}: \"{caption}\" is drawn in {}", image.filename, self.to.display()));
        Ok(ExitCode::SUCCESS)
    }

    fn built(&self, workspace: &Workspace) -> Result<Built> {
        let nodes = target::resolve(&workspace.graph, std::slice::from_ref(&self.target))?;
        let [node] = nodes[..] else {
            let text = format!("`{}` names {} targets", self.target, nodes.len());
            return Err(UsageError { text, hint: "draw one at a time".to_owned() }.into());
        };
        let spec = &workspace.graph.nodes[node];
        let instance = spec.instance.to_string();
        if !matches!(spec.stage, Stage::CaptionByAttention(_)) {
            let text = format!("{instance} has no attention to draw");
            let hint = "name captions of a model under [attention], such as `caption/ucm_r50`".to_owned();
            return Err(UsageError { text, hint }.into());
        }
        let plan = Planner::new(workspace).plan(&[node], &[])?;
        let planned = plan.nodes.iter().find(|planned| planned.node == node);
        let fresh = planned
            .filter(|planned| matches!(planned.state, State::Fresh | State::Restorable | State::Modified { .. }));
        let record = fresh.and_then(|planned| planned.record.clone()).ok_or_else(|| {
            anyhow!("{instance} is not built from the settings and files as they are now: run `rsic build {instance}`")
        })?;
        let output = record.output("captions").context("the captions have no table")?;
        let bytes = workspace.cache.get(&output.stored())?;
        let captions = table::read(bytes.ok_or_else(|| anyhow!("the captions are damaged or gone: build again"))?)?;
        let records: BTreeMap<_, _> =
            plan.nodes.into_iter().filter_map(|planned| Some((planned.node, planned.record?))).collect();
        let features = spec.inputs.iter().find_map(|input| match input.from {
            From::Output { node, output: "features", .. } => Some(node),
            _ => None,
        });
        let features = features.context("the captions are of no feature maps")?;
        let dataset = workspace.config.dataset_of(&spec.instance.name).context("the target is of no dataset")?.0;
        Ok(Built {
            dataset: dataset.to_owned(),
            captions,
            inputs: inputs::some(workspace, node, &records, |name| name == "images" || name == "vocabulary")?,
            encoder: inputs::some(workspace, features, &records, |name| name == "encoder")?,
        })
    }

    fn image(&self, images: &RecordBatch) -> Result<Image> {
        let (ids, names) = (table::u32s(images, "image_id")?.values(), table::strings(images, "filename")?);
        let digests = table::strings(images, "digest")?;
        let number: Option<u32> = self.image.parse().ok();
        let row = (0..ids.len()).find(|&row| names.value(row) == self.image || Some(ids[row]) == number);
        let row = row.ok_or_else(|| {
            let hint = near(&self.image, names.iter().flatten()).unwrap_or_else(|| "see `rsic show`".to_owned());
            UsageError { text: format!("the dataset has no image `{}`", self.image), hint }
        })?;
        let [filename, digest] = [names, digests].map(|column| column.value(row).to_owned());
        Ok(Image { id: ids[row], filename, digest })
    }
}

/// Captions and what they were made from.
struct Built {
    dataset: String,
    captions: RecordBatch,
    /// Of the captions.
    inputs: Inputs,
    /// What made the feature maps.
    encoder: Inputs,
}

struct Image {
    id: u32,
    filename: String,
    digest: String,
}

/// The picture that was captioned. Fails if the file shows another one by now.
fn picture(workspace: &Workspace, dataset: &str, image: &Image) -> Result<Picture> {
    let path = workspace.root.join(&workspace.config.datasets[dataset].images).join(&image.filename);
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let picture = picture::decode(&bytes).with_context(|| format!("cannot decode {}", path.display()))?;
    if picture.digest().to_hex() != image.digest {
        bail!("{} has changed since it was captioned: build again", path.display());
    }
    Ok(picture)
}

/// The caption of an image, and its words with the weights of the cells.
fn words(captions: &RecordBatch, vocabulary: &RecordBatch, image: &Image) -> Result<(String, Vec<Word>)> {
    let Some(_) = captions.column_by_name("attention") else {
        let text = "the captions were made without keeping attention".to_owned();
        let hint = "set `keep_attention = true` under [attention.NAME] in pipeline.toml and build again: nothing is trained anew";
        return Err(UsageError { text, hint: hint.to_owned() }.into());
    };
    let row = table::u32s(captions, "image_id")?.values().iter().position(|id| *id == image.id);
    let row = row.ok_or_else(|| UsageError {
        text: format!("{} is not in the captioned split", image.filename),
        hint: "`rsic show` lists the captioned images".to_owned(),
    })?;
    let names = table::strings(vocabulary, "word")?;
    let ids = table::u32_lists(captions, "tokens")?.swap_remove(row);
    let (values, ends) = table::f32_lists(captions, "attention")?;
    let weights = &values[ends[row] as usize..ends[row + 1] as usize];
    let cells = weights.len() / ids.len().max(1);
    let word =
        |(id, weights): (&u32, &[f32])| Word { text: names.value(*id as usize).to_owned(), weights: weights.to_vec() };
    let caption = table::strings(captions, "caption")?.value(row).to_owned();
    Ok((caption, ids.iter().zip(weights.chunks(cells.max(1))).map(word).collect()))
}
