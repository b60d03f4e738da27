//! Confidence intervals and paired tests of corpus values, by resampling the images.
//!
//! A metric belongs to an [`Additive`] family: statistics per image whose sums over the images give the corpus values.
//! The families of one or several runs (seeds) of a model make a [`System`]; its values are the means over the runs.
//!
//! | question | function | method |
//! | --- | --- | --- |
//! | how sure is a value? | [`bootstrap()`] | percentile bootstrap over the images |
//! | is A better than B? | [`compare()`] | paired bootstrap of the difference, paired approximate randomisation |
//! | and of many comparisons? | [`holm()`] | Holm's step-down adjustment |
//! | how do the runs of a model vary? | [`spread()`] | mean and sample standard deviation |
//!
//! Every resample and every trial has its own stream of random numbers, from the seed and its index, and every sum
//! has one order, so results do not depend on the number of threads or the size of a block.
//!
//! Sources: Efron, *Bootstrap methods: another look at the jackknife*, 1979; Noreen, *Computer-intensive methods for
//! testing hypotheses*, 1989; Riezler and Maxwell, *On some pitfalls in automatic evaluation and significance testing
//! for MT*, 2005; Holm, *A simple sequentially rejective multiple test procedure*, 1979.

mod bootstrap;
mod compare;
mod draw;
mod exchange;
mod generator;
mod holm;
mod interval;
mod spread;
mod system;

#[cfg(test)]
mod tests;

pub use bootstrap::{Plan, bootstrap};
pub use compare::{Comparison, NoTest, compare};
pub use holm::holm;
pub use interval::Interval;
pub use spread::{Spread, spread};
pub use system::{Additive, System};
