//! The most probable token at every step.

use super::rank::Row;
use super::{Hypothesis, Limits, Next, Rule};

/// The only sequence of an image.
pub(super) struct Greedy {
    limits: Limits,
    so_far: Hypothesis,
}

impl Greedy {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, so_far: Hypothesis { ids: Vec::new(), log_prob: 0.0, stopped: false } }
    }
}

impl Rule for Greedy {
    fn advance(&mut self, rows: &[Row<'_>]) -> Vec<Next> {
        let best = rows.first().and_then(|row| row.best(1).first().copied());
        let Some((token, log_prob)) = best else { return Vec::new() };
        self.so_far.ids.push(token);
        self.so_far.log_prob += log_prob;
        self.so_far.stopped = self.limits.stops.contains(&token);
        let over = self.so_far.stopped || self.so_far.ids.len() == self.limits.max_tokens;
        if over { Vec::new() } else { vec![Next { row: 0, token }] }
    }

    fn finish(self) -> Vec<Hypothesis> {
        vec![self.so_far]
    }
}
