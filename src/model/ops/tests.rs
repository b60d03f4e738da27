mod dropout;
mod normed;

use std::sync::Arc;

use candle_core::{Result, Tensor, Var};

use super::*;
use crate::model::init::Rng;

/// The step of central differences, and how far a gradient may be from them, relative to the largest: the step's own error is of its square,
/// and rounding adds about 1e-7 of the sum divided by the step.
const STEP: f32 = 1e-2;
const CLOSE: f32 = 1e-2;

fn random(seed: u64, shape: impl Into<Shape>) -> Tensor {
    let shape = shape.into();
    let mut rng = Rng::new(seed, "test");
    tensor((0..shape.elem_count()).map(|_| rng.normal()).collect(), shape).unwrap()
}

fn bits(t: &Tensor) -> Vec<u32> {
    values(&t.contiguous().unwrap()).unwrap().iter().map(|x| x.to_bits()).collect()
}

fn flat(t: &Tensor) -> Vec<f32> {
    values(&t.contiguous().unwrap()).unwrap().to_vec()
}

/// Compares the gradients of `sum(weights * f(inputs))` with central differences, for every element of every input.
fn check(name: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let out = f(&tracked).unwrap();
    let weights = random(99, out.shape());
    let grads = (out * &weights).unwrap().sum_all().unwrap().backward().unwrap();
    let value = |inputs: &[Tensor]| -> f64 {
        let out = flat(&f(inputs).unwrap());
        out.iter().zip(flat(&weights)).map(|(&x, w)| f64::from(x) * f64::from(w)).sum()
    };
    for (which, var) in vars.iter().enumerate() {
        let grad = flat(grads.get(var).unwrap_or_else(|| panic!("{name}: no gradient by argument {which}")));
        let mut differences = Vec::new();
        for i in 0..grad.len() {
            let shifted = |by: f32| {
                let mut inputs: Vec<Tensor> = inputs.to_vec();
                let mut x = flat(&inputs[which]);
                x[i] += by;
                inputs[which] = tensor(x, inputs[which].shape()).unwrap();
                value(&inputs)
            };
            differences.push(((shifted(STEP) - shifted(-STEP)) / f64::from(2.0 * STEP)) as f32);
        }
        let largest = differences.iter().fold(0.1_f32, |a, d| a.max(d.abs()));
        for (i, (g, d)) in grad.iter().zip(&differences).enumerate() {
            assert!((g - d).abs() <= CLOSE * largest, "{name}, argument {which}, element {i}: {g} against {d}");
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    let x = random(1, (2, 5, 6));
    for stored in [Stored::InOut, Stored::OutIn] {
        let w = if stored == Stored::InOut { random(2, (6, 4)) } else { random(2, (4, 6)) };
        check("matmul", &[x.clone(), w.clone()], |a| matmul(&a[0], &a[1], stored, Grad::Both));
        check("linear", &[x.clone(), w, random(3, 4)], |a| linear(&a[0], &a[1], Some(&a[2]), stored, Grad::Both));
    }
    let parts = [random(11, (2, 2, 3)), random(12, (3, 4, 3))];
    check("assemble", &parts, |a| assemble(&a[0], &a[1], &[1, 1, 0]));
    check("add", &[x.clone(), random(13, (2, 5, 6))], |a| add(&a[0], &a[1]));
    let heads = [x.clone(), random(9, (2, 3, 3)), random(10, (2, 3))];
    check("matmul_heads", &heads, |a| matmul_heads(&a[0], &a[1], &a[2]));
    let norm = [x.clone(), random(4, 6), random(5, 6)];
    check("layer_norm", &norm, |a| layer_norm(&a[0], &a[1], &a[2], 1e-5, Grad::Both));
    let smooth = [Activation::GeluNew, Activation::Gelu, Activation::QuickGelu, Activation::Tanh, Activation::Sigmoid];
    for activation in smooth {
        check(&format!("{activation:?}"), std::slice::from_ref(&x), |a| activate(&a[0], activation));
    }
    // Away from zero, where relu has no derivative.
    let steps = tensor((0..20).map(|i| (i as f32 - 9.5) * 0.3).collect(), (4, 5)).unwrap();
    check("relu", &[steps], |a| relu(&a[0]));
    check("log_softmax", &[random(6, (3, 7))], |a| log_softmax_rows(&a[0]));
    check("cross_entropy", &[random(7, (3, 7))], |a| cross_entropy(&a[0], &[2, 0, 6]));
    check("embedding", &[random(8, (4, 3))], |a| embedding(&a[0], &[1, 3, 1, 0]));
}

#[test]
fn losses_at_positions_are_those_of_the_plain_operations() {
    let (x, w) = (Var::from_tensor(&random(1, (2, 3, 6))).unwrap(), Var::from_tensor(&random(2, (5, 6))).unwrap());
    let (positions, targets) = ([4, 0, 5], [2, 2, 4]);
    let fused = prediction_loss(&x, &w, &positions, &targets, Grad::Both).unwrap();
    let rows = embedding(&x.reshape((6, 6)).unwrap(), &positions).unwrap();
    let plain = cross_entropy(&matmul(&rows, &w, Stored::OutIn, Grad::Both).unwrap(), &targets).unwrap();
    assert_eq!(bits(&fused), bits(&plain));
    let (fused, plain) = (backward(&fused).unwrap(), plain.backward().unwrap());
    for var in [&x, &w] {
        assert_eq!(bits(fused.get(var).unwrap()), bits(plain.get(var).unwrap()));
    }
    check("prediction_loss", &[random(3, (4, 6)), random(4, (5, 6))], |a| {
        prediction_loss(&a[0], &a[1], &[3, 1], &[0, 4], Grad::Both)
    });
}

/// A stack of two layers whose weights are made by `weight`.
fn small_stack(joint: bool, weight: &mut dyn FnMut(&[usize]) -> Tensor) -> Stack {
    let affine =
        |inputs: usize, outputs: usize, stored: Stored, bias: bool, weight: &mut dyn FnMut(&[usize]) -> Tensor| {
            let shape = if stored == Stored::InOut { [inputs, outputs] } else { [outputs, inputs] };
            Affine { weight: weight(&shape), bias: bias.then(|| weight(&[outputs])), stored }
        };
    let mut layer = || {
        let norm1 = Norm { weight: weight(&[8]), bias: weight(&[8]) };
        let projection = if joint {
            Projection::Joint(affine(8, 24, Stored::InOut, true, weight))
        } else {
            Projection::Split {
                queries: affine(8, 8, Stored::OutIn, false, weight),
                adaptive: Some((weight(&[2, 4, 4]), weight(&[2, 4]))),
                keys_values: affine(8, 16, Stored::OutIn, false, weight),
            }
        };
        let project = affine(8, 8, Stored::OutIn, true, weight);
        let norm2 = Norm { weight: weight(&[8]), bias: weight(&[8]) };
        let fc1 = affine(8, 12, Stored::InOut, true, weight);
        StackLayer { norm1, projection, project, norm2, fc1, fc2: affine(12, 8, Stored::OutIn, true, weight) }
    };
    let layers = vec![layer(), layer()];
    let last_norm = joint.then(|| Norm { weight: weight(&[8]), bias: weight(&[8]) });
    let positions = joint.then(|| weight(&[5, 8]));
    let masking = if joint { Masking::causal() } else { Masking::none() };
    Stack { positions, layers, last_norm, heads: 2, activation: Activation::GeluNew, eps: 1e-5, masking, dropout: None }
}

/// The same layers, one operation after the other.
fn plain_stack(x: &Tensor, stack: &Stack) -> Tensor {
    let mut x = x.clone();
    if let Some(positions) = &stack.positions {
        x = x.broadcast_add(&positions.narrow(0, 0, x.dim(1).unwrap()).unwrap()).unwrap();
    }
    for layer in &stack.layers {
        let normed = layer.norm1.apply(&x, stack.eps).unwrap();
        let attended = match &layer.projection {
            Projection::Joint(joint) => {
                attention_qkv(&joint.apply(&normed).unwrap(), stack.heads, stack.masking.clone())
            }
            Projection::Split { queries, adaptive, keys_values } => {
                let (weights, biases) = adaptive.as_ref().unwrap();
                let q = matmul_heads(&queries.apply(&normed).unwrap(), weights, biases).unwrap();
                attention_kv(&q, &keys_values.apply(&normed).unwrap(), stack.heads, stack.masking.clone())
            }
        };
        x = (layer.project.apply(&attended.unwrap()).unwrap() + &x).unwrap();
        let inner = layer.fc1.apply(&layer.norm2.apply(&x, stack.eps).unwrap()).unwrap();
        x = (layer.fc2.apply(&activate(&inner, stack.activation).unwrap()).unwrap() + &x).unwrap();
    }
    stack.last_norm.as_ref().map_or_else(|| x.clone(), |norm| norm.apply(&x, stack.eps).unwrap())
}

#[test]
fn a_stack_is_its_operations_one_after_the_other() {
    for joint in [true, false] {
        let (mut vars, mut seed) = (Vec::new(), 0);
        let mut weight = |shape: &[usize]| {
            seed += 1;
            let var = Var::from_tensor(&(random(seed, shape) * 0.5).unwrap()).unwrap();
            vars.push(var.clone());
            var.as_tensor().clone()
        };
        let layers = Arc::new(small_stack(joint, &mut weight));
        let x = Var::from_tensor(&random(100, (3, 4, 8))).unwrap();
        let slopes = random(101, (3, 4, 8));
        let loss = |y: &Tensor| (y * &slopes).unwrap().sum_all().unwrap();
        let (fused, plain) = (stack(&x, &layers).unwrap(), plain_stack(&x, &layers));
        assert_eq!(bits(&fused), bits(&plain), "joint {joint}");
        let (fused_grads, plain_grads) = (backward(&loss(&fused)).unwrap(), loss(&plain).backward().unwrap());
        vars.push(x.clone());
        for (i, var) in vars.iter().enumerate() {
            let (a, b) = (flat(fused_grads.get(var).unwrap()), flat(plain_grads.get(var).unwrap()));
            let largest = b.iter().fold(0.01_f32, |top, x| top.max(x.abs()));
            let close = a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * largest);
            assert!(close, "joint {joint}, variable {i}: {a:?} {b:?}");
        }
        // Without candle's backward, and without a followed input, the weights get their gradients all the same.
        assert!(loss(&stack(&x, &layers).unwrap()).backward().is_err());
        let grads = backward(&loss(&stack(&x.as_detached_tensor(), &layers).unwrap())).unwrap();
        assert_eq!(bits(grads.get(&vars[0]).unwrap()), bits(fused_grads.get(&vars[0]).unwrap()));
        // Frozen weights: the input's gradient alone, with the same bits.
        let mut seed = 0;
        let frozen = small_stack(joint, &mut |shape| {
            seed += 1;
            (random(seed, shape) * 0.5).unwrap()
        });
        let grads = backward(&loss(&stack(&x, &Arc::new(frozen)).unwrap())).unwrap();
        assert_eq!(bits(grads.get(&x).unwrap()), bits(fused_grads.get(&x).unwrap()));
    }
}

#[test]
fn gradients_of_attention_agree_with_central_differences() {
    let lengths = Masking { causal: false, lengths: Some(vec![2, 4]) };
    for (name, masking) in [("open", Masking::none()), ("causal", Masking::causal()), ("lengths", lengths)] {
        let (q, k, v) = (random(1, (2, 3, 8)), random(2, (2, 4, 8)), random(3, (2, 4, 8)));
        check(name, &[q, k, v], |a| attention(&a[0], &a[1], &a[2], 2, masking.clone()));
        check(name, &[random(4, (2, 3, 8)), random(5, (2, 4, 16))], |a| attention_kv(&a[0], &a[1], 2, masking.clone()));
        check(name, &[random(6, (2, 4, 24))], |a| attention_qkv(&a[0], 4, masking.clone()));
    }
}

#[test]
fn gradients_of_convolutions_agree_with_central_differences() {
    let rows = [
        ("3x3", Conv { kernel: (3, 3), stride: 1, padding: 1 }),
        ("2x3 in steps", Conv { kernel: (2, 3), stride: 2, padding: 1 }),
        ("patches", Conv { kernel: (2, 2), stride: 2, padding: 0 }),
        ("1x1", Conv { kernel: (1, 1), stride: 1, padding: 0 }),
        ("1x1 in steps", Conv { kernel: (1, 1), stride: 2, padding: 0 }),
    ];
    for (name, conv) in rows {
        let window = conv.kernel.0 * conv.kernel.1 * 2;
        check(name, &[random(1, (2, 4, 5, 2)), random(2, (window, 3))], |a| conv2d(&a[0], &a[1], conv));
    }
}

#[test]
fn attention_is_what_its_definition_says() {
    // Two queries, two keys, one head of size 1: softmax([q k]) by hand.
    let t = |x: &[f32], shape: (usize, usize, usize)| tensor(x.to_vec(), shape).unwrap();
    let (q, k, v) = (t(&[1.0, 2.0], (1, 2, 1)), t(&[0.5, -0.5], (1, 2, 1)), t(&[10.0, 20.0], (1, 2, 1)));
    let two = |score: f32| (10.0 * score.exp() + 20.0) / (score.exp() + 1.0);
    let open = flat(&attention(&q, &k, &v, 1, Masking::none()).unwrap());
    let causal = flat(&attention(&q, &k, &v, 1, Masking::causal()).unwrap());
    for (got, expected) in [(open[0], two(1.0)), (open[1], two(2.0)), (causal[0], 10.0), (causal[1], two(2.0))] {
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }
}

#[test]
fn views_copies_and_packed_arguments_of_attention_give_the_same_bits() {
    let qkv = random(1, (3, 5, 24));
    let part = |i: usize| qkv.narrow(2, i * 8, 8).unwrap();
    let expected = bits(&attention_qkv(&qkv, 2, Masking::causal()).unwrap());
    let (q, k, v) = (part(0), part(1), part(2));
    assert_eq!(bits(&attention(&q, &k, &v, 2, Masking::causal()).unwrap()), expected);
    let copies = [q.contiguous().unwrap(), k.contiguous().unwrap(), v.contiguous().unwrap()];
    assert_eq!(bits(&attention(&copies[0], &copies[1], &copies[2], 2, Masking::causal()).unwrap()), expected);
    assert_eq!(bits(&attention_kv(&q, &qkv.narrow(2, 8, 16).unwrap(), 2, Masking::causal()).unwrap()), expected);
    // The last query alone, over a cache of all keys.
    let last = attention(&q.narrow(1, 4, 1).unwrap(), &k, &v, 2, Masking::causal()).unwrap();
    let all = attention_qkv(&qkv, 2, Masking::causal()).unwrap();
    assert_eq!(bits(&last), bits(&all.narrow(1, 4, 1).unwrap()));
}

#[test]
fn frozen_weights_get_no_gradient_and_inputs_the_same() {
    let x = Var::from_tensor(&random(1, (3, 4))).unwrap();
    let (w, b) = (Var::from_tensor(&random(2, (4, 4))).unwrap(), Var::from_tensor(&random(3, 4)).unwrap());
    let grads = |grad| {
        let y = linear(&x, &w, Some(&b), Stored::InOut, grad).unwrap();
        layer_norm(&y, &b, &b, 1e-5, grad).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap()
    };
    let (both, input) = (grads(Grad::Both), grads(Grad::InputOnly));
    assert!(both.get(&w).is_some() && both.get(&b).is_some() && input.get(&w).is_none() && input.get(&b).is_none());
    assert_eq!(bits(both.get(&x).unwrap()), bits(input.get(&x).unwrap()));
}

/// Every operation, from one batch of rows to its result and the gradients of its arguments.
fn everything(x: &Tensor) -> Vec<(&'static str, Tensor)> {
    let x = Var::from_tensor(x).unwrap();
    let (w, b) = (random(2, (24, 24)), random(3, 24));
    let picture = |x: &Tensor| x.reshape((x.dim(0).unwrap(), 5, 8, 3)).unwrap();
    let conv = Conv { kernel: (3, 3), stride: 1, padding: 1 };
    let results = vec![
        ("linear", linear(&x, &w, Some(&b), Stored::OutIn, Grad::Both).unwrap()),
        ("layer_norm", layer_norm(&x, &b, &b, 1e-5, Grad::Both).unwrap()),
        ("attention", attention_qkv(&x, 2, Masking::causal()).unwrap()),
        ("gelu", gelu_new(&x).unwrap()),
        ("log_softmax", log_softmax_rows(&x).unwrap()),
        ("conv2d", conv2d(&picture(&x), &random(4, (27, 7)), conv).unwrap()),
    ];
    let mut all = Vec::new();
    for (name, y) in results {
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        all.push((name, y));
        all.push((name, grads.get(&x).unwrap().clone()));
    }
    all
}

#[test]
fn a_row_has_the_same_bits_in_every_batch() {
    let x = random(1, (9, 5, 24));
    let whole = everything(&x);
    for row in [0, 4, 8] {
        let alone = everything(&x.narrow(0, row, 1).unwrap());
        for ((name, whole), (_, alone)) in whole.iter().zip(&alone) {
            assert_eq!(bits(&whole.narrow(0, row, 1).unwrap()), bits(alone), "{name}, row {row}");
        }
    }
}

#[test]
fn thread_counts_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (x, w) =
                (Var::from_tensor(&random(1, (70, 5, 24))).unwrap(), Var::from_tensor(&random(2, (24, 300))).unwrap());
            let b = Var::from_tensor(&random(3, 300)).unwrap();
            let y = linear(&x, &w, Some(&b), Stored::InOut, Grad::Both).unwrap();
            let y = layer_norm(&y, &b, &b, 1e-5, Grad::Both).unwrap();
            let y = attention_qkv(&y, 5, Masking::causal()).unwrap().reshape((350, 100)).unwrap();
            let filter = Var::from_tensor(&random(4, (36, 5))).unwrap();
            let picture = y.reshape((70, 5, 25, 4)).unwrap();
            let picture = conv2d(&picture, &filter, Conv { kernel: (3, 3), stride: 1, padding: 1 }).unwrap();
            let loss =
                cross_entropy(&y, &vec![3; 350]).unwrap().add(&picture.sqr().unwrap().mean_all().unwrap()).unwrap();
            let grads = loss.backward().unwrap();
            [&x, &w, &b, &filter].iter().map(|v| bits(grads.get(v).unwrap())).collect::<Vec<_>>()
        })
    };
    let one = run(1);
    for threads in [2, 5] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let x = random(1, (2, 3));
    assert!(matmul(&x, &random(2, (4, 4)), Stored::InOut, Grad::Both).is_err());
    assert!(linear(&x, &random(2, (3, 4)), Some(&random(3, 5)), Stored::InOut, Grad::Both).is_err());
    assert!(layer_norm(&x, &random(2, 4), &random(3, 4), 1e-5, Grad::Both).is_err());
    assert!(cross_entropy(&x, &[0]).is_err() && cross_entropy(&x, &[0, 3]).is_err());
    assert!(cross_entropy(&x.narrow(0, 0, 0).unwrap(), &[]).is_err());
    assert!(embedding(&x, &[2]).is_err());
    assert!(attention_qkv(&random(1, (1, 4, 24)), 3, Masking::none()).is_err());
    assert!(
        conv2d(&random(1, (1, 2, 2, 1)), &random(2, (9, 1)), Conv { kernel: (3, 3), stride: 1, padding: 0 }).is_err()
    );
}
