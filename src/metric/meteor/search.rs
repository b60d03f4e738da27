//! The choice among all matches: METEOR's beam search, with its rounding.

use super::matches::{EXACT, Match};

/// How many partial alignments go on at each word.
const BEAM: usize = 40;

/// The chosen matches, and in how many runs of neighbours they fall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Alignment {
    pub(super) matches: Vec<Match>,
    pub(super) chunks: u32,
}

/// The best alignment found among `matches`, which are sorted by their first word of the reference.
///
/// - `hypothesis`, `reference`: how many words each has.
///
/// Goes through the reference from left to right. A match with all its words to itself is taken; with others,
/// each is tried, and then none. Of all partial alignments the best [`BEAM`] go on, ties in the order of trial.
pub(super) fn search(matches: &[Match], hypothesis: usize, reference: usize) -> Alignment {
    let alone = alone(matches, hypothesis, reference);
    let mut beam = Beam::new(hypothesis);
    let mut next = 0;
    for here in 0..reference as u32 {
        let first = next;
        next += matches[first..].iter().take_while(|found| found.reference.start == here).count();
        for parent in 0..beam.paths.len() {
            let mut path = beam.paths[parent];
            if path.next > here {
                beam.try_path(path, parent, None);
            } else if first < next && alone[first] {
                path.distance = path.distance.wrapping_add(matches[first].distance());
                beam.try_path(path.with(&matches[first]), parent, Some(first));
            } else {
                for (place, found) in (first..next).zip(&matches[first..next]) {
                    if !beam.uses(parent, found) {
                        beam.try_path(path.with(found), parent, Some(place));
                        // Charged to the alternatives and not to the path that took the match, as METEOR does.
                        path.distance = path.distance.wrapping_add(found.distance());
                    }
                }
                beam.try_path(path.without(), parent, None);
            }
        }
        beam.advance(matches);
    }
    beam.best(matches)
}

/// Which matches share no word with another one.
fn alone(matches: &[Match], hypothesis: usize, reference: usize) -> Vec<bool> {
    let (mut here, mut there) = (vec![0_u32; hypothesis], vec![0_u32; reference]);
    for found in matches {
        here[found.hypothesis.words()].iter_mut().for_each(|count| *count += 1);
        there[found.reference.words()].iter_mut().for_each(|count| *count += 1);
    }
    let alone = |found: &Match| {
        let (mut here, mut there) = (here[found.hypothesis.words()].iter(), there[found.reference.words()].iter());
        here.all(|count| *count == 1) && there.all(|count| *count == 1)
    };
    matches.iter().map(alone).collect()
}

/// An alignment of the first words of the reference.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    /// The first word of the reference not yet decided.
    next: u32,
    /// The word of the caption behind the last match, if the word before `next` is matched.
    end: Option<u32>,
    /// Matched words of both sides, weighted and rounded down at every match.
    covered: u32,
    /// Runs that have ended.
    chunks: u32,
    distance: u32,
    /// How many of [`Beam::steps`] had been taken when this path took its last one; 0 if it took none.
    step: usize,
}

impl Path {
    fn with(self, found: &Match) -> Self {
        let weighted = |length: u32| if found.module == EXACT { length } else { length / 2 };
        Self {
            next: found.reference.end(),
            end: Some(found.hypothesis.end()),
            covered: self.covered + weighted(found.hypothesis.length) + weighted(found.reference.length),
            chunks: self.chunks + u32::from(self.end.is_some_and(|end| end != found.hypothesis.start)),
            ..self
        }
    }

    fn without(self) -> Self {
        let chunks = self.chunks + u32::from(self.end.is_some());
        Self { next: self.next + 1, end: None, chunks, ..self }
    }

    /// Less is better: more words, then fewer chunks, then less distance.
    fn cost(&self) -> u128 {
        u128::from(!self.covered) << 64 | u128::from(self.chunks) << 32 | u128::from(self.distance)
    }
}

/// A path that may go on: the place of the one it continues, and the match it has taken.
#[derive(Clone, Copy, Debug)]
struct Try {
    path: Path,
    parent: usize,
    taken: Option<usize>,
}

/// The paths at one word of the reference, best first.
#[derive(Debug)]
struct Beam {
    paths: Vec<Path>,
    /// `u64[paths, blocks]`: the words of the caption each path has used, a bit each.
    used: Vec<u64>,
    /// The same of the paths at the word before.
    before: Vec<u64>,
    blocks: usize,
    tried: Vec<Try>,
    /// The cost of each tried path, and in the lowest 32 bits its place in `tried`.
    ranking: Vec<u128>,
    /// Every match taken by a path that went on, with the path's step before.
    steps: Vec<(usize, usize)>,
}

impl Beam {
    fn new(hypothesis: usize) -> Self {
        let blocks = hypothesis.div_ceil(64);
        let (paths, used) = (vec![Path::default()], vec![0; blocks]);
        let (before, tried, ranking, steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { paths, used, before, blocks, tried, ranking, steps }
    }

    /// Whether a path has used a word of the match.
    fn uses(&self, path: usize, found: &Match) -> bool {
        let used = &self.used[path * self.blocks..];
        found.hypothesis.words().any(|word| used[word / 64] >> (word % 64) & 1 == 1)
    }

    fn try_path(&mut self, path: Path, parent: usize, taken: Option<usize>) {
        self.ranking.push(path.cost() << 32 | self.tried.len() as u128);
        self.tried.push(Try { path, parent, taken });
    }

    /// Keeps the best of the tried paths.
    fn advance(&mut self, matches: &[Match]) {
        if self.ranking.len() > BEAM {
            self.ranking.select_nth_unstable(BEAM);
            self.ranking.truncate(BEAM);
        }
        self.ranking.sort_unstable();
        std::mem::swap(&mut self.used, &mut self.before);
        self.used.clear();
        self.paths.clear();
        for rank in self.ranking.drain(..) {
            let Try { mut path, parent, taken } = self.tried[rank as u32 as usize];
            let first = self.used.len();
            self.used.extend_from_slice(&self.before[parent * self.blocks..][..self.blocks]);
            if let Some(taken) = taken {
                matches[taken].hypothesis.words().for_each(|word| self.used[first + word / 64] |= 1 << (word % 64));
                self.steps.push((path.step, taken));
                path.step = self.steps.len();
            }
            self.paths.push(path);
        }
        self.tried.clear();
    }

    /// The first of the best paths, once their last run is counted.
    fn best(&self, matches: &[Match]) -> Alignment {
        let ended = self.paths.iter().map(|path| path.without());
        let best = ended.min_by_key(Path::cost).unwrap_or_default();
        let mut alignment = Alignment { matches: Vec::new(), chunks: best.chunks };
        let mut step = best.step;
        while let Some((before, taken)) = step.checked_sub(1).map(|last| self.steps[last]) {
            alignment.matches.push(matches[taken]);
            step = before;
        }
        alignment.matches.reverse();
        alignment
    }
}
