//! Why something has to be built: typed for code, one line for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;

/// One reason why the last result of an instance does not hold any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// There is no earlier result.
    NeverBuilt,
    /// The rules of the key changed.
    Schema {
        /// The number before.
        old: u32,
        /// The number now.
        new: u32,
    },
    /// The code of the stage changed.
    Version {
        /// The version before.
        old: u32,
        /// The version now.
        new: u32,
    },
    /// A parameter changed; `None` stands for its default.
    Parameter {
        /// Its dotted name.
        name: String,
        /// The value before.
        old: Option<Value>,
        /// The value now.
        new: Option<Value>,
    },
    /// What is read of an input changed; `None` on the side where it was not read.
    Input {
        /// The name of the input.
        name: String,
        /// The hash before.
        old: Option<Digest>,
        /// The hash now.
        new: Option<Digest>,
        /// The columns that changed, if that is known.
        columns: Vec<String>,
    },
    /// A declared fact about the machine changed.
    Environment {
        /// Its name.
        name: String,
        /// The value before.
        old: Option<String>,
        /// The value now.
        new: Option<String>,
    },
    /// The record of the last result is missing or was damaged.
    RecordMissing,
    /// A file that users see is missing.
    OutputMissing {
        /// Its name.
        name: String,
    },
    /// The bytes of a result are not in the cache any more.
    ObjectMissing {
        /// The name of the output.
        name: String,
        /// The digest of the object.
        object: Digest,
    },
    /// The bytes of a result are not what they were.
    ObjectDamaged {
        /// The name of the output.
        name: String,
        /// The digest of the object.
        object: Digest,
    },
    /// The user asked for it.
    Forced,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverBuilt => f.write_str("never built"),
            Self::Schema { old, new } => write!(f, "rules of the key {old} -> {new}"),
            Self::Version { old, new } => write!(f, "version {old} -> {new}"),
            Self::Parameter { name, old, new } => {
                let (old, new) = shown_pair(old.as_ref(), new.as_ref());
                write!(f, "parameter {name} {old} -> {new}")
            }
            Self::Input { name, old: None, .. } => write!(f, "input {name} is new"),
            Self::Input { name, new: None, .. } => write!(f, "input {name} is not read any more"),
            Self::Input { name, columns, .. } => match columns.as_slice() {
                [] => write!(f, "input {name} changed"),
                [column] => write!(f, "input {name} changed (column {column})"),
                _ => write!(f, "input {name} changed (columns {})", columns.join(", ")),
            },
            Self::Environment { name, old, new } => {
                let [old, new] = [old, new].map(|v| v.as_deref().unwrap_or("unset"));
                write!(f, "environment {name} {old} -> {new}")
            }
            Self::RecordMissing => f.write_str("record missing"),
            Self::OutputMissing { name } => write!(f, "output {name} missing"),
            Self::ObjectMissing { name, object } => write!(f, "object {} of {name} missing", object.short()),
            Self::ObjectDamaged { name, object } => write!(f, "object {} of {name} damaged", object.short()),
            Self::Forced => f.write_str("forced"),
        }
    }
}

/// The names of the columns that differ between two outputs, sorted; an absent column differs.
pub fn changed_columns(old: &BTreeMap<String, Digest>, new: &BTreeMap<String, Digest>) -> Vec<String> {
    differences_in(old, new, PartialEq::eq, |name, _, _| name)
}

/// Calls `make` for every name whose values differ, in order of the names.
pub(super) fn differences_in<V: Clone, R>(
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
    same: impl Fn(&V, &V) -> bool,
    make: impl Fn(String, Option<V>, Option<V>) -> R,
) -> Vec<R> {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let (a, b) = (old.get(name), new.get(name));
        if !matches!((a, b), (Some(a), Some(b)) if same(a, b)) {
            found.push(make(name.clone(), a.cloned(), b.cloned()));
        }
    }
    found
}

/// Two values for people; texts get quotes only where the values could not be told apart without.
fn shown_pair(old: Option<&Value>, new: Option<&Value>) -> (String, String) {
    let (a, b) = (shown(old), shown(new));
    if a != b {
        return (a, b);
    }
    let quoted = |v: Option<&Value>| v.map_or_else(|| "default".to_owned(), ToString::to_string);
    (quoted(old), quoted(new))
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "default".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_f64() => shown_float(number.as_f64().unwrap_or(f64::NAN)),
        Some(other) => other.to_string(),
    }
}

