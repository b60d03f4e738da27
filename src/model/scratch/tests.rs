//! Small lessons on made-up pictures and captions.

use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};

use anyhow::Result;

use super::*;
use crate::language::Language;
use crate::model::gpt2::Gpt2;
use crate::model::init::Rng;
use crate::model::tokenizer::CaptionTokenizer;
use crate::progress::{Checkpoint, Forget, Interrupted, Progress, Silent};

/// The made-up classes: what their captions call them.
const CLASSES: [[&str; 2]; 4] = [
    ["a red field with stripes .", "stripes on red soil ."],
    ["a blue lake with stripes .", "waves in stripes on blue water ."],
    ["a red field with dots .", "round dots on red soil ."],
    ["a blue lake with dots .", "islands like dots in blue water ."],
];

/// Pictures of every class in turn, with their captions: red or blue ground, stripes or dots on it, some noise.
fn made_up(per_class: usize, stream: &str) -> (Vec<Picture>, Vec<Vec<String>>, Vec<usize>) {
    let mut rng = Rng::new(7, stream);
    let classes: Vec<usize> = (0..per_class * CLASSES.len()).map(|i| i % CLASSES.len()).collect();
    let pictures = classes.iter().map(|&class| picture(class, &mut rng)).collect();
    let captions = classes.iter().map(|&class| CLASSES[class].iter().map(|&text| text.to_owned()).collect());
    (pictures, captions.collect(), classes)
}

fn picture(class: usize, rng: &mut Rng) -> Picture {
    let size = 24;
    let ground = if class.is_multiple_of(2) { [170, 60, 40] } else { [40, 70, 160] };
    let phase = (rng.below(8), rng.below(8));
    let mut rgb = Vec::new();
    for y in 0..size {
        for x in 0..size {
            let (row, column) = ((y + phase.0) % 8, (x + phase.1) % 8);
            let marked = if class < 2 { row < 3 } else { row < 3 && column < 3 };
            for base in ground {
                let light = if marked { 60 } else { 0 };
                rgb.push((base + light + rng.below(30)) as u8);
            }
        }
    }
    Picture { width: size as u32, height: size as u32, rgb }
}

fn small_clip() -> ScratchClipConfig {
    ScratchClipConfig {
        image_size: 20,
        crop: 16,
        channels: vec![8, 16],
        dim: 16,
        text_width: 16,
        epochs: 6,
        batch: 12,
        lr: 5e-3,
        views: 2,
        ..ScratchClipConfig::default()
    }
}

fn small_gpt2() -> ScratchGpt2Config {
    ScratchGpt2Config {
        vocab_size: 300,
        positions: 96,
        width: 32,
        layers: 2,
        heads: 2,
        max_offset: 8,
        epochs: 30,
        batch: 8,
        lr: 5e-3,
        ..ScratchGpt2Config::default()
    }
}

fn learn_clip(checkpoint: &mut dyn Checkpoint, progress: &dyn Progress) -> Result<Pretrained> {
    let (images, captions, _) = made_up(12, "train");
    let (val_images, val_captions, _) = made_up(3, "val");
    let train = PairData { images: &images, captions: &captions };
    let val = PairData { images: &val_images, captions: &val_captions };
    pretrain_clip(&small_clip(), train, val, Language::En, checkpoint, progress)
}

fn learn_gpt2(config: &ScratchGpt2Config, language: Language, checkpoint: &mut dyn Checkpoint) -> Result<Pretrained> {
    learn_gpt2_until(config, language, checkpoint, &Silent)
}

fn learn_gpt2_until(
    config: &ScratchGpt2Config,
    language: Language,
    checkpoint: &mut dyn Checkpoint,
    progress: &dyn Progress,
) -> Result<Pretrained> {
    let captions: Vec<Vec<String>> = match language {
        Language::En => made_up(12, "train").1,
        Language::Zh => {
            let texts = [["这是红色的田地。", "红色的土壤。"], ["这是蓝色的湖。", "蓝色的水。"]];
            (0..40).map(|i| texts[i % 2].map(str::to_owned).to_vec()).collect()
        }
    };
    pretrain_gpt2(config, &captions, &captions[..4], language, checkpoint, progress)
}

