//! Whole runs: the schedule, the choice of an epoch, and that stops and threads change nothing.

use std::cell::RefCell;

use super::*;
use crate::language::Language;
use crate::model::search::{DecodeConfig, Method};
use crate::progress::testing::{Kept, Patience};
use crate::progress::{Checkpoint, Forget, Interrupted, Progress, Silent};

/// Feature maps in memory: of four images, three cells each.
struct InMemory;

impl MapSource for InMemory {
    fn cells(&self, images: &[u32]) -> Result<Tensor> {
        let rows = images.iter().map(|&row| Ok(features().narrow(0, row as usize, 1)?));
        Ok(Tensor::cat(&rows.collect::<Result<Vec<Tensor>>>()?, 0)?)
    }
}

fn sizes() -> AttendConfig {
    AttendConfig { encoder_dim: 5, attention_dim: 4, embed_dim: 3, decoder_dim: 6, vocab_size: VOCAB }
}

fn settings() -> AttendTraining {
    AttendTraining { epochs: 3, batch_size: 2, lr: 1e-2, ..AttendTraining::default() }
}

fn data() -> AttendData {
    let all: Vec<(u32, Vec<u32>)> = captions().into_iter().map(|(image, ids)| (image as u32, ids)).collect();
    AttendData { train: all[..4].to_vec(), val: all[4..].to_vec() }
}

fn run(
    settings: &AttendTraining,
    seed: u64,
    data: &AttendData,
    validate: Option<&Validate<'_>>,
    checkpoint: &mut dyn Checkpoint,
    progress: &dyn Progress,
) -> Result<Trained> {
    let plan = Plan { config: settings, decoder: &sizes(), seed, encoder_lr: 1e-3 };
    train(&plan, &InMemory, data, validate, checkpoint, progress)
}

/// Plays back the scores of some epochs, then the last one for ever.
fn playing(scores: &[f64]) -> impl Fn(&Decoder) -> Result<ValScores> {
    let left = RefCell::new(scores.to_vec());
    move |_| {
        let mut left = left.borrow_mut();
        let cider_d = if left.len() > 1 { left.remove(0) } else { left[0] };
        Ok(ValScores { bleu_4: 1.0 - cider_d, cider_d })
    }
}

/// A score that the decoder decides, and that changes from epoch to epoch.
fn of_weights(decoder: &Decoder) -> Result<ValScores> {
    let weight = flat(decoder.variable("fc.weight")?);
    let cider_d = weight.iter().map(|x| f64::from(x.abs())).sum();
    Ok(ValScores { bleu_4: 0.0, cider_d })
}

#[test]
fn the_learning_rate_falls_without_gain_and_training_ends() {
    // By hand, from the tutorial's rule: after `decay_after` epochs without gain, before the next epoch; the end after `stop_after`.
    let config = AttendTraining { epochs: 30, decay_after: 2, stop_after: 5, lr_decay: 0.5, ..settings() };
    let of = |config: &AttendTraining, scores: &[f64]| {
        run(config, 1, &data(), Some(&playing(scores)), &mut Forget, &Silent).unwrap().history
    };
    let lr = |history: &[Epoch]| history.iter().map(|row| row.lr / 1e-2).collect::<Vec<f64>>();
    let best = |history: &[Epoch]| history.iter().filter(|row| row.best).map(|row| row.epoch).collect::<Vec<u32>>();
    let history = of(&config, &[0.1, 0.3, 0.2]);
    assert_eq!(lr(&history), [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25]);
    assert_eq!(best(&history), [1, 2]);
    let history = of(&config, &[0.1, 0.09, 0.08, 0.2, 0.1]);
    assert_eq!(lr(&history), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]);
    assert_eq!(best(&history), [1, 4]);
    assert_eq!(history.iter().map(|row| row.step).collect::<Vec<_>>(), [2, 4, 6, 8, 10, 12, 14, 16, 18]);
    // By BLEU-4 the first epoch of these is the best.
    let by_bleu = AttendTraining { select: Selection::Bleu4, ..config.clone() };
    assert_eq!(best(&of(&by_bleu, &[0.1, 0.3, 0.2])), [1]);
    // Of equal scores the lower loss counts: at the beginning, where no caption scores, it falls.
    let zeros = of(&AttendTraining { epochs: 6, ..config.clone() }, &[0.0]);
    let losses: Vec<f64> = zeros.iter().filter(|row| row.best).map(|row| row.val_loss.unwrap()).collect();
    assert!(losses.len() > 1 && losses.windows(2).all(|pair| pair[1] < pair[0]), "{zeros:?}");
    let short = AttendTraining { epochs: 4, ..config };
    assert_eq!(of(&short, &[0.1]).len(), 4);
}

