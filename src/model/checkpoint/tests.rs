use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use serde_json::json;

use super::*;
use crate::model::Bundle;
use crate::model::Content;
use crate::model::gpt2::{Gpt2, Gpt2Config};
use crate::model::init::Init;
use crate::model::mapper::{AmhtInit, Mapper, MapperConfig, MapperKind};
use crate::model::ops::values;
use crate::model::weights::{Dtype, TensorFile, Weights, torch};
use crate::shared;

const KINDS: [MapperKind; 4] = [MapperKind::Linear, MapperKind::Mlp, MapperKind::Transformer, MapperKind::Amht];

fn config(kind: MapperKind) -> MapperConfig {
    MapperConfig {
        kind,
        clip_dim: 6,
        prefix_length: 2,
        clip_length: if kind.has_layers() { 3 } else { 1 },
        width: 16,
        layers: if kind.has_layers() { 2 } else { 1 },
        heads: if kind.has_layers() { 4 } else { 1 },
        init: AmhtInit::Identity,
        normalize: false,
    }
}

fn small_gpt2() -> Gpt2 {
    let config =
        Gpt2Config { n_embd: 16, n_head: 2, n_layer: 2, n_positions: 24, vocab_size: 31, ..Gpt2Config::default() };
    Gpt2::init(config, 4).unwrap()
}

/// The tensors of a whole captioning model under ClipCap's names, with the stored masks and the tied output layer.
fn clipcap(mapper: &Mapper, gpt2: Option<&Gpt2>) -> Weights {
    let mut all: Weights =
        named(mapper, gpt2).into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
    if let Some(gpt2) = gpt2 {
        all.insert("gpt.lm_head.weight".into(), all["gpt.transformer.wte.weight"].clone());
        for layer in 0..gpt2.config().n_layer {
            let mask = Tensor::zeros((1, 1, 24, 24), candle_core::DType::U8, &Device::Cpu).unwrap();
            all.insert(format!("gpt.transformer.h.{layer}.attn.bias"), mask);
        }
    }
    all
}

/// The same as `torch.save` writes it.
fn torch_file(tensors: &Weights) -> Content {
    let tensors: Vec<(&String, &Tensor)> = tensors.iter().collect();
    let dtype = |tensor: &Tensor| if tensor.dtype().is_float() { Dtype::F32 } else { Dtype::U8 };
    let items: Vec<torch::Item> = tensors
        .iter()
        .enumerate()
        .map(|(storage, (name, tensor))| torch::Item {
            name: (*name).clone(),
            dtype: dtype(tensor),
            shape: tensor.dims().to_vec(),
            storage,
        })
        .collect();
    let mut bytes = Vec::new();
    torch::write(&mut bytes, &items, &[], |at| -> Result<Vec<u8>, torch::TorchError> {
        let tensor = tensors[at].1.flatten_all().unwrap();
        Ok(match dtype(&tensor) {
            Dtype::F32 => tensor.to_vec1::<f32>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => tensor.to_vec1::<u8>().unwrap(),
        })
    })
    .unwrap();
    bytes.into()
}

/// As the stage does it.
fn adopted(content: &Content, name: &str, profile: &Profile, gpt2: &Gpt2Config) -> anyhow::Result<Vec<u8>> {
    Adopted::read(content, name, profile, gpt2)?.save()
}

fn wrapped(tensors: &Weights, wrapper: &str) -> Weights {
    tensors.iter().map(|(name, tensor)| (format!("{wrapper}{name}"), tensor.clone())).collect()
}

fn profile(kind: MapperKind, with_gpt2: bool) -> Profile {
    Profile { heads: (kind == MapperKind::Transformer).then_some(4), normalize: false, with_gpt2 }
}

fn prefix(mapper: &Mapper) -> Vec<f32> {
    let clip = Init::Normal(1.0).tensor(5, "clip", (3, 6)).unwrap();
    values(&mapper.prefixes(&clip).unwrap()).unwrap().to_vec()
}

