use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::model::checkpoint::{GPT_PREFIX, MAPPER_KEY, MAPPER_PREFIX};
use crate::model::clip::ImageEncoder;
use crate::model::init::Init;
use crate::model::mapper::MapperConfig;
use crate::model::mapper::{AmhtInit, MapperKind};
use crate::model::search::Method;
use crate::model::tokenizer::{train_bpe, train_characters};
use crate::model::weights;
use crate::progress::Silent;
use crate::{picture, shared};

const KINDS: [(&str, MapperKind); 3] =
    [("mlp", MapperKind::Mlp), ("transformer", MapperKind::Transformer), ("amht", MapperKind::Amht)];

/// The file that training would write.
fn trained(config: &MapperConfig, tensors: &BTreeMap<String, Tensor>) -> Content {
    let metadata = HashMap::from([(MAPPER_KEY.to_owned(), serde_json::to_string(config).unwrap())]);
    ::safetensors::serialize(tensors, Some(metadata)).unwrap().into()
}

fn folder(name: &str, names: &[&str]) -> Option<Bundle> {
    let folder = shared::path(&format!("golden/models/{name}"))?;
    let read = |name: &&str| ((*name).to_owned(), Content::File(folder.join(name)));
    Some(Bundle { files: names.iter().map(read).collect(), name: name.to_owned() })
}

fn golden(name: &str) -> Option<PathBuf> {
    shared::path(&format!("golden/models/{name}"))
}

