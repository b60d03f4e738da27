//! Against transformers, on the golden models.

use serde_json::Value;

use super::filter::keep;
use super::*;
use crate::model::gpt2::{Gpt2, Writer};
use crate::model::mapper::{AmhtInit, Mapper, MapperConfig, MapperKind};
use crate::model::weights::{self, Weights};
use crate::model::{Bundle, Content};
use crate::shared;

fn read(file: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(shared::path(&format!("golden/models/{file}"))?).unwrap())
}

fn tensors(file: &str) -> Option<Weights> {
    Some(weights::parse(&read(file)?).unwrap())
}

fn writer() -> Option<Writer> {
    let file = |name: &str| Some((name.to_owned(), Content::from(read(&format!("gpt2_tiny/{name}"))?)));
    let files = [file("config.json")?, file("model.safetensors")?].into();
    Some(Gpt2::load(&Bundle { files, name: "gpt2_tiny".to_owned() }).unwrap().into_writer().unwrap())
}

/// Expected: `top_p_first_step` of golden/models/decode, made with PyTorch.
#[test]
fn the_first_distribution_agrees_with_the_reference() {
    let Some(expected) = read("decode/expected.json") else { return };
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let (vectors, writer) = (tensors("decode/clip_vectors.safetensors").unwrap(), writer().unwrap());
    let kinds = [("mlp", MapperKind::Mlp), ("transformer", MapperKind::Transformer), ("amht", MapperKind::Amht)];
    for (name, kind) in kinds {
        let config = MapperConfig {
            kind,
            clip_dim: 48,
            prefix_length: 5,
            clip_length: 5,
            width: 64,
            layers: 3,
            heads: 4,
            init: AmhtInit::Original,
            normalize: false,
        };
        let mapper = Mapper::from_tensors(&config, tensors(&format!("mappers/{name}.safetensors")).unwrap()).unwrap();
        let (_, logits) = writer.start(&mapper.prefixes(&vectors[name]).unwrap()).unwrap();
        let cases = expected["mappers"][name]["cases"].as_array().unwrap();
        for (row, wanted) in cases.iter().enumerate().flat_map(|(row, case)| {
            let steps = case["top_p_first_step"].as_array().unwrap();
            assert_eq!(steps.len(), 2);
            steps.iter().map(move |step| (row, step))
        }) {
            let number = |value: &Value| value.as_f64().unwrap();
            let (top_p, temperature) = (number(&wanted["p"]), number(&wanted["temperature"]));
            let config = DecodeConfig { temperature, top_p, ..super::config(Method::Sample, 1) };
            let kept = keep(&Row::new(logits.row(row)), &[], &config);
            let ids = wanted["kept_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32);
            let mut wanted: Vec<_> = ids.zip(wanted["probs"].as_array().unwrap().iter().map(number)).collect();
            wanted.sort_by_key(|(id, _)| *id);
            assert_eq!(kept.len(), wanted.len(), "{name} {row}");
            let sum: f64 = kept.iter().map(|(_, weight)| weight).sum();
            for ((id, weight), (wanted, p)) in kept.into_iter().zip(wanted) {
                assert_eq!(id, wanted, "{name} {row}");
                shared::parity(&format!("top-p probability {name}"), (weight / sum - p).abs(), 1e-4);
            }
        }
    }
}

/// Two beams and their scores.
type Beams<'a> = [(&'a [u32], f64); 2];

