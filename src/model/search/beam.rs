//! Beam search by the rules of transformers' `generate` (`early_stopping=False`).

use super::rank::{Candidate, Row};
use super::{Hypothesis, Limits, Next, Rule};

/// The running and the finished sequences of one image, each best first.
pub(super) struct Beams {
    limits: Limits,
    running: Vec<Hypothesis>,
    finished: Vec<(f64, Hypothesis)>,
    length: usize,
}

impl Beams {
    pub(super) fn new(limits: Limits) -> Self {
        let empty = Hypothesis { ids: Vec::new(), log_prob: 0.0, stopped: false };
        Self { limits, running: vec![empty], finished: Vec::new(), length: 0 }
    }

    /// The best continuations of all running sequences together, by log-probability.
    ///
    /// There are enough of them to leave `width` unfinished ones even if every sequence could end in every way.
    fn candidates(&self, rows: &[Row<'_>]) -> Vec<Candidate> {
        let count = (1 + self.limits.stops.len()).max(2) * self.limits.width;
        let mut candidates = Vec::new();
        for (parent, (beam, row)) in self.running.iter().zip(rows).enumerate() {
            candidates.extend(row.best(count).into_iter().map(|(token, log_prob)| {
                let sum = beam.log_prob + log_prob;
                Candidate { score: sum, sum, parent, token }
            }));
        }
        candidates.sort_by(Candidate::rank);
        candidates.truncate(count);
        candidates
    }

    /// What a sequence of the present length is worth at its end.
    fn worth(&self, log_prob: f64) -> f64 {
        log_prob / (self.length as f64).powf(self.limits.length_penalty)
    }

    /// A sequence and its new token.
    fn extend(&self, candidate: &Candidate) -> Hypothesis {
        let mut ids = self.running[candidate.parent].ids.clone();
        ids.push(candidate.token);
        let stopped = self.limits.stops.contains(&candidate.token);
        Hypothesis { ids, log_prob: candidate.sum, stopped }
    }

    /// Whether no running sequence can still be better than the worst finished one.
    fn settled(&self, running: &[Hypothesis]) -> bool {
        let Some(best) = running.first() else { return true };
        let full = self.finished.len() == self.limits.width;
        full && self.finished.last().is_some_and(|(worst, _)| self.worth(best.log_prob) <= *worst)
    }
}

impl Rule for Beams {
    fn advance(&mut self, rows: &[Row<'_>]) -> Vec<Next> {
        self.length += 1;
        let width = self.limits.width;
        let (mut running, mut next) = (Vec::new(), Vec::new());
        for (place, candidate) in self.candidates(rows).iter().enumerate() {
            let beam = self.extend(candidate);
            if beam.stopped || self.length == self.limits.max_tokens {
                if place < width {
                    self.finished.push((self.worth(beam.log_prob), beam));
                }
            } else if running.len() < width {
                next.push(Next { row: candidate.parent, token: candidate.token });
                running.push(beam);
            }
        }
        self.finished.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        self.finished.truncate(width);
        if self.settled(&running) {
            return Vec::new();
        }
        self.running = running;
        next
    }

    fn finish(self) -> Vec<Hypothesis> {
        self.finished.into_iter().map(|(_, beam)| beam).collect()
    }
}
