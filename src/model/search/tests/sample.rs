//! Draws: their distribution, and what they depend on.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::filter::{draw, keep};
use super::*;

/// Tokens and their probabilities.
type Kept<'a> = &'a [(u32, f64)];
/// Name, logits, banned tokens, settings, the tokens that can be drawn.
type Corner<'a> = (&'a str, &'a [f32], &'a [u32], DecodeConfig, &'a [u32]);

fn sampling(temperature: f64, top_k: usize, top_p: f64) -> DecodeConfig {
    DecodeConfig { method: Method::Sample, temperature, top_k, top_p, ..DecodeConfig::default() }
}

/// What is kept of `logits`, with probabilities.
fn kept(logits: &[f32], banned: &[u32], config: &DecodeConfig) -> Vec<(u32, f64)> {
    let kept = keep(&Row::new(logits), banned, config);
    let sum: f64 = kept.iter().map(|(_, weight)| weight).sum();
    kept.into_iter().map(|(token, weight)| (token, weight / sum)).collect()
}

/// The definition: everything ranked, cut to `top_k`, then to the shortest head with a share of `top_p`.
fn defined(logits: &[f32], banned: &[u32], config: &DecodeConfig) -> Vec<(u32, f64)> {
    let weigh = |logit: f32| (f64::from(logit) / config.temperature).exp();
    let mut ranked: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    ranked.retain(|(token, _)| !banned.contains(token));
    // The sort is stable: of equals the smaller id stays first.
    ranked.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap());
    if config.top_k > 0 {
        ranked.truncate(config.top_k);
    }
    let mass = |head: &[(u32, f32)]| head.iter().map(|(_, logit)| weigh(*logit)).sum::<f64>();
    let wanted = config.top_p * mass(&ranked);
    let count = (1..=ranked.len()).find(|&count| mass(&ranked[..count]) >= wanted).unwrap_or(ranked.len());
    ranked.truncate(count);
    let sum = mass(&ranked);
    let mut kept: Vec<(u32, f64)> = ranked.into_iter().map(|(token, logit)| (token, weigh(logit) / sum)).collect();
    kept.sort_by_key(|(token, _)| *token);
    kept
}

/// Whether two lists hold the same tokens with the same probabilities, but for rounding in float32.
fn agree(got: Kept<'_>, wanted: Kept<'_>) -> bool {
    let close = |((a, p), (b, q)): (&(u32, f64), &(u32, f64))| a == b && (p - q).abs() < 2e-6;
    got.len() == wanted.len() && got.iter().zip(wanted).all(close)
}

