//! Paired comparison of two systems.

use std::fmt;

use anyhow::{Result, ensure};

use super::bootstrap::{Plan, resampled};
use super::exchange::reached;
use super::interval::Interval;
use super::system::System;

/// Differences that are smaller by this share of the larger value are still as large: sums round.
const ROUNDING: f64 = 1e-12;

/// Two systems by one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The corpus value of the first system, the mean over its runs.
    pub a: f64,
    /// That of the second.
    pub b: f64,
    /// `a - b`.
    pub difference: f64,
    /// The bootstrap interval of the difference, both systems being drawn alike.
    pub interval: Interval,
    /// The two-sided p value of the paired randomisation test, or why there is none.
    pub p: Result<f64, NoTest>,
}

/// Why there is no p value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTest {
    /// Runs cannot be exchanged one for one.
    Runs {
        /// Runs of the first system.
        a: usize,
        /// Runs of the second system.
        b: usize,
    },
    /// The difference is NaN or infinite.
    Undefined,
}

impl fmt::Display for NoTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs { a, b } => write!(f, "the systems have different numbers of runs: {a} and {b}"),
            Self::Undefined => write!(f, "the difference is undefined"),
        }
    }
}

/// Compares two systems on the same images, in the same order, by every metric.
///
/// - The interval is that of [`bootstrap()`](super::bootstrap()) for the difference: each resample draws the same
///   images of both systems.
/// - The p value is that of the paired approximate randomisation test with so many `trials`. In a trial, the outputs
///   of both systems for an image change places with chance 1/2, those of run r with those of run r; the statistic is
///   the absolute difference of the corpus values. p is the share of statistics that reach the one observed, which
///   counts as one of them: `(reached + 1) / (trials + 1)`. A statistic that is NaN counts as reaching it.
///
/// Returns a comparison per family and metric. Fails without trials, or if the systems differ in images or metrics.
///
/// Sources: Noreen, 1989; Riezler and Maxwell, 2005.
pub fn compare(a: &System<'_>, b: &System<'_>, plan: &Plan, trials: usize) -> Result<Vec<Vec<Comparison>>> {
    ensure!(trials > 0, "there must be at least one trial");
    ensure!(a.images() == b.images(), "systems with {} and {} images cannot be compared", a.images(), b.images());
    ensure!(a.shape() == b.shape(), "systems with different metrics cannot be compared");

    let observed: Vec<(f64, f64)> = a.values_of_all().into_iter().zip(b.values_of_all()).collect();
    let least: Vec<f64> = observed.iter().map(|(a, b)| (a - b).abs() - ROUNDING * a.abs().max(b.abs())).collect();
    let reached = if a.runs() == b.runs() { reached([a, b], &least, trials, plan.seed()) } else { Vec::new() };
    let resamples = resampled(&[a, b], plan);

    let comparison = |(metric, &(value_a, value_b)): (usize, &(f64, f64))| {
        let differences = resamples.iter().map(|values| values[metric] - values[a.metrics() + metric]);
        let difference = value_a - value_b;
        let p = match reached.get(metric) {
            None => Err(NoTest::Runs { a: a.runs(), b: b.runs() }),
            Some(_) if !difference.is_finite() => Err(NoTest::Undefined),
            Some(&reached) => Ok((reached + 1) as f64 / (trials + 1) as f64),
        };
        Comparison { a: value_a, b: value_b, difference, interval: Interval::of(differences, plan.level()), p }
    };
    Ok(a.by_family(observed.iter().enumerate().map(comparison)))
}
