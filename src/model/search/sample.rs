//! Ancestral sampling: every token is drawn by the model's distribution, as far as the settings leave it.

use super::filter::{draw, keep};
use super::limits::Limits;
use super::rank::Row;
use super::{Hypothesis, Next, Rule};
use crate::model::init::Rng;

/// The draws of one image, which know nothing of each other.
pub(super) struct Draws<'a> {
    limits: Limits<'a>,
    draws: Vec<Draw>,
}

struct Draw {
    so_far: Hypothesis,
    rng: Rng,
    /// Its row of the next prediction, if it goes on.
    row: Option<usize>,
}

impl<'a> Draws<'a> {
    /// All draws begin with the one row of the image `id`.
    pub(super) fn new(limits: Limits<'a>, id: u32) -> Self {
        let draw = |k| Draw {
            so_far: Hypothesis::default(),
            rng: Rng::new(limits.config.seed, &format!("caption.{id}.{k}")),
            row: Some(0),
        };
        Self { limits, draws: (0..limits.config.n).map(draw).collect() }
    }
}

impl Rule for Draws<'_> {
    fn advance(&mut self, rows: &[Row<'_>]) -> Vec<Next> {
        let mut next = Vec::new();
        for Draw { so_far, rng, row: place } in &mut self.draws {
            let Some(row) = place.take() else { continue };
            let kept = keep(&rows[row], &self.limits.banned(&so_far.ids), self.limits.config);
            let Some(token) = draw(&kept, rng.unit_f64()) else { continue };
            self.limits.extend(so_far, token, rows[row].log_prob(token));
            if !self.limits.ends(so_far) {
                *place = Some(next.len());
                next.push(Next { row, token });
            }
        }
        next
    }

    fn finish(self) -> Vec<Hypothesis> {
        self.draws.into_iter().map(|draw| draw.so_far).collect()
    }
}
