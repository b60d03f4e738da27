//! Which files are which network, and which are none.

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use super::*;

fn error(bundle: &Bundle) -> String {
    format!("{:#}", ResNet::load(bundle).unwrap_err())
}

fn content(weights: &Weights) -> Content {
    safetensors::serialize(weights, None).unwrap().into()
}

/// Numbers that training changes in a network without classifier: the arithmetic of He et al.'s table 1.
fn parameters(depths: [usize; 4], bottleneck: bool) -> usize {
    let convolution = |inputs: usize, outputs: usize, kernel: usize| inputs * outputs * kernel * kernel + 2 * outputs;
    let mut sum = convolution(3, 64, 7);
    let mut inputs = 64;
    for (stage, depth) in depths.into_iter().enumerate() {
        let inner = 64 << stage;
        let outputs = if bottleneck { 4 * inner } else { inner };
        if inputs != outputs {
            sum += convolution(inputs, outputs, 1);
        }
        for _ in 0..depth {
            sum += if bottleneck {
                convolution(inputs, inner, 1) + convolution(inner, inner, 3) + convolution(inner, outputs, 1)
            } else {
                convolution(inputs, inner, 3) + convolution(inner, inner, 3)
            };
            inputs = outputs;
        }
    }
    sum
}

/// Expected numbers: torchvision's documented counts, less `(channels + 1) * 1000` of the classifier.
#[test]
fn published_networks_are_known_by_their_shapes() {
    let rows = [
        ("r18", [2, 2, 2, 2], LayerType::Basic, 11_689_512 - 513_000),
        ("r34", [3, 4, 6, 3], LayerType::Basic, 21_797_672 - 513_000),
        ("r50", [3, 4, 6, 3], LayerType::Bottleneck, 25_557_032 - 2_049_000),
        ("r101", [3, 4, 23, 3], LayerType::Bottleneck, 44_549_160 - 2_049_000),
        ("r152", [3, 8, 36, 3], LayerType::Bottleneck, 60_192_808 - 2_049_000),
    ];
    for (name, depths, layer_type, count) in rows {
        let bottleneck = layer_type == LayerType::Bottleneck;
        let widest = if bottleneck { 256 } else { 64 };
        let shape = ResNetShape {
            depths: depths.into(),
            hidden_sizes: (0..4).map(|stage| widest << stage).collect(),
            layer_type,
            ..ResNetShape::r50()
        };
        // One number that stands for all takes no memory.
        let zero = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        let all = shape.tensors().into_iter().map(|(name, dims)| (name, zero.broadcast_as(dims).unwrap()));
        let all: Weights = all.collect();
        let trained = all.iter().filter(|(name, _)| !name.contains(".running_"));
        let sum: usize = trained.map(|(_, tensor)| tensor.elem_count()).sum();
        assert_eq!((sum, parameters(depths, bottleneck)), (count, count), "{name}");
        let mut tensors = Tensors::new(name, torchvision(&all));
        assert!(names::translate(&mut tensors), "{name}");
        assert_eq!(ResNetShape::of_torchvision(&tensors).unwrap(), shape, "{name}");
        match name {
            "r50" => assert_eq!(ResNetShape::r50(), shape),
            "r101" => assert_eq!(ResNetShape::r101(), shape),
            _ => {}
        }
    }
}

#[test]
fn a_file_of_torchvision_becomes_a_model_folder() {
    for layer_type in [LayerType::Basic, LayerType::Bottleneck] {
        let bundle = lively(&small(layer_type));
        let maps = |bundle: &Bundle| bits(&ResNet::load(bundle).unwrap().maps(&pictures(1)).unwrap());
        let weights = weights::load(&bundle).unwrap();
        let made = convert(&content(&torchvision(&weights)), "x.pth").unwrap();
        assert_eq!(maps(&made), maps(&bundle));
        let kept: Vec<String> = weights::load(&made).unwrap().into_keys().collect();
        assert_eq!(kept, weights.into_keys().collect::<Vec<_>>(), "no classifier, no counts");
    }
    let weights = weights::load(&lively(&small(LayerType::Basic))).unwrap();
    let error = format!("{:#}", convert(&content(&weights), "x.pth").unwrap_err());
    assert!(error.contains("x.pth has no tensor `conv1.weight`"), "{error}");
    let error = format!("{:#}", convert(&Content::from(Vec::new()), "x.pth").unwrap_err());
    assert!(error.contains("x.pth") && error.contains("empty"), "{error}");
}