/// Keeps the last state in memory.
#[derive(Default)]
struct Memory(Option<Vec<u8>>);

impl Checkpoint for Memory {
    fn load(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.0.clone())
    }

    fn save(&mut self, state: &[u8]) -> Result<()> {
        self.0 = Some(state.to_vec());
        Ok(())
    }
}

/// Asks to stop after some steps.
struct StopAfter(AtomicUsize);

impl Progress for StopAfter {
    fn begin(&self, _: &str, _: u64, _: &str) {}
    fn advance(&self, _: u64) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn new_pictures_are_nearest_to_their_class() {
    let pretrained = learn_clip(&mut Forget, &Silent).unwrap();
    let (first, last) = (pretrained.history[0], pretrained.history[5]);
    assert_eq!((last.epoch, last.step), (6, 24));
    assert!(last.train_loss < first.train_loss && last.val_loss < first.val_loss, "{:?}", pretrained.history);

    let vision = ScratchVision::load(&pretrained.bundle).unwrap();
    let (known, _, known_classes) = made_up(12, "train");
    let (new, _, classes) = made_up(10, "test");
    let unit = |row: &[f32]| -> Vec<f32> {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter().map(|x| x / length).collect()
    };
    let known: Vec<Vec<f32>> = vision.embed(&known).unwrap().chunks(vision.dim()).map(unit).collect();
    let new: Vec<Vec<f32>> = vision.embed(&new).unwrap().chunks(vision.dim()).map(unit).collect();
    let right = new.iter().zip(&classes).filter(|(one, class)| {
        let cosine = |other: &Vec<f32>| other.iter().zip(*one).map(|(a, b)| a * b).sum::<f32>();
        let nearest = (0..known.len()).max_by(|&a, &b| cosine(&known[a]).total_cmp(&cosine(&known[b]))).unwrap();
        known_classes[nearest] == **class
    });
    // Guessing gives 10 of 40.
    let right = right.count();
    assert!(right >= 36, "{right} of 40");
}

#[test]
fn vectors_do_not_depend_on_the_batch_or_the_size_of_others() {
    let bundle = learn_clip(&mut Forget, &Silent).unwrap().bundle;
    let vision = ScratchVision::load(&bundle).unwrap();
    let (mut pictures, _, _) = made_up(5, "test");
    pictures.push(crate::picture::resize_bicubic(&pictures[0], 31, 47));
    let together = vision.embed(&pictures).unwrap();
    assert_eq!(together.len(), pictures.len() * vision.dim());
    for (picture, row) in pictures.iter().zip(together.chunks(vision.dim())) {
        assert_eq!(vision.embed(std::slice::from_ref(picture)).unwrap(), row);
    }
    assert_eq!(vision.embed(&[]).unwrap(), Vec::<f32>::new());
}

#[test]
fn thread_counts_and_interruptions_leave_no_trace() {
    let one = with_threads(1, || learn_clip(&mut Forget, &Silent)).unwrap();
    let mut memory = Memory::default();
    // Four steps an epoch: stops in the third one.
    let stopped = learn_clip(&mut memory, &StopAfter(AtomicUsize::new(10)));
    assert!(stopped.unwrap_err().is::<Interrupted>());
    let resumed = with_threads(3, || learn_clip(&mut memory, &Silent)).unwrap();
    assert_eq!(resumed.history, one.history);
    assert!(resumed.bundle == one.bundle, "the files differ");

    let config = ScratchGpt2Config { epochs: 3, ..small_gpt2() };
    let one = with_threads(1, || learn_gpt2(&config, Language::En, &mut Forget)).unwrap();
    let mut memory = Memory::default();
    let stop = StopAfter(AtomicUsize::new(8));
    let stopped = learn_gpt2_until(&config, Language::En, &mut memory, &stop);
    assert!(stopped.unwrap_err().is::<Interrupted>());
    let resumed = with_threads(3, || learn_gpt2(&config, Language::En, &mut memory)).unwrap();
    assert_eq!(resumed.history, one.history);
    assert!(resumed.bundle == one.bundle, "the files differ");
}

/// The most likely continuation of some tokens, up to the end token.
fn continued(model: &Gpt2, start: &[u32], end: u32) -> Vec<u32> {
    let mut ids = start.to_vec();
    for _ in 0..30 {
        let input = Tensor::from_slice(&ids, (1, ids.len()), &Device::Cpu).unwrap();
        let hidden = model.hidden(&model.embed_tokens(&input, false).unwrap(), false).unwrap();
        let last = hidden.narrow(1, ids.len() - 1, 1).unwrap().flatten(0, 1).unwrap();
        let logits = model.logits(&last, false).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32;
        if best == end {
            break;
        }
        ids.push(best);
    }
    ids[start.len()..].to_vec()
}

#[test]
fn the_language_model_writes_what_it_read_and_stays_with_its_subject() {
    for (language, context, other) in [
        (Language::En, CLASSES[3][0], CLASSES[3][1]),
        (Language::En, CLASSES[0][1], CLASSES[0][0]),
        (Language::Zh, "这是蓝色的湖。", "蓝色的水。"),
    ] {
        let pretrained = learn_gpt2(&small_gpt2(), language, &mut Forget).unwrap();
        let model = Gpt2::load(&pretrained.bundle).unwrap();
        let tokenizer = CaptionTokenizer::load(&pretrained.bundle, language).unwrap();
        let loss = pretrained.history.last().unwrap().val_loss.unwrap();
        let uniform = (model.vocab() as f64).ln();
        assert!(loss < uniform / 5.0, "{loss} nats, {uniform} by guessing");
        // A document: one caption of a picture, then the other one of the same picture.
        let mut start = vec![tokenizer.eos()];
        start.extend(tokenizer.encode(context).unwrap());
        let text = tokenizer.decode(&continued(&model, &start, tokenizer.eos()));
        assert_eq!(text, other, "after {context}");
    }
}

#[test]
fn what_cannot_work_is_refused() {
    let (images, captions, _) = made_up(2, "train");
    let train = PairData { images: &images, captions: &captions };
    let none = PairData { images: &[], captions: &[] };
    let fewer = PairData { images: &images[1..], captions: &captions };
    let base = small_clip;
    let rows: [(ScratchClipConfig, PairData, &str); 7] = [
        (ScratchClipConfig { crop: 30, ..base() }, train, "image_size must be from crop to 1024 pixels, not 20"),
        (ScratchClipConfig { channels: vec![], ..base() }, train, "channels must name at least one stage"),
        (ScratchClipConfig { views: 3, ..base() }, train, "views must be 1, 2, 4 or 8, not 3"),
        (ScratchClipConfig { batch: 1, ..base() }, train, "batch must be at least 2"),
        (ScratchClipConfig { min_pictures: 99, ..base() }, train, "lower min_pictures"),
        (base(), none, "at least 2 training pictures"),
        (base(), fewer, "7 training pictures but the captions of 8"),
    ];
    for (config, train, message) in rows {
        let error = pretrain_clip(&config, train, none, Language::En, &mut Forget, &Silent).unwrap_err();
        assert!(format!("{error:#}").contains(message), "{error:#} / {message}");
    }
    let config = ScratchGpt2Config { heads: 5, ..small_gpt2() };
    let error = learn_gpt2(&config, Language::En, &mut Forget).unwrap_err();
    assert!(format!("{error:#}").contains("heads must divide width, 32 by 5"), "{error:#}");
    let error = pretrain_gpt2(&small_gpt2(), &[], &[], Language::En, &mut Forget, &Silent).unwrap_err();
    assert!(format!("{error:#}").contains("at least one training caption"), "{error:#}");
}

#[test]
fn a_bundle_of_another_kind_is_refused() {
    let mut bundle = learn_clip(&mut Forget, &Silent).unwrap().bundle;
    let config = String::from_utf8(bundle.file("config.json").unwrap().to_vec()).unwrap();
    for (from, to, message) in [
        ("rsic_scratch_clip", "clip", "has model_type `clip`, not `rsic_scratch_clip`"),
        (
            "\"projection_dim\": 16",
            "\"projection_dim\": 8",
            "`vision.projection.weight` has shape [32, 16], not [32, 8]",
        ),
    ] {
        bundle.files.insert("config.json".to_owned(), config.replace(from, to).into_bytes().into());
        let error = ScratchVision::load(&bundle).unwrap_err();
        assert!(format!("{error:#}").contains(message), "{error:#}");
    }
}
