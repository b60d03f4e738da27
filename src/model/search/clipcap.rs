//! ClipCap's beam search: one pool of sequences ranked by their mean log-probability.
//!
//! Finished sequences stay in the pool as they are and may still be pushed out by live ones. Difference from the
//! original: it stopped only at one full stop and appended token 0 to what was finished.

use super::rank::{Candidate, Row};
use super::{Hypothesis, Limits, Next, Rule};

/// The pool of one image, best first.
pub(super) struct Pool {
    limits: Limits,
    beams: Vec<Hypothesis>,
    steps: usize,
}

impl Pool {
    pub(super) fn new(limits: Limits) -> Self {
        // The empty sequence: its first continuations fill the pool.
        let empty = Hypothesis { ids: Vec::new(), log_prob: 0.0, stopped: false };
        Self { limits, beams: vec![empty], steps: 0 }
    }

    /// Every continuation that could be kept: a finished sequence offers itself, a live one its best tokens.
    fn candidates(&self, rows: &[Row<'_>]) -> Vec<Candidate> {
        let mut rows = rows.iter();
        let mut candidates = Vec::new();
        for (parent, beam) in self.beams.iter().enumerate() {
            let sum = beam.log_prob;
            if beam.stopped {
                candidates.push(Candidate { score: mean(beam), sum, parent, token: 0 });
            } else if let Some(row) = rows.next() {
                let length = (beam.ids.len() + 1) as f64;
                candidates.extend(row.best(self.limits.width).into_iter().map(|(token, log_prob)| Candidate {
                    score: (sum + log_prob) / length,
                    sum: sum + log_prob,
                    parent,
                    token,
                }));
            }
        }
        candidates.sort_by(Candidate::rank);
        candidates.truncate(self.limits.width);
        candidates
    }
}

/// The mean log-probability of a sequence's tokens.
fn mean(beam: &Hypothesis) -> f64 {
    beam.log_prob / beam.ids.len() as f64
}

impl Rule for Pool {
    fn advance(&mut self, rows: &[Row<'_>]) -> Vec<Next> {
        self.steps += 1;
        let live = self.beams.iter().scan(0, |row, beam| {
            let mine = *row;
            *row += usize::from(!beam.stopped);
            Some(mine)
        });
        let row_of: Vec<usize> = live.collect();
        let (mut pool, mut next) = (Vec::new(), Vec::new());
        for candidate in self.candidates(rows) {
            let mut beam = self.beams[candidate.parent].clone();
            if !beam.stopped {
                beam.ids.push(candidate.token);
                beam.log_prob = candidate.sum;
                beam.stopped = self.limits.stops.contains(&candidate.token);
                if !beam.stopped {
                    next.push(Next { row: row_of[candidate.parent], token: candidate.token });
                }
            }
            pool.push(beam);
        }
        self.beams = pool;
        if self.steps == self.limits.max_tokens { Vec::new() } else { next }
    }

    fn finish(mut self) -> Vec<Hypothesis> {
        self.beams.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        self.beams
    }
}
