//! The key of an action: the hash of everything its result depends on.
//!
//! | what | in the key | why |
//! | --- | --- | --- |
//! | schema number | yes | a change of the encoding or of what counts must not meet old keys |
//! | stage kind, its version | yes | another code may give another result; the version is raised by hand, with a remark |
//! | parameters | yes | as typed values, so that `0.10` and `0.1` are one; a neutral default is left out, so that a new parameter keeps old keys |
//! | inputs | yes | as data hashes of the columns that are read, so that other columns and re-encoded files change nothing |
//! | environment | yes | only what changes results: device class, precision, seed, hashes of tools |
//! | instance name | no | two instances that do the same share the work |
//! | paths, mtime, user, host, time | no | they change without any change of the result |
//! | thread count, batch size | no | results do not depend on them, which tests check |
//! | git commit | no | too sensitive: most commits change no result |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical::Encoder;
use super::reason::{Reason, differences_in};
use crate::digest::Digest;

/// Separates keys from all other hashes; changing it changes every key.
const CONTEXT: &str = "rsic 2026 cache: key of an action";

/// Everything the result of an action depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingredients {
    /// The number of the rules by which these ingredients are chosen.
    pub schema: u32,
    /// The stage kind.
    pub stage: String,
    /// The version of its code.
    pub version: u32,
    /// Leaf parameters under dotted names; those that equal their neutral default are left out by the caller.
    pub parameters: BTreeMap<String, Value>,
    /// For each input the hash of what is read of it.
    pub inputs: BTreeMap<String, Digest>,
    /// Declared facts about the machine that change results.
    pub environment: BTreeMap<String, String>,
}

impl Ingredients {
    /// The key: different ingredients have different keys, equal ones have the same on every machine.
    pub fn key(&self) -> Digest {
        Digest::derive(CONTEXT, &self.encode())
    }

    /// Why `new` is another action than `old`: empty exactly if both have the same key.
    ///
    /// The columns of changed inputs are not known here; see [`changed_columns`](super::changed_columns).
    pub fn differences(old: &Self, new: &Self) -> Vec<Reason> {
        if old.stage != new.stage {
            return vec![Reason::NeverBuilt];
        }
        let mut reasons = Vec::new();
        if old.schema != new.schema {
            reasons.push(Reason::Schema { old: old.schema, new: new.schema });
        }
        if old.version != new.version {
            reasons.push(Reason::Version { old: old.version, new: new.version });
        }
        reasons.extend(differences_in(&old.parameters, &new.parameters, same_value, |name, old, new| {
            Reason::Parameter { name, old, new }
        }));
        reasons.extend(differences_in(&old.inputs, &new.inputs, PartialEq::eq, |name, old, new| Reason::Input {
            name,
            old,
            new,
            columns: Vec::new(),
        }));
        reasons.extend(differences_in(&old.environment, &new.environment, PartialEq::eq, |name, old, new| {
            Reason::Environment { name, old, new }
        }));
        reasons
    }

    fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.number(self.schema.into());
        encoder.bytes(self.stage.as_bytes());
        encoder.number(self.version.into());
        encoder.map(&self.parameters, Encoder::value);
        encoder.map(&self.inputs, |e, digest| e.bytes(digest.as_bytes()));
        encoder.map(&self.environment, |e, text| e.bytes(text.as_bytes()));
        encoder.into_bytes()
    }
}

/// Equality as the key sees it: `==` on JSON takes `0.0` and `-0.0` for one.
fn same_value(a: &Value, b: &Value) -> bool {
    let encode = |value| {
        let mut encoder = Encoder::default();
        encoder.value(value);
        encoder.into_bytes()
    };
    encode(a) == encode(b)
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
