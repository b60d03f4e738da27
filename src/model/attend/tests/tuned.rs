//! Training with the encoder.

use super::*;
use crate::model::resnet::{self, ResNet, ResNetShape, TunedResNet};
use crate::model::{Bundle, Content};
use crate::picture::Picture;
use crate::progress::testing::{Kept, Patience};
use crate::progress::{Checkpoint, Forget, Interrupted, Progress, Silent};

/// A `ResNet` of two stages on maps of 32 x 32 cells; its second stage is trained.
fn small_resnet() -> Bundle {
    let shape =
        ResNetShape { embedding_size: 4, hidden_sizes: vec![8, 12], depths: vec![1, 1], ..ResNetShape::default() };
    resnet::random(&shape, 1).unwrap()
}

/// Four pictures of colours in stripes.
fn pictures(images: &[u32]) -> Vec<Picture> {
    let sample = |image: u32, at: u32| (at * (image + 3) % 251) as u8;
    let picture =
        |&image: &u32| Picture { width: 16, height: 16, rgb: (0..16 * 16 * 3).map(|at| sample(image, at)).collect() };
    images.iter().map(picture).collect()
}

fn run(lr: f64, checkpoint: &mut dyn Checkpoint, progress: &dyn Progress) -> Result<Trained> {
    let config = AttendTraining { epochs: 3, batch_size: 2, lr: 1e-2, ..AttendTraining::default() };
    let decoder = AttendConfig { encoder_dim: 12, attention_dim: 4, embed_dim: 3, decoder_dim: 6, vocab_size: VOCAB };
    let tuned = Tuned::new(TunedResNet::load(&small_resnet(), 1)?, Box::new(|images| Ok(pictures(images))), Some(2));
    assert_eq!(tuned.cells(&[0, 3])?.dims(), [2, 4, 12]);
    let all: Vec<(u32, Vec<u32>)> = captions().into_iter().map(|(image, ids)| (image as u32, ids)).collect();
    let data = AttendData { train: all[..4].to_vec(), val: all[4..].to_vec() };
    // A score by which the last epoch is the best, and that depends on the encoder.
    let validate = |_: &Decoder| {
        let cells = flat(&tuned.cells(&[0, 1, 2, 3])?);
        let moved = cells.iter().map(|x| f64::from(*x)).sum::<f64>();
        Ok(ValScores { bleu_4: moved, cider_d: moved })
    };
    let plan = Plan { config: &config, decoder: &decoder, seed: 1, encoder_lr: lr };
    train(&plan, &tuned, &data, Some(&validate), checkpoint, progress)
}

fn weights(bytes: &[u8]) -> Tensors {
    Tensors::of_file("trained", TensorFile::open(&Content::from(bytes.to_vec())).unwrap())
}

#[test]
fn the_trained_stages_move_and_the_others_stay() {
    let trained = run(1e-3, &mut Forget, &Silent).unwrap();
    let mut bundle = small_resnet();
    let mut before = Tensors::open(&bundle).unwrap();
    let encoder = trained.encoder.unwrap();
    let mut after = weights(&encoder);
    for (name, dims) in before.shapes() {
        let moved = flat(&before.take(&name, &dims).unwrap()) != flat(&after.take(&name, &dims).unwrap());
        let statistic = name.contains(".running_");
        assert_eq!(moved, name.starts_with("encoder.stages.1.") && !statistic, "{name}");
    }
    // What was trained loads as a frozen encoder.
    bundle.files.insert("model.safetensors".to_owned(), encoder.into());
    assert_eq!(ResNet::load(&bundle).unwrap().channels(), 12);
    let scores: Vec<f64> = trained.history.iter().map(|row| row.val.unwrap().cider_d).collect();
    assert!(scores[0] != scores[1] && scores[1] != scores[2], "{scores:?}: old maps are used after a step");
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_bytes() {
    let whole = run(1e-3, &mut Forget, &Silent).unwrap();
    let mut kept = Kept::default();
    for batches in [1, 3, 3] {
        assert!(run(1e-3, &mut kept, &Patience::of(batches)).unwrap_err().is::<Interrupted>());
    }
    assert!(run(1e-3, &mut kept, &Silent).unwrap() == whole);
    // Another learning rate of the encoder is another run.
    let other = run(1e-2, &mut kept, &Silent).unwrap();
    assert!(other == run(1e-2, &mut Forget, &Silent).unwrap() && other != whole);
}
