//! Against central differences.

use super::*;
use crate::model::ops::Dropout;

/// The step of the differences, and how far a gradient may be from them, relative to the largest of its tensor: the step's own error is of
/// its square, rounding adds about 1e-7 divided by it.
const STEP: f32 = 4e-3;
const CLOSE: f64 = 5e-3;

/// Compares the gradient by one tensor with the differences of `loss`, which sees what `set` changes.
fn check(name: &str, at: &[f32], grad: &[f32], set: impl Fn(&[f32]), loss: impl Fn() -> f64) {
    let mut differences = Vec::new();
    for i in 0..at.len() {
        let shifted = |by: f32| {
            let mut x = at.to_vec();
            x[i] += by;
            set(&x);
            loss()
        };
        differences.push((shifted(STEP) - shifted(-STEP)) / f64::from(2.0 * STEP));
    }
    set(at);
    let largest = differences.iter().fold(0.02_f64, |a, d| a.max(d.abs()));
    assert_eq!(grad.len(), at.len());
    for (i, (&g, d)) in grad.iter().zip(&differences).enumerate() {
        assert!((f64::from(g) - d).abs() <= CLOSE * largest, "{name}, element {i}: {g} against {d}");
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    let (captions, decoder) = (captions(), small());
    let captions = view(&captions);
    let rows = [
        ("plain", 0.0, None),
        ("both parts", 1.7, None),
        ("dropout", 0.9, Some(Dropout { p: 0.4, seed: 3, step: 11 })),
    ];
    let maps = Var::from_tensor(&features()).unwrap();
    for (name, alpha_c, dropout) in rows {
        let run = || decoder.loss(&maps, &captions, alpha_c, dropout).unwrap();
        let value = || {
            let loss = run();
            loss.cross_entropy + alpha_c * loss.stochastic
        };
        let grads = ops::backward(&run().total).unwrap();
        let mut all = decoder.parameters();
        all.push(("features".to_owned(), maps.clone()));
        for (tensor_name, var) in all {
            let set = |x: &[f32]| var.set(&tensor(x.to_vec(), var.shape()).unwrap()).unwrap();
            let grad = flat(grads.get(&var).unwrap());
            check(&format!("{name}, {tensor_name}"), &flat(&var), &grad, set, value);
        }
    }
}

#[test]
fn what_multiplies_the_loss_multiplies_its_gradients() {
    let (captions, decoder) = (captions(), small());
    let maps = Var::from_tensor(&features()).unwrap();
    let grads = |factor: f64| {
        let loss = decoder.loss(&maps, &view(&captions), 1.0, None).unwrap();
        let grads = ops::backward(&(loss.total * factor).unwrap()).unwrap();
        let mut all: Vec<f32> = flat(grads.get(&maps).unwrap());
        all.extend(decoder.parameters().iter().flat_map(|(_, var)| flat(grads.get(var).unwrap())));
        all
    };
    // A power of two changes no digit.
    let doubled: Vec<f32> = grads(1.0).iter().map(|x| 2.0 * x).collect();
    assert_eq!(bits(&grads(2.0)), bits(&doubled));
}

#[test]
fn features_get_a_gradient_only_if_they_are_followed() {
    let (captions, decoder) = (captions(), small());
    let maps = Var::from_tensor(&features()).unwrap();
    let grads = |maps: &Tensor| {
        let loss = decoder.loss(maps, &view(&captions), 1.0, None).unwrap();
        ops::backward(&loss.total).unwrap()
    };
    // A factor in candle's graph, as an encoder would be.
    let through = grads(&(maps.as_tensor() * 1.0).unwrap());
    let (followed, frozen) = (grads(&maps), grads(&features()));
    assert_eq!(flat(through.get(&maps).unwrap()), flat(followed.get(&maps).unwrap()));
    assert!(frozen.get(&maps).is_none());
    for (name, var) in decoder.parameters() {
        assert_eq!(bits(&flat(frozen.get(&var).unwrap())), bits(&flat(followed.get(&var).unwrap())), "{name}");
    }
    let loss = decoder.loss(&maps, &view(&captions), 1.0, None).unwrap();
    ops::backward(&loss.total).unwrap();
    assert!(ops::backward(&loss.total).is_err(), "only one backward pass");
}
