//! Dropout inside a stack.

use super::super::dropout::philox;
use super::*;

const DROPOUT: Dropout = Dropout { p: 0.3, seed: 11, step: 5 };

/// What dropout multiplies `[b, heads, t, n]` numbers by, element by element, as its definition says.
fn factors(dropout: Dropout, place: usize, [b, heads, t, n]: [usize; 4]) -> Tensor {
    let key = Rng::new(dropout.seed, &format!("dropout.{}.{place}", dropout.step)).next_u64();
    let mut factors = Vec::new();
    for (row, head) in (0..b).flat_map(|row| (0..heads).map(move |head| (row, head))) {
        for (position, i) in (0..t).flat_map(|position| (0..n).map(move |i| (position, i))) {
            let counter = [(i / 4) as u32, head as u32, position as u32, row as u32];
            let random = philox(counter, [key as u32, (key >> 32) as u32])[i % 4];
            let stays = f64::from(random) / 2.0_f64.powi(32) >= dropout.p;
            factors.push(if stays { (1.0 / (1.0 - dropout.p)) as f32 } else { 0.0 });
        }
    }
    tensor(factors, [b, heads, t, n].to_vec()).unwrap()
}

/// A stack with dropout, on candle's operations, with masks from [`factors`].
fn written_out(x: &Tensor, stack: &Stack) -> Result<Tensor> {
    let dropout = stack.dropout.unwrap();
    let ((b, t, d), heads) = (x.dims3()?, stack.heads);
    let drop = |x: Tensor, place| x * factors(dropout, place, [b, 1, t, d]).reshape((b, t, d))?;
    let by_head = |x: &Tensor| x.reshape((b, t, heads, d / heads))?.transpose(1, 2)?.contiguous();
    let future = |i: usize| if stack.masking.causal && i % t > i / t { -1e9 } else { 0.0 };
    let future = tensor((0..t * t).map(future).collect(), (t, t))?;
    let mut x = x.clone();
    if let Some(positions) = &stack.positions {
        x = x.broadcast_add(&positions.narrow(0, 0, t)?)?;
    }
    x = drop(x, 0)?;
    for (layer, weights) in stack.layers.iter().enumerate() {
        let normed = weights.norm1.apply(&x, stack.eps)?;
        let (q, kv) = match &weights.projection {
            Projection::Joint(joint) => {
                let all = joint.apply(&normed)?;
                (all.narrow(2, 0, d)?, all.narrow(2, d, 2 * d)?)
            }
            Projection::Split { queries, adaptive, keys_values } => {
                let (weights, biases) = adaptive.as_ref().unwrap();
                (matmul_heads(&queries.apply(&normed)?, weights, biases)?, keys_values.apply(&normed)?)
            }
        };
        let (q, k, v) = (by_head(&q)?, by_head(&kv.narrow(2, 0, d)?)?, by_head(&kv.narrow(2, d, d)?)?);
        let scores = (q.matmul(&k.t()?)? / ((d / heads) as f64).sqrt())?.broadcast_add(&future)?.exp()?;
        let p = scores.broadcast_div(&scores.sum_keepdim(3)?)?;
        let p = (p * factors(dropout, 3 * layer + 1, [b, heads, t, t]))?;
        let attended = p.matmul(&v)?.transpose(1, 2)?.reshape((b, t, d))?;
        x = (drop(weights.project.apply(&attended)?, 3 * layer + 2)? + x)?;
        let inner = activate(&weights.fc1.apply(&weights.norm2.apply(&x, stack.eps)?)?, stack.activation)?;
        x = (drop(weights.fc2.apply(&inner)?, 3 * layer + 3)? + x)?;
    }
    match &stack.last_norm {
        Some(norm) => norm.apply(&x, stack.eps),
        None => Ok(x),
    }
}

/// A small stack and all its weights.
fn dropped_stack(joint: bool, dropout: Option<Dropout>) -> (Arc<Stack>, Vec<Var>) {
    let mut vars = Vec::new();
    let mut weight = |shape: &[usize]| {
        let var = Var::from_tensor(&(random(vars.len() as u64, shape) * 0.5).unwrap()).unwrap();
        vars.push(var.clone());
        var.as_tensor().clone()
    };
    let stack = Stack { dropout, ..small_stack(joint, &mut weight) };
    (Arc::new(stack), vars)
}

#[test]
fn values_and_gradients_are_those_of_the_definition() {
    for joint in [true, false] {
        let (layers, mut vars) = dropped_stack(joint, Some(DROPOUT));
        let x = Var::from_tensor(&random(100, (3, 4, 8))).unwrap();
        let slopes = random(101, (3, 4, 8));
        let loss = |y: &Tensor| (y * &slopes).unwrap().sum_all().unwrap();
        let (fused, plain) = (stack(&x, &layers).unwrap(), written_out(&x, &layers).unwrap());
        close(&format!("joint {joint}"), &flat(&fused), &flat(&plain), 1e-5);
        let (grads, plain) = (backward(&loss(&fused)).unwrap(), loss(&plain).backward().unwrap());
        vars.push(x.clone());
        let value = || -> f64 {
            let y = flat(&stack(&x, &layers).unwrap());
            y.iter().zip(flat(&slopes)).map(|(&y, slope)| f64::from(y) * f64::from(slope)).sum()
        };
        for (which, var) in vars.iter().enumerate() {
            let name = format!("joint {joint}, variable {which}");
            let grad = flat(grads.get(var).unwrap());
            close(&name, &grad, &flat(plain.get(var).unwrap()), 1e-5);
            let before = flat(var);
            let shifted = |i: usize, by: f32| {
                let mut moved = before.clone();
                moved[i] += by;
                var.set(&tensor(moved, var.shape()).unwrap()).unwrap();
                value()
            };
            let slope = |i| ((shifted(i, STEP) - shifted(i, -STEP)) / f64::from(2.0 * STEP)) as f32;
            let differences: Vec<f32> = (0..grad.len()).map(slope).collect();
            shifted(0, 0.0);
            close(&format!("{name}, differences"), &grad, &differences, CLOSE);
        }
    }
}

