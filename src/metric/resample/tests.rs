use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use super::bootstrap::resampled_in_groups;
use super::draw::draw;
use super::generator::Generator;
use super::system::tests::{Family, means};
use super::*;

/// How far a share of `trials` may lie from its chance: five standard deviations.
fn share_tolerance(chance: f64, trials: usize) -> f64 {
    5.0 * (chance * (1.0 - chance) / trials as f64).sqrt()
}

fn plan(resamples: usize) -> Plan {
    Plan::new(resamples, 7, 0.95).unwrap()
}

fn mean_of(values: &[f64]) -> Vec<Vec<Family<1, 1>>> {
    vec![vec![Family { rows: values.as_chunks().0.to_vec(), values: means }]]
}

fn system<const W: usize, const M: usize>(runs: &[Vec<Family<W, M>>]) -> System<'_> {
    System::new(runs).unwrap()
}

/// Numbers from 0 to 1 with all their digits, so that sums round.
fn numbers(seed: u64, n: usize) -> Vec<f64> {
    let mut generator = Generator::new(&[seed]);
    (0..n).map(|_| (generator.next() >> 11) as f64 / 2.0_f64.powi(53)).collect()
}

/// Thirteen columns in each of two families: their first mean, and a ratio.
type Runs = Vec<Vec<Family<13, 2>>>;

fn runs_of(seed: u64, images: usize, runs: usize) -> Runs {
    let rows = |seed| numbers(seed, 13 * images).as_chunks().0.to_vec();
    let family =
        |seed| Family { rows: rows(seed), values: |sums, images| [sums[0] / images as f64, sums[1] / sums[12]] };
    (0..runs as u64).map(|run| vec![family(seed + run), family(seed + run + 50)]).collect()
}

