//! `train/<dataset>_<attention model>`: feature maps and words -> a decoder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, UInt32Array};
use polars::prelude::DataFrame;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::per_image::{open as open_picture, rows_by_id};
use super::super::train::no_leak;
use super::super::{Context, Inputs, Outcome, score};
use super::{Finetune, Widths, maps, vocabulary};
use crate::language::{Language, Split};
use crate::metric::{self, Metric, Variant, Words, signature};
use crate::model::attend::{
    self, AttendConfig, AttendData, AttendTraining, Captioner, Decoder, Epoch, ImageRow, MapSource, OpenPictures, Plan,
    Trained, Tuned, ValScores, Validate,
};
use crate::model::resnet::{SIDE, TunedResNet};
use crate::model::search::{DecodeConfig, Method};
use crate::picture;
use crate::progress::{Progress, Unseen};
use crate::table;

/// History: 1, the first; 2, of equally good epochs the one of the lower loss.
pub const TRAIN_VERSION: u32 = 2;

/// How many validation images are captioned together. The scores do not depend on it.
const TOGETHER: usize = 64;

/// Reads `images`, `tokens`, `vocabulary` and `references` of the validation images; writes `history` and `weights`.
///
/// With a frozen encoder it reads `features`, and where that is a scratch encoder which learnt from another dataset also that one's
/// `encoder_images`. With one that is trained along it reads `encoder` and the image files instead, and writes the encoder as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainAttention {
    /// The language of the captions.
    pub language: Language,
    /// Cells along a side of the grid to which maps are averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<usize>,
    /// The decoder's widths.
    pub decoder: Widths,
    /// The training.
    pub train: AttendTraining,
    /// The longest caption that is written for validation, in tokens.
    pub max_tokens: usize,
    /// Seed of first weights, order and dropout.
    pub seed: u64,
    /// How the encoder is trained along; absent, it is frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finetune: Option<Finetune>,
}

impl TrainAttention {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let images = inputs.table("images")?;
        let mut outcome = Outcome::default();
        if let Some(finetune) = &self.finetune {
            let resnet = TunedResNet::load(&inputs.bundle("encoder")?, finetune.from_stage - 1)?;
            let tuned = Tuned::new(resnet, open(&images, inputs.path("files")?)?, self.grid);
            let rows = table::u32s(&images, "image_id")?.values().iter().copied().zip(0..).collect();
            let mut trained = self.train(inputs, context, (&images, &rows), (&tuned, tuned.channels()), finetune.lr)?;
            outcome.bytes("config.json", tuned.config()?, "json");
            let weights = trained.encoder.take().context("training gave no encoder")?;
            outcome.bytes("model.safetensors", weights, "safetensors");
            return finish(outcome, trained);
        }
        if inputs.has("encoder_images") {
            no_leak(&images, &inputs.table("encoder_images")?)?;
        }
        let features = inputs.table("features")?;
        let rows = rows_by_id(&images, &features, "feature map")?;
        let maps = maps::stored(features, self.grid)?;
        let trained = self.train(inputs, context, (&images, &rows), (&maps, maps.channels), 0.0)?;
        finish(outcome, trained)
    }

    /// What of the program is in the key besides: the best epoch is chosen by scores.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let words = Words::of(self.language).signature();
        BTreeMap::from([("metrics".to_owned(), signature::VERSION.to_string()), ("words".to_owned(), words)])
    }

    /// Trains on features with so many numbers per cell.
    ///
    /// - `rows`: the number of each image's features, by image id.
    fn train(
        &self,
        inputs: &Inputs,
        context: &mut Context<'_>,
        (images, rows): (&RecordBatch, &BTreeMap<u32, u32>),
        (features, encoder_dim): (&dyn MapSource, usize),
        encoder_lr: f64,
    ) -> Result<Trained> {
        let vocabulary = vocabulary::read(&inputs.table("vocabulary")?)?;
        let Widths { attention_dim, embed_dim, decoder_dim } = self.decoder;
        let vocab_size = vocabulary.words().len();
        let decoder = AttendConfig { encoder_dim, attention_dim, embed_dim, decoder_dim, vocab_size };
        let splits = Splits::new(images, rows)?;
        let data = splits.data(&inputs.table("tokens")?)?;
        let references = inputs.table("references")?;
        let described: BTreeSet<u32> = table::u32s(&references, "image_id")?.values().iter().copied().collect();
        let val: BTreeMap<u32, u32> = splits.val.into_iter().filter(|(id, _)| described.contains(id)).collect();
        let references = score::references(&references, &val.keys().copied().collect())?;
        let progress = context.progress;
        let validate = |decoder: &Decoder| {
            let captioner = Captioner::new(decoder, &vocabulary, self.language)?;
            self.validate(&captioner, features, &val, &references, &Unseen(progress))
        };
        let validate: Option<&Validate<'_>> = if val.is_empty() { None } else { Some(&validate) };
        let plan = Plan { config: &self.train, decoder: &decoder, seed: self.seed, encoder_lr };
        attend::train(&plan, features, &data, validate, context.checkpoint, progress)
    }

    /// The scores of free-running greedy captions of the validation images.
    fn validate(
        &self,
        captioner: &Captioner,
        maps: &dyn MapSource,
        images: &BTreeMap<u32, u32>,
        references: &DataFrame,
        progress: &dyn Progress,
    ) -> Result<ValScores> {
        let greedy = DecodeConfig { method: Method::Greedy, ..DecodeConfig::default() };
        let images: Vec<ImageRow> = images.iter().map(|(&id, &row)| ImageRow { id, row }).collect();
        let made = captioner.caption(maps, &images, &greedy, self.max_tokens, TOGETHER, progress)?;
        let texts = made.iter().map(|captions| captions[0].text.as_str()).collect();
        let captions = metric::captions(images.iter().map(|image| image.id).collect(), texts)?;
        let (variant, words) = (Variant::of(self.language), Words::of(self.language));
        let scores = metric::score_by(references, &captions, (variant, words, &[Metric::Bleu, Metric::CiderD]))?;
        let of = |name: &str| scores.corpus(name, variant).with_context(|| format!("{name} was not computed"));
        Ok(ValScores { bleu_4: of("BLEU-4")?, cider_d: of("CIDEr-D")? })
    }
}