/// The golden captioner of one mapper kind.
fn golden_captioner(kind: &str, normalize: bool) -> Option<Captioner> {
    let gpt2 = folder("gpt2_tiny", &["config.json", "model.safetensors", "tokenizer.json"])?;
    let tensors = weights::parse(&std::fs::read(golden(&format!("mappers/{kind}.safetensors"))?).unwrap()).unwrap();
    let tensors = tensors.into_iter().map(|(name, tensor)| (format!("{MAPPER_PREFIX}{name}"), tensor)).collect();
    let kind = KINDS.iter().find(|(name, _)| *name == kind).unwrap().1;
    let config = MapperConfig {
        kind,
        clip_dim: 48,
        prefix_length: 5,
        clip_length: 5,
        width: 64,
        layers: 3,
        heads: 4,
        init: AmhtInit::Original,
        normalize,
    };
    Some(Captioner::load(&trained(&config, &tensors), &gpt2, Language::En).unwrap())
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn same(name: &str, got: &Caption, wanted: &[u32], log_prob: &Value, text: &Value) {
    assert_eq!(got.ids, wanted, "{name}");
    let log_prob = log_prob.as_f64().unwrap();
    let off = (got.log_prob - log_prob).abs() / wanted.len() as f64;
    shared::parity(&format!("captions, log-probability per token, {name}"), off, 1e-4);
    let text: String = text.as_str().unwrap().chars().filter(|c| *c != '\u{fffd}').collect();
    let line = text.replace(|c: char| c.is_control(), " ");
    assert_eq!(got.text, line.trim(), "{name}");
}

/// Captions of vectors whose images are called 0, 1, 2 and so on.
fn captions(
    captioner: &Captioner,
    vectors: &[f32],
    dim: usize,
    config: &DecodeConfig,
    max_tokens: usize,
    batch: usize,
) -> Result<Vec<Vec<Caption>>> {
    let ids: Vec<u32> = (0..(vectors.len() / dim) as u32).collect();
    captioner.caption(Images { ids: &ids, vectors, dim }, config, max_tokens, batch, &Silent)
}

/// The only caption of every image.
fn only(captions: Vec<Vec<Caption>>) -> Vec<Caption> {
    assert!(captions.iter().all(|captions| captions.len() == 1));
    captions.into_iter().flatten().collect()
}

/// The original's settings: stop at full stops only.
fn compat(method: Method) -> DecodeConfig {
    DecodeConfig { method, end_token: false, stop_ids: vec![13, 259], ..DecodeConfig::default() }
}

/// Expected captions: golden/models/decode, made with PyTorch and transformers.
#[test]
fn captions_agree_with_the_references() {
    let Some(decode) = golden("decode") else { return };
    let expected: Value = serde_json::from_slice(&std::fs::read(decode.join("expected.json")).unwrap()).unwrap();
    let vectors = weights::parse(&std::fs::read(decode.join("clip_vectors.safetensors")).unwrap()).unwrap();
    for (kind, _) in KINDS {
        let captioner = golden_captioner(kind, false).unwrap();
        let vectors = flat(&vectors[kind]);
        let run = |config: &DecodeConfig| only(captions(&captioner, &vectors, 48, config, 20, 3).unwrap());
        let cases = expected["mappers"][kind]["cases"].as_array().unwrap();
        let (greedy, clipcap) = (run(&compat(Method::Greedy)), run(&compat(Method::BeamClipcap)));
        let beam = DecodeConfig::default();
        let single = run(&beam);
        let multi = run(&DecodeConfig { stop_texts: vec![".".into(), " .".into()], ..beam });
        for (at, case) in cases.iter().enumerate() {
            let wanted = &case["greedy"];
            same("greedy", &greedy[at], &ids(&wanted["ids"]), &wanted["sum_logprob"], &wanted["text"]);
            let wanted = &case["beam_original"]["beams"][0];
            same("beam_original", &clipcap[at], &ids(&wanted["ids"]), &wanted["sum_logprob"], &wanted["text"]);
            for (name, got) in [("eos_single", &single[at]), ("eos_multi", &multi[at])] {
                let wanted = &case["beam_modern"][name];
                let best = ids(&wanted["sequences"][0]);
                let sum = wanted["scores"][0].as_f64().unwrap() * best.len() as f64;
                same(name, got, &best, &sum.into(), &wanted["texts"][0]);
            }
        }
    }
}

/// All beams, not only the best one: golden/models/decode.
#[test]
fn all_beams_agree_with_the_references() {
    let Some(decode) = golden("decode") else { return };
    let expected: Value = serde_json::from_slice(&std::fs::read(decode.join("expected.json")).unwrap()).unwrap();
    let vectors = weights::parse(&std::fs::read(decode.join("clip_vectors.safetensors")).unwrap()).unwrap();
    for (kind, _) in KINDS {
        let captioner = golden_captioner(kind, false).unwrap();
        let run = |config| captions(&captioner, &flat(&vectors[kind]), 48, &config, 20, 8).unwrap();
        let clipcap = run(DecodeConfig { n: 5, ..compat(Method::BeamClipcap) });
        let beam = run(DecodeConfig { n: 5, ..DecodeConfig::default() });
        for (at, case) in expected["mappers"][kind]["cases"].as_array().unwrap().iter().enumerate() {
            let wanted = case["beam_original"]["beams"].as_array().unwrap();
            assert_eq!((clipcap[at].len(), wanted.len()), (5, 5), "{kind}");
            for (found, wanted) in clipcap[at].iter().zip(wanted) {
                same(kind, found, &ids(&wanted["ids"]), &wanted["sum_logprob"], &wanted["text"]);
            }
            let wanted = &case["beam_modern"]["eos_single"];
            assert_eq!(beam[at].len(), 5, "{kind}");
            for (place, found) in beam[at].iter().enumerate() {
                let ids = ids(&wanted["sequences"][place]);
                let sum = wanted["scores"][place].as_f64().unwrap() * ids.len() as f64;
                same(kind, found, &ids, &sum.into(), &wanted["texts"][place]);
            }
        }
    }
}

/// From image files to captions: golden/models/decode, `pipeline`.
#[test]
fn pictures_are_captioned_as_by_the_references() {
    let Some(clip) = folder("clip_tiny", &["config.json", "preprocessor_config.json", "model.safetensors"]) else {
        return;
    };
    let encoder = ImageEncoder::load(&clip).unwrap();
    let expected = std::fs::read(golden("decode").unwrap().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    for row in expected["pipeline"].as_array().unwrap() {
        let file = row["image"].as_str().unwrap().replace(".jpg", ".decoded.png");
        let image = std::fs::read(golden("images").unwrap().join(file)).unwrap();
        let vector = encoder.embed(&[picture::decode(&image).unwrap()]).unwrap();
        let normalize = row["normalise_clip"].as_bool().unwrap();
        let captioner = golden_captioner(row["mapper"].as_str().unwrap(), normalize).unwrap();
        let got = only(captions(&captioner, &vector, 48, &compat(Method::Greedy), 20, 1).unwrap());
        same("pipeline", &got[0], &ids(&row["ids"]), &row["sum_logprob"], &row["text"]);
    }
}

const CONFIG: MapperConfig = MapperConfig {
    kind: MapperKind::Amht,
    clip_dim: 6,
    prefix_length: 3,
    clip_length: 2,
    width: 16,
    layers: 1,
    heads: 2,
    init: AmhtInit::Original,
    normalize: false,
};

fn made_gpt2(vocab: Vec<u8>, seed: u64) -> Bundle {
    let config =
        Gpt2Config { n_embd: 16, n_head: 2, n_layer: 1, n_positions: 20, vocab_size: 300, ..Gpt2Config::default() };
    let mut bundle = Gpt2::init(config, seed).unwrap().to_bundle("made").unwrap();
    bundle.files.insert("tokenizer.json".to_owned(), vocab.into());
    bundle
}

fn made_tensors() -> BTreeMap<String, Tensor> {
    let mapper = Mapper::init(&CONFIG, 1).unwrap();
    let tensors = mapper.parameters().into_iter();
    tensors.map(|(name, var)| (format!("{MAPPER_PREFIX}{name}"), var.as_tensor().clone())).collect()
}

fn vectors() -> Vec<f32> {
    flat(&Init::Normal(3.0).tensor(2, "vectors", (7, 6)).unwrap())
}

#[test]
fn the_batch_changes_nothing_and_text_is_one_line() {
    let vocabularies = [train_bpe(["a b c"], 257).unwrap(), train_characters(["\u{6709}\u{6811}a"]).unwrap()];
    for (vocab, language) in vocabularies.into_iter().zip([Language::En, Language::Zh]) {
        let captioner = Captioner::load(&trained(&CONFIG, &made_tensors()), &made_gpt2(vocab, 3), language).unwrap();
        for (method, n) in [(Method::Greedy, 1), (Method::Beam, 2), (Method::BeamClipcap, 2), (Method::Sample, 3)] {
            let config = DecodeConfig { method, n, no_repeat_ngram: 2, min_tokens: 3, ..DecodeConfig::default() };
            let run = |batch| captions(&captioner, &vectors(), 6, &config, 18, batch).unwrap();
            let together = run(7);
            assert_eq!(together.iter().map(Vec::len).collect::<Vec<_>>(), [n; 7]);
            assert_eq!(run(1), together, "{method:?}");
            assert_eq!(run(3), together, "{method:?}");
            for caption in together.iter().flatten() {
                assert!(!caption.text.contains(|c: char| c.is_control() || c == '\u{fffd}'), "{caption:?}");
            }
        }
    }
}

#[test]
fn a_fine_tuned_language_model_takes_the_place_of_the_other() {
    let vocab = train_bpe(["a b c"], 257).unwrap();
    let tuned = Gpt2::load(&made_gpt2(vocab.clone(), 4)).unwrap();
    let mut tensors = made_tensors();
    tensors
        .extend(tuned.parameters().into_iter().map(|(n, var)| (format!("{GPT_PREFIX}{n}"), var.as_tensor().clone())));
    let run = |tensors: &BTreeMap<String, Tensor>, seed| {
        let gpt2 = made_gpt2(vocab.clone(), seed);
        let captioner = Captioner::load(&trained(&CONFIG, tensors), &gpt2, Language::En).unwrap();
        captions(&captioner, &vectors(), 6, &DecodeConfig::default(), 6, 2).unwrap()
    };
    assert_eq!(run(&tensors, 3), run(&made_tensors(), 4));
    assert_ne!(run(&tensors, 3), run(&made_tensors(), 3));
}

#[test]
fn what_does_not_fit_is_refused() {
    let good = trained(&CONFIG, &made_tensors());
    let bytes = good.read().unwrap();
    let gpt2 = made_gpt2(train_bpe(["a b c"], 257).unwrap(), 3);
    let mut foreign = made_tensors();
    foreign.insert("other.weight".to_owned(), foreign[&format!("{MAPPER_PREFIX}prefix_const")].clone());
    let narrow = MapperConfig { width: 8, ..CONFIG };
    let narrow_tensors = Mapper::init(&narrow, 1).unwrap().parameters().into_iter();
    let narrow_tensors =
        narrow_tensors.map(|(n, var)| (format!("{MAPPER_PREFIX}{n}"), var.as_tensor().clone())).collect();
    let rows = [
        ("no settings", ::safetensors::serialize(&made_tensors(), None).unwrap().into(), "carry no `rsic.mapper`"),
        ("a web page", b"<html>".to_vec().into(), "web page"),
        ("cut", bytes[..bytes.len() - 5].to_vec().into(), "cut short"),
        ("a stranger", trained(&CONFIG, &foreign), "unused: other.weight"),
        ("other sizes", trained(&narrow, &made_tensors()), "misshapen: "),
        ("another model", trained(&narrow, &narrow_tensors), "width of 8, the language model has 16"),
    ];
    for (name, bytes, wanted) in rows {
        let error = format!("{:#}", Captioner::load(&bytes, &gpt2, Language::En).unwrap_err());
        assert!(error.contains(wanted), "{name}: {error}");
    }
    let captioner = Captioner::load(&good, &gpt2, Language::En).unwrap();
    let run = |config: DecodeConfig, max_tokens, dim, batch| {
        captions(&captioner, &vectors(), dim, &config, max_tokens, batch).unwrap_err().to_string()
    };
    let plain = DecodeConfig::default();
    let long = run(plain.clone(), 67, 6, 1);
    assert!(long.contains("max_tokens is 67, but the language model has room for 18"), "{long}");
    assert!(run(plain.clone(), 5, 7, 1).contains("vectors of 6 numbers, these have 7"));
    assert!(run(plain.clone(), 5, 6, 0).contains("at least one image"));
    assert!(run(DecodeConfig { n: 6, ..plain.clone() }, 5, 6, 1).contains("`n` must be at most `width`"));
    assert!(run(DecodeConfig { stop_ids: vec![300], ..plain.clone() }, 5, 6, 1).contains("stop id 300"));
    assert!(
        run(DecodeConfig { stop_texts: vec!["a b".into()], ..plain.clone() }, 5, 6, 1).contains("is 3 tokens, not one")
    );
    let images = Images { ids: &[1, 2], vectors: &vectors(), dim: 6 };
    let error = captioner.caption(images, &plain, 5, 1, &Silent).unwrap_err().to_string();
    assert_eq!(error, "2 image ids for 7 vectors");
}

/// A drawn caption depends on what its image is called, not on where it stands.
#[test]
fn draws_belong_to_images() {
    let gpt2 = made_gpt2(train_bpe(["a b c"], 257).unwrap(), 3);
    let captioner = Captioner::load(&trained(&CONFIG, &made_tensors()), &gpt2, Language::En).unwrap();
    let config = DecodeConfig { method: Method::Sample, n: 2, top_k: 50, ..DecodeConfig::default() };
    let (vectors, run) = (vectors(), |ids: &[u32], vectors: &[f32], seed| {
        let config = DecodeConfig { seed, ..config.clone() };
        captioner.caption(Images { ids, vectors, dim: 6 }, &config, 12, 2, &Silent).unwrap()
    });
    let all = run(&[9, 4, 7], &vectors[..18], 1);
    assert_eq!(run(&[7], &vectors[12..18], 1)[0], all[2]);
    assert_ne!(run(&[8], &vectors[12..18], 1)[0], all[2]);
    assert_ne!(run(&[7], &vectors[12..18], 2)[0], all[2]);
    assert_ne!(all[2][0], all[2][1]);
}
