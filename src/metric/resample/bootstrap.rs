//! Bootstrap intervals.

use std::ops::Range;

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::draw::draw;
use super::interval::Interval;
use super::system::{LANES, Row, System, TILE};

/// How many resamples pass over the statistics together.
const GROUP: usize = 32;

/// How often to resample, and what to tell of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    resamples: usize,
    seed: u64,
    level: f64,
}

/// Every resample of every metric is kept until the interval is known.
const MOST: usize = 1_000_000;

impl Plan {
    /// So many resamples from a seed, and intervals that cover `level` of them, say 0.95.
    ///
    /// Fails without resamples or with too many, or if the level is not between 0 and 1.
    pub fn new(resamples: usize, seed: u64, level: f64) -> Result<Self> {
        ensure!(resamples > 0, "there must be at least one resample");
        ensure!(resamples <= MOST, "{resamples} resamples are too many: an interval is as good with {MOST}");
        ensure!(level > 0.0 && level < 1.0, "the level {level} is not between 0 and 1");
        Ok(Self { resamples, seed, level })
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn level(&self) -> f64 {
        self.level
    }
}

/// The percentile bootstrap over the images.
///
/// Each resample draws as many images as there are, with replacement, the same for all families and runs. Resamples
/// in which a metric is NaN are left out of its interval.
///
/// Returns an interval per family and metric.
///
/// Source: Efron, 1979; Efron and Tibshirani, *An introduction to the bootstrap*, 1993, chapter 13.
pub fn bootstrap(system: &System<'_>, plan: &Plan) -> Vec<Vec<Interval>> {
    let values = resampled(&[system], plan);
    let intervals: Vec<Interval> = (0..system.metrics())
        .into_par_iter()
        .map(|metric| Interval::of(values.iter().map(|resample| resample[metric]), plan.level))
        .collect();
    system.by_family(intervals)
}

/// The corpus values of every resample, system by system and metric by metric.
///
/// All systems have the same images, and a resample draws the same ones of each.
pub(super) fn resampled(systems: &[&System<'_>], plan: &Plan) -> Vec<Vec<f64>> {
    resampled_in_groups(systems, plan, GROUP)
}

pub(super) fn resampled_in_groups(systems: &[&System<'_>], plan: &Plan, group: usize) -> Vec<Vec<f64>> {
    let groups = (0..plan.resamples.div_ceil(group)).into_par_iter();
    let values: Vec<Vec<Vec<f64>>> = groups
        .map_init(Scratch::default, |scratch, k| {
            values(systems, plan.seed, k * group..plan.resamples.min((k + 1) * group), scratch)
        })
        .collect();
    values.into_iter().flatten().collect()
}

/// Memory that one group of resamples leaves to the next.
#[derive(Default)]
struct Scratch {
    /// `u8[resamples, images]`: how often each image was drawn.
    counts: Vec<u8>,
    /// The counts of some images, of two resamples at a time.
    weights: Vec<[[f64; TILE]; 2]>,
    /// `f64[panels, TILE, LANES]`: the statistics of some images.
    tile: Vec<[Row; TILE]>,
    /// `f64[panels, resamples / 2, 2, LANES]`: the weighted sums of all columns.
    sums: Vec<[Row; 2]>,
}

/// The values of a group of resamples.
fn values(systems: &[&System<'_>], seed: u64, resamples: Range<usize>, scratch: &mut Scratch) -> Vec<Vec<f64>> {
    let images = systems.first().map_or(0, |system| system.images());
    let panels: usize = systems.iter().map(|system| system.panels()).sum();
    let pairs = resamples.len().div_ceil(2);
    let Scratch { counts, weights, tile, sums } = scratch;
    counts.resize(resamples.len() * images, 0);
    weights.clear();
    weights.resize(pairs, [[0.0; TILE]; 2]);
    tile.resize(panels, [[0.0; LANES]; TILE]);
    sums.clear();
    sums.resize(panels * pairs, [[0.0; LANES]; 2]);

    for (index, counts) in resamples.clone().zip(counts.chunks_exact_mut(images)) {
        draw(counts, seed, index);
    }
    for start in (0..images).step_by(TILE) {
        let end = images.min(start + TILE);
        for (weights, counts) in weights.as_flattened_mut().iter_mut().zip(counts.chunks_exact(images)) {
            for (weight, &count) in weights.iter_mut().zip(&counts[start..end]) {
                *weight = f64::from(count);
            }
        }
        let mut rest = tile.as_mut_slice();
        for system in systems {
            let (tile, others) = rest.split_at_mut(system.panels());
            system.lay_out(start, tile);
            rest = others;
        }
        for (panel, sums) in tile.iter().zip(sums.chunks_exact_mut(pairs)) {
            for (sums, weights) in sums.iter_mut().zip(weights.iter()) {
                add(sums, &panel[..end - start], weights);
            }
        }
    }

    let value = |k: usize| {
        let mut panels = sums.chunks_exact(pairs).map(|sums| sums[k / 2][k % 2]);
        let of = |system: &&System<'_>| {
            let sums: Vec<f64> = panels.by_ref().take(system.panels()).flatten().collect();
            system.values_of(&sums)
        };
        systems.iter().flat_map(of).collect()
    };
    (0..resamples.len()).map(value).collect()
}

/// Adds the weighted rows of some images, image by image, to the sums of two resamples.
///
/// Two resamples of eight columns are what the registers hold.
fn add(sums: &mut [Row; 2], rows: &[Row], weights: &[[f64; TILE]; 2]) {
    let [mut first, mut second] = *sums;
    for ((row, &one), &other) in rows.iter().zip(&weights[0]).zip(&weights[1]) {
        for (sum, value) in first.iter_mut().zip(row) {
            *sum += one * value;
        }
        for (sum, value) in second.iter_mut().zip(row) {
            *sum += other * value;
        }
    }
    *sums = [first, second];
}
