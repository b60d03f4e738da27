use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn plain() -> Ingredients {
    Ingredients {
        schema: 1,
        stage: "train".to_owned(),
        version: 3,
        parameters: BTreeMap::from([
            ("lr".to_owned(), json!(2e-5)),
            ("epochs".to_owned(), json!(10)),
            ("mapper.kind".to_owned(), json!("mlp")),
            ("unit_length".to_owned(), json!(true)),
            ("prompts".to_owned(), json!(["a photo of", {"b": 1, "a": null}])),
        ]),
        inputs: BTreeMap::from([("embeddings".to_owned(), Digest::of(b"e")), ("tokens".to_owned(), Digest::of(b"t"))]),
        environment: BTreeMap::from([("device".to_owned(), "cpu".to_owned())]),
    }
}

/// Expected: an independent encoder in Python with the `blake3` package. A change here makes every existing cache
/// worthless: if it is wanted, raise the schema number instead.
#[test]
fn golden_keys_never_change() {
    let cases = [
        ("empty", Ingredients::default(), "37af87aa609a23d190bef71274215a420a0cebc212ae4a330df23cf3e0bc470b"),
        ("plain", plain(), "8f0e53dd2a0aa1a21fe8427dc7656a0c6a26b0185f2dd112356d06683175d6f4"),
    ];
    for (name, ingredients, expected) in cases {
        assert_eq!(ingredients.key().to_hex(), expected, "{name}");
    }
}

#[test]
fn encoding_is_what_the_golden_keys_were_made_of() {
    // schema, length of the stage, version, three sizes: six numbers of eight bytes.
    assert_eq!(Ingredients::default().encode(), [0; 48]);
    let one = Ingredients { parameters: BTreeMap::from([("a".to_owned(), json!(1.5))]), ..Ingredients::default() };
    let mut expected = vec![0; 24];
    expected.extend(1_u64.to_le_bytes());
    expected.extend(1_u64.to_le_bytes());
    expected.extend(b"a\x03");
    expected.extend(1.5_f64.to_bits().to_le_bytes());
    expected.extend([0; 16]);
    assert_eq!(one.encode(), expected);
}

#[test]
fn values_of_different_types_have_different_keys() {
    let values = [
        json!(1),
        json!(1.0),
        json!("1"),
        json!([1]),
        json!({"1": 1}),
        json!(true),
        json!(null),
        json!(0),
        json!(0.0),
        json!(-0.0),
        json!(-1),
        json!(""),
        json!([]),
        json!({}),
        json!("true"),
        json!("null"),
        json!(false),
        json!([1, 2]),
        json!([[1], 2]),
        json!([[1, 2]]),
        json!(["1", "2"]),
        json!(["12"]),
        json!(["1", "", "2"]),
        json!({"a": {"b": 1}}),
        json!({"a": {}, "b": 1}),
        json!({"a.b": 1}),
        json!(u64::MAX),
        json!(u64::MAX as f64),
        json!(i64::MIN),
        json!(1e-4),
        json!(f64::MIN_POSITIVE),
    ];
    let mut keys = BTreeMap::new();
    for value in values {
        let ingredients =
            Ingredients { parameters: BTreeMap::from([("x".to_owned(), value.clone())]), ..Ingredients::default() };
        if let Some(twin) = keys.insert(ingredients.key(), value.clone()) {
            panic!("{value} and {twin} have the same key");
        }
    }
}

#[test]
fn equal_numbers_of_different_program_types_have_one_key() {
    let key =
        |v: Value| Ingredients { parameters: BTreeMap::from([("x".to_owned(), v)]), ..Ingredients::default() }.key();
    assert_eq!(key(json!(7_u8)), key(json!(7_i64)));
    assert_eq!(key(json!(0.1)), key(json!(0.10)));
}

#[test]
fn text_does_not_move_between_neighbours() {
    let with = |stage: &str, name: &str, value: &str| {
        let environment = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Ingredients { stage: stage.to_owned(), environment, ..Ingredients::default() }.key()
    };
    assert_ne!(with("ab", "c", "d"), with("a", "bc", "d"));
    assert_ne!(with("a", "bc", "d"), with("a", "b", "cd"));
}

#[test]
fn differences_name_every_change_in_a_fixed_order() {
    let mut new = plain();
    new.schema = 2;
    new.version = 4;
    new.parameters.insert("lr".to_owned(), json!(1e-4));
    new.parameters.remove("epochs");
    new.parameters.insert("warmup".to_owned(), json!(0));
    new.inputs.insert("tokens".to_owned(), Digest::of(b"other"));
    new.environment.insert("device".to_owned(), "cuda".to_owned());
    let texts: Vec<String> = Ingredients::differences(&plain(), &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "rules of the key 1 -> 2",
            "version 3 -> 4",
            "parameter epochs 10 -> default",
            "parameter lr 2e-5 -> 1e-4",
            "parameter warmup default -> 0",
            "input tokens changed",
            "environment device cpu -> cuda",
        ]
    );
    assert!(Ingredients::differences(&plain(), &plain()).is_empty());
    let other = Ingredients { stage: "score".to_owned(), ..plain() };
    assert_eq!(Ingredients::differences(&plain(), &other), [Reason::NeverBuilt]);
}

/// Any JSON value, objects with their fields in random order.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no infinity", |x| x.is_finite()).prop_map(Value::from),
        "[a-c\u{4e2d}\"\\\\]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-c]{0,2}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn any_ingredients() -> impl Strategy<Value = Ingredients> {
    let name = || "[a-c.]{0,3}";
    let digest = any::<[u8; 4]>().prop_map(|b| Digest::of(&b));
    (
        (0_u32..3, name(), 0_u32..3),
        prop::collection::btree_map(name(), any_value(), 0..4),
        prop::collection::btree_map(name(), digest, 0..3),
        prop::collection::btree_map(name(), "[a-c]{0,3}", 0..3),
    )
        .prop_map(|((schema, stage, version), parameters, inputs, environment)| Ingredients {
            schema,
            stage,
            version,
            parameters,
            inputs,
            environment,
        })
}

/// The same value with the fields of all objects in reverse order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(reversed).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            Value::Object(fields.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect::<Map<_, _>>())
        }
        leaf => leaf.clone(),
    }
}

proptest! {
    #[test]
    fn the_order_of_fields_never_matters(ingredients in any_ingredients()) {
        let mut other = ingredients.clone();
        other.parameters.values_mut().for_each(|v| *v = reversed(v));
        prop_assert_eq!(ingredients.key(), other.key());
        prop_assert!(Ingredients::differences(&ingredients, &other).is_empty());
    }

    #[test]
    fn keys_differ_exactly_when_there_is_a_difference(a in any_ingredients(), b in any_ingredients()) {
        prop_assert_eq!(a.key() == b.key(), Ingredients::differences(&a, &b).is_empty());
        prop_assert_eq!(a.key() == b.key(), a.encode() == b.encode());
    }

    #[test]
    fn one_changed_parameter_changes_the_key(ingredients in any_ingredients(), name in "[a-c.]{0,3}", value in any_value()) {
        let mut other = ingredients.clone();
        let before = other.parameters.insert(name, value.clone());
        let same = before.is_some_and(|b| same_value(&b, &value));
        prop_assert_eq!(ingredients.key() == other.key(), same);
        prop_assert_eq!(Ingredients::differences(&ingredients, &other).len(), usize::from(!same));
    }

    #[test]
    fn json_keeps_the_key(ingredients in any_ingredients()) {
        let text = serde_json::to_string(&ingredients).unwrap();
        let back: Ingredients = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(back.key(), ingredients.key(), "{}", text);
    }
}
