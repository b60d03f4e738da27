//! One form for every value: as bytes to hash, and as JSON to keep.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CacheError, file};
use crate::digest::Digest;

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
fn sorted<T: Serialize>(value: &T) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(value)?;
    value.sort_all_objects();
    Ok(value)
}

/// Writes sorted JSON as text: indented, because people read it, with a final line end.
fn text(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// The one form of a value on disk: sorted JSON with a check sum over everything else.
///
/// `context` separates the check sums of one kind of file from all other hashes.
pub(super) fn seal<T: Serialize>(value: &T, context: &str) -> serde_json::Result<Vec<u8>> {
    let mut json = sorted(value)?;
    let check = Digest::derive(context, &text(&json)).to_hex();
    if let Value::Object(fields) = &mut json {
        fields.insert("check".to_owned(), Value::String(check));
    }
    json.sort_all_objects();
    Ok(text(&json))
}

/// What was found in a file that holds one sealed value.
pub(super) enum Found<T> {
    Whole(T),
    Missing,
    Damaged,
}

impl<T> Found<T> {
    /// The value, if there is a whole one.
    pub(super) fn whole(self) -> Option<T> {
        match self {
            Self::Whole(value) => Some(value),
            Self::Missing | Self::Damaged => None,
        }
    }
}

/// Reads a file that [`seal`] made; one that does not fit its place is damaged too.
pub(super) fn read_sealed<T: DeserializeOwned>(
    path: &Path,
    context: &str,
    fits: impl Fn(&T) -> bool,
) -> Result<Found<T>, CacheError> {
    let bytes = match file::read(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Found::Missing),
        Err(_) if file::intruder(path).is_some() => return Ok(Found::Damaged),
        Err(e) => return Err(e),
    };
    let value = unseal(&bytes, context).filter(fits);
    Ok(value.map_or(Found::Damaged, Found::Whole))
}

/// No value here is near this long; parsed, it would take many times as much memory.
pub(super) const LARGEST: u64 = 1 << 26;

/// Reads a value back; `None` if the check sum is not that of all other bytes.
///
/// So no byte of what [`seal`] wrote can change unnoticed, and nothing has to be written anew to see it: `status` reads
/// two such files per instance.
pub(super) fn unseal<T: DeserializeOwned>(bytes: &[u8], context: &str) -> Option<T> {
    if bytes.len() as u64 > LARGEST {
        return None;
    }
    let (others, check) = without_check(bytes)?;
    if Digest::derive(context, &others) != check {
        return None;
    }
    serde_json::from_slice(&others).ok()
}

/// What the check sum is of, and the check sum, which stands on a line of its own.
fn without_check(bytes: &[u8]) -> Option<(Vec<u8>, Digest)> {
    // Two blanks: a field of the outermost object. Strings hold no line ends.
    const FIELD: &[u8] = b"\n  \"check\": \"";
    let start = bytes.windows(FIELD.len()).position(|window| window == FIELD)?;
    let (hex, after) = bytes[start + FIELD.len()..].split_at_checked(64)?;
    let after = after.strip_prefix(b"\"")?;
    let check = std::str::from_utf8(hex).ok()?.parse().ok()?;
    // The comma that parts it from the next field goes with it; the last field has that of the one before.
    let (before, after) = match after.strip_prefix(b",") {
        Some(after) => (&bytes[..start], after),
        None => (bytes[..start].strip_suffix(b",")?, after),
    };
    Some(([before, after].concat(), check))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    const CONTEXT: &str = "rsic test";

    /// Has fields before and after `check`.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Both {
        about: String,
        values: BTreeMap<String, Value>,
    }

    /// `check` is the last field.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Last {
        about: Vec<String>,
    }

    /// The definition: parse, take the check sum away, seal again, compare every byte.
    fn by_sealing_again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
        let mut json: Value = serde_json::from_slice(bytes).ok()?;
        json.as_object_mut()?.shift_remove("check")?;
        let value: T = serde_json::from_value(json).ok()?;
        seal(&value, CONTEXT).is_ok_and(|exact| exact == bytes).then_some(value)
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(Value::from("\n  \"check\": \"")),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("check|a|é|[a-z]{1,3}", inner, 0..4).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// A value comes back, and every damage of one byte is noticed, just as by sealing again.
        #[test]
        fn what_was_sealed_comes_back_and_damage_does_not(
            about in any::<String>(),
            values in prop::collection::btree_map("check|[a-z]{1,3}", json(), 0..4),
            damage in any::<(prop::sample::Index, u8)>(),
        ) {
            let last = Last { about: values.keys().cloned().collect() };
            let both = Both { about, values };
            let mut bytes = seal(&both, CONTEXT).unwrap();
            prop_assert_eq!(unseal::<Both>(&bytes, CONTEXT), by_sealing_again(&bytes));
            prop_assert_eq!(&unseal::<Both>(&bytes, CONTEXT).unwrap(), &both);
            prop_assert_eq!(unseal::<Both>(&bytes, "rsic another"), None);
            let text = seal(&last, CONTEXT).unwrap();
            prop_assert_eq!(unseal::<Last>(&text, CONTEXT).unwrap(), last);
            let at = damage.0.index(bytes.len());
            bytes[at] ^= damage.1.max(1);
            prop_assert_eq!(unseal::<Both>(&bytes, CONTEXT), None);
            prop_assert_eq!(by_sealing_again::<Both>(&bytes), None);
            bytes.truncate(at);
            prop_assert_eq!(unseal::<Both>(&bytes, CONTEXT), None);
        }
    }
}
