//! Parity with transformers' `ResNetModel`.

use candle_core::Tensor;

use super::*;
use crate::model::ops::average;
use crate::shared;

const TOLERANCE: f64 = 1e-4;

fn golden() -> Option<(Bundle, Weights)> {
    let folder = shared::path("golden/models/resnet_tiny")?;
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let files = ["config.json", "model.safetensors"].map(|name| (name.to_owned(), read(name).into()));
    let bundle = Bundle { files: files.into(), name: "golden".to_owned() };
    Some((bundle, weights::parse(&read("golden.safetensors")).unwrap()))
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// A tensor `[pictures, channels, height, width]` with its channels last.
fn channels_last(tensor: &Tensor) -> Map {
    let tensor = tensor.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
    let (pictures, height, width, channels) = tensor.dims4().unwrap();
    let mut map = Map::new(pictures, height, width, channels);
    map.values.copy_from_slice(&flat(&tensor));
    map
}

fn close(name: &str, got: &[f32], wanted: &[f32], tolerance: f64) {
    assert_eq!(got.len(), wanted.len(), "{name}");
    let off = got.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    shared::parity(&format!("ResNet {name}"), f64::from(off), tolerance);
}

#[test]
fn maps_agree_with_transformers() {
    let Some((bundle, tensors)) = golden() else { return };
    let net = ResNet::load(&bundle).unwrap();
    assert_eq!((net.channels(), net.side()), (64, 8));
    let compare = |name: &str, map: &Map| {
        let wanted = channels_last(&tensors[name]);
        assert_eq!((map.height, map.width, map.channels), (wanted.height, wanted.width, wanted.channels), "{name}");
        close(name, &map.values, &wanted.values, TOLERANCE);
    };
    let pixels = channels_last(&tensors["pixel_values"]);
    let mut map = net.stem(&pixels);
    compare("hidden_0", &map);
    for (i, stage) in net.stages.iter().enumerate() {
        map = forward(map, stage);
        compare(&format!("hidden_{}", i + 1), &map);
    }
    let map = net.last_map(&pixels);
    compare("last_hidden_state", &map);
    close("pooler_output", &average(&map.values, 2, 64, 1), &flat(&tensors["pooler_output"]), TOLERANCE);
    close("grid_4x4", &average(&map.values, 2, 64, 4), &flat(&tensors["grid_4x4"]), TOLERANCE);
}

/// The same network from a file of torchvision's and from one with a classifier.
#[test]
fn other_names_give_the_same_maps() {
    let Some((bundle, _)) = golden() else { return };
    let weights = weights::load(&bundle).unwrap();
    let maps = |bundle: &Bundle| bits(&ResNet::load(bundle).unwrap().maps(&pictures(2)).unwrap());
    let wanted = maps(&bundle);
    assert!(weights.keys().any(|name| name.ends_with("num_batches_tracked")));
    let mut renamed = bundle.clone();
    put(&mut renamed, &torchvision(&weights));
    assert_eq!(maps(&renamed), wanted, "torchvision's names with config.json");
    renamed.files.remove("config.json");
    assert_eq!(maps(&renamed), wanted, "without config.json");
    let wrap = |weights: &Weights, wrap: &str| -> Weights {
        weights.iter().map(|(name, tensor)| (format!("{wrap}{name}"), tensor.clone())).collect()
    };
    put(&mut renamed, &wrap(&torchvision(&weights), "module."));
    assert_eq!(maps(&renamed), wanted, "after parallel training");
    let mut classifier = wrap(&weights, "resnet.");
    classifier.insert("classifier.1.weight".to_owned(), Init::Normal(1.0).tensor(1, "", (5, 64)).unwrap());
    let mut renamed = bundle.clone();
    put(&mut renamed, &classifier);
    assert_eq!(maps(&renamed), wanted, "ResNetForImageClassification");
}
