use std::path::Path;

use candle_core::{DType, Device};
use serde_json::Value;

use super::*;
use crate::model::Content;
use crate::model::search::{DecodeConfig, Decoder, Hypothesis, Logits, Method, search};
use crate::model::weights::{self, Weights};
use crate::shared;

/// Bundle of the files of `folder` that a user would have.
fn bundle(folder: &Path) -> Bundle {
    let names = ["config.json", "model.safetensors"];
    let files = names.iter().map(|name| ((*name).to_owned(), Content::File(folder.join(name))));
    Bundle { files: files.collect(), name: "golden".to_owned() }
}

fn golden(folder: &Path, file: &str) -> Weights {
    weights::parse(&std::fs::read(folder.join(file)).unwrap()).unwrap()
}

fn expected(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap()
}

/// Largest difference that float32 arithmetic in another order may make (measured: 1.1e-5).
const TOLERANCE: f32 = 1e-4;

fn close(name: &str, got: &Tensor, wanted: &Tensor) {
    assert_eq!(got.dims(), wanted.dims(), "{name}");
    let off = (got - wanted).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    let off: f32 = off.to_scalar().unwrap();
    shared::parity(&format!("GPT-2 {name}"), f64::from(off), f64::from(TOLERANCE));
}

fn ids(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::U32).unwrap()
}

/// All logits of a sequence of embeddings.
fn logits(gpt2: &Gpt2, x: &Tensor, trainable: bool) -> Tensor {
    let hidden = gpt2.hidden(x, trainable).unwrap();
    let (b, t, d) = hidden.dims3().unwrap();
    let logits = gpt2.logits(&hidden.reshape((b * t, d)).unwrap(), trainable).unwrap();
    logits.reshape((b, t, gpt2.vocab())).unwrap()
}

fn small(seed: u64) -> Gpt2 {
    let config =
        Gpt2Config { n_embd: 16, n_head: 2, n_layer: 2, n_positions: 24, vocab_size: 31, ..Gpt2Config::default() };
    Gpt2::init(config, seed).unwrap()
}

/// Random prefixes of rows that stay the same whatever their number is.
fn prefixes(rows: usize) -> Tensor {
    let row = |row| Init::Normal(1.0).tensor(9, &format!("prefix {row}"), (1, 3, 16)).unwrap();
    Tensor::cat(&(0..rows).map(row).collect::<Vec<_>>(), 0).unwrap()
}

/// Expected numbers: transformers' `GPT2LMHeadModel` on golden/models.
#[test]
fn logits_agree_with_transformers() {
    for folder in ["golden/models/gpt2_tiny", "golden/models/gpt2_zh_tiny"] {
        let Some(folder) = shared::path(folder) else { return };
        let gpt2 = Gpt2::load(&bundle(&folder)).unwrap();
        let golden = golden(&folder, "golden.safetensors");
        for trainable in [false, true] {
            let text = |name: &str| gpt2.embed_tokens(&ids(&golden[name]), trainable).unwrap();
            close("ids", &logits(&gpt2, &text("ids"), trainable), &golden["ids_logits"]);
            close("hidden", &gpt2.hidden(&text("ids"), trainable).unwrap(), &golden["ids_hidden_after_ln_f"]);
            close("prefix", &logits(&gpt2, &golden["prefix"], trainable), &golden["prefix_logits"]);
            let mixed = Tensor::cat(&[golden["prefix"].clone(), text("mixed_ids")], 1).unwrap();
            close("mixed", &logits(&gpt2, &mixed, trainable), &golden["mixed_logits"]);
            let full = logits(&gpt2, &text("full_ids"), trainable).narrow(1, 127, 1).unwrap().squeeze(1).unwrap();
            close("full", &full, &golden["full_last_logits"].reshape(full.dims()).unwrap());
        }
    }
}

