//! Little-endian numbers read in place, without alignment and without trust.

use std::ops::Range;

/// A list of `u32` in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers<'a>(&'a [[u8; 4]]);

impl<'a> Numbers<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.as_chunks().0)
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    pub(super) fn get(self, index: usize) -> Option<u32> {
        self.0.get(index).map(|number| u32::from_le_bytes(*number))
    }

    pub(super) fn slice(self, range: Range<usize>) -> Self {
        Self(self.0.get(range).unwrap_or_default())
    }

    pub(super) fn iter(self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.0.iter().map(|number| u32::from_le_bytes(*number))
    }

    /// From bound `index` to the next one.
    pub(super) fn range(self, index: usize) -> Option<Range<usize>> {
        Some(self.get(index)? as usize..self.get(index.checked_add(1)?)? as usize)
    }

    /// Whether the numbers rise from 0 to `length`, so that every [`Self::range`] lies in a list of that length.
    pub(super) fn are_bounds_of(self, length: usize) -> bool {
        let ends = self.get(0) == Some(0) && self.len().checked_sub(1).and_then(|k| self.get(k)) == Some(length as u32);
        ends && self.iter().is_sorted()
    }

    /// The part of a sorted list from `number` on.
    pub(super) fn from(self, number: u32) -> Self {
        Self(&self.0[self.0.partition_point(|other| u32::from_le_bytes(*other) < number)..])
    }
}

/// The bytes of a list of numbers.
pub(super) fn push_numbers(numbers: impl IntoIterator<Item = u32>) -> Vec<u8> {
    numbers.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// A set of small numbers, each with a range of another list.
///
/// One bit per number, the count of set bits before each 64, and the bounds of the ranges of the set ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sparse<'a> {
    bits: &'a [[u8; 8]],
    ranks: Numbers<'a>,
    bounds: Numbers<'a>,
}

impl<'a> Sparse<'a> {
    pub(super) fn new(bits: &'a [u8], ranks: &'a [u8], bounds: &'a [u8]) -> Self {
        Self { bits: bits.as_chunks().0, ranks: Numbers::new(ranks), bounds: Numbers::new(bounds) }
    }

    /// Whether the three lists belong together and every range lies within `length`.
    pub(super) fn is_sound(self, length: usize) -> bool {
        let mut count = 0;
        let ranked = self.bits.iter().zip(self.ranks.iter()).all(|(bits, rank)| {
            let right = rank == count;
            count += u64::from_le_bytes(*bits).count_ones();
            right
        });
        let whole = self.bits.len() == self.ranks.len() && self.bounds.len() == count as usize + 1;
        ranked && whole && self.bounds.are_bounds_of(length)
    }

    /// The range of a number, if it is in the set.
    pub(super) fn range(self, number: usize) -> Option<Range<usize>> {
        let bits = u64::from_le_bytes(*self.bits.get(number / 64)?);
        let below = bits & ((1 << (number % 64)) - 1);
        (bits >> (number % 64) & 1 == 1)
            .then(|| self.bounds.range(self.ranks.get(number / 64)? as usize + below.count_ones() as usize))?
    }
}

/// The three lists of a [`Sparse`] set: the length of each number's range, 0 for those not in the set.
pub(super) fn sparse(lengths: &[u32]) -> [Vec<u8>; 3] {
    let (mut bits, mut ranks, mut bounds) = (Vec::new(), Vec::new(), vec![0]);
    let mut end = 0;
    for chunk in lengths.chunks(64) {
        ranks.push(bounds.len() as u32 - 1);
        let mut word = 0_u64;
        for (k, length) in chunk.iter().enumerate().filter(|(_, length)| **length > 0) {
            word |= 1 << k;
            end += length;
            bounds.push(end);
        }
        bits.extend(word.to_le_bytes());
    }
    [bits, push_numbers(ranks), push_numbers(bounds)]
}