#[test]
fn every_kind_is_recognised_in_every_wrapping() {
    let gpt2 = small_gpt2();
    for kind in KINDS {
        let mapper = Mapper::init(&config(kind), 1).unwrap();
        for with_gpt2 in [false, true] {
            let plain = clipcap(&mapper, with_gpt2.then_some(&gpt2));
            for wrapper in ["", "model.", "net.captioner."] {
                let file = torch_file(&wrapped(&plain, wrapper));
                let name = format!("{kind:?} {with_gpt2} {wrapper}");
                let bytes = adopted(&file, &name, &profile(kind, with_gpt2), gpt2.config()).unwrap();
                let read = read_weights(&bytes.into()).unwrap();
                assert_eq!(read.mapper.config(), &config(kind), "{name}");
                assert_eq!(prefix(&read.mapper), prefix(&mapper), "{name}");
                let tuned = read.gpt2.map(|tensors| Gpt2::from_tensors(gpt2.config().clone(), tensors).unwrap());
                assert_eq!(tuned.map(|tuned| tuned.save().unwrap()), with_gpt2.then(|| gpt2.save().unwrap()), "{name}");
                let report = inspect(&file).unwrap();
                assert_eq!((report.missing, report.unmatched), (vec![], vec![]), "{name}");
                let kind = serde_json::to_value(kind).unwrap();
                assert_eq!(report.architecture["mapper"]["kind"], kind, "{name}");
                assert_eq!(report.architecture.contains_key("gpt2"), with_gpt2, "{name}");
            }
        }
    }
}

/// A mapper that was saved alone has names without `clip_project.`.
#[test]
fn bare_names_are_a_mapper_too() {
    for kind in KINDS {
        let mapper = Mapper::init(&config(kind), 1).unwrap();
        let bare: Weights = mapper.parameters().into_iter().map(|(n, var)| (n, var.as_detached_tensor())).collect();
        let bytes = adopted(&torch_file(&bare), "bare", &profile(kind, false), small_gpt2().config()).unwrap();
        assert_eq!(prefix(&read_weights(&bytes.into()).unwrap().mapper), prefix(&mapper), "{kind:?}");
    }
}

