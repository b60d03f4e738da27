//! ClipCap's beam search: one pool of sequences ranked by their mean log-probability.
//!
//! Finished sequences stay in the pool as they are and may still be pushed out by live ones. Difference from the
//! original: it stopped only at one full stop and appended token 0 to what was finished.

use super::limits::Limits;
use super::rank::{Candidate, Row};
use super::{Hypothesis, Next, Rule};

/// The pool of one image, best first.
pub(super) struct Pool<'a> {
    limits: Limits<'a>,
    members: Vec<Member>,
}

/// A sequence of the pool.
#[derive(Clone)]
struct Member {
    beam: Hypothesis,
    /// Its row of the next prediction, if it goes on.
    row: Option<usize>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(limits: Limits<'a>) -> Self {
        // The empty sequence: its first continuations fill the pool.
        Self { limits, members: vec![Member { beam: Hypothesis::default(), row: Some(0) }] }
    }

    /// The continuations that are kept: a live sequence offers its best tokens, any other only itself.
    ///
    /// A live sequence that may take no token ends here.
    fn candidates(&mut self, rows: &[Row<'_>]) -> Vec<Candidate> {
        let width = self.limits.config.width;
        let mut candidates = Vec::new();
        for (parent, member) in self.members.iter_mut().enumerate() {
            let beam = &member.beam;
            let best = member.row.map_or_else(Vec::new, |row| rows[row].best(width, &self.limits.banned(&beam.ids)));
            if best.is_empty() {
                member.row = None;
                candidates.push(Candidate { score: mean(beam), log_prob: 0.0, parent, token: 0 });
            }
            let length = (beam.ids.len() + 1) as f64;
            candidates.extend(best.into_iter().map(|(token, log_prob)| {
                let score = (beam.log_prob + log_prob) / length;
                Candidate { score, log_prob, parent, token }
            }));
        }
        candidates.sort_by(Candidate::rank);
        candidates.truncate(width);
        candidates
    }
}

/// The mean log-probability of a sequence's tokens.
fn mean(beam: &Hypothesis) -> f64 {
    beam.log_prob / beam.ids.len().max(1) as f64
}

impl Rule for Pool<'_> {
    fn advance(&mut self, rows: &[Row<'_>]) -> Vec<Next> {
        let (mut pool, mut next) = (Vec::new(), Vec::new());
        for candidate in self.candidates(rows) {
            let mut member = self.members[candidate.parent].clone();
            if let Some(row) = member.row.take() {
                self.limits.extend(&mut member.beam, candidate.token, candidate.log_prob);
                if !self.limits.ends(&member.beam) {
                    member.row = Some(next.len());
                    next.push(Next { row, token: candidate.token });
                }
            }
            pool.push(member);
        }
        self.members = pool;
        next
    }

    fn finish(self) -> Vec<Hypothesis> {
        let mut beams: Vec<Hypothesis> = self.members.into_iter().map(|member| member.beam).collect();
        beams.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        beams
    }
}
