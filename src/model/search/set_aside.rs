//! Beam search by the rule of the "show, attend and tell" tutorial: what is finished is set aside, and the beam is narrower by it.
//!
//! Sequences are ranked by the sum of their log-probabilities, whatever their lengths. Differences from the original: it failed if no
//! sequence was finished at the limit; a sequence that may take no token counts as finished.

use super::limits::Limits;
use super::rank::{Candidate, Row};
use super::{Hypothesis, Next, Rule};

/// The live sequences of one image, best first, and those set aside.
pub(super) struct SetAside<'a> {
    limits: Limits<'a>,
    live: Vec<Hypothesis>,
    finished: Vec<Hypothesis>,
}

impl<'a> SetAside<'a> {
    pub(super) fn new(limits: Limits<'a>) -> Self {
        Self { limits, live: vec![Hypothesis::default()], finished: Vec::new() }
    }

    /// The best continuations of all live sequences together, as many as the beam is still wide; what has none is set aside.
    fn candidates(&mut self, rows: &[Row<'_>]) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (parent, (beam, row)) in self.live.iter().zip(rows).enumerate() {
            let best = row.best(self.limits.config.width, &self.limits.banned(&beam.ids));
            if best.is_empty() {
                self.finished.push(beam.clone());
            }
            candidates.extend(best.into_iter().map(|(token, log_prob)| {
                let score = beam.log_prob + log_prob;
                Candidate { score, log_prob, parent, token }
            }));
        }
        candidates.sort_by(Candidate::rank);
        candidates.truncate(self.limits.config.width - self.finished.len());
        candidates
    }
}

impl Rule for SetAside<'_> {
    fn advance(&mut self, rows: &[Row<'_>]) -> Vec<Next> {
        let (mut live, mut next) = (Vec::new(), Vec::new());
        for candidate in self.candidates(rows) {
            let mut beam = self.live[candidate.parent].clone();
            self.limits.extend(&mut beam, candidate.token, candidate.log_prob);
            if beam.stopped {
                self.finished.push(beam);
                continue;
            }
            if !self.limits.ends(&beam) {
                next.push(Next { row: candidate.parent, token: candidate.token });
            }
            live.push(beam);
        }
        self.live = live;
        next
    }

    /// The finished ones come first, however unlikely.
    fn finish(mut self) -> Vec<Hypothesis> {
        self.finished.sort_by(|a, b| b.log_prob.total_cmp(&a.log_prob));
        self.finished.extend(self.live);
        self.finished
    }
}
