//! What is read from each format, and what is not.

use super::*;

/// The entries as (key, caption, line); a second name follows the key after `=`.
fn shown(text: &str, file: &str) -> Vec<(String, String, usize)> {
    let entries = read(text.as_bytes(), file).unwrap_or_else(|error| panic!("{file}: {error}: {text}"));
    let key = |entry: &Entry| match &entry.also {
        Some(also) => format!("{}={also}", entry.key),
        None => entry.key.to_string(),
    };
    entries.into_iter().map(|entry| (key(&entry), entry.caption, entry.line)).collect()
}

type Row = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str, usize)]);

#[test]
fn every_format_is_read() {
    let rows: &[Row] = &[
        ("original code", "a.json", "{\"12\": \"x\",\n \"7\": \"y\"}", &[("12", "x", 1), ("7", "y", 2)]),
        ("file names", "a.json", r#"{"12.tif": "x", "i/7.tif": "y"}"#, &[("`12.tif`", "x", 1), ("`i/7.tif`", "y", 1)]),
        ("pycocoevalcap", "a.json", r#"{"12": ["x"]}"#, &[("12", "x", 1)]),
        ("repeated keys", "a.json", "{\"7\": \"x\",\n\"7\": \"y\"}", &[("7", "x", 1), ("7", "y", 2)]),
        ("without extension", "results", r#"{"12": "x"}"#, &[("12", "x", 1)]),
        ("under a wrong name", "a.csv", r#"{"12": "x"}"#, &[("12", "x", 1)]),
        ("BOM", "a.json", "\u{feff}{\"12\": \"x\"}", &[("12", "x", 1)]),
        (
            "COCO results",
            "a.json",
            "[\n {\"image_id\": 12, \"caption\": \"x\", \"id\": 3},\n {\n  \"caption\": \"y\", \"image_id\": \"7\"}]",
            &[("12", "x", 2), ("7", "y", 3)],
        ),
        (
            "other key names",
            "a.json",
            r#"[{"imgid": 1, "caption": "a"}, {"filename": "2.tif", "caption": "b"},
                {"file_name": "3.tif", "caption": "c"}, {"image": "i/4.tif", "caption": "d"}]"#,
            &[("1", "a", 1), ("`2.tif`", "b", 1), ("`3.tif`", "c", 2), ("`i/4.tif`", "d", 2)],
        ),
        (
            "several that agree",
            "a.json",
            r#"[{"image_id": 1, "imgid": "01", "filename": "2.tif", "image": "i/2.tif", "caption": "a"}]"#,
            &[("1=`i/2.tif`", "a", 1)],
        ),
        (
            "null beside a name",
            "a.json",
            r#"[{"image_id": null, "image": "2.tif", "caption": "a"}]"#,
            &[("`2.tif`", "a", 1)],
        ),
        ("fraction of zero", "a.json", r#"[{"image_id": 12.0, "caption": "a"}]"#, &[("12", "a", 1)]),
        ("largest id", "a.json", r#"[{"image_id": 4294967295, "caption": "a"}]"#, &[("4294967295", "a", 1)]),
        (
            "COCO object",
            "a.json",
            "{\"info\": {\"year\": 2014}, \"licenses\": [], \"images\": [{\"id\": 12}],\n\"annotations\": [{\"image_id\": 12, \"caption\": \"x\", \"id\": 1}]}",
            &[("12", "x", 2)],
        ),
        (
            "JSONL",
            "a.jsonl",
            "{\"image_id\": 12, \"caption\": \"x\"}\n\n{\"caption\": \"y\", \"image_id\": 7}\r\n  \n",
            &[("12", "x", 1), ("7", "y", 3)],
        ),
        ("JSONL of one line", "a.json", "{\"image_id\": 12, \"caption\": \"x\"}", &[("12", "x", 1)]),
        ("CSV", "a.csv", "image_id,caption\n12,a plane .\n7,b\n", &[("12", "a plane .", 2), ("7", "b", 3)]),
        ("TSV", "a.tsv", "caption\timage_id\nx, y\t12", &[("12", "x, y", 2)]),
        ("TSV under another name", "a.csv", "image_id\tcaption\n12\tx\n", &[("12", "x", 2)]),
        ("CSV under another name", "a.json", "image_id,caption\n12,x\n", &[("12", "x", 2)]),
        ("CSV without extension", "results", "caption,image\nx,12.tif\n", &[("`12.tif`", "x", 2)]),
        (
            "quotes and line breaks",
            "a.csv",
            "\u{feff}\"image_id\",\"caption\"\r\n12,\"a \"\"b\"\",\r\nc\"\r\n\r\n7,d\r\n",
            &[("12", "a \"b\",\r\nc", 2), ("7", "d", 5)],
        ),
        ("index of pandas", "a.csv", ",image_id,caption\n0,12.0,x\n", &[("12", "x", 2)]),
        ("blanks in the header", "a.csv", "image_id, caption\n 12 ,x\n", &[("12", "x", 2)]),
        ("empty rows", "a.csv", "image_id,caption\n,\n   \n12,x\n,,\n", &[("12", "x", 4)]),
        ("old line ends", "a.csv", "image_id,caption\r12,x\r7,y", &[("12", "x", 2), ("7", "y", 3)]),
        ("empty caption", "a.json", r#"{"12": ""}"#, &[("12", "", 1)]),
        ("empty caption in a table", "a.csv", "image_id,caption\n12,\n", &[("12", "", 2)]),
        ("escapes", "a.json", r#"{"12": "a\u0001\n\ud83d\ude00\t"}"#, &[("12", "a\u{1}\n\u{1f600}\t", 1)]),
        ("U+2028 in a caption", "a.jsonl", "{\"image_id\": 1, \"caption\": \"a\u{2028}b\"}", &[("1", "a\u{2028}b", 1)]),
        (
            "braces and words in a caption",
            "a.json",
            r#"{"12": "NaN {'a': [\"images\"]}"}"#,
            &[("12", "NaN {'a': [\"images\"]}", 1)],
        ),
    ];
    for (name, file, text, want) in rows {
        println!("{name}");
        let want: Vec<_> = want.iter().map(|(key, caption, line)| ((*key).into(), (*caption).into(), *line)).collect();
        assert_eq!(shown(text, file), want, "{name}");
    }
}

#[test]
fn a_number_is_an_id_and_everything_else_a_name() {
    let name = |text: &str| Ok(ImageKey::Name(text.to_owned()));
    for (text, want) in [
        ("12", Ok(ImageKey::Id(12))),
        ("07", Ok(ImageKey::Id(7))),
        (" 7 ", Ok(ImageKey::Id(7))),
        ("7.00", Ok(ImageKey::Id(7))),
        ("-0", Ok(ImageKey::Id(0))),
        ("4294967295", Ok(ImageKey::Id(u32::MAX))),
        ("000000000000000000000000000012", Ok(ImageKey::Id(12))),
        ("4294967296", Err(BadKey::TooLarge)),
        ("99999999999999999999999999", Err(BadKey::TooLarge)),
        ("-1", Err(BadKey::Negative)),
        ("12.5", Err(BadKey::Fractional)),
        ("-12.5", Err(BadKey::Fractional)),
        ("12.tif", name("12.tif")),
        ("12.", name("12.")),
        (".5", name(".5")),
        ("1e3", name("1e3")),
        ("+7", name("+7")),
        ("\u{661}\u{662}", name("\u{661}\u{662}")),
        ("a b", name("a b")),
    ] {
        assert_eq!(ImageKey::from_text(text), want, "{text}");
    }
    for (number, want) in [
        (12.0, Ok(ImageKey::Id(12))),
        (-0.0, Ok(ImageKey::Id(0))),
        (12.5, Err(BadKey::Fractional)),
        (-1.0, Err(BadKey::Negative)),
        (4294967296.0, Err(BadKey::TooLarge)),
        (1e300, Err(BadKey::TooLarge)),
        (f64::NAN, Err(BadKey::Fractional)),
        (f64::INFINITY, Err(BadKey::Fractional)),
    ] {
        assert_eq!(ImageKey::from_number(number), want, "{number}");
    }
}
