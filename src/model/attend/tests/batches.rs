//! What else is in a batch changes nothing.

use super::*;
use crate::model::attend::forward::Forward;
use crate::model::attend::net::Net;
use crate::model::ops::Dropout;

/// For every caption, in the order of the list: its states after all steps and the weights of its cells.
fn run(maps: &Tensor, captions: &[Caption]) -> Vec<(Vec<u32>, Vec<u32>)> {
    let net = Net::new(&small()).unwrap();
    let forward = Forward::run(&net, maps, captions, None).unwrap();
    let mut all = vec![(Vec::new(), Vec::new()); captions.len()];
    for (caption, &place) in forward.batch.order.iter().enumerate() {
        for row in forward.batch.rows_of(caption) {
            all[place].0.extend(bits(&forward.shown[row * 6..][..6]));
            all[place].1.extend(bits(forward.alphas(row)));
        }
    }
    all
}

/// The loss's parts and all gradients, as one list.
fn gradients(maps: &Tensor, captions: &[Caption], dropout: Option<Dropout>) -> Vec<f32> {
    let (decoder, maps) = (small(), Var::from_tensor(maps).unwrap());
    let loss = decoder.loss(&maps, captions, 1.0, dropout).unwrap();
    let grads = ops::backward(&loss.total).unwrap();
    let mut all = vec![loss.cross_entropy as f32, loss.stochastic as f32];
    all.extend(decoder.parameters().iter().flat_map(|(_, var)| flat(grads.get(var).unwrap())));
    all
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() < 2e-6, "element {i}: {a} {b}");
    }
}

#[test]
fn a_caption_has_the_same_bits_alone_and_in_any_order() {
    let captions = captions();
    let captions = view(&captions);
    let together = run(&features(), &captions);
    for (caption, together) in captions.iter().zip(&together) {
        assert_eq!(together.0.len(), 6 * (caption.ids.len() - 1));
        assert_eq!(run(&features(), &[*caption])[0], *together);
        let own = features().narrow(0, caption.image, 1).unwrap();
        assert_eq!(run(&own, &[Caption { image: 0, ..*caption }])[0], *together);
    }
    let reversed: Vec<Caption> = captions.iter().rev().copied().collect();
    let mut backwards = run(&features(), &reversed);
    backwards.reverse();
    assert_eq!(backwards, together);
}

#[test]
fn gradients_are_the_sum_of_what_the_captions_give() {
    let captions = captions();
    let captions = view(&captions);
    let together = gradients(&features(), &captions, None);
    let reversed: Vec<Caption> = captions.iter().rev().copied().collect();
    close(&gradients(&features(), &reversed, None), &together);

    // Two captions of one image, or of two copies of it.
    let copies = features().index_select(&Tensor::new(&[0_u32, 1, 2, 1, 0], features().device()).unwrap(), 0).unwrap();
    let own: Vec<Caption> =
        captions.iter().zip([1, 0, 2, 3, 4]).map(|(caption, image)| Caption { image, ..*caption }).collect();
    close(&gradients(&copies, &own, None), &together);

    // Every caption alone: the first part is a mean over words, the second over captions.
    let words: usize = captions.iter().map(|caption| caption.ids.len() - 1).sum();
    let decoder = small();
    let part = |captions: &[Caption], alpha_c: f64, factor: f64| -> Vec<f32> {
        let loss = decoder.loss(&features(), captions, alpha_c, None).unwrap();
        let grads = ops::backward(&(loss.total * factor).unwrap()).unwrap();
        decoder.parameters().iter().flat_map(|(_, var)| flat(grads.get(var).unwrap())).collect()
    };
    let mut sum = vec![0.0; together.len() - 2];
    let add = |sum: &mut Vec<f32>, x: Vec<f32>| sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
    for caption in &captions {
        let (own, count) = ((caption.ids.len() - 1) as f64, captions.len() as f64);
        let entropy_alone = part(&[*caption], 0.0, own / words as f64);
        let mut coverage_alone = part(&[*caption], 1.0, 1.0 / count);
        add(&mut coverage_alone, part(&[*caption], 0.0, -1.0 / count));
        add(&mut sum, entropy_alone);
        add(&mut sum, coverage_alone);
    }
    close(&sum, &together[2..]);
}

