//! Which caption an image gets, and everything that is told when one does not.

use super::*;
use crate::language::Split;

/// Eight images; as in UCM the file's number is one more than the id.
const TARGETS: [Target<'static>; 8] = [
    Target { image_id: 0, filename: "1.tif", split: Split::Train },
    Target { image_id: 1, filename: "2.tif", split: Split::Train },
    Target { image_id: 2, filename: "3.tif", split: Split::Val },
    Target { image_id: 3, filename: "4.tif", split: Split::Test },
    Target { image_id: 4, filename: "5.tif", split: Split::Test },
    Target { image_id: 9, filename: "port_1.tif", split: Split::Test },
    Target { image_id: 10, filename: "park.tif", split: Split::Val },
    Target { image_id: 11, filename: "park.jpg", split: Split::Val },
];

fn check(text: &str, split: Split, allow_missing: bool) -> Result<Assigned, CandidateError> {
    assign(read(text.as_bytes(), "x.json").unwrap(), &TARGETS, split, allow_missing, "x.json")
}

#[test]
fn every_way_to_call_an_image_finds_it() {
    for (name, text) in [
        ("ids", r#"{"3": "a", "4": "b", "9": "c"}"#),
        ("any order", r#"{"9": "c", "4": "b", "3": "a"}"#),
        ("names", r#"{"4.tif": "a", "5.tif": "b", "port_1.tif": "c"}"#),
        ("paths", r#"{"imgs/4.tif": "a", "/data/UCM/5.tif": "b", "C:\\imgs\\port_1.tif": "c"}"#),
        ("another extension", r#"{"4.png": "a", "x/5.jpg": "b", "port_1.jpeg": "c"}"#),
        ("no extension", r#"{"4.": "a", "5.tif": "b", "imgs/port_1": "c"}"#),
        ("a mixture", r#"{"03": "a", "5.tif": "b", "port_1": "c"}"#),
        (
            "both",
            r#"[{"image_id": 3, "image": "4.tif", "caption": "a"}, {"image_id": 4, "caption": "b"},
                {"filename": "i/port_1.tif", "imgid": "9", "caption": "c"}]"#,
        ),
    ] {
        let captions = [(3, "a".to_owned()), (4, "b".to_owned()), (9, "c".to_owned())].to_vec();
        assert_eq!(check(text, Split::Test, false), Ok(Assigned { captions, missing: vec![] }), "{name}");
    }
    let some = Assigned { captions: vec![(4, String::new())], missing: vec![3, 9] };
    assert_eq!(check(r#"{"4": ""}"#, Split::Test, true), Ok(some));
}

#[test]
fn everything_wrong_is_told_at_once() {
    type Row = (&'static str, &'static str, Split, bool, &'static [&'static str], Option<&'static str>);
    const ALL_THREE: &str =
        "3 of the 3 images of split test have no caption: 3 (`4.tif`), 4 (`5.tif`), 9 (`port_1.tif`)";
    let rows: &[Row] = &[
        (
            "missing",
            r#"{"3": "a"}"#,
            Split::Test,
            false,
            &["2 of the 3 images of split test have no caption: 4 (`5.tif`), 9 (`port_1.tif`)"],
            Some(
                "to score the captions that are there: `rsic score --allow-missing`, or `allow_missing = true` in pipeline.toml",
            ),
        ),
        (
            "one missing",
            r#"{"3": "a", "4": "b"}"#,
            Split::Test,
            false,
            &["1 of the 3 images of split test has no caption: 9 (`port_1.tif`)"],
            Some(
                "to score the captions that are there: `rsic score --allow-missing`, or `allow_missing = true` in pipeline.toml",
            ),
        ),
        (
            "repeated key",
            "{\"3\": \"a\", \"4\": \"b\",\n\"3\": \"a\",\n\"9\": \"c\", \"3\": \"d\"}",
            Split::Test,
            false,
            &["1 image has more than one caption (2 too many): 3 (`4.tif`) on lines 1 and 2"],
            None,
        ),
        (
            "the same image in other words",
            "{\"3\": \"a\", \"4\": \"b\", \"9\": \"c\",\n\"03\": \"a\", \"imgs/5.tif\": \"b\"}",
            Split::Test,
            false,
            &[
                "2 images have more than one caption (2 too many): 3 (`4.tif`) on lines 1 and 2, 4 (`5.tif`) on lines 1 and 2",
            ],
            None,
        ),
        (
            "repeated on one line",
            r#"{"3": "a", "4": "b", "9": "c", "3": "a", "5.tif": "d"}"#,
            Split::Test,
            false,
            &["2 images have more than one caption (2 too many): 3 (`4.tif`), 4 (`5.tif`)"],
            None,
        ),
        (
            "another split",
            "{\"2\": \"a\",\n\"10\": \"b\",\n\"11\": \"c\"}",
            Split::Test,
            false,
            &[
                "3 captions are of split val, not test: 2 (`3.tif`) on line 1, 10 (`park.tif`) on line 2, 11 (`park.jpg`) on line 3",
                ALL_THREE,
            ],
            Some(
                "to score them as captions of split val: `rsic score --split val`, or `-p caption.split=val` for targets",
            ),
        ),
        (
            "one of another split",
            r#"{"3": "a", "4": "b", "9": "c", "1": "d"}"#,
            Split::Test,
            false,
            &["1 caption is of split train, not test: 1 (`2.tif`)"],
            None,
        ),
        (
            "of another dataset",
            "{\"3\": \"a\", \"4\": \"b\", \"9\": \"c\",\n\"77\": \"d\", \"foo.tif\": \"e\",\n\"park\": \"f\"}",
            Split::Test,
            false,
            &[
                "3 captions are of no image of the dataset: 77 on line 2, `foo.tif` on line 2, `park` (the name fits several files) on line 3",
            ],
            None,
        ),
        (
            "id and name disagree",
            r#"[{"image_id": 3, "image": "5.tif", "caption": "a"}, {"image_id": 4, "image": "no.tif", "caption": "b"}]"#,
            Split::Test,
            true,
            &[
                "2 captions with an id and a name of different images, keep the right one: 3 and `5.tif`, 4 and `no.tif`",
                "not one caption is of an image of split test",
            ],
            None,
        ),
        (
            "everything",
            "{\"3\": \"a\",\n\"3\": \"b\",\n\"0\": \"c\",\n\"2\": \"d\",\n\"77\": \"e\"}",
            Split::Test,
            false,
            &[
                "1 image has more than one caption (1 too many): 3 (`4.tif`) on lines 1 and 2",
                "1 caption is of split train, not test: 0 (`1.tif`) on line 3",
                "1 caption is of split val, not test: 2 (`3.tif`) on line 4",
                "1 caption is of no image of the dataset: 77 on line 5",
                "2 of the 3 images of split test have no caption: 4 (`5.tif`), 9 (`port_1.tif`)",
            ],
            None,
        ),
        (
            "none, though some may be missing",
            r#"{"77": "a"}"#,
            Split::Test,
            true,
            &["1 caption is of no image of the dataset: 77", "not one caption is of an image of split test"],
            None,
        ),
        (
            "numbers of files for ids",
            r#"{"4": "a", "5": "b"}"#,
            Split::Test,
            true,
            &["1 caption is of no image of the dataset: 5"],
            Some("a bare number is an image id; if file names are meant, write `4.tif` for 4"),
        ),
    ];
    for (name, text, split, allow_missing, want, hint) in rows {
        let error = check(text, *split, *allow_missing).unwrap_err();
        let want: Vec<String> = want.iter().map(|line| format!("x.json: {line}")).collect();
        assert_eq!(error.to_string(), want.join("\n"), "{name}");
        assert_eq!(error.hint().as_deref(), *hint, "{name}");
    }
}

#[test]
fn a_split_without_images_has_no_captions() {
    let entries = read(br#"{"0": "a"}"#, "x.json").unwrap();
    let error = assign(entries, &TARGETS[..2], Split::Test, false, "x.json").unwrap_err();
    let want =
        "x.json: 1 caption is of split train, not test: 0 (`1.tif`)\nx.json: the dataset has no image of split test";
    assert_eq!(error.to_string(), want);
    assert!(assign(Vec::new(), &TARGETS, Split::Test, true, "x").is_err(), "no entries at all");
}

#[test]
fn many_entries_take_linear_time_and_a_short_message() {
    let lines = |key: fn(usize) -> usize, count| {
        let pairs: Vec<String> = (0..count).map(|n| format!("\"{}\": \"a plane on a runway .\"", key(n))).collect();
        format!("{{{}}}", pairs.join(",\n"))
    };
    let names: Vec<String> = (0..50_000).map(|n| format!("{n}.tif")).collect();
    let target = |(n, name)| Target { image_id: n as u32, filename: name, split: Split::Test };
    let targets: Vec<Target<'_>> = names.iter().map(String::as_str).enumerate().map(target).collect();
    let entries = read(lines(|n| n, 50_000).as_bytes(), "x.json").unwrap();
    assert_eq!(entries.last().unwrap().line, 50_000);
    assert_eq!(assign(entries, &targets, Split::Test, false, "x.json").unwrap().captions.len(), 50_000);

    for (name, key) in
        [("one image", (|_| 7) as fn(usize) -> usize), ("each twice", |n| n / 2), ("unknown", |n| n + 50_000)]
    {
        let entries = read(lines(key, 50_000).as_bytes(), "x.json").unwrap();
        let error = assign(entries, &targets, Split::Test, false, "x.json").unwrap_err().to_string();
        assert!(error.len() < 1000, "{name}: {error}");
    }
    let name = "\u{1b}[31m".repeat(100_000);
    let entries = vec![Entry { key: ImageKey::Name(name), also: None, caption: String::new(), line: 1 }];
    let error = assign(entries, &TARGETS, Split::Test, false, "x.json").unwrap_err().to_string();
    assert!(error.len() < 1000 && !error.contains('\u{1b}'), "{error}");
}