#[test]
fn the_weights_are_those_of_the_best_epoch() {
    let seen = RefCell::new(Vec::new());
    let scores = playing(&[0.1, 0.9, 0.2]);
    let validate = |decoder: &Decoder| {
        seen.borrow_mut().push(decoder.save()?);
        scores(decoder)
    };
    let trained = run(&settings(), 1, &data(), Some(&validate), &mut Forget, &Silent).unwrap();
    let seen = seen.borrow();
    assert!(trained.weights == seen[1] && seen[0] != seen[1] && seen[1] != seen[2]);
    assert!(trained.history.iter().all(|row| row.val_loss.is_some_and(f64::is_finite)));
    // Without validation images the last epoch is kept.
    let alone = AttendData { val: Vec::new(), ..data() };
    let trained = run(&settings(), 1, &alone, None, &mut Forget, &Silent).unwrap();
    assert!(trained.weights == seen[2], "validation changes what is learnt");
    assert!(trained.history.iter().all(|row| row.best && row.val.is_none() && row.val_loss.is_none()));
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_bytes() {
    let whole = run(&settings(), 1, &data(), Some(&of_weights), &mut Forget, &Silent).unwrap();
    let mut kept = Kept::default();
    // Two batches an epoch: stopped inside the first, the second and the third.
    for batches in [1, 3, 3] {
        let stopped = run(&settings(), 1, &data(), Some(&of_weights), &mut kept, &Patience::of(batches));
        assert!(stopped.unwrap_err().is::<Interrupted>());
    }
    assert!(run(&settings(), 1, &data(), Some(&of_weights), &mut kept, &Silent).unwrap() == whole);
    // The state of another seed is not used.
    let fresh = run(&settings(), 2, &data(), Some(&of_weights), &mut Forget, &Silent).unwrap();
    assert!(fresh != whole);
    assert!(run(&settings(), 2, &data(), Some(&of_weights), &mut kept, &Silent).unwrap() == fresh);
    kept.0.as_mut().unwrap().truncate(100);
    let damaged = run(&settings(), 2, &data(), Some(&of_weights), &mut kept, &Silent);
    assert!(damaged.unwrap_err().to_string().contains("damaged: delete it"));
}

#[test]
fn thread_counts_change_no_bit() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&settings(), 1, &data(), Some(&of_weights), &mut Forget, &Silent).unwrap())
    };
    assert!(run(1) == run(3));
}

