//! JSON in its three forms and JSONL -> entries, every pair of an object seen and every one with its line.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::explain::explain;
use super::key::quote;
use super::record::{CAPTION, Record};
use super::value::Value;
use super::{CandidateError, Entry, ImageKey, kind, position};

/// Reads the entries of a JSON or JSONL file.
pub(super) fn entries(text: &str, file_name: &str) -> Result<Vec<Entry>, CandidateError> {
    let source = Source { text, offset: Cell::new(0), line: Cell::new(1), failure: RefCell::new(None) };
    match parse(&source) {
        Ok(Some(entries)) => Ok(entries),
        Ok(None) => Err(kind::annotations(file_name)),
        Err(error) => Err(source.locate(&error, file_name)),
    }
}

/// Parses one value, or one record after the other; nothing if it is the annotation file of a dataset.
fn parse(source: &Source<'_>) -> Result<Option<Vec<Entry>>, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_reader(Feed(source));
    let mut entries = match Whole(source).deserialize(&mut parser)? {
        Form::Annotations => return Ok(None),
        Form::All(entries) => return parser.end().map(|()| Some(entries)),
        Form::First(entry) => vec![entry],
    };
    while parser.end().is_err() {
        entries.push(One(source).deserialize(&mut parser)?);
    }
    Ok(Some(entries))
}

/// The text and how far the parser has read it.
struct Source<'a> {
    text: &'a str,
    offset: Cell<usize>,
    line: Cell<usize>,
    /// What a visitor found wrong, and at which byte.
    failure: RefCell<Option<(usize, String)>>,
}

impl Source<'_> {
    /// Where the value after the key that was just read begins.
    fn value(&self) -> usize {
        let after = &self.text[self.offset.get()..];
        self.offset.get() + after.find(|c: char| !c.is_ascii_whitespace() && c != ':').unwrap_or(after.len())
    }

    /// Keeps what is wrong for [`Source::locate`]; the parser's own place would be behind the value.
    fn fail<E: Error>(&self, at: usize, cause: String) -> E {
        *self.failure.borrow_mut() = Some((at, cause));
        E::custom("not a caption")
    }

    fn locate(&self, error: &serde_json::Error, file_name: &str) -> CandidateError {
        let file = file_name.to_owned();
        if let Some((at, cause)) = self.failure.take() {
            let (line, column) = position(self.text.as_bytes(), at);
            return CandidateError::Json { file, line, column, cause };
        }
        let (line, column) = (error.line(), error.column());
        let start: usize = self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let cause = explain(error, self.text, start + column.saturating_sub(1));
        CandidateError::Json { file, line, column, cause }
    }
}

/// Hands the parser one byte at a time, so that [`Source`] always tells where it is.
struct Feed<'a>(&'a Source<'a>);

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let offset = self.0.offset.get();
        let (Some(&byte), Some(place)) = (self.0.text.as_bytes().get(offset), buffer.first_mut()) else {
            return Ok(0);
        };
        *place = byte;
        self.0.offset.set(offset + 1);
        self.0.line.set(self.0.line.get() + usize::from(byte == b'\n'));
        Ok(1)
    }
}

/// What the first value of a file turns out to be.
enum Form {
    /// Every entry.
    All(Vec<Entry>),
    /// The first of a JSONL file.
    First(Entry),
    /// The annotation file of a dataset.
    Annotations,
}

/// Sets a field of a record from the value that comes next.
fn set<'de, A: MapAccess<'de>>(
    record: &mut Record,
    field: &'static str,
    map: &mut A,
    source: &Source<'_>,
) -> Result<(), A::Error> {
    let at = source.value();
    let value: Value = map.next_value()?;
    let done = if field == CAPTION {
        value.into_caption("`caption`").and_then(|caption| record.set_caption(caption))
    } else {
        let key = value.into_key(&format!("`{field}`"));
        key.and_then(|key| key.map_or(Ok(()), |key| record.set_key(field, key)))
    };
    done.map_err(|cause| source.fail(at, cause))
}

/// A whole file, or the first line of a JSONL file.
struct Whole<'s>(&'s Source<'s>);

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = Form;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Form, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = Form;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of captions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Form, A::Error> {
        List(self.0).visit_seq(list).map(Form::All)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Form, A::Error> {
        let (source, line) = (self.0, self.0.line.get());
        let start = source.offset.get() - 1;
        let (mut record, mut named) = (Record::default(), false);
        let (mut pairs, mut listed, mut wrong) = (Vec::new(), None, None);
        let mut annotations = false;
        while let Some(key) = map.next_key::<String>()? {
            if let Some(field) = Record::field(&key) {
                named = true;
                set(&mut record, field, &mut map, source)?;
            } else if key == "annotations" {
                // Every list counts: a second one is a way to hide repeated captions.
                listed.get_or_insert_with(Vec::new).extend(map.next_value_seed(List(source))?);
            } else {
                let (at, line) = (source.value(), source.line.get());
                let value: Value = map.next_value()?;
                annotations |= key == "images" && value.is_annotated_images();
                match pair(&key, value, line) {
                    Ok(entry) => pairs.push(entry),
                    // Not yet an error: `info` and `licenses` of COCO come before `annotations`.
                    Err(cause) => wrong = wrong.or(Some((at, cause))),
                }
            }
        }
        if annotations {
            Ok(Form::Annotations)
        } else if let Some(entries) = listed {
            Ok(Form::All(entries))
        } else if named {
            record.finish(line).map(Form::First).map_err(|cause| source.fail(start, cause))
        } else if let Some((at, cause)) = wrong {
            Err(source.fail(at, cause))
        } else {
            Ok(Form::All(pairs))
        }
    }
}

/// One pair of the original code's object.
fn pair(key: &str, value: Value, line: usize) -> Result<Entry, String> {
    let image = Value::Text(key.to_owned()).into_key("the image id")?;
    let image: ImageKey = image.ok_or("an empty key; an image id or a file name is wanted")?;
    let caption = value.into_caption(&format!("the caption of {}", quote(key)))?;
    Ok(Entry { key: image, also: None, caption, line })
}

/// A list of records.
struct List<'s>(&'s Source<'s>);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<Entry>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Entry>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects with `image_id` and `caption`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Entry>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element_seed(One(self.0))? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// One record.
struct One<'s>(&'s Source<'s>);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = Entry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `image_id` and `caption`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let (source, line) = (self.0, self.0.line.get());
        let start = source.offset.get() - 1;
        let mut record = Record::default();
        while let Some(key) = map.next_key::<String>()? {
            match Record::field(&key) {
                Some(field) => set(&mut record, field, &mut map, source)?,
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        record.finish(line).map_err(|cause| source.fail(start, cause))
    }
}
