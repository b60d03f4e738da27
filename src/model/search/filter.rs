//! Which tokens a draw may give, and the draw.
//!
//! Tokens are ranked by falling probability, equals by rising id. Temperature, top-k and top-p say, in this order as in
//! transformers, which head of the ranking is kept (transformers keeps all that tie for the k-th place, this keeps k). The draw walks over what is kept *by rising id*, so whether and how
//! far tokens were sorted to find that head makes no difference.

use super::DecodeConfig;
use super::rank::Row;
use crate::model::kernel::rows::softmax;

/// How many tokens are ranked at first to find the head that top-p keeps.
const FIRST: usize = 64;

/// The tokens that are kept, by rising id, with what their probabilities are proportional to.
///
/// `banned` tokens are left out before all else; none is kept if no other has a probability.
pub(super) fn keep(row: &Row<'_>, banned: &[u32], config: &DecodeConfig) -> Vec<(u32, f64)> {
    let mut weights = row.logits.to_vec();
    for &token in banned {
        if let Some(weight) = weights.get_mut(token as usize) {
            *weight = f32::NEG_INFINITY;
        }
    }
    let allowed = (0..).zip(&weights).filter(|(_, logit)| **logit > f32::NEG_INFINITY);
    let mut kept: Vec<u64> = allowed.map(|(token, logit)| place(token, *logit)).collect();
    if kept.is_empty() {
        return Vec::new();
    }
    // Within what f32 can hold, since infinity times zero is no number.
    let factor = (1.0 / config.temperature).clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX));
    softmax(&mut weights, factor as f32);
    let weight = |place: u64| f64::from(weights[token(place) as usize]);
    if config.top_k > 0 && config.top_k < kept.len() {
        kept.select_nth_unstable(config.top_k - 1);
        kept.truncate(config.top_k);
        kept.sort_unstable_by_key(|place| token(*place));
    }
    if config.top_p < 1.0 {
        let total: f64 = kept.iter().map(|place| weight(*place)).sum();
        let count = head(&mut kept, weight, config.top_p * total);
        kept.truncate(count);
        kept.sort_unstable_by_key(|place| token(*place));
    }
    kept.into_iter().map(|place| (token(place), weight(place))).collect()
}

/// Where a token stands in the ranking: the smaller number is the better place.
fn place(token: u32, logit: f32) -> u64 {
    // Adding 0 turns -0 into 0. Bits of positive floats rise with them, those of negative ones fall.
    let bits = (logit + 0.0).to_bits();
    let rising = if logit < 0.0 { !bits } else { bits | 1 << 31 };
    u64::from(!rising) << 32 | u64::from(token)
}

/// The token at a place.
fn token(place: u64) -> u32 {
    place as u32
}

/// Moves the best places to the front, in order; returns how many of them have a weight of `mass` together.
///
/// That is the least number, and all if rounding leaves no head with that much.
fn head(places: &mut [u64], weight: impl Fn(u64) -> f64, mass: f64) -> usize {
    let (mut ranked, mut sum, mut count) = (0, 0.0, FIRST);
    while ranked < places.len() {
        let rest = &mut places[ranked..];
        if count < rest.len() {
            rest.select_nth_unstable(count - 1);
        }
        count = count.min(rest.len());
        rest[..count].sort_unstable();
        for &place in &rest[..count] {
            ranked += 1;
            sum += weight(place);
            if sum >= mass {
                return ranked;
            }
        }
        count *= 4;
    }
    ranked
}

/// The first token by id at which the running sum of weights exceeds the share `unit` (in `0.0..1.0`) of all.
///
/// A token without weight is never drawn; none is if there is no weight at all.
pub(super) fn draw(kept: &[(u32, f64)], unit: f64) -> Option<u32> {
    let target = unit * kept.iter().map(|(_, weight)| weight).sum::<f64>();
    let (mut sum, mut drawn) = (0.0, None);
    for &(token, weight) in kept.iter().filter(|(_, weight)| *weight > 0.0) {
        drawn = Some(token);
        sum += weight;
        if sum > target {
            break;
        }
    }
    drawn
}
