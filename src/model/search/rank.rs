//! Ranking of the candidates for the next token.

use std::cmp::Ordering;

use crate::model::kernel::rows::log_sum_exp;

/// The scores of one row and their normaliser.
pub(super) struct Row<'a> {
    pub(super) logits: &'a [f32],
    log_sum: f64,
}

/// One possible continuation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// What candidates are ranked by.
    pub(super) score: f64,
    /// The log-probability of the token.
    pub(super) log_prob: f64,
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

    /// The log-probability of a token, which must be in the vocabulary.
    pub(super) fn log_prob(&self, token: u32) -> f64 {
        f64::from(self.logits[token as usize]) - self.log_sum
    }

    /// The `k` most probable tokens that are not `banned` with their log-probabilities, best first; of equals the smaller
    /// token first.
    ///
    /// They are fewer than `k`, or none, if no more are allowed. A ban changes no probability.
    pub(super) fn best(&self, k: usize, banned: &[u32]) -> Vec<(u32, f64)> {
        // Among so many of all tokens there are `k` allowed ones.
        let reach = k + banned.len();
        let mut best: Vec<(f32, u32)> = Vec::with_capacity(reach + 1);
        let mut bar = f32::NEG_INFINITY;
        for (token, &logit) in (0..).zip(self.logits) {
            if logit > bar {
                let at = best.partition_point(|(other, _)| *other >= logit);
                best.insert(at, (logit, token));
                best.truncate(reach);
                if best.len() == reach {
                    bar = best[reach - 1].0;
                }
            }
        }
        let allowed = best.into_iter().map(|(_, token)| token).filter(|token| !banned.contains(token));
        allowed.take(k).map(|token| (token, self.log_prob(token))).collect()
    }
}
