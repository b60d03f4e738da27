//! Class look-up: each image gets the most frequent train caption of its scene class.

use std::collections::BTreeMap;

/// The most frequent train caption of every class.
///
/// Published systems on UCM are level with this table, which never sees a pixel.
pub struct ClassCaptions<'a> {
    of_class: BTreeMap<Option<&'a str>, &'a str>,
    of_all: &'a str,
}

impl<'a> ClassCaptions<'a> {
    /// Counts captions with the class of their image; images without a class are a class of their own.
    ///
    /// Of equally frequent captions the first in alphabetical order wins. `None` without captions.
    pub fn new(train: impl IntoIterator<Item = (Option<&'a str>, &'a str)>) -> Option<Self> {
        let mut counts: BTreeMap<Option<&str>, BTreeMap<&str, usize>> = BTreeMap::new();
        let mut all: BTreeMap<&str, usize> = BTreeMap::new();
        for (class, caption) in train {
            *counts.entry(class).or_default().entry(caption).or_default() += 1;
            *all.entry(caption).or_default() += 1;
        }
        let of_all = most_frequent(&all)?;
        let of_class = counts.iter().filter_map(|(class, counts)| Some((*class, most_frequent(counts)?))).collect();
        Some(Self { of_class, of_all })
    }

    /// The caption of an image of this class; of a class that train does not have, the most frequent of all.
    pub fn of(&self, class: Option<&str>) -> &'a str {
        self.of_class.get(&class).copied().unwrap_or(self.of_all)
    }
}

fn most_frequent<'a>(counts: &BTreeMap<&'a str, usize>) -> Option<&'a str> {
    counts.iter().rev().max_by_key(|(_, count)| **count).map(|(caption, _)| *caption)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_caption_of_a_class_wins() {
        let train = [
            (Some("port"), "ships"),
            (Some("port"), "a port"),
            (Some("port"), "a port"),
            (Some("lake"), "water"),
            (Some("lake"), "a lake"),
            (None, "trees"),
        ];
        let captions = ClassCaptions::new(train).unwrap();
        // By hand; "a lake" and "water" are equally frequent, "a port" is the most frequent of all.
        for (class, expected) in
            [(Some("port"), "a port"), (Some("lake"), "a lake"), (None, "trees"), (Some("farm"), "a port")]
        {
            assert_eq!(captions.of(class), expected, "{class:?}");
        }
        assert!(ClassCaptions::new([]).is_none());
    }
}
