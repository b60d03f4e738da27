//! One form for every value: as bytes to hash, and as JSON to keep.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// Collects values as bytes from which they could be read back: no two sequences of values give the same bytes.
#[derive(Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    /// What was collected.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A count or a small number: 8 bytes, little endian, as all numbers here.
    pub(super) fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    /// Bytes after their length.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// A map after its size, sorted by key.
    pub(super) fn map<V>(&mut self, map: &BTreeMap<String, V>, mut value: impl FnMut(&mut Self, &V)) {
        self.number(map.len() as u64);
        for (name, v) in map {
            self.bytes(name.as_bytes());
            value(self, v);
        }
    }

    /// A JSON value after one byte that tells its type, so that `1`, `1.0`, `"1"` and `[1]` differ.
    ///
    /// Integers are 16 bytes whatever type they had in the program; other numbers are the bits of an `f64`.
    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.push(0),
            Value::Bool(b) => self.0.extend([1, u8::from(*b)]),
            Value::Number(number) => {
                if let Some(integer) = number.as_i128() {
                    self.0.push(2);
                    self.0.extend(integer.to_le_bytes());
                } else {
                    self.0.push(3);
                    // Without arbitrary precision every number that is no integer is an `f64`.
                    self.0.extend(number.as_f64().unwrap_or(f64::NAN).to_bits().to_le_bytes());
                }
            }
            Value::String(text) => {
                self.0.push(4);
                self.bytes(text.as_bytes());
            }
            Value::Array(items) => {
                self.0.push(5);
                self.number(items.len() as u64);
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(fields) => {
                self.0.push(6);
                self.number(fields.len() as u64);
                let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
                for (name, field) in sorted {
                    self.bytes(name.as_bytes());
                    self.value(field);
                }
            }
        }
    }
}

/// Turns a value into JSON with all maps sorted by key.
pub(super) fn sorted<T: Serialize>(value: &T) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(value)?;
    value.sort_all_objects();
    Ok(value)
}

/// Writes sorted JSON as text: indented, because people read it, with a final line end.
pub(super) fn text(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
