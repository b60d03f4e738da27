//! Small models, made here, whose files are mutated.

use std::collections::BTreeMap;

use rsic::model::clip::{self, ClipShape, Family, TextShape};
use rsic::model::gpt2::{Gpt2, Gpt2Config};
use rsic::model::resnet::{self, LayerType, ResNetShape};
use rsic::model::tokenizer::{train_bpe, train_characters};
use rsic::model::weights::Dtype;
use rsic::model::weights::torch::{Item, TorchError, write};
use rsic::model::{Bundle, Content};
use serde_json::Value;

/// Captions that all vocabularies are made of.
const SENTENCES: [&str; 4] = ["a plane is on the runway .", "two tennis courts .", "many cars", "一架飞机 。"];

pub(super) fn gpt2() -> Bundle {
    let config =
        Gpt2Config { n_embd: 8, n_head: 2, n_layer: 2, n_positions: 16, vocab_size: 300, ..Gpt2Config::default() };
    Gpt2::init(config, 1).unwrap().to_bundle("tiny gpt2").unwrap()
}

pub(super) fn clip() -> Bundle {
    let text = TextShape { width: 8, layers: 1, inner: 16, vocab: 40, positions: 7 };
    let shape = ClipShape {
        family: Family::Clip,
        width: 8,
        layers: 2,
        inner: 16,
        patch_size: 4,
        image_size: 8,
        projection_dim: 6,
        text: Some(text),
    };
    clip::random(&shape, 1).unwrap()
}

pub(super) fn resnet() -> Bundle {
    let shape = ResNetShape {
        embedding_size: 4,
        hidden_sizes: vec![8, 16],
        depths: vec![1, 2],
        layer_type: LayerType::Bottleneck,
        downsample_in_first_stage: false,
        downsample_in_bottleneck: false,
    };
    resnet::random(&shape, 1).unwrap()
}

/// The bytes of one file of a model.
pub(super) fn file(bundle: &Bundle, name: &str) -> Vec<u8> {
    bundle.file(name).unwrap().to_vec()
}

/// The same model with another file.
pub(super) fn with(bundle: &Bundle, name: &str, bytes: &[u8]) -> Bundle {
    let mut bundle = bundle.clone();
    bundle.files.insert(name.to_owned(), Content::from(bytes.to_vec()));
    bundle
}

/// A `ClipCap` mapper and some more, as PyTorch saves it.
pub(super) fn torch() -> Vec<u8> {
    let item = |name: &str, shape: &[usize], storage| Item {
        name: name.to_owned(),
        dtype: Dtype::F32,
        shape: shape.to_vec(),
        storage,
    };
    let items = [
        item("clip_project.model.0.weight", &[4, 6], 0),
        item("clip_project.model.0.bias", &[4], 1),
        item("clip_project.model.2.weight", &[16, 4], 2),
        item("clip_project.model.2.bias", &[16], 3),
    ];
    let mut out = Vec::new();
    let lengths = [24, 4, 64, 16];
    write::<_, TorchError>(&mut out, &items, &[("mapper", "{}")], |at| Ok(vec![0; lengths[at] * 4])).unwrap();
    out
}

/// Vocabularies of all three kinds, as the files that hold them.
pub(super) fn vocabularies() -> Vec<(&'static str, BTreeMap<&'static str, Vec<u8>>)> {
    let bpe = train_bpe(SENTENCES, 300).unwrap();
    let json: Value = serde_json::from_slice(&bpe).unwrap();
    let merges = json["model"]["merges"].as_array().unwrap();
    let line = |pair: &Value| format!("{} {}\n", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    let merges: String = std::iter::once("#version: 0.2\n".to_owned()).chain(merges.iter().map(line)).collect();
    let pieces = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nplane\n##s\n飞\n机\n。\n";
    vec![
        ("tokenizer.json", BTreeMap::from([("tokenizer.json", bpe)])),
        ("tokenizer.json", BTreeMap::from([("tokenizer.json", train_characters(SENTENCES).unwrap())])),
        (
            "vocab.json",
            BTreeMap::from([
                ("vocab.json", json["model"]["vocab"].to_string().into()),
                ("merges.txt", merges.clone().into()),
            ]),
        ),
        (
            "merges.txt",
            BTreeMap::from([("vocab.json", json["model"]["vocab"].to_string().into()), ("merges.txt", merges.into())]),
        ),
        ("vocab.txt", BTreeMap::from([("vocab.txt", pieces.into())])),
        (
            "tokenizer_config.json",
            BTreeMap::from([
                ("vocab.txt", pieces.into()),
                ("tokenizer_config.json", br#"{"do_lower_case": true, "strip_accents": null}"#.to_vec()),
            ]),
        ),
    ]
}

/// A model of such files.
pub(super) fn of_files(files: &BTreeMap<&'static str, Vec<u8>>) -> Bundle {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), Content::from(bytes.clone())));
    Bundle { files: files.collect(), name: "tiny vocabulary".to_owned() }
}
