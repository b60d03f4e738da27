//! Where a sequence must end, and which tokens it may not take next.

use std::collections::BTreeSet;

use super::{DecodeConfig, Hypothesis};

/// What all rules are told.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) config: &'a DecodeConfig,
    pub(super) max_tokens: usize,
    /// The tokens that end a sequence.
    pub(super) stops: &'a BTreeSet<u32>,
    /// The tokens that no sequence has.
    pub(super) never: &'a [u32],
}

impl Limits<'_> {
    /// Appends a token and its log-probability.
    pub(super) fn extend(&self, sequence: &mut Hypothesis, token: u32, log_prob: f64) {
        sequence.ids.push(token);
        sequence.log_prob += log_prob;
        sequence.stopped = self.stops.contains(&token);
    }

    /// Whether a sequence takes no more tokens.
    pub(super) fn ends(&self, sequence: &Hypothesis) -> bool {
        sequence.stopped || sequence.ids.len() == self.max_tokens
    }

    /// The tokens that may not follow `ids`; some may be named twice.
    pub(super) fn banned(&self, ids: &[u32]) -> Vec<u32> {
        let mut banned = repeats(ids, self.config.no_repeat_ngram);
        banned.extend(self.never);
        if ids.len() < self.config.min_tokens {
            banned.extend(self.stops);
        }
        banned
    }
}

/// The tokens that would make the last `n` tokens a run that `ids` already has; none if `n` is 0.
fn repeats(ids: &[u32], n: usize) -> Vec<u32> {
    if n == 0 || ids.len() < n {
        return Vec::new();
    }
    let tail = &ids[ids.len() + 1 - n..];
    ids.windows(n).filter(|run| run[..n - 1] == *tail).map(|run| run[n - 1]).collect()
}
