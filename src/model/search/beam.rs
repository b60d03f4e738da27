//! Beam search by the rules of transformers' `generate` (`early_stopping=False`).
//!
//! Difference: a sequence that may take no token counts as finished.

use super::limits::Limits;
use super::rank::{Candidate, Row};
use super::{Hypothesis, Next, Rule};

/// The running and the finished sequences of one image, each best first.
pub(super) struct Beams<'a> {
    limits: Limits<'a>,
    running: Vec<Hypothesis>,
    finished: Vec<(f64, Hypothesis)>,
}

impl<'a> Beams<'a> {
    pub(super) fn new(limits: Limits<'a>) -> Self {
        Self { limits, running: vec![Hypothesis::default()], finished: Vec::new() }
    }

    /// The best continuations of all running sequences together, by log-probability; what has none is finished.
    ///
    /// There are enough of them to leave `width` unfinished ones even if every sequence could end in every way.
    fn candidates(&mut self, rows: &[Row<'_>]) -> Vec<Candidate> {
        let count = (1 + self.limits.stops.len()).max(2) * self.limits.config.width;
        let mut candidates = Vec::new();
        for (parent, (beam, row)) in self.running.iter().zip(rows).enumerate() {
            let best = row.best(count, &self.limits.banned(&beam.ids));
            if best.is_empty() {
                self.finished.push((worth(&self.limits, beam), beam.clone()));
            }
            candidates.extend(best.into_iter().map(|(token, log_prob)| {
                let score = beam.log_prob + log_prob;
                Candidate { score, log_prob, parent, token }
            }));
        }
        candidates.sort_by(Candidate::rank);
        candidates.truncate(count);
        candidates
    }

    /// Whether no running sequence can still be better than the worst finished one.
    fn settled(&self, running: &[Hypothesis]) -> bool {
        let Some(best) = running.first() else { return true };
        let full = self.finished.len() == self.limits.config.width;
        full && self.finished.last().is_some_and(|(worst, _)| worth(&self.limits, best) <= *worst)
    }
}

/// What a sequence is worth if it ends as it is.
fn worth(limits: &Limits<'_>, beam: &Hypothesis) -> f64 {
    beam.log_prob / (beam.ids.len().max(1) as f64).powf(limits.config.length_penalty)
}

impl Rule for Beams<'_> {
    fn advance(&mut self, rows: &[Row<'_>]) -> Vec<Next> {
        let width = self.limits.config.width;
        let (mut running, mut next) = (Vec::new(), Vec::new());
        for (place, candidate) in self.candidates(rows).iter().enumerate() {
            let mut beam = self.running[candidate.parent].clone();
            self.limits.extend(&mut beam, candidate.token, candidate.log_prob);
            if self.limits.ends(&beam) {
                if place < width {
                    self.finished.push((worth(&self.limits, &beam), beam));
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
