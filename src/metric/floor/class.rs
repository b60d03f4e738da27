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
    /// Counts captions, in published order, with the class of their image; images without a class are a class of their
    /// own.
    ///
    /// Of equally frequent captions the one that comes first wins. `None` without captions.
    pub fn new(train: impl IntoIterator<Item = (Option<&'a str>, &'a str)>) -> Option<Self> {
        let mut classes: BTreeMap<Option<&str>, Counts<'a>> = BTreeMap::new();
        let mut all = Counts::default();
        for (place, (class, caption)) in train.into_iter().enumerate() {
            classes.entry(class).or_default().add(caption, place);
            all.add(caption, place);
        }
        let of_all = all.most_frequent()?;
        let of_class = classes.into_iter().filter_map(|(class, counts)| Some((class, counts.most_frequent()?)));
        Some(Self { of_class: of_class.collect(), of_all })
    }

    /// The caption of an image of this class; of a class that train does not have, the most frequent of all.
    pub fn of(&self, class: Option<&str>) -> &'a str {
        self.of_class.get(&class).copied().unwrap_or(self.of_all)
    }
}

/// Caption -> how often it occurs, and where first.
#[derive(Default)]
struct Counts<'a>(BTreeMap<&'a str, (usize, usize)>);

impl<'a> Counts<'a> {
    fn add(&mut self, caption: &'a str, place: usize) {
        self.0.entry(caption).or_insert((0, place)).0 += 1;
    }

    fn most_frequent(&self) -> Option<&'a str> {
        self.0.iter().min_by_key(|(_, (count, first))| (std::cmp::Reverse(*count), *first)).map(|(caption, _)| *caption)
    }
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
        // By hand; "water" and "a lake" are equally frequent, "a port" is the most frequent of all.
        for (class, expected) in
            [(Some("port"), "a port"), (Some("lake"), "water"), (None, "trees"), (Some("farm"), "a port")]
        {
            assert_eq!(captions.of(class), expected, "{class:?}");
        }
        assert!(ClassCaptions::new([]).is_none());
    }
}