/// Expected numbers: as above; the cache must give what the whole sequence gives.
#[test]
fn the_cache_agrees_with_the_whole_sequence() {
    let Some(folder) = shared::path("golden/models/gpt2_tiny") else { return };
    let gpt2 = Gpt2::load(&bundle(&folder)).unwrap();
    let golden = golden(&folder, "golden.safetensors");
    let tokens = ids(&golden["mixed_ids"]).to_vec2::<u32>().unwrap();
    let writer = gpt2.into_writer().unwrap();
    let (mut cache, mut predicted) = writer.start(&golden["prefix"]).unwrap();
    let mut rows = vec![0, 1, 2];
    for at in 0..=6 {
        for (place, &row) in rows.iter().enumerate() {
            let wanted = golden["mixed_logits"].get(row).unwrap().get(4 + at).unwrap();
            let got = Tensor::new(predicted.row(place), &Device::Cpu).unwrap();
            close(&format!("row {row} after {at} tokens"), &got, &wanted);
        }
        if at == 6 {
            break;
        }
        // Rows change places, leave and are doubled on the way.
        let places: &[usize] = [&[2, 0, 1][..], &[0, 1, 2], &[1, 1, 2], &[2, 0], &[1], &[0, 0]][at];
        writer.select(&mut cache, places).unwrap();
        rows = places.iter().map(|&place| rows[place]).collect();
        let next: Vec<u32> = rows.iter().map(|&row| tokens[row][at]).collect();
        predicted = writer.step(&mut cache, &next).unwrap();
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn id_list(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Compares with one entry of the golden lists; `score` is the log-probability expected.
fn same(name: &str, got: &Hypothesis, wanted: &[u32], score: f64) {
    assert_eq!(got.ids, wanted, "{name}");
    shared::parity(&format!("log-probability {name}"), (got.log_prob - score).abs(), f64::from(TOLERANCE));
}

/// Checks all search rules on the prefixes of `cases`.
fn check_decoding(gpt2: &Gpt2, prefix: &Tensor, cases: &Value, stops: &[u32]) {
    let writer = gpt2.clone().into_writer().unwrap();
    let ids: Vec<u32> = (0..prefix.dim(0).unwrap() as u32).collect();
    let run = |method, stops: &[u32]| {
        let n = if method == Method::Greedy { 1 } else { 5 };
        let config = DecodeConfig { method, n, ..DecodeConfig::default() };
        search(&writer, prefix, &ids, &config, 20, &stops.iter().copied().collect()).unwrap()
    };
    let (greedy, clipcap) = (run(Method::Greedy, stops), run(Method::BeamClipcap, stops));
    for (case, (greedy, clipcap)) in cases.as_array().unwrap().iter().zip(greedy.iter().zip(&clipcap)) {
        let wanted = &case["greedy"];
        same("greedy", &greedy[0], &id_list(&wanted["ids"]), number(&wanted["sum_logprob"]));
        assert_eq!(greedy[0].stopped, wanted["stopped"].as_bool().unwrap());
        let wanted = case["beam_original"]["beams"].as_array().unwrap();
        assert_eq!(clipcap.len(), wanted.len());
        for (got, wanted) in clipcap.iter().zip(wanted) {
            same("beam_original", got, &id_list(&wanted["ids"]), number(&wanted["sum_logprob"]));
            assert_eq!(got.stopped, wanted["stopped"].as_bool().unwrap());
        }
    }
    for kind in ["eos_single", "eos_multi"] {
        for (image, case) in cases.as_array().unwrap().iter().enumerate() {
            let wanted = &case["beam_modern"][kind];
            let got = run(Method::Beam, &id_list(&wanted["eos_ids"]));
            let sequences = wanted["sequences"].as_array().unwrap();
            assert_eq!(got[image].len(), sequences.len());
            for ((got, ids), score) in got[image].iter().zip(sequences).zip(wanted["scores"].as_array().unwrap()) {
                let ids = id_list(ids);
                same(kind, got, &ids, number(score) * ids.len() as f64);
            }
        }
    }
}

/// Expected sequences: an implementation in Python of the original's rules, and transformers' `generate`.
#[test]
fn decoding_agrees_with_the_references() {
    for folder in ["golden/models/gpt2_tiny", "golden/models/gpt2_zh_tiny"] {
        let Some(folder) = shared::path(folder) else { return };
        let gpt2 = Gpt2::load(&bundle(&folder)).unwrap();
        let (expected, tensors) = (expected(&folder), golden(&folder, "decode_prefixes.safetensors"));
        check_decoding(&gpt2, &tensors["prefix"], &expected["decoding"], &id_list(&expected["stop_ids"]));
        if let Some(prefix) = tensors.get("prefix_before_cls") {
            let cls = Tensor::new(expected["cls_id"].as_u64().unwrap() as u32, &Device::Cpu).unwrap();
            let cls = gpt2.embed_tokens(&cls.reshape((1, 1)).unwrap(), false).unwrap();
            let cls = cls.broadcast_as((prefix.dim(0).unwrap(), 1, gpt2.width())).unwrap();
            let prefix = Tensor::cat(&[prefix.clone(), cls.contiguous().unwrap()], 1).unwrap();
            let stops = id_list(&expected["stop_ids_after_cls"]);
            check_decoding(&gpt2, &prefix, &expected["decoding_after_cls"], &stops);
        }
    }
}

#[test]
fn the_batch_changes_no_bit() {
    let writer = small(3).into_writer().unwrap();
    let stops = [0, 1, 2].into();
    for method in [Method::Greedy, Method::Beam, Method::BeamClipcap, Method::Sample] {
        let n = if method == Method::Greedy { 1 } else { 3 };
        let config = DecodeConfig { method, n, ..DecodeConfig::default() };
        let together = search(&writer, &prefixes(7), &[0, 1, 2, 3, 4, 5, 6], &config, 12, &stops).unwrap();
        for (row, together) in together.iter().enumerate() {
            let prefix = prefixes(7).narrow(0, row, 1).unwrap();
            let alone = search(&writer, &prefix, &[row as u32], &config, 12, &stops).unwrap();
            assert_eq!(alone[0], *together, "{method:?}, row {row}");
        }
    }
}

#[test]
fn a_small_cache_agrees_with_the_whole_sequence() {
    let gpt2 = small(4);
    let prefix = prefixes(2);
    let writer = gpt2.clone().into_writer().unwrap();
    let (mut cache, _) = writer.start(&prefix).unwrap();
    writer.step(&mut cache, &[5, 6]).unwrap();
    let got: Logits = writer.step(&mut cache, &[7, 8]).unwrap();
    let text = gpt2.embed_tokens(&Tensor::new(&[[5u32, 7], [6, 8]], &Device::Cpu).unwrap(), false).unwrap();
    let whole = logits(&gpt2, &Tensor::cat(&[prefix, text], 1).unwrap(), false);
    for row in 0..2 {
        let got = Tensor::new(got.row(row), &Device::Cpu).unwrap();
        close("cache", &got, &whole.get(row).unwrap().get(4).unwrap());
    }
}

#[test]
fn only_a_trainable_pass_has_gradients_of_weights() {
    let gpt2 = small(5);
    for trainable in [false, true] {
        let prefix = Var::from_tensor(&prefixes(2)).unwrap();
        let loss = logits(&gpt2, prefix.as_tensor(), trainable).sqr().unwrap().sum_all().unwrap();
        let grads = crate::model::ops::backward(&loss).unwrap();
        assert!(grads.get(&prefix).is_some());
        for (name, var) in gpt2.parameters() {
            assert_eq!(grads.get(&var).is_some(), trainable, "{name}");
        }
    }
}

#[test]
fn a_saved_model_loads_and_trained_weights_are_seen_by_both_passes() {
    let gpt2 = small(6);
    let copy = Gpt2::load(&gpt2.to_bundle("copy").unwrap()).unwrap();
    assert_eq!(gpt2.save().unwrap(), copy.save().unwrap());
    assert_eq!(small(6).save().unwrap(), gpt2.save().unwrap());
    assert_ne!(small(7).save().unwrap(), gpt2.save().unwrap());
    for (_, var) in gpt2.parameters() {
        var.set(&var.as_tensor().affine(0.5, 0.25).unwrap()).unwrap();
    }
    close("passes", &logits(&gpt2, &prefixes(1), false), &logits(&gpt2, &prefixes(1), true));
    let off = (logits(&gpt2, &prefixes(1), false) - logits(&copy, &prefixes(1), false)).unwrap().abs().unwrap();
    assert!(off.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap() > 0.01);
}

#[test]
fn checkpoints_are_understood_in_all_their_forms() {
    let Some(folder) = shared::path("golden/models/gpt2_tiny") else { return };
    let plain = Gpt2::load(&bundle(&folder)).unwrap().save().unwrap();
    for (file, name) in
        [("hub_layout/model.safetensors", "model.safetensors"), ("pytorch_model.pt", "pytorch_model.bin")]
    {
        let mut bundle = bundle(&folder);
        bundle.files.remove("model.safetensors");
        bundle.files.insert(name.to_owned(), Content::File(folder.join(file)));
        assert_eq!(Gpt2::load(&bundle).unwrap().save().unwrap(), plain, "{file}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let whole = small(8).to_bundle("made").unwrap();
    let rows: [(&str, &str, &str, &str); 6] = [
        ("heads", r#""n_head": 2"#, r#""n_head": 3"#, "multiple of n_head 3"),
        ("activation", "gelu_new", "swish", "`swish` is not supported"),
        ("family", r#""gpt2""#, r#""llama""#, "model_type is not gpt2"),
        ("untied", r#""tie_word_embeddings": true"#, r#""tie_word_embeddings": false"#, "tie_word_embeddings"),
        ("layers", r#""n_layer": 2"#, r#""n_layer": 3"#, "missing: h.2.attn.c_attn.bias [48]"),
        ("fewer layers", r#""n_layer": 2"#, r#""n_layer": 1"#, "unused: h.1.attn.c_attn.bias [48]"),
    ];
    for (name, from, to, wanted) in rows {
        let mut bundle = whole.clone();
        let config = String::from_utf8(bundle.file("config.json").unwrap().into()).unwrap();
        assert!(config.contains(from), "{name}: {config}");
        bundle.files.insert("config.json".to_owned(), config.replace(from, to).into_bytes().into());
        let error = format!("{:#}", Gpt2::load(&bundle).unwrap_err());
        assert!(error.contains(wanted) && error.contains("model made"), "{name}: {error}");
    }
    let gpt2 = small(8);
    let long = Tensor::zeros((1, 25, 16), DType::F32, &Device::Cpu).unwrap();
    assert!(gpt2.hidden(&long, false).unwrap_err().to_string().contains("the model has 24"));
}
