//! The most probable token at every step.

use super::limits::Limits;
use super::rank::Row;
use super::{Hypothesis, Next, Rule};

/// The only sequence of an image.
pub(super) struct Greedy<'a> {
    limits: Limits<'a>,
    so_far: Hypothesis,
}

impl<'a> Greedy<'a> {
    pub(super) fn new(limits: Limits<'a>) -> Self {
        Self { limits, so_far: Hypothesis::default() }
    }
}

impl Rule for Greedy<'_> {
    fn advance(&mut self, rows: &[Row<'_>]) -> Vec<Next> {
        let banned = self.limits.banned(&self.so_far.ids);
        let best = rows.first().and_then(|row| row.best(1, &banned).first().copied());
        let Some((token, log_prob)) = best else { return Vec::new() };
        self.limits.extend(&mut self.so_far, token, log_prob);
        if self.limits.ends(&self.so_far) { Vec::new() } else { vec![Next { row: 0, token }] }
    }

    fn finish(self) -> Vec<Hypothesis> {
        vec![self.so_far]
    }
}
