//! State dicts in the checkpoints of the usual training programs.

use super::*;

fn tensor(n: usize) -> Value {
    Value::Tensor(Box::new(info(&value(&floats("0", n)).unwrap())))
}

fn entries(pairs: &[(&str, Value)]) -> Value {
    Value::Dict(pairs.iter().map(|(name, value)| (Value::Text((*name).to_owned()), value.clone())).collect())
}

fn object(class: &str) -> Value {
    Value::Object { class: class.to_owned(), parts: vec![] }
}

/// (name, root, path, tensors, entries inside, entries beside).
type Row<'a> = (&'a str, Value, &'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

#[test]
fn the_state_dict_is_found() {
    let weights = || entries(&[("w", tensor(2)), ("b", tensor(1))]);
    let moments = Value::Dict(vec![(Value::Int(0), entries(&[("exp_avg", tensor(1))]))]);
    let optimizer = || entries(&[("state", moments.clone()), ("param_groups", Value::List(vec![]))]);
    let lightning = entries(&[
        ("epoch", Value::Int(7)),
        ("version", Value::Text("2.1".to_owned())),
        ("state_dict", weights()),
        ("optimizer_states", Value::List(vec![optimizer()])),
        ("hyper_parameters", object("argparse.Namespace")),
    ]);
    let rows: [Row<'_>; 10] = [
        ("plain", weights(), "", &["w", "b"], &[], &[]),
        (
            "Lightning",
            lightning,
            "state_dict",
            &["w", "b"],
            &[],
            &[
                "epoch: int 7",
                "version: text \"2.1\"",
                "optimizer_states: list of 1",
                "hyper_parameters: object argparse.Namespace",
            ],
        ),
        (
            "tensors beside the state dict",
            entries(&[("model_state_dict", weights()), ("loss", tensor(1)), ("optimizer", optimizer())]),
            "model_state_dict",
            &["w", "b"],
            &[],
            &["loss: tensor float32 [1]", "optimizer: dict of 2"],
        ),
        (
            "a repeated key, of which Python keeps the last",
            entries(&[("model", entries(&[("old", tensor(1))])), ("model", weights())]),
            "model",
            &["w", "b"],
            &[],
            &["model: dict of 1"],
        ),
        (
            "two levels",
            entries(&[("model", entries(&[("module", weights()), ("x", Value::None)])), ("step", Value::Float(0.5))]),
            "model.module",
            &["w", "b"],
            &[],
            &["step: float 0.5", "model.x: none"],
        ),
        (
            "model before its average",
            entries(&[("ema", weights()), ("model", entries(&[("v", tensor(3))]))]),
            "model",
            &["v"],
            &[],
            &["ema: dict of 2"],
        ),
        (
            "other entries inside",
            entries(&[("w", tensor(2)), ("_extra", Value::Bytes(vec![1])), ("n", Value::Bool(true))]),
            "",
            &["w"],
            &["_extra: bytes of 1", "n: bool true"],
            &[],
        ),
        (
            "parts",
            entries(&[("encoder", weights()), ("decoder", entries(&[("x", weights())])), ("optimizer", optimizer())]),
            "",
            &["encoder.w", "encoder.b", "decoder.x.w", "decoder.x.b"],
            &["optimizer: dict of 2"],
            &[],
        ),
        (
            "a part with the name of a nest",
            entries(&[("model", Value::Text("large".to_owned())), ("w", tensor(2))]),
            "",
            &["w"],
            &["model: text \"large\""],
            &[],
        ),
        (
            "a key that is no text",
            Value::Dict(vec![(Value::Int(3), tensor(1)), (Value::Text("w".to_owned()), tensor(2))]),
            "",
            &["w"],
            &["3: tensor float32 [1]"],
            &[],
        ),
    ];
    for (name, root, path, tensors, inside, beside) in rows {
        let named = named_tensors(&root).unwrap();
        let shown = |entries: &[Entry]| entries.iter().map(|e| format!("{}: {}", e.name, e.what)).collect::<Vec<_>>();
        assert_eq!(named.path, path, "{name}");
        assert_eq!(named.tensors.iter().map(|(name, _)| name).collect::<Vec<_>>(), tensors, "{name}");
        assert_eq!(shown(&named.inside), inside, "{name}");
        assert_eq!(shown(&named.beside), beside, "{name}");
    }
}

/// Rows of (name, root, part of the message).
#[test]
fn a_file_without_a_state_dict_is_refused() {
    let twice = entries(&[("a.b", tensor(1)), ("a", entries(&[("b", tensor(1))]))]);
    let long = entries(&[(&"x".repeat(5000), tensor(1))]);
    let rows = [
        ("model", object("__main__.ClipCaptionModel"), "object of the Python class `__main__.ClipCaptionModel`"),
        ("model in a dict", entries(&[("epoch", Value::Int(1)), ("model", object("net.Net"))]), "class `net.Net`"),
        ("tensor", tensor(2), "no tensors by name (it is a tensor float32 [2])"),
        ("list", Value::List(vec![tensor(2)]), "no tensors by name (it is a list of 1)"),
        ("settings", entries(&[("lr", Value::Float(0.1))]), "no tensors by name (it is a dict of 1)"),
        ("one name twice", twice, "two tensors have the name `a.b`"),
        ("endless name", long, "more than 4096 bytes"),
    ];
    for (name, root, message) in rows {
        let error = named_tensors(&root).unwrap_err().to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
}
