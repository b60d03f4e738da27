use candle_core::Device;

use super::*;
use crate::model::weights;
use crate::shared;

/// How far float32 arithmetic in another order may move a prefix (the golden data's own float32 error is 1.1e-5).
const TOLERANCE: f32 = 1e-4;
/// How far folding may move a prefix (the golden data say 7e-6 in float32).
const FOLDED: f32 = 1e-4;

fn config(kind: MapperKind) -> MapperConfig {
    MapperConfig {
        kind,
        clip_dim: 48,
        prefix_length: 5,
        clip_length: 5,
        width: 64,
        layers: 3,
        heads: 4,
        init: AmhtInit::Identity,
        normalize: false,
    }
}

fn distance(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (a.contiguous().unwrap(), b.contiguous().unwrap());
    values(&a).unwrap().iter().zip(values(&b).unwrap().iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

const KINDS: [(&str, MapperKind); 3] =
    [("mlp", MapperKind::Mlp), ("transformer", MapperKind::Transformer), ("amht", MapperKind::Amht)];

#[test]
fn parameter_counts_are_the_papers() {
    // Sizes and counts: section 2 of the paper's settings; GPT-2 small, CLIP ViT-B/32, 20 rows, 16 layers and heads.
    for ((name, kind), count) in KINDS.into_iter().zip([121_920_000, 83_490_816, 84_092_928]) {
        let paper = MapperConfig {
            clip_dim: 512,
            prefix_length: 20,
            clip_length: 20,
            width: 768,
            layers: 16,
            heads: 16,
            ..config(kind)
        };
        assert_eq!(paper.parameter_count(), count, "{name}");
        assert_eq!(Mapper::init(&config(kind), 1).unwrap().parameter_count(), config(kind).parameter_count(), "{name}");
    }
}

#[test]
fn prefixes_are_those_of_the_original() {
    let Some(golden) = shared::path("golden/models/mappers") else { return };
    let read = |file: &str| weights::parse(&std::fs::read(golden.join(file)).unwrap()).unwrap();
    let expected = read("golden.safetensors");
    for (name, kind) in KINDS {
        let tensors = read(&format!("{name}.safetensors"));
        let raw = Mapper::from_tensors(&config(kind), tensors.clone()).unwrap();
        let unit = Mapper::from_tensors(&MapperConfig { normalize: true, ..config(kind) }, tensors).unwrap();
        for (mapper, suffix) in [(&raw, "prefix"), (&unit, "prefix_of_unit_clip")] {
            let wanted = &expected[&format!("{name}.{suffix}")];
            let got = mapper.forward(&expected["clip"]).unwrap();
            shared::parity(&format!("mapper {name}.{suffix}"), distance(&got, wanted).into(), TOLERANCE.into());
            assert_eq!(distance(&mapper.prefixes(&expected["clip"]).unwrap(), &got), 0.0, "{name}.{suffix}");
            let folded = mapper.fold().unwrap().prefixes(&expected["clip"]).unwrap();
            let off = distance(&folded, wanted);
            shared::parity(&format!("mapper {name}.{suffix} folded"), off.into(), FOLDED.into());
        }
    }
    let folded = Mapper::from_tensors(&config(MapperKind::Amht), read("amht.safetensors")).unwrap().fold().unwrap();
    for (name, wanted) in read("amht_folded_queries.safetensors") {
        let got = folded.variables.get(&name).unwrap_or_else(|| panic!("no {name}"));
        shared::parity(&format!("folded {name}"), distance(got, &wanted).into(), 1e-6);
    }
}

#[test]
fn folding_changes_nothing_but_rounding() {
    let clip = Init::Normal(1.0).tensor(5, "clip", (3, 48)).unwrap();
    let config = MapperConfig { init: AmhtInit::Original, ..config(MapperKind::Amht) };
    let mut tensors: Weights =
        Mapper::init(&config, 1).unwrap().variables.iter().map(|(n, v)| (n.clone(), v.as_detached_tensor())).collect();
    for (name, tensor) in &mut tensors {
        if name.ends_with("adaptive_biases") {
            *tensor = Init::Normal(1.0).tensor(6, name, tensor.shape()).unwrap();
        }
    }
    let mapper = Mapper::from_tensors(&config, tensors).unwrap();
    let folded = mapper.fold().unwrap();
    assert!(!folded.variables.keys().any(|name| name.contains("adaptive")));
    assert!(distance(&mapper.prefixes(&clip).unwrap(), &folded.prefixes(&clip).unwrap()) < FOLDED);
    assert!(folded.fold().is_err(), "what was folded cannot be folded again");
}

#[test]
fn amht_with_identities_is_the_plain_transformer() {
    let clip = Init::Normal(1.0).tensor(5, "clip", (3, 48)).unwrap();
    let adaptive = Mapper::init(&config(MapperKind::Amht), 7).unwrap();
    let plain = Mapper::init(&config(MapperKind::Transformer), 7).unwrap();
    assert_eq!(distance(&adaptive.prefixes(&clip).unwrap(), &plain.prefixes(&clip).unwrap()), 0.0);
}

#[test]
fn first_values_have_their_scale() {
    let original = MapperConfig { width: 96, heads: 2, init: AmhtInit::Original, ..config(MapperKind::Amht) };
    let mapper = Mapper::init(&original, 1).unwrap();
    let largest = |name: &str| values(&mapper.variables[name]).unwrap().iter().fold(0.0_f32, |a, x| a.max(x.abs()));
    // Bounds: 1/sqrt(48) for the first layer's 48 inputs; sqrt(6/48^2) = 0.0510 for the adaptive matrices at dh = 48.
    for (name, bound) in
        [("linear.weight", 0.14434), ("linear.bias", 0.14434), ("transformer.layers.0.attn.adaptive_weights", 0.05103)]
    {
        assert!(largest(name) <= bound && largest(name) > 0.97 * bound, "{name}: {}", largest(name));
    }
    let again = Mapper::init(&original, 1).unwrap();
    for ((name, a), (_, b)) in mapper.parameters().iter().zip(again.parameters()) {
        assert_eq!(distance(a, &b), 0.0, "{name}");
    }
}

#[test]
fn a_vector_has_the_same_prefix_in_every_batch() {
    let clip = Init::Normal(1.0).tensor(5, "clip", (7, 48)).unwrap();
    for (name, kind) in KINDS.into_iter().chain([("linear", MapperKind::Linear)]) {
        let mapper = Mapper::init(&config(kind), 1).unwrap();
        let all = mapper.prefixes(&clip).unwrap();
        for row in [0, 6] {
            let alone = mapper.prefixes(&clip.narrow(0, row, 1).unwrap()).unwrap();
            assert_eq!(distance(&alone, &all.narrow(0, row, 1).unwrap()), 0.0, "{name}");
        }
    }
}

#[test]
fn tensors_that_do_not_fit_are_listed() {
    let zero = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let mut tensors: Weights =
        config(MapperKind::Mlp).tensors().into_iter().map(|(name, shape)| (name, zero(&shape))).collect();
    tensors.remove("model.0.bias");
    tensors.insert("model.2.bias".to_owned(), zero(&[3]));
    tensors.insert("surplus".to_owned(), zero(&[1]));
    let message = Mapper::from_tensors(&config(MapperKind::Mlp), tensors).unwrap_err().to_string();
    for part in ["model.0.bias", "model.2.bias", "surplus"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(Mapper::init(&MapperConfig { heads: 5, ..config(MapperKind::Amht) }, 1).is_err());
    let mapper = Mapper::init(&config(MapperKind::Mlp), 1).unwrap();
    assert!(mapper.forward(&zero(&[2, 47])).is_err());
}
