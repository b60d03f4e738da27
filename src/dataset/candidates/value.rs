//! A JSON value, as far as captions and image names need to know it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::ImageKey;
use super::key::quote;

/// A JSON value; of lists and objects only what a message says.
pub(super) enum Value {
    Text(String),
    Number(f64),
    Bool,
    Null,
    /// How many elements, and the first one.
    List(usize, Option<Box<Value>>),
    /// Whether it has `sentences`.
    Object(bool),
}

impl Value {
    /// The caption: a string, or a list of exactly one. `what` is how a message begins.
    pub(super) fn into_caption(self, what: &str) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::List(1, Some(only)) => match *only {
                Self::Text(text) => Ok(text),
                other => Err(format!("{what} is a list that holds {}; a string is wanted", other.name())),
            },
            Self::List(count, _) => Err(format!("{what} is a list of {count}; exactly one caption is wanted")),
            other => Err(format!("{what} is {}; a string is wanted", other.name())),
        }
    }

    /// What the image is called; nothing if the value is `null` or an empty string. `what` is how a message begins.
    pub(super) fn into_key(self, what: &str) -> Result<Option<ImageKey>, String> {
        let key = match self {
            Self::Null => return Ok(None),
            Self::Text(text) if text.trim().is_empty() => return Ok(None),
            Self::Text(text) => {
                ImageKey::from_text(&text).map_err(|bad| format!("{what} {} is {bad}", quote(&text)))?
            }
            Self::Number(number) => {
                let shown = if number.abs() < 1e15 { number.to_string() } else { format!("{number:?}") };
                ImageKey::from_number(number).map_err(|bad| format!("{what} {shown} is {bad}"))?
            }
            other => return Err(format!("{what} is {}; an image id or a file name is wanted", other.name())),
        };
        Ok(Some(key))
    }

    /// Whether this is `images` of an annotation file.
    pub(super) fn is_annotated_images(&self) -> bool {
        matches!(self, Self::List(_, Some(first)) if matches!(**first, Self::Object(true)))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
            Self::List(..) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    // Whatever a float cannot hold exactly is too large for an id, too.
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let first = list.next_element()?.map(Box::new);
        let mut count = usize::from(first.is_some());
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Value::List(count, first))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut sentences = false;
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            sentences |= key == "sentences";
        }
        Ok(Value::Object(sentences))
    }
}
