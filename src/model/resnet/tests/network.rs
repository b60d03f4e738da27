//! Arithmetic against the slow network, and what must not change it.

use proptest::prelude::*;

use super::slow::{Planes, convolution, last_map};
use super::*;
use crate::model::ops::average;

/// Largest difference between `f32` and `f64` arithmetic; values are below 20.
const TOLERANCE: f64 = 2e-5;

fn close(name: &str, got: &[f32], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len(), "{name}");
    assert!(wanted.iter().any(|x| *x > 0.1), "{name}: nothing to compare");
    let off = got.iter().zip(wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(off < TOLERANCE, "{name}: off by {off}");
}

/// Random pixels of a square picture, as planes.
fn pixels(side: usize) -> Vec<f32> {
    let tensor = Init::Normal(1.0).tensor(4, "pixels", 3 * side * side).unwrap();
    tensor.to_vec1().unwrap()
}

fn planes(pixels: &[f32], side: usize) -> Planes {
    Planes { channels: 3, height: side, width: side, values: pixels.iter().map(|x| f64::from(*x)).collect() }
}

/// Expected numbers: the slow network, to which the table tells where strides are.
#[test]
fn maps_agree_with_direct_convolutions() {
    let basic = small(LayerType::Basic);
    let bottleneck = small(LayerType::Bottleneck);
    let first = |shape: &ResNetShape| ResNetShape { downsample_in_first_stage: true, ..shape.clone() };
    let inner = |shape: &ResNetShape| ResNetShape { downsample_in_bottleneck: true, ..shape.clone() };
    let same = ResNetShape { hidden_sizes: vec![6, 6], ..basic.clone() };
    let rows: [(&str, ResNetShape, usize, &[&[usize]]); 8] = [
        ("basic", basic.clone(), 32, &[&[1, 1], &[2, 1]]),
        ("basic, first stage halved", first(&basic), 32, &[&[2, 1], &[2, 1]]),
        ("basic, equal widths", same, 32, &[&[1, 1], &[2, 1]]),
        ("bottleneck", bottleneck.clone(), 32, &[&[1, 1, 1], &[1, 2, 1]]),
        ("bottleneck, odd side", bottleneck.clone(), 37, &[&[1, 1, 1], &[1, 2, 1]]),
        ("bottleneck, stride in the first", inner(&bottleneck), 37, &[&[1, 1, 1], &[2, 1, 1]]),
        ("bottleneck, both halved", first(&inner(&bottleneck)), 37, &[&[2, 1, 1], &[2, 1, 1]]),
        ("one pixel", bottleneck, 1, &[&[1, 1, 1], &[1, 2, 1]]),
    ];
    for (name, shape, side, strides) in rows {
        let bundle = lively(&shape);
        let pixels = pixels(side);
        let map = ResNet::load(&bundle).unwrap().last_map(&Map::of_planes(std::slice::from_ref(&pixels), side));
        let wanted = last_map(&weights::load(&bundle).unwrap(), strides, &planes(&pixels, side));
        assert_eq!((map.height, map.width), (wanted.height, wanted.width), "{name}");
        assert_eq!(shape.side(side), map.height, "{name}");
        close(name, &map.values, &wanted.channels_last());
    }
}

/// From a picture to its map and to cells; expected numbers: the slow network after `ImageNet`'s published mean and deviation.
#[test]
fn maps_are_those_of_a_picture_of_256_pixels() {
    let bundle = lively(&small(LayerType::Bottleneck));
    let picture = pictures(1).remove(0);
    let resized = resize_bicubic(&picture, 256, 256);
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let mut pixels = Planes { channels: 3, height: 256, width: 256, values: Vec::new() };
    for channel in 0..3 {
        let samples = resized.rgb.iter().skip(channel).step_by(3);
        pixels.values.extend(samples.map(|x| (f64::from(*x) / 255.0 - mean[channel]) / std[channel]));
    }
    let wanted = last_map(&weights::load(&bundle).unwrap(), &[&[1, 1, 1], &[1, 2, 1]], &pixels);
    assert_eq!((wanted.height, wanted.width), (32, 32));
    let net = ResNet::load(&bundle).unwrap();
    assert_eq!((net.side(), net.channels()), (32, 12));
    let map = net.maps(&[picture]).unwrap();
    close("map", &map, &wanted.channels_last());
    for grid in [14, 40] {
        close(&format!("grid of {grid}"), &average(&map, 32, 12, grid), &wanted.averages(grid).channels_last());
    }
}