#[test]
fn captions_are_learnt_by_heart() {
    // Every image has one caption here, so that a decoder that looks at it can know the words.
    let vocabulary: Vec<String> = SPECIAL.iter().copied().chain(["a", "b", "c"]).map(str::to_owned).collect();
    let vocabulary = Vocabulary::of_words(vocabulary).unwrap();
    let texts = ["a b c", "c a", "b", "a a b"];
    let encode = |(image, text): (usize, &&str)| (image as u32, vocabulary.encode(text.split(' ')));
    let data = AttendData { train: texts.iter().enumerate().map(encode).collect(), val: Vec::new() };
    let config = AttendTraining { epochs: 150, batch_size: 4, lr: 2e-2, dropout: 0.0, alpha_c: 0.1, ..settings() };
    let sizes = AttendConfig { vocab_size: vocabulary.words().len(), decoder_dim: 16, ..sizes() };
    let plan = Plan { config: &config, decoder: &sizes, seed: 1, encoder_lr: 0.0 };
    let trained = train(&plan, &InMemory, &data, None, &mut Forget, &Silent).unwrap();
    let decoder = Decoder::load(&trained.weights.into()).unwrap();
    let captioner = Captioner::new(&decoder, &vocabulary, Language::En).unwrap();
    let images: Vec<ImageRow> = (0..4).map(|row| ImageRow { id: 10 + row, row }).collect();
    for (method, width) in [(Method::Greedy, 1), (Method::BeamSetAside, 3), (Method::Beam, 2)] {
        let decoding = DecodeConfig { method, width, ..DecodeConfig::default() };
        let captions = |batch| captioner.caption(&InMemory, &images, &decoding, 6, batch, &Silent).unwrap();
        let made = captions(3);
        assert_eq!(made.iter().map(|made| made[0].text.as_str()).collect::<Vec<_>>(), texts, "{method:?}");
        assert_eq!(made, captions(1), "{method:?}");
        let tokens: Vec<&[u32]> = made.iter().map(|made| made[0].ids.as_slice()).collect();
        let weights = captioner.attention(&InMemory, &images, &tokens, 3).unwrap();
        // Three cells, once for every word and the end.
        assert_eq!(weights.iter().map(Vec::len).collect::<Vec<_>>(), [12, 9, 6, 12], "{method:?}");
    }
}

#[test]
fn special_words_are_never_written() {
    // A random decoder gives every word about the same probability; none of its captions may have <pad>, <unk> or <start>.
    let words = SPECIAL.iter().copied().chain(["a", "b", "c", "d", "e"]).map(str::to_owned).collect();
    let vocabulary = Vocabulary::of_words(words).unwrap();
    let captioner = Captioner::new(&small(), &vocabulary, Language::En).unwrap();
    let images: Vec<ImageRow> = (0..4).map(|row| ImageRow { id: row, row }).collect();
    let decoding = DecodeConfig { method: Method::Sample, n: 20, ..DecodeConfig::default() };
    let made = captioner.caption(&InMemory, &images, &decoding, 8, 2, &Silent).unwrap();
    let ids: Vec<u32> = made.iter().flatten().flat_map(|made| made.ids.clone()).collect();
    assert!(ids.len() > 100 && ids.iter().all(|id| *id >= 3), "{ids:?}");
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    let failed = |config: AttendTraining, data: AttendData| {
        run(&config, 1, &data, None, &mut Forget, &Silent).unwrap_err().to_string()
    };
    let with = |image, ids: Vec<u32>| AttendData { train: vec![(image, ids)], val: Vec::new() };
    let rows = [
        (failed(settings(), AttendData::default()), "no captions"),
        (failed(settings(), with(0, vec![START, 99, END])), "word 99"),
        (failed(settings(), with(0, vec![START])), "a start and an end"),
        (failed(AttendTraining { epochs: 0, ..settings() }, data()), "`epochs`"),
        (failed(AttendTraining { dropout: 1.0, ..settings() }, data()), "`dropout`"),
        (failed(AttendTraining { lr: f64::NAN, ..settings() }, data()), "`lr`"),
        (failed(AttendTraining { lr_decay: 0.0, ..settings() }, data()), "`lr_decay`"),
        (failed(AttendTraining { stop_after: 0, ..settings() }, data()), "`stop_after`"),
    ];
    for (message, part) in rows {
        assert!(message.contains(part), "{part}: {message}");
    }
    let few = Vocabulary::of_words(SPECIAL.map(str::to_owned).to_vec()).unwrap();
    let error = Captioner::new(&small(), &few, Language::En).err().unwrap().to_string();
    assert!(error.contains("trained with 9 words, the vocabulary has 4"), "{error}");
}
