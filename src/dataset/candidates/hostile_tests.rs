//! Files that must be refused, with the whole message.

use super::*;

/// Rows of (name, file name, content, message, which begins with the file name).
fn refuse(rows: &[(&str, &str, &[u8], &str)]) {
    for (name, file, bytes, want) in rows {
        match read(bytes, file) {
            Ok(entries) => panic!("{name}: was read as {entries:?}"),
            Err(error) => assert_eq!(error.to_string(), format!("{file}{want}"), "{name}"),
        }
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    refuse(&[
        ("empty", "x", b"", " is empty; was it written to its end?"),
        ("blank", "x", b"\xEF\xBB\xBF \n", " is empty; was it written to its end?"),
        ("no caption", "x.json", b"{}", " holds no captions; was it written to its end?"),
        ("no result", "x.json", b"[]", " holds no captions; was it written to its end?"),
        ("only a header", "x.csv", b"image_id,caption\n", " holds no captions; was it written to its end?"),
        ("Parquet", "x.json", b"PAR1\x15\x04", " is a Parquet file; it is read by its columns, not as text"),
        ("zip", "x.json", b"PK\x03\x04\x14", " is a zip archive; unpack it, and give the file with the captions"),
        ("gzip", "x.json.gz", b"\x1F\x8B\x08", " is packed with gzip; unpack it with `gunzip`"),
        ("pickle", "x.pkl", b"\x80\x04\x95", " is a Python pickle; write the captions with Python's `json.dump`"),
        ("UTF-16", "x.csv", b"\xFF\xFEi\0", " is UTF-16 text; save it as UTF-8"),
        (
            "HTML",
            "x.json",
            b"\n<!DOCTYPE html>",
            " is HTML or XML; a download may have saved a web page in its place: fetch the raw file",
        ),
        (
            "annotations",
            "dataset.json",
            br#"{"images": [{"imgid": 0, "sentences": [{"raw": "x"}]}], "dataset": "ucm"}"#,
            " is the annotation file of a dataset (it has `images` with `sentences`); give the file with the captions of a model",
        ),
        (
            "Latin-1",
            "x.json",
            b"\xEF\xBB\xBF{\"1\":\n \"caf\xE9\"}",
            ":2:6: not UTF-8 (byte 15 of the file); save the file as UTF-8",
        ),
    ]);
    let pointer = read(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "x.json").unwrap_err();
    assert_eq!(pointer.to_string(), "x.json is a Git LFS pointer; the captions themselves are still to be fetched");
    assert_eq!(pointer.hint().unwrap(), "fetch them with `git lfs pull`");
}

#[test]
fn broken_json_is_located() {
    refuse(&[
        ("cut off", "x.json", b"{\"1\": \"a", ":1:8: EOF while parsing a string: the file is cut off"),
        (
            "cut off line",
            "x.jsonl",
            b"{\"image_id\": 1, \"caption\": \"a\"}\n{\"im",
            ":2:4: EOF while parsing a string: the file is cut off",
        ),
        (
            "NaN for a caption",
            "x.json",
            b"{\"1\": \"a\",\n \"2\": NaN}",
            ":2:7: `NaN` is no JSON, though Python writes it; write `null`, or leave the field out",
        ),
        (
            "NaN elsewhere",
            "x.json",
            b"[{\"image_id\": 1, \"caption\": \"a\", \"score\": NaN}]",
            ":1:43: `NaN` is no JSON, though Python writes it; write `null`, or leave the field out",
        ),
        (
            "minus infinity",
            "x.jsonl",
            b"{\"image_id\": 1, \"caption\": \"a\", \"score\": -Infinity}",
            ":1:43: `-Infinity` is no JSON, though Python writes it; write `null`, or leave the field out",
        ),
        (
            "half a character",
            "x.json",
            br#"{"1": "a \ud800"}"#,
            ":1:16: unexpected end of hex escape: half a surrogate pair (`\\ud800` to `\\udfff`) is no character; leave it out",
        ),
        (
            "other half",
            "x.json",
            br#"{"1": "a \udc00 b"}"#,
            ":1:15: lone leading surrogate in hex escape: half a surrogate pair (`\\ud800` to `\\udfff`) is no character; leave it out",
        ),
        (
            "Python dict",
            "x.json",
            b"{'1': 'a'}",
            ":1:2: single quotes: this is a Python dict as `str` or `print` shows it, no JSON; write it with `json.dump`",
        ),
        (
            "list of Python dicts",
            "x",
            b"[{'image_id': 1}]",
            ":1:3: single quotes: this is a Python dict as `str` or `print` shows it, no JSON; write it with `json.dump`",
        ),
        (
            "Python strings",
            "x.json",
            b"['a']",
            ":1:2: single quotes: this is a Python dict as `str` or `print` shows it, no JSON; write it with `json.dump`",
        ),
        (
            "Python keys",
            "x.json",
            b"{12: \"a\"}",
            ":1:2: a key without quotes, found `12:`: this is a Python dict, no JSON; write it with `json.dump`",
        ),
        (
            "Python None",
            "x.json",
            b"{\"12\": None}",
            ":1:8: expected value, found `None`: this is Python, no JSON; write it with `json.dump`",
        ),
        ("nothing for a caption", "x.json", b"{\"12\": , \"13\": \"\"}", ":1:8: expected value, found `,`"),
        ("no value", "x.json", b"captions", ":1:1: expected value, found `captions`"),
        ("other value", "x.json", b"7", ":1:1: invalid type: integer `7`, expected an object or a list of captions"),
        (
            "two objects",
            "x.json",
            b"{\"1\": \"a\"}\n{\"2\": \"b\"}",
            ":2:1: trailing characters `{\"2\":`: one JSON value is wanted, or one object with `image_id` and `caption` per line",
        ),
        ("not one per line", "x.jsonl", b"{\"image_id\": 1, \"caption\": \"a\"},", ":1:32: expected value, found `,`"),
    ]);
    // Deep nesting ends where the parser's stack would, or is passed over without one.
    let bomb = "[".repeat(100_000);
    for (name, text, want) in [
        ("in a list", bomb.clone(), ":1:3: invalid type: sequence, expected an object with `image_id` and `caption`"),
        ("in a caption", format!("{{\"1\": {bomb}"), ":1:133: recursion limit exceeded"),
        ("elsewhere", format!("[{{\"id\": {bomb}"), ":1:100008: EOF while parsing a list: the file is cut off"),
    ] {
        refuse(&[(name, "x.json", text.as_bytes(), want)]);
    }
}

#[test]
fn what_is_no_caption_is_located() {
    refuse(&[
        ("null", "x.json", b"{\"1\": \"a\",\n \"2\" : null}", ":2:8: the caption of `2` is null; a string is wanted"),
        ("number", "x.json", b"{\"2\": 7}", ":1:7: the caption of `2` is a number; a string is wanted"),
        ("boolean", "x.json", b"{\"2\": true}", ":1:7: the caption of `2` is a boolean; a string is wanted"),
        ("object", "x.json", b"{\"2\": {\"a\": 1}}", ":1:7: the caption of `2` is an object; a string is wanted"),
        (
            "two",
            "x.json",
            br#"{"2": ["a", "b"]}"#,
            ":1:7: the caption of `2` is a list of 2; exactly one caption is wanted",
        ),
        ("none", "x.json", b"{\"2\": []}", ":1:7: the caption of `2` is a list of 0; exactly one caption is wanted"),
        (
            "list of null",
            "x.json",
            b"{\"2\": [null]}",
            ":1:7: the caption of `2` is a list that holds null; a string is wanted",
        ),
        ("empty key", "x.json", b"{\"\": \"a\"}", ":1:6: an empty key; an image id or a file name is wanted"),
        (
            "fraction",
            "x.json",
            b"{\"12.5\": \"a\"}",
            ":1:10: the image id `12.5` is no whole number; image ids are 0, 1, 2, ...",
        ),
        (
            "null in a record",
            "x.json",
            b"[{\"image_id\": 1,\n\"caption\": null}]",
            ":2:12: `caption` is null; a string is wanted",
        ),
        (
            "negative",
            "x.json",
            br#"[{"image_id": -1, "caption": "a"}]"#,
            ":1:15: `image_id` -1 is negative; image ids count from 0",
        ),
        (
            "too large",
            "x.jsonl",
            br#"{"image_id": 4294967296, "caption": "a"}"#,
            ":1:14: `image_id` 4294967296 is too large; image ids end at 4294967295",
        ),
        (
            "far too large",
            "x.json",
            br#"[{"imgid": 1e300, "caption": "a"}]"#,
            ":1:12: `imgid` 1e300 is too large; image ids end at 4294967295",
        ),
        (
            "half",
            "x.json",
            br#"[{"imgid": 12.5, "caption": "a"}]"#,
            ":1:12: `imgid` 12.5 is no whole number; image ids are 0, 1, 2, ...",
        ),
        (
            "a list for an id",
            "x.json",
            br#"{"image_id": [1], "caption": ["a"]}"#,
            ":1:14: `image_id` is a list; an image id or a file name is wanted",
        ),
        (
            "no image",
            "x.json",
            b"[\n{\"id\": 1, \"caption\": \"a\"}]",
            ":2:1: no image: `image_id`, `imgid`, `filename`, `file_name` or `image` is wanted",
        ),
        ("no caption", "x.json", br#"[{"image_id": 1, "text": "a"}]"#, ":1:2: no `caption` for image 1"),
        (
            "ids disagree",
            "x.json",
            br#"[{"image_id": 1, "imgid": 2, "caption": "a"}]"#,
            ":1:27: `image_id` says image 1 and `imgid` says image 2; they must agree",
        ),
        (
            "names disagree",
            "x.json",
            br#"[{"filename": "a.tif", "image": "b.tif", "caption": "a"}]"#,
            ":1:33: `filename` says image `a.tif` and `image` says image `b.tif`; they must agree",
        ),
        (
            "captions disagree",
            "x.json",
            br#"[{"image_id": 1, "caption": "a", "caption": "b"}]"#,
            ":1:45: `caption` occurs twice with different texts; one caption per image is wanted",
        ),
        (
            "list of texts",
            "x.json",
            br#"["a"]"#,
            ":1:4: invalid type: string \"a\", expected an object with `image_id` and `caption`",
        ),
    ]);
    let long = format!("[\"{}\"]", "\u{4e2d}".repeat(1_000_000));
    assert!(read(long.as_bytes(), "x.json").unwrap_err().to_string().len() < 1000);
}

#[test]
fn broken_tables_are_located() {
    let wanted = "a header with `caption` and `image_id`, `imgid`, `filename`, `file_name` or `image` is wanted";
    let header =
        |columns: &str| format!(":1: neither JSON nor a table of captions: the first line has {columns}; {wanted}");
    let (text, none, long) = (header("`a plane .`"), header("`12`, `x`"), header("`a`, `b`, `c`, `d`, `e`, `f`, ..."));
    refuse(&[
        ("text", "x.txt", b"a plane .\n", &text),
        ("no header", "x.csv", b"12,x\n", &none),
        ("tabs without header", "x.tsv", b"12\tx\n", &none),
        ("many columns", "x.csv", b"a,b,c,d,e,f,g\n", &long),
        (
            "semicolons",
            "x.csv",
            b"image_id;caption\n12;x\n",
            ":1: neither JSON nor a table of captions: the first line has `image_id;caption`; columns are separated by commas or tabs, not by semicolons",
        ),
        (
            "comma in a caption",
            "x.csv",
            b"\nimage_id,caption\n\n12,a, b\n",
            ":4: 3 columns under a header of 2; a caption that holds the separator needs quotes",
        ),
        (
            "no image",
            "x.csv",
            b"image_id,caption\n12,x\n,y\n",
            ":3: no image: `image_id`, `imgid`, `filename`, `file_name` or `image` is wanted",
        ),
        ("negative", "x.csv", b"image_id,caption\n-1,x\n", ":2: `image_id` `-1` is negative; image ids count from 0"),
        (
            "open quote",
            "x.csv",
            b"image_id,caption\n12,x\n13,\"y\n14,z\n",
            ":3: a quote is opened here and never closed",
        ),
        (
            "disagreeing columns",
            "x.csv",
            b"image_id,imgid,caption\n1,2,x\n",
            ":2: `image_id` says image 1 and `imgid` says image 2; they must agree",
        ),
    ]);
}
