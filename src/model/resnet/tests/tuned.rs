//! Fine-tuning. Maps must have the bits of [`ResNet`]; gradients are compared with the slow network.

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use super::slow::{Planes, numbers, stages};
use super::*;
use crate::model::adamw::{AdamW, AdamWConfig, Clip};
use crate::model::ops::{self, adaptive_average, backward, values};
use crate::shared;

fn flat(tensor: &Tensor) -> Vec<f32> {
    values(tensor).unwrap().to_vec()
}

fn draw(name: &str, shape: &[usize]) -> Tensor {
    Init::Normal(1.0).tensor(7, name, shape).unwrap()
}

/// A scalar that depends on every number of a map differently.
fn loss(maps: &Tensor) -> Tensor {
    (maps * draw("loss", maps.dims())).unwrap().sum_all().unwrap()
}

/// All gradients, by name, as bits.
fn gradient_bits(net: &TunedResNet, grads: &GradStore) -> Vec<(String, Vec<u32>)> {
    let of = |(name, variable)| {
        let grad: &Tensor =
            grads.get(&variable as &candle_core::Var).unwrap_or_else(|| panic!("no gradient by {name}"));
        (name, bits(&flat(grad)))
    };
    net.parameters().into_iter().map(of).collect()
}

fn three_stages(layer_type: LayerType) -> ResNetShape {
    ResNetShape { hidden_sizes: vec![8, 12, 16], depths: vec![1, 2, 1], ..small(layer_type) }
}

#[test]
fn maps_have_the_bits_of_the_plain_network() {
    let (basic, bottleneck) = (three_stages(LayerType::Basic), three_stages(LayerType::Bottleneck));
    let inner = ResNetShape { downsample_in_bottleneck: true, ..bottleneck.clone() };
    let mut rows = vec![
        ("basic", lively(&basic), 1),
        ("basic, last stage", lively(&basic), 2),
        ("bottleneck", lively(&bottleneck), 1),
        ("bottleneck, all stages", lively(&bottleneck), 0),
        ("stride in the first", lively(&inner), 1),
    ];
    if let Some(folder) = shared::path("golden/models/resnet_tiny") {
        let read = |name: &str| (name.to_owned(), std::fs::read(folder.join(name)).unwrap().into());
        let files = ["config.json", "model.safetensors"].map(read);
        rows.push(("golden", Bundle { files: files.into(), name: "golden".to_owned() }, 1));
    }
    for (name, bundle, first) in rows {
        let (plain, tuned) = (ResNet::load(&bundle).unwrap(), TunedResNet::load(&bundle, first).unwrap());
        let (side, channels) = (plain.side(), plain.channels());
        assert_eq!((tuned.side(), tuned.channels()), (side, channels), "{name}");
        let maps = tuned.maps(&pictures(2)).unwrap();
        assert_eq!(maps.dims(), [2, side * side, channels], "{name}");
        assert!(bits(&flat(&maps)) == bits(&plain.maps(&pictures(2)).unwrap()), "{name}");
        assert_eq!(tuned.maps(&[]).unwrap().dims(), [0, side * side, channels], "{name}");
    }
}

/// Expected names: those of all tensors, less the embedder's, those of stages before, and statistics.
#[test]
fn what_is_frozen_has_no_parameters() {
    let shape = three_stages(LayerType::Bottleneck);
    let bundle = lively(&shape);
    for first in 0..3 {
        let net = TunedResNet::load(&bundle, first).unwrap();
        let trained = |name: &String| {
            let stage = name.strip_prefix("encoder.stages.").and_then(|rest| rest.split('.').next());
            stage.is_some_and(|stage| stage.parse::<usize>().unwrap() >= first) && !name.contains(".running_")
        };
        let wanted: Vec<String> = weights::load(&bundle).unwrap().into_keys().filter(trained).collect();
        let names: Vec<String> = net.parameters().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, wanted, "from stage {first} on");
    }
    let error = TunedResNet::load(&bundle, 3).unwrap_err().to_string();
    assert!(error.contains("no stage 4 to train among the 3 of model random resnet"), "{error}");
}

