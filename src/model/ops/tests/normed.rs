//! Convolutions with their normalisation.

use std::sync::Arc;

use super::*;

/// A layer from 2 to 3 channels.
fn layer(conv: Conv, scale: Tensor, shift: Tensor, weight: Tensor) -> Arc<NormedConv> {
    let (mean, variance) = (vec![0.3, -0.2, 0.1], vec![0.5, 2.0, 1.5]);
    Arc::new(NormedConv { conv, weight, scale, shift, mean, variance })
}

/// The definition, one of candle's operations after the other.
fn written_out(x: &Tensor, layer: &NormedConv, end: ConvEnd) -> Result<Tensor> {
    let three = |values: &[f32]| tensor(values.to_vec(), 3);
    let rate: Vec<f32> = layer.variance.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
    let sums = conv2d(x, &layer.weight, layer.conv)?;
    let normed = sums.broadcast_sub(&three(&layer.mean)?)?.broadcast_mul(&three(&rate)?)?;
    let y = normed.broadcast_mul(&layer.scale)?.broadcast_add(&layer.shift)?;
    match end {
        ConvEnd::Linear => Ok(y),
        ConvEnd::Relu => y.relu(),
        ConvEnd::AddRelu(other) => (y + other)?.relu(),
    }
}

#[test]
fn a_normed_convolution_is_its_operations_one_after_the_other() {
    let rows = [
        ("3x3", Conv { kernel: (3, 3), stride: 1, padding: 1 }),
        ("3x3 in steps", Conv { kernel: (3, 3), stride: 2, padding: 1 }),
        ("1x1", Conv { kernel: (1, 1), stride: 1, padding: 0 }),
        ("1x1 in steps", Conv { kernel: (1, 1), stride: 2, padding: 0 }),
    ];
    for (name, conv) in rows {
        let var = |seed: u64, shape: &[usize]| Var::from_tensor(&random(seed, shape)).unwrap();
        let weight = var(1, &[conv.kernel.0 * conv.kernel.1 * 2, 3]);
        let (scale, shift, x) = (var(2, &[3]), var(3, &[3]), var(4, &[2, 5, 4, 2]));
        let other = var(5, conv2d(&x, &weight, conv).unwrap().dims());
        let [w, s, b] = [&weight, &scale, &shift].map(|var| var.as_tensor().clone());
        let layer = layer(conv, s, b, w);
        let all = [&x, &weight, &scale, &shift, &other];
        for (end, count) in [(ConvEnd::Linear, 4), (ConvEnd::Relu, 4), (ConvEnd::AddRelu(&other), 5)] {
            let (fused, plain) = (conv2d_normed(&x, &layer, end).unwrap(), written_out(&x, &layer, end).unwrap());
            let close = |what: &str, a: &Tensor, b: &Tensor| {
                let (a, b) = (flat(a), flat(b));
                let largest = b.iter().fold(0.1_f32, |top, x| top.max(x.abs()));
                let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(a.len() == b.len() && off < 1e-4 * largest, "{name}, {end:?}, {what}: {a:?} {b:?}");
            };
            close("result", &fused, &plain);
            let slopes = random(6, fused.shape());
            let loss = |y: &Tensor| (y * &slopes).unwrap().sum_all().unwrap();
            let (got, wanted) = (backward(&loss(&fused)).unwrap(), loss(&plain).backward().unwrap());
            for (i, var) in all.iter().enumerate().take(count) {
                close(&format!("gradient {i}"), got.get(var).unwrap(), wanted.get(var).unwrap());
            }
            // An input that nobody follows changes nothing for the weights.
            let frozen = backward(&loss(&conv2d_normed(&x.as_detached_tensor(), &layer, end).unwrap())).unwrap();
            assert!(frozen.get(&x).is_none());
            assert_eq!(bits(frozen.get(&scale).unwrap()), bits(got.get(&scale).unwrap()));
            // Scale and shift have no way but `ops::backward`.
            assert!(loss(&fused).backward().is_err());
        }
    }
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let conv = Conv { kernel: (1, 1), stride: 1, padding: 0 };
    let x = random(1, (1, 2, 2, 2));
    let good = layer(conv, random(2, 3), random(3, 3), random(4, (2, 3)));
    assert_eq!(conv2d_normed(&x, &good, ConvEnd::Relu).unwrap().dims(), [1, 2, 2, 3]);
    let rows = [
        ("scale", layer(conv, random(2, 1), random(3, 3), random(4, (2, 3)))),
        ("shift", layer(conv, random(2, 3), random(3, 4), random(4, (2, 3)))),
        ("outputs", layer(conv, random(2, 3), random(3, 3), random(4, (2, 2)))),
        ("inputs", layer(conv, random(2, 3), random(3, 3), random(4, (3, 3)))),
    ];
    for (name, layer) in rows {
        assert!(conv2d_normed(&x, &layer, ConvEnd::Relu).is_err(), "{name}");
    }
    assert!(conv2d_normed(&x, &good, ConvEnd::AddRelu(&x)).is_err());
}
