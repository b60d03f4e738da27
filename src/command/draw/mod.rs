//! `rsic draw`.

mod svg;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use arrow::array::RecordBatch;
use clap::Args;

use super::Global;
use super::export::write;
use crate::picture::{self, CropRule, Picture};
use crate::pipeline::config::near;
use crate::pipeline::models::SCRATCH;
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
        let (name, captions, inputs) = self.built(&workspace)?;
        let images = inputs.table("images")?;
        let (id, filename) = self.image(&images)?;
        let (dataset, model) = workspace.config.dataset_of(&name).context("the target is of no dataset")?;
        let settings = model_settings(&workspace, model)?;
        let path = workspace.root.join(&workspace.config.datasets[dataset].images).join(&filename);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let picture = picture::decode(&bytes).with_context(|| format!("cannot decode {}", path.display()))?;
        let (caption, words) = words(&captions, &inputs.table("vocabulary")?, id)?;
        let shown = as_seen(&picture, settings);
        let drawing = Drawing { title: &filename, caption: &caption, picture: &shown, words: &words };
        write(&self.to, |out| Ok(out.write_all(drawing.svg()?.as_bytes())?))?;
        ui.say(&format!("{filename}: \"{caption}\" is drawn in {}", self.to.display()));
        Ok(ExitCode::SUCCESS)
    }

    /// The instance's name, its captions and its inputs.
    fn built(&self, workspace: &Workspace) -> Result<(String, RecordBatch, Inputs)> {
        let nodes = target::resolve(&workspace.graph, std::slice::from_ref(&self.target))?;
        let [node] = nodes[..] else { bail!("`{}` names {} targets: draw one", self.target, nodes.len()) };
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
            anyhow!("{instance} is not built as pipeline.toml describes it now: run `rsic build {instance}`")
        })?;
        let output = record.output("captions").context("the captions have no table")?;
        let bytes = workspace.cache.get(&output.stored())?;
        let captions = table::read(bytes.ok_or_else(|| anyhow!("the captions are damaged or gone: build again"))?)?;
        let name = spec.instance.name.clone();
        let records: BTreeMap<_, _> =
            plan.nodes.into_iter().filter_map(|planned| Some((planned.node, planned.record?))).collect();
        let inputs = inputs::some(workspace, node, &records, |name| name == "images" || name == "vocabulary")?;
        Ok((name, captions, inputs))
    }

    /// The number and the file name of the image.
    fn image(&self, images: &RecordBatch) -> Result<(u32, String)> {
        let (ids, names) = (table::u32s(images, "image_id")?.values(), table::strings(images, "filename")?);
        let number: Option<u32> = self.image.parse().ok();
        let mut rows = ids.iter().zip(names.iter().flatten());
        let found = rows.find(|(id, name)| *name == self.image || Some(**id) == number);
        found.map(|(id, name)| (*id, name.to_owned())).ok_or_else(|| {
            let hint = near(&self.image, names.iter().flatten()).unwrap_or_else(|| "see `rsic show`".to_owned());
            UsageError { text: format!("the dataset has no image `{}`", self.image), hint }.into()
        })
    }
}

/// Whether the encoder of a model, or of one of its runs, is the scratch one.
fn model_settings(workspace: &Workspace, model: &str) -> Result<bool> {
    let named = |name: &&String| model == name.as_str() || model.starts_with(&format!("{name}_seed"));
    let name = workspace.config.attention.keys().filter(named).max_by_key(|name| name.len());
    let name = name.with_context(|| format!("`{model}` is no model under [attention]"))?;
    Ok(workspace.config.attention[name].encoder == SCRATCH)
}

/// The picture as the network sees it: the scratch encoder its middle square, a `ResNet` all of it, whatever its proportions.
fn as_seen(picture: &Picture, middle: bool) -> Picture {
    if middle { picture::square(picture, SIDE, CropRule::Floor) } else { picture::resize_bicubic(picture, SIDE, SIDE) }
}

/// The caption of an image, and its words with the weights of the cells.
fn words(captions: &RecordBatch, vocabulary: &RecordBatch, image: u32) -> Result<(String, Vec<Word>)> {
    let Some(_) = captions.column_by_name("attention") else {
        let text = "the captions were made without keeping attention".to_owned();
        let hint = "set `keep_attention = true` under [attention.NAME] in pipeline.toml and build again: nothing is trained anew";
        return Err(UsageError { text, hint: hint.to_owned() }.into());
    };
    let row = table::u32s(captions, "image_id")?.values().iter().position(|id| *id == image);
    let row = row.with_context(|| format!("image {image} is not in the captioned split"))?;
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