/// Origin of the expected numbers: central differences of the slow network in `f64`, of which no number lies so near to 0 that the step
/// moves it across.
#[test]
fn gradients_are_slopes_of_the_slow_network() {
    const STEP: f32 = 1e-4;
    let (basic, bottleneck) = (three_stages(LayerType::Basic), three_stages(LayerType::Bottleneck));
    let inner = ResNetShape { downsample_in_bottleneck: true, ..bottleneck.clone() };
    let rows: [(&str, ResNetShape, &[&[usize]]); 3] = [
        ("basic", basic, &[&[2, 1], &[2, 1]]),
        ("bottleneck", bottleneck, &[&[1, 2, 1], &[1, 2, 1]]),
        ("stride in the first", inner, &[&[2, 1, 1], &[2, 1, 1]]),
    ];
    for (name, shape, strides) in rows {
        let bundle = lively(&shape);
        let net = TunedResNet::load(&bundle, 1).unwrap();
        let (height, width, channels) = (7, 6, 8);
        let start = draw("start", &[2, height, width, channels]);
        let maps = net.forward(&start).unwrap();
        let factors = numbers(&draw("loss", maps.dims()));
        let grads = backward(&loss(&maps)).unwrap();
        let planes = [0, 1].map(|i| {
            let values = numbers(&start.get(i).unwrap().permute((2, 0, 1)).unwrap());
            Planes { channels, height, width, values }
        });
        let slow = |weights: &Weights| -> f64 {
            let maps = planes.iter().flat_map(|start| stages(weights, 1, strides, start).channels_last());
            maps.zip(&factors).map(|(x, factor)| x * factor).sum()
        };
        let weights = weights::load(&bundle).unwrap();
        for (parameter, variable) in net.parameters() {
            let grad = grads.get(&variable).unwrap_or_else(|| panic!("{name}: no gradient by {parameter}"));
            assert_eq!(grad.dims(), variable.dims(), "{name}: {parameter}");
            let tensor = &weights[&parameter];
            let by_weight = match *tensor.dims() {
                [a, b, c, d] => flat(&conv::windows(grad, [a, b, c, d]).unwrap()),
                _ => flat(grad),
            };
            let largest = by_weight.iter().fold(0.1_f32, |top, x| top.max(x.abs()));
            let all = by_weight.len();
            for at in [0, all / 3, all / 2 + 1, all - 1] {
                let moved = |step: f32| {
                    let mut values = flat(tensor);
                    values[at] += step;
                    let moved = f64::from(values[at]);
                    let mut weights = weights.clone();
                    weights.insert(parameter.clone(), ops::tensor(values, tensor.shape()).unwrap());
                    (moved, slow(&weights))
                };
                let ((left, low), (right, high)) = (moved(-STEP), moved(STEP));
                let slope = (high - low) / (right - left);
                let off = (f64::from(by_weight[at]) - slope).abs();
                assert!(off < 1e-3 * f64::from(largest), "{name}: {parameter}[{at}]: {} for {slope}", by_weight[at]);
            }
        }
    }
}

#[test]
fn neither_threads_nor_companions_change_a_bit() {
    let net = TunedResNet::load(&lively(&three_stages(LayerType::Bottleneck)), 1).unwrap();
    let pictures = pictures(3);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let maps = net.maps(&pictures).unwrap();
            (bits(&flat(&maps)), gradient_bits(&net, &backward(&loss(&maps)).unwrap()))
        })
    };
    let (maps, grads) = run(1);
    assert!(grads.iter().all(|(_, grad)| grad.iter().any(|bits| *bits != 0)), "nothing to compare");
    assert!(run(2) == (maps.clone(), grads), "2 threads");
    for (picture, wanted) in pictures.iter().zip(maps.chunks(maps.len() / 3)) {
        assert!(bits(&flat(&net.maps(std::slice::from_ref(picture)).unwrap())) == wanted);
    }
}

#[test]
fn steps_lower_a_loss_and_what_they_made_is_saved() {
    let bundle = lively(&three_stages(LayerType::Bottleneck));
    let net = TunedResNet::load(&bundle, 1).unwrap();
    let (pictures, wanted) = (pictures(2), draw("wanted", &[2, 9, 16]));
    let maps = |net: &TunedResNet| bits(&flat(&net.maps(&pictures).unwrap()));
    let before = maps(&net);
    let mut optimiser = AdamW::new(net.parameters(), AdamWConfig::default());
    let mut losses = Vec::new();
    for _ in 0..8 {
        let cells = adaptive_average(&net.maps(&pictures).unwrap(), 3).unwrap();
        let loss = (cells - &wanted).unwrap().sqr().unwrap().mean_all().unwrap();
        losses.push(loss.to_scalar::<f32>().unwrap());
        optimiser.step(&backward(&loss).unwrap(), 3e-3, Clip::None).unwrap();
    }
    assert!(losses.is_sorted_by(|a, b| a > b) && losses[7] < 0.8 * losses[0], "{losses:?}");

    let (after, saved) = (maps(&net), net.save().unwrap());
    assert_ne!(after, before);
    let plain = ResNet::load(&saved).unwrap();
    assert_eq!(bits(&plain.maps(&pictures).unwrap()), after, "read by the plain network");
    let other = TunedResNet::load(&bundle, 1).unwrap();
    other.restore(&saved.file("model.safetensors").unwrap()).unwrap();
    assert_eq!(maps(&other), after, "restored");
    assert!(other.save().unwrap() == saved, "equal weights, equal bytes");

    let (old, new) = (weights::load(&bundle).unwrap(), weights::load(&saved).unwrap());
    let trained: Vec<String> = net.parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
    for (name, tensor) in &old {
        assert_eq!(flat(tensor) != flat(&new[name]), trained.contains(name), "{name}");
    }
}

#[test]
fn weights_of_another_network_are_not_restored() {
    let bundle = lively(&three_stages(LayerType::Basic));
    let net = TunedResNet::load(&bundle, 1).unwrap();
    let kept = net.save().unwrap();
    let weights = weights::load(&bundle).unwrap();
    let stem = "embedder.embedder.normalization.running_mean";
    let last = "encoder.stages.2.layers.0.layer.0.convolution.weight";
    let rows = [
        ("another stem", stem, Some((&weights[stem] + 1.0).unwrap()), "does not train it"),
        ("a tensor less", last, None, "missing: "),
        ("another shape", last, Some(weights[last].flatten_all().unwrap()), "misshapen: "),
    ];
    for (name, tensor, other, words) in rows {
        let mut weights = weights.clone();
        weights.remove(tensor);
        weights.extend(other.map(|other| (tensor.to_owned(), other)));
        let error = format!("{:#}", net.restore(&safetensors::serialize(&weights, None).unwrap()).unwrap_err());
        assert!(error.contains(words) && error.contains(tensor), "{name}: {error}");
    }
    assert!(net.restore(b"nothing").is_err());
    assert!(net.save().unwrap() == kept, "changed by what was refused");
}