/// `1e-4`, `0.05`, `1.0`, `1e20`: the shortest digits that are this number, with an exponent where zeros would be many.
fn shown_float(x: f64) -> String {
    if x != 0.0 && !(1e-3..1e16).contains(&x.abs()) { format!("{x:e}") } else { format!("{x:?}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameter(old: Value, new: Value) -> Reason {
        let some = |v: Value| if v.is_null() { None } else { Some(v) };
        Reason::Parameter { name: "train.lr".to_owned(), old: some(old), new: some(new) }
    }

    fn input(old: bool, new: bool, columns: &[&str]) -> Reason {
        let digest = |there: bool| there.then(|| Digest::of(b"x"));
        let columns = columns.iter().map(|&c| c.to_owned()).collect();
        Reason::Input { name: "sentences".to_owned(), old: digest(old), new: digest(new), columns }
    }

    /// Every reason, what people read and the `kind` that programs read.
    fn table() -> Vec<(Reason, &'static str, &'static str)> {
        let name = || "captions".to_owned();
        let object = Digest::of(b"");
        vec![
            (Reason::NeverBuilt, "never built", "never_built"),
            (Reason::Schema { old: 1, new: 2 }, "rules of the key 1 -> 2", "schema"),
            (Reason::Version { old: 1, new: 2 }, "version 1 -> 2", "version"),
            (parameter(json!(2e-5), json!(1e-4)), "parameter train.lr 2e-5 -> 1e-4", "parameter"),
            (parameter(json!(0.05), json!(1.0)), "parameter train.lr 0.05 -> 1.0", "parameter"),
            (parameter(Value::Null, json!(3)), "parameter train.lr default -> 3", "parameter"),
            (parameter(json!("mlp"), json!("transformer")), "parameter train.lr mlp -> transformer", "parameter"),
            (parameter(json!("1"), json!(1)), "parameter train.lr \"1\" -> 1", "parameter"),
            (parameter(json!([1, 2]), json!([])), "parameter train.lr [1,2] -> []", "parameter"),
            (input(true, true, &[]), "input sentences changed", "input"),
            (input(true, true, &["raw"]), "input sentences changed (column raw)", "input"),
            (input(true, true, &["raw", "split"]), "input sentences changed (columns raw, split)", "input"),
            (input(false, true, &[]), "input sentences is new", "input"),
            (input(true, false, &[]), "input sentences is not read any more", "input"),
            (
                Reason::Environment { name: "device".to_owned(), old: Some("cpu".to_owned()), new: None },
                "environment device cpu -> unset",
                "environment",
            ),
            (Reason::RecordMissing, "record missing", "record_missing"),
            (Reason::OutputMissing { name: name() }, "output captions missing", "output_missing"),
            // The digest of no bytes is published with BLAKE3: af1349b9f5f9...
            (
                Reason::ObjectMissing { name: name(), object },
                "object af1349b9f5f9 of captions missing",
                "object_missing",
            ),
            (
                Reason::ObjectDamaged { name: name(), object },
                "object af1349b9f5f9 of captions damaged",
                "object_damaged",
            ),
            (Reason::Forced, "forced", "forced"),
        ]
    }

    #[test]
    fn every_reason_reads_well_and_round_trips() {
        for (reason, text, kind) in table() {
            assert_eq!(reason.to_string(), text);
            let json = serde_json::to_value(&reason).unwrap();
            assert_eq!(json["kind"], kind, "{text}");
            assert_eq!(serde_json::from_value::<Reason>(json).unwrap(), reason, "{text}");
        }
    }

    #[test]
    fn changed_columns_are_those_that_differ_appear_or_vanish() {
        let columns = |pairs: &[(&str, &str)]| -> BTreeMap<String, Digest> {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), Digest::of(v.as_bytes()))).collect()
        };
        let old = columns(&[("raw", "a"), ("same", "b"), ("gone", "c")]);
        let new = columns(&[("raw", "x"), ("same", "b"), ("added", "d")]);
        assert_eq!(changed_columns(&old, &new), ["added", "gone", "raw"]);
        assert!(changed_columns(&old, &old).is_empty());
    }
}
