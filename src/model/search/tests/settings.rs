//! Which settings are refused, and how they are serialised.

use serde_json::{Value, json};

use super::*;

fn parse(settings: Value) -> DecodeConfig {
    serde_json::from_value(settings).unwrap()
}

#[test]
fn impossible_and_idle_settings_are_refused() {
    // Settings, and the whole message of the error, with at most 4 tokens.
    let rows = [
        (json!({"width": 0}), "`width` must be at least 1"),
        (json!({"n": 0}), "`n` must be at least 1"),
        (json!({"n": 6}), "`n` must be at most `width`, which is 5, not 6: keep more beams"),
        (
            json!({"n": 3, "width": 2, "method": "beam_set_aside"}),
            "`n` must be at most `width`, which is 2, not 3: keep more beams",
        ),
        (
            json!({"n": 3, "width": 2, "method": "beam_clipcap"}),
            "`n` must be at most `width`, which is 2, not 3: keep more beams",
        ),
        (
            json!({"n": 2, "method": "greedy"}),
            "`n` must be 1 with method `greedy`, which finds one caption: use `beam` or `sample` for 2",
        ),
        (json!({"min_tokens": 5}), "`min_tokens` must be at most `max_tokens`, which is 4, not 5"),
        (json!({"method": "sample", "temperature": 0}), "`temperature` must be above 0, not 0"),
        (json!({"method": "sample", "temperature": -0.5}), "`temperature` must be above 0, not -0.5"),
        (json!({"method": "sample", "top_p": 0}), "`top_p` must be above 0 and at most 1, not 0"),
        (json!({"method": "sample", "top_p": 1.5}), "`top_p` must be above 0 and at most 1, not 1.5"),
        (
            json!({"method": "beam_clipcap", "length_penalty": 2}),
            "`length_penalty` has no effect with method `beam_clipcap`: leave it out",
        ),
        (json!({"temperature": 0.7}), "`temperature` has no effect with method `beam`: leave it out"),
        (json!({"top_k": 5}), "`top_k` has no effect with method `beam`: leave it out"),
        (json!({"method": "greedy", "top_p": 0.9}), "`top_p` has no effect with method `greedy`: leave it out"),
        (json!({"method": "beam_clipcap", "seed": 1}), "`seed` has no effect with method `beam_clipcap`: leave it out"),
    ];
    for (settings, wanted) in rows {
        let error = parse(settings.clone()).check(4).unwrap_err().to_string();
        assert_eq!(error, wanted, "{settings}");
        assert!(search(&Toy { vocab: 4 }, &tensor(&[0]), &[0], &parse(settings), 4, &BTreeSet::new()).is_err());
    }
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = |config: DecodeConfig| config.check(4).unwrap_err().to_string();
        let sample = config(Method::Sample, 1);
        let finite = |name| format!("`{name}` must be a finite number, not {bad}");
        assert_eq!(error(DecodeConfig { temperature: bad, ..sample.clone() }), finite("temperature"));
        assert_eq!(error(DecodeConfig { length_penalty: bad, ..DecodeConfig::default() }), finite("length_penalty"));
        assert!(error(DecodeConfig { top_p: bad, ..sample }).starts_with("`top_p` must be above 0 and at most 1"));
    }
    assert_eq!(DecodeConfig::default().check(0).unwrap_err().to_string(), "`max_tokens` must be at least 1");
}

#[test]
fn possible_settings_are_accepted() {
    let rows = [
        json!({}),
        json!({"method": "greedy"}),
        json!({"method": "greedy", "width": 2, "length_penalty": 1, "temperature": 1, "top_k": 0, "top_p": 1, "seed": 0}),
        json!({"method": "greedy", "no_repeat_ngram": 3, "min_tokens": 4}),
        json!({"length_penalty": -1, "n": 5}),
        json!({"method": "beam_clipcap", "width": 2, "n": 2, "no_repeat_ngram": 1}),
        json!({"method": "sample", "n": 9, "temperature": 1e-300, "top_k": 1, "top_p": 1e-9, "seed": u64::MAX}),
    ];
    for settings in rows {
        assert!(parse(settings.clone()).check(4).is_ok(), "{settings}: {:?}", parse(settings.clone()).check(4));
    }
    assert!(serde_json::from_value::<DecodeConfig>(json!({"max_tokens": 5})).is_err(), "it is given beside them");
}

/// Cache keys hold these settings. Expected: what they held before the newer settings came.
#[test]
fn settings_at_their_defaults_leave_no_trace() {
    let text = |config: &DecodeConfig| serde_json::to_string(config).unwrap();
    let plain = r#"{"method":"beam","width":5,"length_penalty":1.0}"#;
    assert_eq!(text(&DecodeConfig::default()), plain);
    let old = DecodeConfig {
        method: Method::BeamClipcap,
        end_token: false,
        stop_ids: vec![13, 764],
        stop_texts: vec![".".to_owned()],
        ..DecodeConfig::default()
    };
    let wanted = r#"{"method":"beam_clipcap","width":5,"length_penalty":1.0,"end_token":false,"stop_ids":[13,764],"stop_texts":["."]}"#;
    assert_eq!(text(&old), wanted);

    let plain: Value = serde_json::from_str(plain).unwrap();
    let newer = json!({
        "n": 2, "min_tokens": 3, "no_repeat_ngram": 4, "temperature": 0.5, "top_k": 6, "top_p": 0.75, "seed": 8,
    });
    for (name, value) in newer.as_object().unwrap() {
        let mut wanted = plain.clone();
        wanted[name] = value.clone();
        let config = parse(wanted.clone());
        assert_eq!(serde_json::to_value(&config).unwrap(), wanted);
        assert_eq!(parse(wanted), config);
    }
    for method in METHODS {
        assert_eq!(serde_json::to_value(config(method, 1)).unwrap()["method"], method.name());
    }
}
