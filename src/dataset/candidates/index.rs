//! Which image an id or a name means.

use std::collections::BTreeMap;

use super::record::base;
use super::{Entry, ImageKey, Target};

/// Where an entry belongs.
pub(super) enum Place {
    Image(usize),
    Nowhere,
    /// Its name fits more than one file.
    Several,
    /// Its id is one image, its name another.
    Two,
}

/// The images by everything they may be called.
pub(super) struct Index<'a> {
    ids: BTreeMap<u32, usize>,
    names: BTreeMap<&'a str, usize>,
    /// Nothing where several files share a stem.
    stems: BTreeMap<&'a str, Option<usize>>,
}

impl<'a> Index<'a> {
    pub(super) fn of(targets: &[Target<'a>]) -> Self {
        let mut index = Self { ids: BTreeMap::new(), names: BTreeMap::new(), stems: BTreeMap::new() };
        for (at, target) in targets.iter().enumerate() {
            index.ids.insert(target.image_id, at);
            index.names.insert(target.filename, at);
            index.stems.entry(stem(target.filename)).and_modify(|other| *other = None).or_insert(Some(at));
        }
        index
    }

    /// The image whose file name has this stem, if it is the only one.
    pub(super) fn by_stem(&self, stem: &str) -> Option<usize> {
        self.stems.get(stem).copied().flatten()
    }

    /// The image with this id.
    pub(super) fn by_id(&self, id: u32) -> Option<usize> {
        self.ids.get(&id).copied()
    }

    /// Where an entry belongs; what else the file calls the image must mean the same one.
    pub(super) fn place(&self, entry: &Entry) -> Place {
        let place = self.find(&entry.key);
        match (place, entry.also.as_ref().map(|also| self.find(also))) {
            (Place::Image(a), Some(Place::Image(b))) if a == b => Place::Image(a),
            (Place::Nowhere, Some(Place::Nowhere)) => Place::Nowhere,
            (_, Some(_)) => Place::Two,
            (place, None) => place,
        }
    }

    fn find(&self, key: &ImageKey) -> Place {
        let name = match key {
            ImageKey::Id(id) => return self.by_id(*id).map_or(Place::Nowhere, Place::Image),
            ImageKey::Name(name) => name.as_str(),
        };
        let base = base(name);
        if let Some(&at) = self.names.get(name).or_else(|| self.names.get(base)) {
            return Place::Image(at);
        }
        match self.stems.get(base).or_else(|| self.stems.get(stem(base))) {
            Some(Some(at)) => Place::Image(*at),
            Some(None) => Place::Several,
            None => Place::Nowhere,
        }
    }
}

/// A file name without its extension.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem })
}