#[test]
fn threads_change_nothing() {
    // Large enough that products and attention are cut into pieces.
    let config = AttendConfig { encoder_dim: 96, attention_dim: 64, embed_dim: 48, decoder_dim: 80, vocab_size: 300 };
    let maps = random("large", (6, 49, 96));
    let mut rng = Rng::new(1, "large");
    let captions: Vec<(usize, Vec<u32>)> =
        (0..9).map(|i| (i % 6, (0..4 + i * 3 % 8).map(|_| rng.below(300) as u32).collect())).collect();
    let run = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let (decoder, maps) = (Decoder::init(&config, 4).unwrap(), Var::from_tensor(&maps).unwrap());
            let dropout = Some(Dropout { p: 0.5, seed: 1, step: 2 });
            let loss = decoder.loss(&maps, &view(&captions), 1.0, dropout).unwrap();
            let grads = ops::backward(&loss.total).unwrap();
            let mut all = flat(grads.get(&maps).unwrap());
            all.push(loss.total.to_scalar().unwrap());
            all.extend(decoder.parameters().iter().flat_map(|(_, var)| flat(grads.get(var).unwrap())));
            bits(&all)
        })
    };
    let one = run(1);
    assert!(one.iter().filter(|bits| **bits << 1 != 0).count() > one.len() / 2);
    for threads in [2, 5] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn dropout_follows_from_seed_step_and_place() {
    let captions = captions();
    let captions = view(&captions);
    let of = |seed, step, p| gradients(&features(), &captions, Some(Dropout { p, seed, step }));
    let first = of(1, 1, 0.5);
    assert_eq!(bits(&of(1, 1, 0.5)), bits(&first));
    for (name, other) in [("seed", of(2, 1, 0.5)), ("step", of(1, 2, 0.5)), ("share", of(1, 1, 0.2))] {
        assert!(other != first, "{name}");
    }
    assert_eq!(bits(&of(1, 1, 0.0)), bits(&gradients(&features(), &captions, None)));
    // The weights of cells never see it.
    assert_eq!(first[1], of(2, 1, 0.5)[1]);
}

#[test]
fn impossible_batches_are_refused() {
    let decoder = small();
    let (good, maps) = ([START, 1, END], features());
    let other = random("other", (4, 3, 6));
    let none = random("none", (4, 0, 5));
    let flat_maps = random("flat", (12, 5));
    let drop = |p| Some(Dropout { p, seed: 0, step: 0 });
    let one = |image, ids| vec![Caption { image, ids }];
    let rows = [
        ("no captions", &maps, vec![], None, "a loss needs at least one caption"),
        ("no end", &maps, one(0, &good[..1]), None, "a caption needs a start and an end"),
        ("no such image", &maps, one(4, &good), None, "a caption is of image 4, but there are 4"),
        ("no such word", &maps, one(0, &[START, 9]), None, "a caption has word 9, but the vocabulary 9 words"),
        ("other features", &other, one(0, &good), None, "features of shape [4, 3, 6], not [images, cells, 5]"),
        ("no cells", &none, one(0, &good), None, "features of shape [4, 0, 5], not [images, cells, 5]"),
        ("no images", &flat_maps, one(0, &good), None, "unexpected rank, expected: 3, got: 2 ([12, 5])"),
        ("all dropped", &maps, one(0, &good), drop(1.0), "a dropout of 1 must be from 0 to below 1"),
    ];
    for (name, maps, captions, dropout, message) in rows {
        let error = decoder.loss(maps, &captions, 1.0, dropout).unwrap_err().to_string();
        assert!(error.starts_with(message), "{name}: {error}");
    }
}
