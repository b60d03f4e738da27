//! What an alignment counts, and the score of such counts.

use super::power::power_beta;

/// How much recall counts against precision.
const ALPHA: f64 = 0.85;
/// How much is taken off at most for words in another order.
const GAMMA: f64 = 0.6;
/// How much a content word counts; a function word counts the rest.
const DELTA: f64 = 0.75;
/// How much a match counts: exact, stem, synonym, paraphrase.
const WEIGHTS: [f64; 4] = [1.0, 0.6, 0.8, 0.6];

/// How many counts there are.
pub const COUNTS: usize = 23;
/// Places of the counts that are not those of a kind of match.
const WORDS: [usize; 2] = [0, 1];
const FUNCTION_WORDS: [usize; 2] = [2, 3];
const CHUNKS: usize = 20;
const MATCHED: [usize; 2] = [21, 22];

/// The counts of one caption against one reference, in METEOR's order, as its `SCORE` command answers them.
///
/// Words of the caption and of the reference, function words of both; for each kind of match (exact, stem, synonym,
/// paraphrase) content words of both, then function words of both; chunks; matched words of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    counts: [u32; COUNTS],
}

/// A side of an alignment, as place in pairs of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Hypothesis,
    Reference,
}

impl Statistics {
    /// Counts words of one side, of which some are function words.
    pub(super) fn add_words(&mut self, side: Side, words: u32, function: u32) {
        self.counts[WORDS[side as usize]] += words;
        self.counts[FUNCTION_WORDS[side as usize]] += function;
    }

    /// Counts a matched word of one side.
    pub(super) fn add_matched(&mut self, side: Side, module: usize, is_function: bool) {
        self.counts[matched(module, is_function)[side as usize]] += 1;
        self.counts[MATCHED[side as usize]] += 1;
    }

    pub(super) fn set_chunks(&mut self, chunks: u32) {
        self.counts[CHUNKS] = chunks;
    }

    /// The counts in METEOR's order.
    pub fn counts(&self) -> [u32; COUNTS] {
        self.counts
    }

    /// METEOR of these counts, from 0 to 1.
    pub fn score(&self) -> f64 {
        score_of_sums(&self.sums())
    }

    /// The counts for adding: [`score_of_sums`] of their sum over images is the METEOR of all these images.
    ///
    /// The chunk of a perfect match is left out.
    pub fn sums(&self) -> [f64; COUNTS] {
        let mut sums = self.counts.map(f64::from);
        let [words, matched] = [WORDS, MATCHED].map(|places| places.map(|place| self.counts[place]));
        if words == matched && self.counts[CHUNKS] == 1 {
            sums[CHUNKS] = 0.0;
        }
        sums
    }

    /// The first of the statistics with the highest score, and that score.
    pub fn best(all: impl IntoIterator<Item = Self>) -> Option<(Self, f64)> {
        let scored = all.into_iter().map(|statistics| (statistics, statistics.score()));
        scored.reduce(|best, next| if next.1 > best.1 { next } else { best })
    }
}

/// METEOR of summed counts (see [`Statistics::sums`]), from 0 to 1; 0 where nothing matches.
pub fn score_of_sums(sums: &[f64; COUNTS]) -> f64 {
    let [precision, recall] = [Side::Hypothesis, Side::Reference].map(|side| {
        let side = side as usize;
        let function = sums[FUNCTION_WORDS[side]];
        let length = DELTA * (sums[WORDS[side]] - function) + (1.0 - DELTA) * function;
        // In METEOR's order: the last digit depends on it.
        let kinds = [(false, DELTA), (true, 1.0 - DELTA)].into_iter();
        let terms = kinds.flat_map(|(is_function, share)| {
            let count = move |module| sums[matched(module, is_function)[side]];
            (0..).zip(WEIGHTS).map(move |(module, weight)| weight * count(module) * share)
        });
        let matched: f64 = terms.fold(0.0, |sum, term| sum + term);
        matched / length
    });
    let mean = 1.0 / ((1.0 - ALPHA) / precision + ALPHA / recall);
    let [here, there] = MATCHED.map(|place| sums[place]);
    let fragmentation = sums[CHUNKS] / f64::midpoint(here, there);
    let score = mean * (1.0 - GAMMA * power_beta(fragmentation));
    if score.is_nan() { 0.0 } else { score.max(0.0) }
}

/// Places of the counts of a kind of match, for both sides.
fn matched(module: usize, is_function: bool) -> [usize; 2] {
    let first = 4 + 4 * module + 2 * usize::from(is_function);
    [first, first + 1]
}