/// Expected: transformers 5.24.0 with PyTorch 2.15.0, `TemperatureLogitsWarper`, `TopKLogitsWarper`, `TopPLogitsWarper` in
/// this order, then softmax; our own run.
#[test]
fn filters_agree_with_transformers() {
    let logits = [2.0, -1.0, 0.5, 3.25, 0.0, 1.75, -2.5, 1.0];
    let rows: [(f64, usize, f64, Kept<'_>); 8] = [
        (1.0, 0, 0.9, &[(0, 0.177399), (3, 0.619182), (5, 0.138158), (7, 0.065261)]),
        (0.5, 0, 0.9, &[(0, 0.075858), (3, 0.924142)]),
        (2.0, 5, 1.0, &[(0, 0.207055), (2, 0.097806), (3, 0.386829), (5, 0.182725), (7, 0.125585)]),
        (2.0, 5, 0.7, &[(0, 0.266614), (3, 0.498100), (5, 0.235286)]),
        (1.0, 3, 0.95, &[(0, 0.189784), (3, 0.662412), (5, 0.147804)]),
        (1.0, 1, 1.0, &[(3, 1.0)]),
        (0.25, 0, 0.05, &[(3, 1.0)]),
        (4.0, 6, 0.5, &[(0, 0.302457), (3, 0.413410), (5, 0.284132)]),
    ];
    for (temperature, top_k, top_p, wanted) in rows {
        let got = kept(&logits, &[], &sampling(temperature, top_k, top_p));
        assert!(agree(&got, wanted), "{temperature} {top_k} {top_p}: {got:?}");
    }
}

#[test]
fn filters_have_no_bad_corners() {
    let (low, tiny) = (f32::NEG_INFINITY, f64::from_bits(1));
    // Expected: by the definition.
    let rows: [Corner<'_>; 9] = [
        ("ties go to the smaller id", &[1.0, 2.0, 2.0, 2.0], &[], sampling(1.0, 2, 1.0), &[1, 2]),
        ("zeros of both signs are ties", &[-0.0, 0.0, -0.0], &[], sampling(1.0, 1, 1.0), &[0]),
        ("the token that crosses is kept", &[1.0, 1.0, 1.0, 1.0], &[], sampling(1.0, 0, 0.51), &[0, 1, 2]),
        ("a share reached exactly is enough", &[1.0, 1.0, 1.0, 1.0], &[], sampling(1.0, 0, 0.5), &[0, 1]),
        ("the best token is always kept", &[0.0, 5.0], &[], sampling(1.0, 0, tiny), &[1]),
        ("no warmth", &[3.0, 3.0, 2.999], &[], sampling(tiny, 0, 1.0), &[0, 1]),
        ("no warmth, the best is banned", &[9.0, -9.0, -8.0], &[0, 0, 70], sampling(1e-9, 0, 1.0), &[2]),
        ("all heat", &[low, 90.0, -90.0], &[], sampling(f64::MAX, 0, 0.9), &[1, 2]),
        ("nothing left", &[low, 1.0, 2.0], &[2, 1], sampling(1.0, 3, 0.5), &[]),
    ];
    for (name, logits, banned, config, wanted) in rows {
        let got = kept(logits, banned, &config);
        let drawn: Vec<u32> = got.iter().filter(|(_, p)| *p > 0.0).map(|(token, _)| *token).collect();
        assert_eq!(drawn, wanted, "{name}: {got:?}");
        assert!(got.iter().all(|(_, p)| p.is_finite()), "{name}: {got:?}");
    }
}

#[test]
fn a_draw_walks_by_rising_id() {
    let half = [(2, 1.0), (5, 0.0), (7, 0.5), (9, 0.5), (11, 0.0)];
    // Which number in 0..1 gives which token. Expected: the running sums 1, 1, 1.5, 2, 2 of 2.
    let last = 1.0 - f64::EPSILON / 2.0;
    for (unit, wanted) in [(0.0, 2), (0.499, 2), (0.5, 7), (0.749, 7), (0.75, 9), (last, 9)] {
        assert_eq!(draw(&half, unit), Some(wanted), "{unit}");
    }
    // The product of total and number rounds to the total here, which no sum exceeds.
    assert_eq!(draw(&[(3, 1.0 + f64::EPSILON), (4, 0.0)], last), Some(3));
    assert_eq!(draw(&[(3, 0.0)], 0.5), None);
    assert_eq!(draw(&[], 0.5), None);
}

proptest! {
    /// Ranking no more than needed keeps what ranking everything keeps; ties are common.
    #[test]
    fn kept_is_what_the_definition_keeps(
        logits in prop::collection::vec((-40..40_i8).prop_map(|x| f32::from(x) / 16.0), 1..1500),
        temperature in 0.3..3.0_f64,
        top_k in prop_oneof![Just(0_usize), 1..20_usize, 1..2000_usize],
        top_p in prop_oneof![Just(1.0), 0.01..1.0_f64],
        banned in prop::collection::vec(0..1500_u32, 0..5),
    ) {
        let config = sampling(temperature, top_k, top_p);
        let (got, wanted) = (kept(&logits, &banned, &config), defined(&logits, &banned, &config));
        // One token more or less where the share is reached but for rounding.
        let near = |a: Kept<'_>, b: Kept<'_>| {
            let more: Vec<_> = a.iter().filter(|(token, _)| b.iter().all(|(other, _)| other != token)).collect();
            a.len() == b.len() + 1 && more.len() == 1 && defined_edge(&logits, &banned, &config) < 1e-6
        };
        prop_assert!(agree(&got, &wanted) || near(&got, &wanted) || near(&wanted, &got), "{got:?} {wanted:?}");
    }

    /// A filter that takes nothing away changes no draw.
    #[test]
    fn idle_filters_change_nothing(logits in prop::collection::vec(-4.0..4.0_f32, 1..300), more in 0..9_usize) {
        let plain = keep(&Row::new(&logits), &[], &sampling(1.0, 0, 1.0));
        prop_assert_eq!(plain.len(), logits.len());
        prop_assert_eq!(&keep(&Row::new(&logits), &[], &sampling(1.0, logits.len() + more, 1.0)), &plain);
        prop_assert_eq!(&keep(&Row::new(&logits), &[], &sampling(1.0, 0, 1.0 - f64::EPSILON)), &plain);
    }
}

/// How near the share of some head is to `top_p`.
fn defined_edge(logits: &[f32], banned: &[u32], config: &DecodeConfig) -> f64 {
    let mut all = defined(logits, banned, &DecodeConfig { top_p: 1.0, ..config.clone() });
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let sums = all.iter().scan(0.0, |sum, (_, p)| {
        *sum += p;
        Some((*sum - config.top_p).abs())
    });
    sums.fold(1.0, f64::min)
}

/// What chi-square exceeds once in a thousand times (Wilson and Hilferty's approximation, 1931).
fn bound(freedom: usize) -> f64 {
    let part = 2.0 / (9.0 * freedom as f64);
    freedom as f64 * (1.0 - part + 3.09 * part.sqrt()).powi(3)
}

/// Pairs of tokens are as frequent over many seeds as their probabilities by the definition say.
#[test]
fn frequencies_are_the_probabilities() {
    const SEEDS: u64 = 6000;
    let toy = Toy { vocab: 6 };
    // Name, settings, run that may not repeat.
    let rows = [
        ("all", sampling(1.0, 0, 1.0), 0),
        ("cold", sampling(0.5, 0, 1.0), 0),
        ("hot", sampling(2.0, 0, 1.0), 0),
        ("top-k", sampling(1.0, 3, 1.0), 0),
        ("top-p", sampling(1.0, 0, 0.8), 0),
        ("all three", sampling(1.5, 4, 0.8), 0),
        ("no token twice", sampling(2.0, 0, 1.0), 1),
    ];
    for (name, settings, no_repeat_ngram) in rows {
        let mut seen: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        for seed in 0..SEEDS {
            let config = DecodeConfig { no_repeat_ngram, seed, ..settings.clone() };
            let found = toy.search(&[2], &config, 2, &BTreeSet::new()).remove(0).remove(0);
            *seen.entry(found.ids).or_default() += 1.0;
        }
        // (seen, expected); rare pairs count as one.
        let (mut cells, mut rare) = (Vec::new(), (0.0, 0.0));
        for (first, p) in defined(&toy.row(2, &[]), &[], &settings) {
            let banned = if no_repeat_ngram == 1 { vec![first] } else { Vec::new() };
            for (second, q) in defined(&toy.row(2, &[first]), &banned, &settings) {
                let pair = (seen.remove(&vec![first, second]).unwrap_or_default(), p * q * SEEDS as f64);
                if pair.1 < 5.0 {
                    rare = (rare.0 + pair.0, rare.1 + pair.1);
                } else {
                    cells.push(pair);
                }
            }
        }
        assert!(seen.is_empty(), "{name}: {seen:?} cannot be drawn");
        cells.extend((rare.1 >= 5.0).then_some(rare));
        let chi: f64 = cells.iter().map(|(seen, expected)| (seen - expected).powi(2) / expected).sum();
        assert!(cells.len() > 3 && chi < bound(cells.len() - 1), "{name}: {chi} with {} cells", cells.len());
    }
}

#[test]
fn a_draw_depends_on_seed_image_and_number_alone() {
    let (toy, stops) = (Toy { vocab: 40 }, BTreeSet::from([0]));
    let run = |images: &[u32], ids: &[u32], n, seed| {
        let config = DecodeConfig { n, seed, ..config(Method::Sample, 1) };
        search(&toy, &tensor(images), ids, &config, 12, &stops).unwrap()
    };
    let one = run(&[5], &[17], 3, 1).remove(0);
    assert!(one[0] != one[1] && one[1] != one[2] && one[0] != one[2], "draws differ");
    assert_eq!(run(&[5], &[17], 1, 1)[0], one[..1], "not on n");
    assert_eq!(run(&[5], &[17], 7, 1)[0][..3], one, "not on n");
    assert_eq!(run(&[3, 9, 5, 4], &[1, 2, 17, 3], 3, 1)[2], one, "not on the batch");
    let same = run(&[5, 5, 5], &[17, 18, 17], 3, 1);
    assert!(same[0] == one && same[2] == one && same[1] != one, "images that look alike have draws of their own");
    assert_ne!(run(&[5], &[17], 3, 2)[0], one, "on the seed");
}

/// Draws of an earlier version must stay the same, or the caption stage's version grows.
#[test]
fn draws_are_pinned() {
    let config = DecodeConfig { seed: 7, top_p: 0.9, n: 2, ..config(Method::Sample, 1) };
    let found = Toy { vocab: 40 }.search(&[5], &config, 6, &BTreeSet::new()).remove(0);
    let ids: Vec<&[u32]> = found.iter().map(|found| &found.ids[..]).collect();
    assert_eq!(ids, [[27, 5, 9, 13, 2, 20], [25, 21, 18, 5, 21, 3]]);
}