/// Opens images by their rows in the table.
fn open<'a>(images: &RecordBatch, folder: &'a Path) -> Result<OpenPictures<'a>> {
    let (names, digests) = (table::strings(images, "filename")?.clone(), table::strings(images, "digest")?.clone());
    let one = move |row: &u32| {
        let row = *row as usize;
        let picture = open_picture(&folder.join(names.value(row)), digests.value(row))?;
        // As the network would do it; whole pictures of a batch may be large.
        Ok(picture::resize_bicubic(&picture, SIDE, SIDE))
    };
    Ok(Box::new(move |rows: &[u32]| rows.par_iter().map(&one).collect()))
}

fn finish(mut outcome: Outcome, trained: Trained) -> Result<Outcome> {
    if let Some(best) = trained.history.iter().rfind(|row| row.best) {
        outcome.log.push(format!("best epoch {} of {}", best.epoch, trained.history.len()));
    }
    if trained.history.iter().all(|row| row.val.is_none()) {
        outcome.warnings.push("there are no validation images: the last epoch is kept".to_owned());
    }
    if trained.history.iter().filter_map(|row| row.val).all(|val| val.cider_d == 0.0)
        && trained.history[0].val.is_some()
    {
        let text =
            "no epoch wrote captions of the validation images that score above 0: the one of the lowest loss is kept";
        outcome.warnings.push(text.to_owned());
    }
    outcome.table("history", history(&trained.history)?);
    outcome.bytes("weights", trained.weights, "safetensors");
    Ok(outcome)
}

/// The rows of the feature maps of train and validation images, by image id.
struct Splits {
    train: BTreeMap<u32, u32>,
    val: BTreeMap<u32, u32>,
}

impl Splits {
    fn new(images: &RecordBatch, rows: &BTreeMap<u32, u32>) -> Result<Self> {
        let ids = table::u32s(images, "image_id")?.values();
        let splits = table::strings(images, "split")?;
        let of = |split: Split| {
            let ids = ids.iter().zip(splits).filter(|(_, of)| *of == Some(split.name())).map(|(id, _)| id);
            ids.filter_map(|id| Some((*id, *rows.get(id)?))).collect()
        };
        Ok(Self { train: of(Split::Train), val: of(Split::Val) })
    }

    fn data(&self, tokens: &RecordBatch) -> Result<AttendData> {
        let mut data = AttendData::default();
        for (owner, ids) in table::u32s(tokens, "image_id")?.values().iter().zip(table::u32_lists(tokens, "ids")?) {
            if let Some(row) = self.train.get(owner) {
                data.train.push((*row, ids));
            } else if let Some(row) = self.val.get(owner) {
                data.val.push((*row, ids));
            }
        }
        Ok(data)
    }
}

fn history(epochs: &[Epoch]) -> Result<RecordBatch> {
    let ints = |f: fn(&Epoch) -> u32| -> ArrayRef { Arc::new(UInt32Array::from_iter_values(epochs.iter().map(f))) };
    let reals = |f: fn(&Epoch) -> Option<f64>| -> ArrayRef { Arc::new(epochs.iter().map(f).collect::<Float64Array>()) };
    // Every epoch that was the best so far is marked while training; the last of them is the one whose weights are kept.
    let kept = epochs.iter().rposition(|row| row.best);
    table::make(
        table::attention_history(),
        vec![
            ints(|row| row.epoch),
            ints(|row| row.step as u32),
            reals(|row| Some(row.lr)),
            reals(|row| Some(row.train_loss)),
            reals(|row| row.val_loss),
            reals(|row| Some(row.val?.bleu_4)),
            reals(|row| Some(row.val?.cider_d)),
            Arc::new((0..epochs.len()).map(|row| Some(Some(row) == kept)).collect::<BooleanArray>()),
        ],
    )
}