#[test]
fn all_tensors_that_do_not_fit_are_listed() {
    let bundle = lively(&small(LayerType::Bottleneck));
    let mut weights = torchvision(&weights::load(&bundle).unwrap());
    let moved = weights.remove("layer1.1.bn2.bias").unwrap();
    weights.insert("layer1.1.se.bias".to_owned(), moved.clone());
    // As in a wide ResNet.
    weights.insert("layer2.0.conv2.weight".to_owned(), Init::Constant(1.0).tensor(1, "", (6, 6, 3, 3)).unwrap());
    weights.insert("layer2.1.bn1.bias".to_owned(), moved.to_dtype(DType::I64).unwrap());
    let mut broken = bundle.clone();
    put(&mut broken, &weights);
    broken.files.remove("config.json");
    let listed = [error(&broken), format!("{:#}", convert(&content(&weights), "x.pth").unwrap_err())];
    for (error, name) in listed.iter().zip(["model random resnet", "x.pth"]) {
        for words in [
            name,
            "missing: encoder.stages.0.layers.1.layer.1.normalization.bias [2]",
            "unused: layer1.1.se.bias",
            "misshapen: encoder.stages.1.layers.0.layer.1.convolution.weight is [6, 6, 3, 3], expected [3, 3, 3, 3]",
            "encoder.stages.1.layers.1.layer.0.normalization.bias",
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
        assert_eq!(error.matches("\n  ").count(), 4, "{error}");
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    let rows = [("running_var", -1.0), ("weight", f32::NAN), ("bias", f32::INFINITY)];
    for (part, value) in rows {
        let mut bundle = lively(&small(LayerType::Basic));
        let mut weights = weights::load(&bundle).unwrap();
        let name = format!("encoder.stages.1.layers.0.shortcut.normalization.{part}");
        weights.insert(name, Init::Constant(value).tensor(1, "", 12).unwrap());
        put(&mut bundle, &weights);
        let error = error(&bundle);
        assert!(
            error.contains("model random resnet") && error.contains("encoder.stages.1.layers.0.shortcut"),
            "{error}"
        );
    }
    let mut bundle = lively(&small(LayerType::Basic));
    let mut weights = weights::load(&bundle).unwrap();
    for (name, tensor) in &mut weights {
        if name.ends_with("convolution.weight") {
            *tensor = (&*tensor * 1e20).unwrap();
        }
    }
    put(&mut bundle, &weights);
    let error = ResNet::load(&bundle).unwrap().maps(&pictures(1)).unwrap_err().to_string();
    assert!(error.contains("overflow"), "{error}");
}

#[test]
fn configurations_that_no_network_has_are_refused() {
    let rows: [(&str, Value, &str); 11] = [
        ("another model", json!({"model_type": "gpt2"}), "model_type is \"gpt2\""),
        ("no type", json!({"model_type": null}), "model_type is null"),
        ("activation", json!({"hidden_act": "gelu"}), "hidden_act \"gelu\" is not relu"),
        ("grey", json!({"num_channels": 1}), "num_channels is not 3"),
        ("layer type", json!({"layer_type": "preact"}), "preact"),
        ("lengths", json!({"depths": [1, 2, 3]}), "[1, 2, 3] and hidden_sizes [8, 12]"),
        ("no stage", json!({"depths": [], "hidden_sizes": []}), "one number per stage"),
        ("no block", json!({"depths": [1, 0]}), "[1, 0] are not 1 to 1024 blocks"),
        ("too deep", json!({"depths": [1, u64::MAX]}), "are not 1 to 1024 blocks"),
        ("too wide", json!({"hidden_sizes": [8, 1_000_000]}), "4 to 32768 channels"),
        ("too narrow", json!({"hidden_sizes": [3, 8]}), "4 to 32768 channels"),
    ];
    let bundle = lively(&small(LayerType::Bottleneck));
    for (name, change, wanted) in rows {
        let mut json: Value = serde_json::from_slice(&bundle.file("config.json").unwrap()).unwrap();
        for (field, value) in change.as_object().unwrap() {
            json[field] = value.clone();
        }
        let mut bundle = bundle.clone();
        bundle.files.insert("config.json".to_owned(), json.to_string().into_bytes().into());
        let error = error(&bundle);
        assert!(error.contains(wanted) && error.contains("model random resnet"), "{name}: {error}");
    }
    // Hugging Face's names do not tell where the strides are.
    let mut bare = bundle.clone();
    bare.files.remove("config.json");
    assert!(error(&bare).contains("has no file `config.json`"));
    put(&mut bare, &Weights::from([("conv1.weight".to_owned(), Init::Constant(0.0).tensor(1, "", 4).unwrap())]));
    assert!(error(&bare).contains("the weights of model random resnet are not those of a ResNet"));
}