/// Expected: transformers 5.24.0 with PyTorch 2.15.0, `generate(inputs_embeds=prefix, max_new_tokens=16, eos_token_id=[13,
/// 259, 599])` with `no_repeat_ngram_size` and `min_new_tokens`, beams with `num_beams=5, num_return_sequences=2,
/// length_penalty=1.0, early_stopping=False`, cut after the stop; our own run. Scores are means of log-probabilities.
#[test]
fn bans_agree_with_transformers() {
    let Some(prefixes) = tensors("gpt2_tiny/decode_prefixes.safetensors") else { return };
    let writer = writer().unwrap();
    // Run that may not repeat, least tokens, which prefix, what greedy search finds.
    let greedy: [(usize, usize, usize, &[u32]); 7] = [
        (1, 16, 0, &[587, 534, 266, 360, 457, 3, 265, 314, 305, 543, 41, 292, 27, 337, 327, 581]),
        (1, 16, 2, &[2, 294, 444, 418, 457, 28, 314, 329, 328, 587, 41, 383, 27, 337, 463, 55]),
        (2, 16, 0, &[587, 534, 266, 360, 360, 3, 457, 292, 305, 305, 457, 457, 290, 2, 27, 457]),
        (2, 16, 2, &[2, 294, 444, 418, 457, 457, 371, 480, 384, 21, 457, 292, 457, 2, 463, 457]),
        (3, 16, 2, &[2, 294, 444, 418, 457, 457, 457, 329, 425, 543, 457, 292, 457, 337, 587, 457]),
        (0, 6, 0, &[587, 534, 266, 360, 360, 3, 259]),
        (0, 0, 0, &[587, 259]),
    ];
    // The same, and the two best beams.
    let beam: [(usize, usize, usize, Beams<'_>); 6] = [
        (0, 0, 0, [(&[587, 259], -1.54289), (&[587, 13], -1.66382)]),
        (
            1,
            3,
            0,
            [(&[587, 534, 266, 360, 384, 3, 259], -1.75306), (&[587, 534, 266, 360, 384, 3, 457, 259], -1.89675)],
        ),
        (
            1,
            3,
            2,
            [
                (&[2, 294, 444, 27, 384, 264, 457, 314, 581, 21, 500, 587, 308, 28, 463, 55], -2.16557),
                (&[2, 294, 444, 27, 384, 264, 457, 314, 581, 21, 500, 587, 396, 28, 463, 55], -2.19015),
            ],
        ),
        (
            2,
            16,
            2,
            [
                (&[2, 294, 444, 418, 457, 28, 314, 314, 581, 21, 457, 292, 27, 28, 463, 457], -1.78931),
                (&[2, 294, 444, 418, 457, 28, 314, 314, 581, 21, 457, 292, 27, 337, 368, 457], -1.79032),
            ],
        ),
        (
            0,
            6,
            0,
            [
                (&[587, 534, 266, 360, 360, 3, 259], -1.70798),
                (&[587, 534, 266, 360, 360, 3, 457, 292, 305, 305, 457, 292, 457, 2, 457, 457], -1.73515),
            ],
        ),
        (
            0,
            6,
            2,
            [
                (&[2, 294, 444, 418, 457, 457, 457, 457, 384, 21, 457, 294, 457, 28, 55, 457], -1.78244),
                (&[2, 294, 444, 418, 457, 457, 457, 457, 384, 21, 457, 292, 457, 28, 55, 457], -1.7957),
            ],
        ),
    ];
    let run = |method, n, no_repeat_ngram, min_tokens, prefix: usize| {
        let config = DecodeConfig { method, n, min_tokens, no_repeat_ngram, ..DecodeConfig::default() };
        let found = search(&writer, &prefixes["prefix"], &[0, 1, 2, 3], &config, 16, &[13, 259, 599].into()).unwrap();
        found[prefix].clone()
    };
    for (run_length, least, prefix, wanted) in greedy {
        assert_eq!(run(Method::Greedy, 1, run_length, least, prefix)[0].ids, wanted, "{run_length} {least} {prefix}");
    }
    for (run_length, least, prefix, wanted) in beam {
        let found = run(Method::Beam, 2, run_length, least, prefix);
        assert_eq!(found.len(), 2);
        for (found, (ids, score)) in found.iter().zip(wanted) {
            assert_eq!(found.ids, ids, "{run_length} {least} {prefix}");
            let mean = found.log_prob / ids.len() as f64;
            shared::parity("bans, mean log-probability", (mean - score).abs(), 1e-4);
        }
    }
}
