//! Sets of words, in which a word is found in constant time.

use super::bytes::{Numbers, push_numbers};

/// A set of words; each has a rank.
///
/// The words are sorted by bucket, which a hash gives, then by spelling; there are as many buckets as words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dictionary<'a> {
    /// `u32[n buckets + 1]`: the ranks at which the buckets begin.
    buckets: Numbers<'a>,
    /// `u32[n words + 1]`: where the words begin in `text`.
    bounds: Numbers<'a>,
    text: &'a [u8],
}

impl<'a> Dictionary<'a> {
    pub(super) fn new(buckets: &'a [u8], bounds: &'a [u8], text: &'a [u8]) -> Self {
        Self { buckets: Numbers::new(buckets), bounds: Numbers::new(bounds), text }
    }

    /// Whether the parts belong together.
    pub(super) fn is_sound(self) -> bool {
        self.buckets.are_bounds_of(self.len()) && self.bounds.are_bounds_of(self.text.len())
    }

    pub(super) fn len(self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// The rank of a word, if it is in the set.
    pub(super) fn rank(self, word: &str) -> Option<usize> {
        let buckets = self.buckets.len().checked_sub(1)?;
        let mut ranks = self.buckets.range(bucket(word, buckets))?;
        ranks.find(|rank| self.bounds.range(*rank).and_then(|range| self.text.get(range)) == Some(word.as_bytes()))
    }
}

/// The bucket of a word among `buckets`.
fn bucket(word: &str, buckets: usize) -> usize {
    // FNV-1a.
    let hash = word.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    ((u64::from(hash) * buckets as u64) >> 32) as usize
}

/// The words in the order of their ranks, each with what belongs to it; for [`dictionary`].
pub(super) fn rank<T>(words: impl IntoIterator<Item = (Box<str>, T)>) -> Vec<(Box<str>, T)> {
    let mut words = Vec::from_iter(words);
    let buckets = words.len();
    words.sort_by_cached_key(|(word, _)| (bucket(word, buckets), word.clone()));
    words
}

/// The three parts of a [`Dictionary`] of words that [`rank`] has sorted.
pub(super) fn dictionary<T>(words: &[(Box<str>, T)]) -> [Vec<u8>; 3] {
    let mut buckets = vec![0; words.len() + 1];
    let mut bounds = vec![0];
    let mut text = Vec::new();
    for (word, _) in words {
        buckets[bucket(word, words.len()) + 1] += 1;
        text.extend(word.as_bytes());
        bounds.push(text.len() as u32);
    }
    for k in 1..buckets.len() {
        buckets[k] += buckets[k - 1];
    }
    [push_numbers(buckets), push_numbers(bounds), text]
}
