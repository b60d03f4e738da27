//! Against PyTorch. Expected: golden/models/attention, made by the tutorial's formulas (see the README there).

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::model::adamw::{AdamW, AdamWConfig, Clip};
use crate::model::attend::forward::Forward;
use crate::model::attend::net::Net;
use crate::model::search::{DecodeConfig, Method, search};
use crate::model::weights::{self, Weights};
use crate::shared;

fn read(file: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(shared::path(&format!("golden/models/attention/{file}"))?).unwrap())
}

fn tensors(file: &str) -> Option<Weights> {
    Some(weights::parse(&read(file)?).unwrap())
}

struct Golden {
    decoder: Decoder,
    tensors: Weights,
    expected: Value,
    captions: Vec<(usize, Vec<u32>)>,
}

fn golden() -> Option<Golden> {
    let model = tensors("model.safetensors")?;
    let tensors = tensors("golden.safetensors")?;
    let expected: Value = serde_json::from_slice(&read("expected.json")?).unwrap();
    let size = |name: &str| expected["config"][name].as_u64().unwrap() as usize;
    let config = AttendConfig {
        encoder_dim: size("encoder_dim"),
        attention_dim: size("attention_dim"),
        embed_dim: size("embed_dim"),
        decoder_dim: size("decoder_dim"),
        vocab_size: size("vocab"),
    };
    let decoder = Decoder::from_tensors(&config, Tensors::new("golden", model)).unwrap();
    let lengths = tensors["lengths"].to_vec1::<i64>().unwrap();
    let ids = tensors["captions"].to_vec2::<i64>().unwrap();
    let cut = |(ids, length): (Vec<i64>, &i64)| ids[..*length as usize].iter().map(|id| *id as u32).collect();
    let captions = ids.into_iter().zip(&lengths).map(cut).enumerate().collect();
    Some(Golden { decoder, tensors, expected, captions })
}

/// `f32[n, cells, encoder_dim]` from maps in two dimensions.
fn cells(maps: &Tensor) -> Tensor {
    maps.flatten(1, 2).unwrap()
}

fn off(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

#[test]
fn scores_and_attention_are_those_of_pytorch() {
    let Some(golden) = golden() else { return };
    let net = Net::new(&golden.decoder).unwrap();
    let forward = Forward::run(&net, &cells(&golden.tensors["features"]), &view(&golden.captions), None).unwrap();
    let vocab = golden.decoder.config.vocab_size;
    let logits = net.predict(&forward.shown);
    let wanted = [golden.tensors["logits"].to_vec3::<f32>().unwrap(), golden.tensors["alphas"].to_vec3().unwrap()];
    for (caption, &place) in forward.batch.order.iter().enumerate() {
        let rows: Vec<usize> = forward.batch.rows_of(caption).collect();
        assert_eq!(rows.len(), golden.captions[place].1.len() - 1);
        for (step, row) in rows.into_iter().enumerate() {
            let got = &logits[row * vocab..][..vocab];
            shared::parity("attention decoder logits", off(got, &wanted[0][place][step]), 1e-4);
            shared::parity("attention decoder alphas", off(forward.alphas(row), &wanted[1][place][step]), 1e-4);
        }
    }
}

#[test]
fn loss_gradients_and_a_step_are_those_of_pytorch() {
    let Some(golden) = golden() else { return };
    let Golden { decoder, expected, .. } = &golden;
    let features = cells(&golden.tensors["features"]);
    let number = |name: &str| expected[name].as_f64().unwrap();
    let loss = || decoder.loss(&features, &view(&golden.captions), number("alpha_c"), None).unwrap();
    let first = loss();
    assert_eq!(first.targets as u64, expected["targets"].as_u64().unwrap());
    shared::parity("attention decoder cross-entropy", (first.cross_entropy - number("cross_entropy")).abs(), 1e-4);
    shared::parity("attention decoder coverage", (first.stochastic - number("doubly_stochastic")).abs(), 1e-4);
    let value = f64::from(first.total.to_scalar::<f32>().unwrap());
    shared::parity("attention decoder loss", (value - number("loss")).abs(), 1e-4);

    let grads = ops::backward(&first.total).unwrap();
    let wanted = tensors("grads.safetensors").unwrap();
    assert_eq!(wanted.len(), decoder.parameters().len());
    for (name, var) in decoder.parameters() {
        let got = flat(grads.get(&var).unwrap());
        shared::parity(&format!("gradient by {name}"), off(&got, &flat(&wanted[&name])), 1e-5);
    }

    let config = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
    let mut adam = AdamW::new(decoder.parameters(), config);
    let rate = expected["adam"]["lr"].as_f64().unwrap();
    adam.step(&grads, rate, Clip::Value(number("clip") as f32)).unwrap();
    let after = tensors("model_after_step.safetensors").unwrap();
    let (mut compared, mut all) = (0, 0);
    for (name, var) in decoder.parameters() {
        let (got, grad) = (flat(&var), flat(&wanted[&name]));
        all += got.len();
        // Below this, rounding decides the direction of a first step.
        let pairs = got.iter().zip(flat(&after[&name])).zip(grad).filter(|(_, grad)| grad.abs() > 1e-5);
        for ((got, wanted), _) in pairs {
            compared += 1;
            assert!((got - wanted).abs() < 2e-6, "{name}: {got} {wanted}");
        }
    }
    assert!(compared > all * 9 / 10, "{compared} of {all} elements were compared");
    let value = f64::from(loss().total.to_scalar::<f32>().unwrap());
    shared::parity("attention decoder loss after a step", (value - number("loss_after_step")).abs(), 1e-4);
}

#[test]
fn beams_are_those_of_the_reference() {
    let Some(golden) = golden() else { return };
    let word = |name: &str| golden.expected["config"][name].as_u64().unwrap() as u32;
    let features = cells(&golden.tensors["beam_features"]);
    let images: Vec<u32> = (0..features.dim(0).unwrap() as u32).collect();
    let writer = golden.decoder.writer(word("start")).unwrap();
    let steps = golden.expected["max_steps"].as_u64().unwrap() as usize;
    let ids = |beam: &Value| -> Vec<u32> {
        beam.as_array().unwrap().iter().skip(1).map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let mut unfinished = 0;
    for width in [1, 3, 5] {
        let config = DecodeConfig { method: Method::BeamSetAside, width, n: width, ..DecodeConfig::default() };
        let found = search(&writer, &features, &images, &config, steps, &BTreeSet::from([word("end")])).unwrap();
        for case in golden.expected["beam_cases"].as_array().unwrap() {
            let at = case["index"].as_u64().unwrap() as usize;
            let wanted = case["beams"].as_array().unwrap().iter().find(|beam| beam["width"] == width).unwrap();
            assert_eq!(found[at][0].ids, ids(&wanted["best"]), "image {at}, width {width}");
            let mut all: Vec<(bool, f64, Vec<u32>)> = Vec::new();
            for (name, finished) in [("finished", true), ("unfinished", false)] {
                let beams = wanted[name].as_array().unwrap();
                all.extend(
                    beams.iter().map(|beam| (finished, beam["sum_logprob"].as_f64().unwrap(), ids(&beam["ids"]))),
                );
            }
            all.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
            assert_eq!(found[at].len(), all.len());
            for (found, (finished, sum, ids)) in found[at].iter().zip(all) {
                assert_eq!((found.stopped, &found.ids), (finished, &ids), "image {at}, width {width}");
                shared::parity("attention decoder beams", (found.log_prob - sum).abs(), 1e-4);
                unfinished += usize::from(!finished);
            }
        }
    }
    assert!(unfinished > 0, "a case without any finished beam is among them");
}