#[test]
fn guesses_are_those_of_the_published_models() {
    // ClipCap's transformer: 8 layers, 40 rows, RN50x4 vectors of 640; the paper's: 16 layers, 20 rows, 512.
    let shaped = |layers, clip_dim| MapperConfig { clip_dim, layers, ..config(MapperKind::Transformer) };
    let rows =
        [("ClipCap", shaped(8, 640), json!(8), json!(true)), ("the paper", shaped(16, 512), json!(16), json!(false))];
    for (name, config, heads, normalize) in rows {
        let report = inspect(&torch_file(&clipcap(&Mapper::init(&config, 1).unwrap(), None))).unwrap();
        let guess = |setting| report.profile.iter().find(|guess| guess.setting == setting).unwrap().value.clone();
        assert_eq!((guess("heads"), guess("normalize")), (heads, normalize), "{name}");
        assert_eq!(guess("stop_texts"), json!([".", " ."]), "{name}");
    }
    let amht = inspect(&torch_file(&clipcap(&Mapper::init(&config(MapperKind::Amht), 1).unwrap(), None))).unwrap();
    assert_eq!(amht.architecture["mapper"]["heads"], 4);
    assert!(amht.profile.iter().all(|guess| guess.setting != "heads"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let gpt2 = small_gpt2();
    let mapper = |kind| Mapper::init(&config(kind), 1).unwrap();
    let alone = |kind| clipcap(&mapper(kind), None);
    let changed = |change: &dyn Fn(&mut Weights)| {
        let mut tensors = clipcap(&mapper(MapperKind::Amht), Some(&gpt2));
        change(&mut tensors);
        tensors
    };
    let one = || Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap();
    let amht = |with_gpt2| profile(MapperKind::Amht, with_gpt2);
    let wide = Gpt2Config { n_embd: 32, ..gpt2.config().clone() };
    let twice = |wrapper: &str| {
        let mut tensors = alone(MapperKind::Amht);
        tensors.extend(wrapped(&alone(MapperKind::Amht), wrapper));
        tensors
    };
    let no_heads = || {
        let mut tensors = alone(MapperKind::Amht);
        let none = Tensor::zeros((0, 4, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        tensors.insert("clip_project.transformer.layers.0.attn.adaptive_weights".into(), none);
        tensors
    };
    let rows: [(&str, Weights, Profile, &Gpt2Config, &str); 12] = [
        ("two mappers", twice("averaged."), amht(false), gpt2.config(), "2 mappers, `averaged.clip_project.` and"),
        ("no heads at all", no_heads(), amht(false), gpt2.config(), "heads must be above 0"),
        ("no mapper", BTreeMap::from([("x".into(), one())]), amht(false), gpt2.config(), "it holds no mapper"),
        ("heads unknown", alone(MapperKind::Transformer), amht(false), gpt2.config(), "set `heads`"),
        (
            "other heads",
            alone(MapperKind::Amht),
            Profile { heads: Some(2), ..Profile::default() },
            gpt2.config(),
            "has 4 heads, not 2",
        ),
        (
            "another width",
            alone(MapperKind::Amht),
            amht(false),
            &wide,
            "rows of 16, but the language model reads rows of 32",
        ),
        ("a language model too many", changed(&|_| ()), amht(false), gpt2.config(), "set `with_gpt2 = true`"),
        ("none", alone(MapperKind::Amht), amht(true), gpt2.config(), "remove `with_gpt2`"),
        (
            "missing in the mapper",
            changed(&|t| _ = t.remove("clip_project.linear.bias")),
            amht(true),
            gpt2.config(),
            "missing: clip_project.linear.bias [48]",
        ),
        (
            "missing in the language model",
            changed(&|t| _ = t.remove("gpt.transformer.h.1.ln_2.bias")),
            amht(true),
            gpt2.config(),
            "missing: h.1.ln_2.bias [16]",
        ),
        ("a stranger", changed(&|t| _ = t.insert("gate".into(), one())), amht(true), gpt2.config(), "unused: gate [1]"),
        (
            "a stranger in the mapper",
            changed(&|t| _ = t.insert("clip_project.gate".into(), one())),
            amht(true),
            gpt2.config(),
            "unused: clip_project.gate [1]",
        ),
    ];
    for (name, tensors, profile, gpt2, wanted) in rows {
        let error = adopted(&torch_file(&tensors), "model.pt", &profile, gpt2).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(wanted) && error.contains("model.pt"), "{name}: {error}");
    }
}

#[test]
fn an_exported_model_comes_back_the_same() {
    let gpt2 = small_gpt2();
    let bundle = gpt2.to_bundle("small").unwrap();
    for kind in KINDS {
        let normalized = MapperConfig { normalize: true, ..config(kind) };
        let mapper = Mapper::init(&normalized, 1).unwrap();
        for (format, with_gpt2) in [
            (ExportFormat::PyTorch, true),
            (ExportFormat::PyTorch, false),
            (ExportFormat::SafeTensors, true),
            (ExportFormat::SafeTensors, false),
        ] {
            let name = format!("{kind:?} {format:?} {with_gpt2}");
            let trained: Content = save_weights(&mapper, None).unwrap().into();
            let mut file = Vec::new();
            export(&trained, with_gpt2.then_some(&bundle), Export { format, masks: false }, &mut file).unwrap();
            let mut again = Vec::new();
            export(&trained, with_gpt2.then_some(&bundle), Export { format, masks: false }, &mut again).unwrap();
            assert!(file == again, "{name}");
            let content = Content::from(file);
            let names: Vec<String> =
                TensorFile::open(&content).unwrap().entries.into_iter().map(|entry| entry.name).collect();
            assert_eq!(names.contains(&"gpt.lm_head.weight".to_owned()), with_gpt2, "{name}");
            // Heads and normalisation stand in the notes of both formats.
            let profile = Profile { with_gpt2, ..Profile::default() };
            let back = read_weights(&adopted(&content, "file", &profile, gpt2.config()).unwrap().into()).unwrap();
            assert_eq!(back.mapper.config(), &normalized, "{name}");
            assert_eq!(prefix(&back.mapper), prefix(&mapper), "{name}");
        }
    }
}

/// A file of ours tells its own settings; others are contradictions.
#[test]
fn notes_are_believed() {
    let mapper = Mapper::init(&config(MapperKind::Transformer), 1).unwrap();
    let file: Content = save_weights(&mapper, None).unwrap().into();
    let run = |heads, normalize| {
        let profile = Profile { heads, normalize, with_gpt2: false };
        adopted(&file, "ours", &profile, small_gpt2().config()).map_err(|error| format!("{error:#}"))
    };
    assert!(run(None, false).is_ok());
    assert!(run(Some(4), false).is_ok());
    assert!(run(Some(2), false).unwrap_err().contains("its own notes say 4 heads"));
    assert!(run(None, true).unwrap_err().contains("its own notes say normalize = false"));
}

/// Notes that do not fit the tensors beside them, however large what they claim.
#[test]
fn notes_that_contradict_the_tensors_are_refused() {
    let mapper = Mapper::init(&config(MapperKind::Transformer), 1).unwrap();
    let tensors: Weights = named(&mapper, None).into_iter().map(|(n, var)| (n, var.as_detached_tensor())).collect();
    let honest = config(MapperKind::Transformer);
    for (name, claimed) in [
        ("layers", MapperConfig { layers: 1_000_000_000_000, ..honest.clone() }),
        ("rows", MapperConfig { prefix_length: 7, ..honest.clone() }),
        ("kind", MapperConfig { kind: MapperKind::Amht, ..honest.clone() }),
        ("vector", MapperConfig { clip_dim: 512, ..honest }),
    ] {
        let notes = [(MAPPER_KEY.to_owned(), serde_json::to_string(&claimed).unwrap())].into();
        let file = Content::from(::safetensors::serialize(&tensors, Some(notes)).unwrap());
        let error = adopted(&file, "liar", &Profile::default(), small_gpt2().config()).unwrap_err();
        assert!(format!("{error:#}").contains("its own notes say"), "{name}: {error:#}");
    }
}

/// With masks, every layer has the two tensors of older versions of transformers, and reading passes them over.
#[test]
fn masks_are_written_when_asked_for() {
    let gpt2 = small_gpt2();
    let trained: Content = save_weights(&Mapper::init(&config(MapperKind::Mlp), 1).unwrap(), None).unwrap().into();
    for format in [ExportFormat::PyTorch, ExportFormat::SafeTensors] {
        let mut file = Vec::new();
        let bundle = gpt2.to_bundle("small").unwrap();
        export(&trained, Some(&bundle), Export { format, masks: true }, &mut file).unwrap();
        let content = Content::from(file);
        let weights = TensorFile::open(&content).unwrap().into_weights().unwrap();
        let mask = &weights["gpt.transformer.h.1.attn.bias"];
        assert_eq!((mask.dims(), mask.dtype()), (&[1, 1, 24, 24][..], candle_core::DType::U8), "{format:?}");
        let rows = mask.reshape((24, 24)).unwrap().to_vec2::<u8>().unwrap();
        assert_eq!(rows[2][..5], [1, 1, 1, 0, 0], "{format:?}");
        assert_eq!(weights["gpt.transformer.h.0.attn.masked_bias"].to_vec0::<f32>().unwrap(), -1e4);
        let profile = Profile { with_gpt2: true, ..Profile::default() };
        assert!(adopted(&content, "masks", &profile, gpt2.config()).is_ok(), "{format:?}");
    }
}

/// Expected: the same mappers as SafeTensors, and the same GPT-2 as a model folder, in golden/models.
#[test]
fn the_golden_checkpoints_are_read() {
    let Some(golden) = shared::path("golden/models") else { return };
    let content = |path: &str| Content::File(golden.join(path));
    let files =
        ["config.json", "model.safetensors"].map(|name| (name.to_owned(), content(&format!("gpt2_tiny/{name}"))));
    let bundle = Bundle { files: files.into(), name: "gpt2_tiny".to_owned() };
    let gpt2 = Gpt2::load(&bundle).unwrap();
    for (name, kind) in [("mlp", MapperKind::Mlp), ("transformer", MapperKind::Transformer), ("amht", MapperKind::Amht)]
    {
        let file = content(&format!("mappers/{name}_checkpoint.pt"));
        let report = inspect(&file).unwrap();
        assert_eq!((report.missing.len(), report.unmatched.len()), (0, 0), "{name}");
        let bytes = adopted(&file, name, &profile(kind, true), gpt2.config()).unwrap();
        let read = read_weights(&bytes.into()).unwrap();
        let twin = TensorFile::open(&content(&format!("mappers/{name}.safetensors"))).unwrap().into_weights().unwrap();
        assert_eq!(read.mapper.parameters().len(), twin.len());
        for (tensor, var) in read.mapper.parameters() {
            assert_eq!(*values(&var).unwrap(), *values(&twin[&tensor]).unwrap(), "{name} {tensor}");
        }
        let tuned = Gpt2::from_tensors(gpt2.config().clone(), read.gpt2.unwrap()).unwrap();
        assert_eq!(tuned.save().unwrap(), gpt2.save().unwrap(), "{name}");
    }
}
