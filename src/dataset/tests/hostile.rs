//! Files that must be refused, with the whole message; and random changes, which must never panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::sound;
use crate::dataset::read;
use crate::language::Language;

fn refuse(name: &str, json: &[u8], language: Language, want: &str) {
    match read(json, "bad.json", language) {
        Ok(_) => panic!("{name}: was read"),
        Err(error) => assert_eq!(error.to_string(), want, "{name}"),
    }
}

#[test]
fn broken_json_is_located() {
    let text = |caption: &str| {
        format!(
            "{{\"images\": [\n  {{\"imgid\": 0, \"filename\": \"1.tif\", \"split\": \"train\",\n   \"sentences\": [{{\"raw\": {caption}}}]}}\n]}}"
        )
    };
    assert!(read(text("\"A plane .\"").as_bytes(), "good.json", Language::En).is_ok());
    for (name, json, want) in [
        ("empty file", String::new(), "bad.json:1:0: EOF while parsing a value: the file is cut off"),
        ("not JSON", "<html>".into(), "bad.json:1:1: expected value, found \"<html>\""),
        ("cut off", text("\"x\"")[..60].into(), "bad.json:2:47: EOF while parsing a string: the file is cut off"),
        ("NaN", text("NaN"), "bad.json:3:26: expected value, found \"NaN\""),
        (
            "lone surrogate",
            text("\"\\ud800\""),
            "bad.json:3:33: unexpected end of hex escape: half a surrogate pair is no character",
        ),
        (
            "lone low surrogate",
            text("\"\\udc00 x\""),
            "bad.json:3:32: lone leading surrogate in hex escape: half a surrogate pair is no character",
        ),
        (
            "raw line break",
            text("\"a\nb\""),
            "bad.json:4:0: control character (\\u0000-\\u001F) found while parsing a string",
        ),
        ("U+2028 between values", text("\u{2028}\"x\""), "bad.json:3:26: expected value, found \"\\u{2028}\\\"x\\\"\""),
        ("a caption that is a number", text("7"), "bad.json:3:26: invalid type: integer `7`, expected a string"),
        ("something after the end", text("\"x\"") + "x", "bad.json:4:3: trailing characters"),
        ("a list", "[]".into(), "bad.json:1:2: invalid length 0, expected struct File with 1 element"),
        ("no images", "{}".into(), "bad.json:1:2: missing field `images`"),
        ("no id", "{\"images\": [\n{}]}".into(), "bad.json:2:2: missing field `imgid`"),
        (
            "a broken id",
            "{\"images\": [{\"imgid\": 0.5}]}".into(),
            "bad.json:1:25: invalid type: floating point `0.5`, expected u32",
        ),
        (
            "a negative id",
            "{\"images\": [{\"imgid\": -1}]}".into(),
            "bad.json:1:24: invalid value: integer `-1`, expected u32",
        ),
        (
            "no image",
            "{\"images\": []}".into(),
            "bad.json: `images` is empty; an annotation file lists at least one image",
        ),
    ] {
        refuse(name, json.as_bytes(), Language::En, want);
    }
    let latin1 = text("\"caf\u{e9}\"").replace('\u{e9}', "?").into_bytes();
    let latin1: Vec<u8> = latin1.into_iter().map(|byte| if byte == b'?' { 0xE9 } else { byte }).collect();
    refuse("Latin-1", &latin1, Language::En, "bad.json:3:30: not UTF-8; save the file as UTF-8");
}

