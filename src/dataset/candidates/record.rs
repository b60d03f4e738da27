//! Named fields -> one entry: the same rules for an object of JSON and for a row of a table.

use super::key::quote;
use super::{Entry, ImageKey};

/// The names a field may have that says which image it is.
pub const KEY_NAMES: [&str; 5] = ["image_id", "imgid", "filename", "file_name", "image"];

/// The name of the field with the caption.
pub const CAPTION: &str = "caption";

/// The image names that a message offers.
pub(super) const WANTED: &str = "`image_id`, `imgid`, `filename`, `file_name` or `image`";

/// An entry in the making.
#[derive(Default)]
pub struct Record {
    id: Option<(&'static str, u32)>,
    name: Option<(&'static str, String)>,
    caption: Option<String>,
}

impl Record {
    /// The field's name as a constant, if it belongs to an entry.
    pub fn field(name: &str) -> Option<&'static str> {
        KEY_NAMES.into_iter().chain([CAPTION]).find(|field| *field == name)
    }

    /// Sets what the image is called; fails if an earlier field calls it otherwise.
    ///
    /// An id and a name stand side by side: only the dataset can tell whether they mean the same image.
    pub fn set_key(&mut self, field: &'static str, key: ImageKey) -> Result<(), String> {
        let disagree = |first: &str, was: &str, now: &str| {
            format!("`{first}` says image {was} and `{field}` says image {now}; they must agree")
        };
        match key {
            ImageKey::Id(id) => match self.id {
                Some((first, was)) if was != id => return Err(disagree(first, &was.to_string(), &id.to_string())),
                _ => self.id = Some((field, id)),
            },
            ImageKey::Name(name) => match &self.name {
                Some((first, was)) if base(was) != base(&name) => {
                    return Err(disagree(first, &quote(was), &quote(&name)));
                }
                _ => self.name = Some((field, name)),
            },
        }
        Ok(())
    }

    /// Sets the caption; fails if there is another one already.
    pub fn set_caption(&mut self, caption: String) -> Result<(), String> {
        if self.caption.as_ref().is_some_and(|was| *was != caption) {
            return Err(format!("`{CAPTION}` occurs twice with different texts; one caption per image is wanted"));
        }
        self.caption = Some(caption);
        Ok(())
    }

    /// The entry; fails if the image or the caption is missing.
    pub fn finish(self, line: usize) -> Result<Entry, String> {
        let name = self.name.map(|(_, name)| ImageKey::Name(name));
        let (key, also) = match (self.id, name) {
            (Some((_, id)), name) => (ImageKey::Id(id), name),
            (None, Some(name)) => (name, None),
            (None, None) => return Err(format!("no image: {WANTED} is wanted")),
        };
        let caption = self.caption.ok_or_else(|| format!("no `{CAPTION}` for image {key}"))?;
        Ok(Entry { key, also, caption, line })
    }
}

/// The last component of a path, with either separator.
pub(super) fn base(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name).trim()
}