/// Compares numbers with an accuracy relative to the largest.
fn close(name: &str, got: &[f32], expected: &[f32], accuracy: f32) {
    assert_eq!(got.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.1_f32, |top, x| top.max(x.abs()));
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= accuracy * largest, "{name}, element {i}: {a} against {b}");
    }
}

/// The bits of a stack's result and of all gradients of the sum of its squares.
fn all_bits(joint: bool, dropout: Option<Dropout>, x: &Tensor) -> Vec<Vec<u32>> {
    let (layers, mut vars) = dropped_stack(joint, dropout);
    let x = Var::from_tensor(x).unwrap();
    let y = stack(&x, &layers).unwrap();
    let grads = backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
    vars.push(x);
    vars.iter().map(|var| bits(grads.get(var).unwrap())).chain([bits(&y)]).collect()
}

#[test]
fn a_probability_of_zero_changes_no_bit_and_everything_else_a_mask_depends_on_does() {
    let x = random(100, (3, 4, 8));
    for joint in [true, false] {
        let none = all_bits(joint, None, &x);
        assert!(all_bits(joint, Some(Dropout { p: 0.0, ..DROPOUT }), &x) == none, "joint {joint}");
        let one = all_bits(joint, Some(DROPOUT), &x);
        assert!(one != none && all_bits(joint, Some(DROPOUT), &x) == one, "joint {joint}");
        for other in [Dropout { seed: 12, ..DROPOUT }, Dropout { step: 6, ..DROPOUT }, Dropout { p: 0.4, ..DROPOUT }] {
            assert!(all_bits(joint, Some(other), &x) != one, "joint {joint}: {other:?}");
        }
    }
    for p in [-0.1, 1.0, f64::NAN] {
        let (layers, _) = dropped_stack(true, Some(Dropout { p, ..DROPOUT }));
        assert!(stack(&x, &layers).unwrap_err().to_string().contains("below 1"), "{p}");
    }
}

#[test]
fn threads_other_rows_and_padding_change_no_bit() {
    // Enough rows for work on several threads.
    let x = random(100, (700, 4, 8));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| all_bits(true, Some(DROPOUT), &x))
    };
    let one = run(1);
    for threads in [2, 5] {
        assert!(run(threads) == one, "{threads} threads");
    }
    let (layers, _) = dropped_stack(true, Some(DROPOUT));
    let whole = stack(&x, &layers).unwrap();
    for (name, rows, length) in [("the first row", 1, 4), ("three rows", 3, 4), ("shorter rows", 3, 2)] {
        let part = |x: &Tensor| x.narrow(0, 0, rows).unwrap().narrow(1, 0, length).unwrap();
        assert_eq!(bits(&stack(&part(&x), &layers).unwrap()), bits(&part(&whole)), "{name}");
    }
    // Without a backward pass to come, nothing is kept, and the masks are the same.
    let mut seed = 0;
    let frozen = small_stack(true, &mut |shape| {
        seed += 1;
        (random(seed - 1, shape) * 0.5).unwrap()
    });
    let frozen = Arc::new(Stack { dropout: Some(DROPOUT), ..frozen });
    assert_eq!(bits(&stack(&x, &frozen).unwrap()), bits(&whole));
    // Equal rows get masks of their own.
    let same = Tensor::cat(&[x.narrow(0, 0, 1).unwrap(), x.narrow(0, 0, 1).unwrap()], 0).unwrap();
    let two = stack(&same, &layers).unwrap();
    assert!(bits(&two.narrow(0, 0, 1).unwrap()) != bits(&two.narrow(0, 1, 1).unwrap()));
}

#[test]
fn the_mean_over_steps_is_what_there_is_without_dropout() {
    const STEPS: u64 = 4000;
    // Without layers and norm, a stack is linear: dropout of input and positions.
    let (full, _) = dropped_stack(true, None);
    let linear = |dropout| Arc::new(Stack { layers: Vec::new(), last_norm: None, dropout, ..(*full).clone() });
    let x = random(100, (2, 5, 8));
    let expected = flat(&stack(&x, &linear(None)).unwrap());
    let mut sums = vec![0.0; expected.len()];
    for step in 0..STEPS {
        let y = flat(&stack(&x, &linear(Some(Dropout { step, ..DROPOUT }))).unwrap());
        sums.iter_mut().zip(y).for_each(|(sum, y)| *sum += f64::from(y));
    }
    // Five standard deviations of the mean: one element's is |x| sqrt(p / (1 - p)).
    let bound = 5.0 * (DROPOUT.p / (1.0 - DROPOUT.p) / STEPS as f64).sqrt();
    for (i, (sum, x)) in sums.iter().zip(expected).enumerate() {
        let (mean, x) = (sum / STEPS as f64, f64::from(x));
        assert!((mean - x).abs() <= bound * x.abs(), "element {i}: {mean} instead of {x}");
    }
}