#[test]
fn contradictions_and_dangers_are_named() {
    type Row = (&'static str, fn(&mut Value), &'static str);
    let rows: [Row; 12] = [
        (
            "unknown split",
            |f| f["images"][1]["split"] = json!("restval"),
            "bad.json: image 2 (`2.tif`): unknown split `restval`; splits are train, val and test",
        ),
        (
            "split in capitals",
            |f| f["images"][0]["split"] = json!("Train"),
            "bad.json: image 1 (`1.tif`): unknown split `Train`; splits are train, val and test",
        ),
        (
            "repeated id",
            |f| f["images"][3]["imgid"] = json!(1),
            "bad.json: image 4 repeats the imgid 1 of image 2; each image needs its own",
        ),
        (
            "repeated name",
            |f| f["images"][3]["filename"] = json!("2.tif"),
            "bad.json: image 4 repeats the filename `2.tif` of image 2; each image needs its own",
        ),
        (
            "a way up",
            |f| f["images"][0]["filename"] = json!("../1.tif"),
            "bad.json: image 1: file name \"../1.tif\" has a path separator; a plain name such as `1.tif` is wanted",
        ),
        (
            "a hidden file",
            |f| f["images"][0]["filename"] = json!(".a.tif"),
            "bad.json: image 1: file name \".a.tif\" is hidden; a plain name such as `1.tif` is wanted",
        ),
        (
            "the folder above",
            |f| f["images"][0]["filename"] = json!(".."),
            "bad.json: image 1: file name \"..\" is a folder; a plain name such as `1.tif` is wanted",
        ),
        (
            "absolute",
            |f| f["images"][0]["filename"] = json!("/etc/passwd"),
            "bad.json: image 1: file name \"/etc/passwd\" has a path separator; a plain name such as `1.tif` is wanted",
        ),
        (
            "Windows path",
            |f| f["images"][0]["filename"] = json!("a\\1.tif"),
            "bad.json: image 1: file name \"a\\\\1.tif\" has a path separator; a plain name such as `1.tif` is wanted",
        ),
        (
            "drive",
            |f| f["images"][0]["filename"] = json!("C:1.tif"),
            "bad.json: image 1: file name \"C:1.tif\" begins with a drive letter; a plain name such as `1.tif` is wanted",
        ),
        (
            "NUL",
            |f| f["images"][0]["filename"] = json!("1\0.tif"),
            "bad.json: image 1: file name \"1\\0.tif\" has a control character; a plain name such as `1.tif` is wanted",
        ),
        (
            "no name",
            |f| f["images"][0]["filename"] = json!(""),
            "bad.json: image 1: file name \"\" is empty; a plain name such as `1.tif` is wanted",
        ),
    ];
    for (name, change, want) in rows {
        let mut file = sound();
        change(&mut file);
        refuse(name, &serde_json::to_vec(&file).unwrap(), Language::En, want);
    }
}

#[test]
fn a_chinese_set_never_falls_back_to_english() {
    let mut file = sound();
    file["images"][1]["sentences"][1]["raw_chinese"] = Value::Null;
    refuse(
        "one missing",
        &serde_json::to_vec(&file).unwrap(),
        Language::Zh,
        "bad.json: 1 of 10 captions have no `raw_chinese`, first in `2.tif` (imgid 1) sentence 2; is this the English \
         file? English captions are never used for a Chinese set",
    );
    for image in file["images"].as_array_mut().unwrap() {
        for sentence in image["sentences"].as_array_mut().unwrap() {
            sentence.as_object_mut().unwrap().remove("raw_chinese");
        }
    }
    refuse(
        "all missing",
        &serde_json::to_vec(&file).unwrap(),
        Language::Zh,
        "bad.json: 10 of 10 captions have no `raw_chinese`, first in `1.tif` (imgid 0) sentence 1, `1.tif` (imgid 0) \
         sentence 2, `2.tif` (imgid 1) sentence 1; is this the English file? English captions are never used for a \
         Chinese set",
    );
    assert!(read(&serde_json::to_vec(&file).unwrap(), "bad.json", Language::En).is_ok());

    file["images"][4]["sentences"][0]["raw"] = Value::Null;
    refuse(
        "English missing",
        &serde_json::to_vec(&file).unwrap(),
        Language::En,
        "bad.json: 1 of 10 captions have no `raw`, first in `5.tif` (imgid 4) sentence 1; every sentence needs its text",
    );
}

/// What was read is consistent, whatever it was.
fn survives(json: &[u8]) {
    for language in [Language::En, Language::Zh] {
        let Ok(annotations) = read(json, "random.json", language) else { continue };
        let mut ids: Vec<u32> = annotations.sentences.iter().map(|sentence| sentence.sent_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), annotations.sentences.len(), "sentence ids are unique");
        assert!(annotations.images.iter().all(|image| !image.filename.contains('/')));
        assert!(annotations.sentences.iter().all(|sentence| !sentence.raw.contains(char::is_control)));
        assert!(!annotations.edition.is_empty());
    }
}

/// Values that stand where they should not.
fn strange() -> impl Strategy<Value = Value> {
    let texts =
        prop::sample::select(vec!["", "###", "a ###", " ", "\u{feff}", "..", "房###", "\u{2028}", "test", "1.tif"]);
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts.prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([["x"], 3])),
    ]
}

/// Every place in `value`, as a path that `Value::pointer` takes.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| places(item, &format!("{at}/{i}"), out)),
        Value::Object(map) => map.iter().for_each(|(key, item)| places(item, &format!("{at}/{key}"), out)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = serde_json::to_vec_pretty(&sound()).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let length = cut.map_or(bytes.len(), |at| at.index(bytes.len()));
        survives(&bytes[..length]);
    }

    #[test]
    fn changed_values_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), strange()), 1..4)) {
        let mut file = sound();
        for (at, value) in changes {
            let mut all = Vec::new();
            places(&file, "", &mut all);
            *file.pointer_mut(&all[at.index(all.len())]).unwrap() = value;
        }
        survives(&serde_json::to_vec(&file).unwrap());
    }
}
