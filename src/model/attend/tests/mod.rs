mod batches;
mod golden;
mod gradients;
mod training;
mod tuned;
mod weights;
mod writing;

use candle_core::{Shape, Tensor};

use super::*;
use crate::model::init::{Init, Rng};
use crate::model::ops::tensor;

/// The start, the end and the number of the words of small decoders.
const START: u32 = 7;
const END: u32 = 8;
const VOCAB: usize = 9;

fn random(name: &str, shape: impl Into<Shape>) -> Tensor {
    Init::Normal(1.0).tensor(5, name, shape).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    values(&tensor.contiguous().unwrap()).unwrap().to_vec()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// A decoder of odd sizes for cells of 5 numbers, whose weights are large enough to make every part matter.
fn small() -> Decoder {
    let config = AttendConfig { encoder_dim: 5, attention_dim: 4, embed_dim: 3, decoder_dim: 6, vocab_size: VOCAB };
    let decoder = Decoder::init(&config, 1).unwrap();
    for (name, var) in decoder.parameters() {
        var.set(&(random(&name, var.shape()) * 0.6).unwrap()).unwrap();
    }
    decoder
}

/// Captions of lengths in no order, some of the same image and of the same length; the fourth image has none.
fn captions() -> Vec<(usize, Vec<u32>)> {
    let mut rng = Rng::new(2, "captions");
    let mut caption = |(image, words): (usize, usize)| {
        let words = (0..words).map(|_| rng.below(START as usize) as u32);
        (image, [START].into_iter().chain(words).chain([END]).collect())
    };
    [(1, 2), (0, 5), (2, 0), (1, 4), (0, 2)].map(&mut caption).to_vec()
}

fn view(captions: &[(usize, Vec<u32>)]) -> Vec<Caption<'_>> {
    captions.iter().map(|(image, ids)| Caption { image: *image, ids }).collect()
}

/// Feature maps of four images with three cells each.
fn features() -> Tensor {
    random("features", (4, 3, 5))
}