/// The values of one resample by the definition: image by image, run by run.
fn resampled_by_definition(runs: &Runs, counts: &[u8]) -> Vec<f64> {
    let mut values = [0.0; 4];
    for run in runs {
        for (family, values) in run.iter().zip(values.as_chunks_mut::<2>().0) {
            let mut sums = [0.0; 13];
            for (row, &count) in family.rows.iter().zip(counts) {
                (0..13).for_each(|k| sums[k] += f64::from(count) * row[k]);
            }
            values[0] += sums[0] / counts.len() as f64;
            values[1] += sums[1] / sums[12];
        }
    }
    values.iter().map(|value| value / runs.len() as f64).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn resamples_are_those_of_the_definition_whatever_the_blocks(
        images in 1_usize..200, runs in 1_usize..4, resamples in 1_usize..40, group in 1_usize..40, seed in 0_u64..1000,
    ) {
        let runs = [runs_of(seed, images, runs), runs_of(seed + 100, images, 2)];
        let systems = runs.each_ref().map(|runs| system(runs));
        let plan = Plan::new(resamples, seed, 0.9).unwrap();
        let found = resampled_in_groups(&systems.each_ref(), &plan, group);
        prop_assert_eq!(found.len(), resamples);
        let mut counts = vec![0; images];
        for (index, found) in found.iter().enumerate() {
            draw(&mut counts, seed, index);
            let expected = runs.each_ref().map(|runs| resampled_by_definition(runs, &counts)).concat();
            prop_assert_eq!(found, &expected);
        }
        let each_once = resampled_by_definition(&runs[0], &vec![1; images]);
        prop_assert_eq!(systems[0].values().concat(), each_once);
    }

    #[test]
    fn an_interval_of_a_mean_lies_between_the_least_and_the_most(values in prop::collection::vec(-1e3..1e3, 1..40)) {
        let interval = bootstrap(&system(&mean_of(&values)), &plan(50))[0][0];
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(least - 1e-9 <= interval.low && interval.low <= interval.high && interval.high <= most + 1e-9);
    }

    #[test]
    fn exchanged_systems_mirror_the_comparison(images in 1_usize..100, runs in 1_usize..3, seed in 0_u64..1000) {
        let runs = [seed, seed + 100].map(|seed| runs_of(seed, images, runs));
        let [a, b] = runs.each_ref().map(|runs| system(runs));
        let there = compare(&a, &b, &plan(40), 99).unwrap().concat();
        let back = compare(&b, &a, &plan(40), 99).unwrap().concat();
        for (there, back) in there.iter().zip(back) {
            prop_assert_eq!((there.a, there.b, there.difference), (back.b, back.a, -back.difference));
            prop_assert_eq!(there.p, back.p);
            let p = there.p.unwrap();
            prop_assert!((0.01..=1.0).contains(&p));
            prop_assert!((there.interval.low + back.interval.high).abs() < 1e-12);
            prop_assert!((there.interval.high + back.interval.low).abs() < 1e-12);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let runs = [1, 100].map(|seed| runs_of(seed, 333, 2));
    let [a, b] = runs.each_ref().map(|runs| system(runs));
    let results = [1, 2, 4].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (bootstrap(&a, &plan(101)), compare(&a, &b, &plan(101), 1001).unwrap()))
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
    assert_ne!(results[0].0, bootstrap(&a, &Plan::new(101, 8, 0.95).unwrap()));
}

#[test]
fn the_interval_of_a_mean_is_about_the_normal_one() {
    let values = numbers(3, 400);
    // The bootstrap's variance is the sum of squares over n, not n - 1; 1.96 deviations to either side.
    let n = values.len() as f64;
    let Spread { mean, deviation } = spread(&values);
    let half = 1.959964 * deviation * ((n - 1.0) / n / n).sqrt();
    let interval = bootstrap(&system(&mean_of(&values)), &plan(10_000))[0][0];
    // A quantile of 10,000 normal values at 2.5 % has a deviation of 0.027, that is 1.4 % of 1.96; five times.
    assert!((interval.low - (mean - half)).abs() < 0.07 * half, "{interval:?}, not {mean} - {half}");
    assert!((interval.high - (mean + half)).abs() < 0.07 * half, "{interval:?}, not {mean} + {half}");
}

fn ratio_of(rows: Vec<[f64; 2]>) -> Vec<Vec<Family<2, 1>>> {
    vec![vec![Family { rows, values: |[x, y], _| [x / y] }]]
}

/// The p value of a ratio over all 2^n exchanges.
fn exact(a: &[[f64; 2]], b: &[[f64; 2]]) -> f64 {
    let statistic = |mask: usize| {
        let mut sums = [[0.0; 2]; 2];
        for image in 0..a.len() {
            let side = mask >> image & 1;
            for k in 0..2 {
                sums[side][k] += a[image][k];
                sums[1 - side][k] += b[image][k];
            }
        }
        (sums[0][0] / sums[0][1] - sums[1][0] / sums[1][1]).abs()
    };
    let all = 1 << a.len();
    (0..all).filter(|&mask| statistic(mask) >= statistic(0) - 1e-12).count() as f64 / all as f64
}

#[test]
fn p_values_approach_those_of_all_exchanges() {
    const TRIALS: usize = 20_000;
    let rows = |seed, images: usize, bonus: f64| -> Vec<[f64; 2]> {
        numbers(seed, 2 * images).as_chunks().0.iter().map(|[x, y]| [x + bonus, y + 0.5]).collect()
    };
    let constant = |images: usize, value: f64| vec![[value, 1.0]; images];
    for (name, a, b, known) in [
        // All differences alike: only the exchange of none or of all images is as extreme, 2 of 2^n.
        ("one image", constant(1, 1.0), constant(1, 0.0), Some(1.0)),
        ("five alike", constant(5, 1.0), constant(5, 0.0), Some(2.0 / 32.0)),
        ("eight alike, rounded", constant(8, 0.3), constant(8, 0.1), Some(2.0 / 256.0)),
        ("equal", rows(1, 6, 0.0), rows(1, 6, 0.0), Some(1.0)),
        ("small", rows(1, 10, 0.1), rows(2, 10, 0.0), None),
        ("medium", rows(3, 12, 0.3), rows(4, 12, 0.0), None),
        ("large", rows(5, 11, 0.6), rows(6, 11, 0.0), None),
    ] {
        let expected = exact(&a, &b);
        assert!(known.is_none_or(|known| known == expected), "{name}: {expected}");
        let runs = [a, b].map(ratio_of);
        let [a, b] = runs.each_ref().map(|runs| system(runs));
        let found = compare(&a, &b, &plan(2), TRIALS).unwrap()[0][0].p.unwrap();
        let tolerance = share_tolerance(expected, TRIALS) + 1.0 / TRIALS as f64;
        assert!((found - expected).abs() <= tolerance, "{name}: {found}, not {expected}");
    }
}

#[test]
fn equal_systems_do_not_differ() {
    let runs = runs_of(1, 77, 3);
    for found in compare(&system(&runs), &system(&runs.clone()), &plan(100), 500).unwrap().concat() {
        assert_eq!(found.a, found.b);
        assert_eq!((found.difference, found.p), (0.0, Ok(1.0)));
        assert_eq!(found.interval, Interval { low: 0.0, high: 0.0 });
    }
}

#[test]
fn resamples_are_paired() {
    // The second system is better by 1/4 on every image; whole eighths, so sums are exact.
    let values: Vec<f64> = numbers(5, 64).iter().map(|value| (value * 80.0).floor() / 8.0).collect();
    let better: Vec<f64> = values.iter().map(|value| value + 0.25).collect();
    let [values, better] = [values, better].map(|values| mean_of(&values));
    let found = &compare(&system(&better), &system(&values), &plan(200), 2000).unwrap()[0][0];
    assert_eq!(found.difference, 0.25);
    assert_eq!(found.interval, Interval { low: 0.25, high: 0.25 });
    assert_eq!(found.p, Ok(1.0 / 2001.0));

    // Families and runs share the draws, too.
    let one = bootstrap(&system(&values), &plan(200));
    let twice = vec![[values[0].clone(), values[0].clone()].concat(); 2];
    assert_eq!(bootstrap(&system(&twice), &plan(200)), [one.clone(), one].concat());
}

#[test]
fn one_image_has_no_width() {
    let runs = runs_of(1, 1, 2);
    let system = system(&runs);
    let intervals = bootstrap(&system, &plan(20)).concat();
    for (interval, value) in intervals.iter().zip(system.values().concat()) {
        assert_eq!(*interval, Interval { low: value, high: value });
    }
}

#[test]
fn undefined_values_are_left_out() {
    // 1 where the second image was drawn, else 0 / 0.
    let sometimes = ratio_of(vec![[0.0, 0.0], [1.0, 1.0]]);
    assert_eq!(bootstrap(&system(&sometimes), &plan(100)), [[Interval { low: 1.0, high: 1.0 }]]);

    let never = ratio_of(vec![[0.0, 0.0]; 2]);
    let found = &compare(&system(&sometimes), &system(&never), &plan(10), 10).unwrap()[0][0];
    assert!(found.difference.is_nan() && found.interval.low.is_nan() && found.interval.high.is_nan());
    assert_eq!(found.p, Err(NoTest::Undefined));

    // Exchanging one image of the two leaves 0 / 0 for one system; exchanging none or both leaves 2 and 1.
    let runs = [vec![[2.0, 1.0], [0.0, 0.0]], vec![[0.0, 0.0], [1.0, 1.0]]].map(ratio_of);
    let found = &compare(&system(&runs[0]), &system(&runs[1]), &plan(10), 100).unwrap()[0][0];
    assert_eq!((found.difference, found.p), (1.0, Ok(1.0)));
}

#[test]
fn different_numbers_of_runs_have_an_interval_but_no_test() {
    let runs = [1, 3].map(|runs| runs_of(4, 50, runs));
    let found = &compare(&system(&runs[0]), &system(&runs[1]), &plan(100), 10).unwrap()[0][0];
    assert_eq!(found.p, Err(NoTest::Runs { a: 1, b: 3 }));
    assert_eq!(NoTest::Runs { a: 1, b: 3 }.to_string(), "the systems have different numbers of runs: 1 and 3");
    assert!(found.interval.low < found.interval.high);
}

#[test]
fn an_undefined_statistic_spoils_its_metric_alone() {
    let mean = |values: &[f64]| mean_of(values).remove(0).remove(0);
    let runs = vec![vec![mean(&[1.0, 2.0, 4.0]), mean(&[1.0, f64::NAN, 4.0])]];
    let system = System::new(&runs).unwrap();
    let intervals = bootstrap(&system, &plan(50));
    assert!(intervals[0][0].low < intervals[0][0].high);
    assert!(intervals[1][0].low.is_nan() && intervals[1][0].high.is_nan());
    let compared = compare(&system, &system, &plan(50), 10).unwrap();
    assert_eq!(compared[0][0].p, Ok(1.0));
    assert_eq!(compared[1][0].p, Err(NoTest::Undefined));
}

#[test]
fn what_cannot_be_resampled_is_refused() {
    let mean = |values: &[f64]| mean_of(values).remove(0).remove(0);
    for (runs, expected) in [
        (vec![], "there are no images to resample"),
        (vec![vec![]], "there are no images to resample"),
        (vec![vec![mean(&[])]], "there are no images to resample"),
        (vec![vec![mean(&[1.0]), mean(&[1.0, 2.0])]], "1 statistics of 1 images are 1 numbers, not 2"),
        (vec![vec![mean(&[1.0])], vec![]], "the runs of a model have different metrics"),
    ] {
        assert_eq!(System::new(&runs).err().unwrap().to_string(), expected);
    }
    for (plan, expected) in [
        (Plan::new(0, 0, 0.95), "there must be at least one resample"),
        (Plan::new(1, 0, 1.0), "the level 1 is not between 0 and 1"),
        (Plan::new(1, 0, f64::NAN), "the level NaN is not between 0 and 1"),
    ] {
        assert_eq!(plan.unwrap_err().to_string(), expected);
    }
    let one = mean_of(&[1.0]);
    let error = |trials, other: &System<'_>| compare(&system(&one), other, &plan(1), trials).unwrap_err().to_string();
    assert_eq!(error(0, &system(&one)), "there must be at least one trial");
    assert_eq!(error(1, &system(&mean_of(&[1.0, 2.0]))), "systems with 1 and 2 images cannot be compared");
    assert_eq!(error(1, &system(&runs_of(1, 1, 1))), "systems with different metrics cannot be compared");
}