/// Expected by hand: 256 pixels are halved by the stem, by the pooling, and by every stage but the first, unless that does, too.
#[test]
fn the_side_of_a_map_follows_from_the_strides() {
    let four = |first, inner| ResNetShape {
        downsample_in_first_stage: first,
        downsample_in_bottleneck: inner,
        ..ResNetShape::r50()
    };
    let rows = [
        ("published", four(false, false), 256, 8),
        ("stride in the first convolution", four(false, true), 256, 8),
        ("first stage halved", four(true, false), 256, 4),
        ("two stages", small(LayerType::Basic), 256, 32),
        ("odd", small(LayerType::Basic), 37, 5),
        ("one pixel", four(true, true), 1, 1),
        ("stem alone", ResNetShape::r50().before(0), 256, 64),
    ];
    for (name, shape, pixels, wanted) in rows {
        assert_eq!(shape.side(pixels), wanted, "{name}");
    }
}

proptest! {
    /// Any size, so that windows lie across every border.
    #[test]
    fn a_convolution_is_its_definition(
        kernel in prop::sample::select(vec![1_usize, 3, 7]), stride in 1_usize..3, height in 1_usize..9, width in 1_usize..9,
        inputs in 1_usize..4, outputs in 1_usize..5, seed: u64,
    ) {
        let layer = shape::Layer { name: "x".to_owned(), inputs, outputs, kernel, stride };
        let draw = |name: &str, shape: &[usize]| Init::Normal(1.0).tensor(seed, name, shape).unwrap();
        let constant = |value: f32| Init::Constant(value).tensor(1, "", outputs).unwrap();
        let weight = draw("weight", &[outputs, inputs, kernel, kernel]);
        let [gamma, beta, mean, variance] = layer.normalization();
        let mut weights = Weights::from([
            (layer.weight(), weight.clone()),
            // Together they change nothing: the square of 1 is 1 + 1e-5 - 1e-5.
            (gamma, constant(1.0)), (beta, constant(0.0)), (mean, constant(0.0)), (variance, constant(1.0 - 1e-5)),
        ]);
        let pixels = draw("pixels", &[2, height, width, inputs]);
        let mut map = Map::new(2, height, width, inputs);
        map.values.copy_from_slice(&pixels.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        let got = Convolution::new(&conv::take(&mut weights, &layer).unwrap()).unwrap().apply(&map, End::Linear);
        let pixels = pixels.permute((0, 3, 1, 2)).unwrap();
        let wanted: Vec<f64> = (0..2).flat_map(|i| {
            let values = slow::numbers(&pixels.get(i).unwrap());
            convolution(&Planes { channels: inputs, height, width, values }, &weight, stride).channels_last()
        }).collect();
        prop_assert_eq!(got.values.len(), wanted.len());
        for (got, wanted) in got.values.iter().zip(&wanted) {
            prop_assert!((f64::from(*got) - wanted).abs() < TOLERANCE, "{} {}", got, wanted);
        }
    }
}

/// More pictures than run together, and places that fall into other strips.
#[test]
fn neither_batch_nor_threads_change_a_bit() {
    let net = ResNet::load(&lively(&small(LayerType::Bottleneck))).unwrap();
    let pictures = pictures(TOGETHER + 2);
    let all = bits(&net.maps(&pictures).unwrap());
    let one = net.side() * net.side() * net.channels();
    assert_eq!(all.len(), pictures.len() * one);
    for (picture, wanted) in pictures.iter().zip(all.chunks(one)) {
        assert_eq!(bits(&net.maps(std::slice::from_ref(picture)).unwrap()), wanted);
    }
    assert_ne!(all[..one], all[one..2 * one]);
    assert!(net.maps(&[]).unwrap().is_empty());
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| bits(&net.maps(&pictures).unwrap())) == all, "{threads} threads");
    }
}
