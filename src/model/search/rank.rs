//! Ranking of the candidates for the next token.

use std::cmp::Ordering;

use crate::model::kernel::rows::log_sum_exp;

/// The scores of one row and their normaliser.
pub(super) struct Row<'a> {
    logits: &'a [f32],
    log_sum: f64,
}

/// One possible continuation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// What candidates are ranked by.
    pub(super) score: f64,
    /// The log-probability of the whole sequence.
    pub(super) sum: f64,
    /// Which sequence it continues.
    pub(super) parent: usize,
    /// With which token.
    pub(super) token: u32,
}

impl Candidate {
    /// Best first; of equals the one of the earlier parent, then the smaller token.
    pub(super) fn rank(&self, other: &Self) -> Ordering {
        let place = |candidate: &Self| (candidate.parent, candidate.token);
        other.score.total_cmp(&self.score).then_with(|| place(self).cmp(&place(other)))
    }
}

impl<'a> Row<'a> {
    pub(super) fn new(logits: &'a [f32]) -> Self {
        Self { logits, log_sum: f64::from(log_sum_exp(logits)) }
    }

    /// Whether the row has a probability distribution at all.
    pub(super) fn is_finite(&self) -> bool {
        self.log_sum.is_finite()
    }

    /// The `k` most probable tokens with their log-probabilities, best first; of equals the smaller token first.
    pub(super) fn best(&self, k: usize) -> Vec<(u32, f64)> {
        let mut best: Vec<(f32, u32)> = Vec::with_capacity(k + 1);
        let mut bar = f32::NEG_INFINITY;
        for (token, &logit) in (0..).zip(self.logits) {
            if logit > bar {
                let at = best.partition_point(|(other, _)| *other >= logit);
                best.insert(at, (logit, token));
                best.truncate(k);
                if best.len() == k {
                    bar = best[k - 1].0;
                }
            }
        }
        best.into_iter().map(|(logit, token)| (token, f64::from(logit) - self.log_sum)).collect()
    }
}
