//! One row per oddity: what is kept, and what is reported.

use serde_json::{Value, json};

use super::{kinds, sound};
use crate::dataset::lint::pixel_identical;
use crate::dataset::{Annotations, ImageRecord, read};
use crate::digest::Digest;
use crate::language::{Language, Split};

fn load(file: &Value, language: Language) -> Annotations {
    read(&serde_json::to_vec(file).unwrap(), "made-up.json", language).unwrap_or_else(|error| panic!("{error}"))
}

/// A change to the sound file, and the findings it must cause.
type Row = (&'static str, fn(&mut Value), &'static [(&'static str, Option<u32>, Option<u32>)]);

fn check(language: Language, rows: &[Row]) {
    for (name, change, want) in rows {
        let mut file = sound();
        change(&mut file);
        assert_eq!(kinds(&load(&file, language).findings), *want, "{name}");
    }
}

fn caption(file: &mut Value, image: usize, text: &str) {
    file["images"][image]["sentences"][0]["raw"] = json!(text);
    // Tokens are a matter of their own.
    file["images"][image]["sentences"][0].as_object_mut().unwrap().remove("tokens");
}

fn chinese(file: &mut Value, text: &str) {
    file["images"][0]["sentences"][0]["raw_chinese"] = json!(text);
    file["images"][0]["sentences"][0].as_object_mut().unwrap().remove("tokens_chinese");
}

#[test]
fn english_oddities() {
    const FIRST: (Option<u32>, Option<u32>) = (Some(0), Some(0));
    check(
        Language::En,
        &[
            ("a sound file", |_| {}, &[]),
            (
                "tokens are not the words",
                |f| f["images"][0]["sentences"][0]["tokens"] = json!(["A", "plain"]),
                &[("tokens_disagree", FIRST.0, FIRST.1)],
            ),
            (
                "tokens are no list",
                |f| f["images"][0]["sentences"][0]["tokens"] = json!(7),
                &[("tokens_disagree", FIRST.0, FIRST.1)],
            ),
            ("blank caption", |f| caption(f, 0, "- ."), &[("blank_caption", FIRST.0, FIRST.1)]),
            (
                "empty caption",
                |f| caption(f, 0, ""),
                &[("blank_caption", FIRST.0, FIRST.1), ("odd_ending", FIRST.0, FIRST.1)],
            ),
            ("blank at the start", |f| caption(f, 0, " A plane ."), &[("extra_blanks", FIRST.0, FIRST.1)]),
            ("double blank", |f| caption(f, 0, "A  plane ."), &[("extra_blanks", FIRST.0, FIRST.1)]),
            ("ends without blank", |f| caption(f, 0, "A plane."), &[("odd_ending", FIRST.0, FIRST.1)]),
            ("ends twice", |f| caption(f, 0, "A plane. ."), &[("odd_ending", FIRST.0, FIRST.1)]),
            ("junk", |f| caption(f, 0, "field(2 a#b ."), &[("odd_characters", FIRST.0, FIRST.1)]),
            (
                "curly apostrophe",
                |f| caption(f, 0, "the plane\u{2019}s wing ."),
                &[("odd_characters", FIRST.0, FIRST.1)],
            ),
            ("batch mark", |f| caption(f, 0, "A plane .###"), &[("batch_mark", FIRST.0, FIRST.1)]),
            ("line break", |f| caption(f, 0, "A plane\nlands ."), &[("control_character", FIRST.0, FIRST.1)]),
            (
                "unicode line break",
                |f| caption(f, 0, "A plane\u{2028}lands ."),
                &[("control_character", FIRST.0, FIRST.1)],
            ),
            (
                "repeated sentids at the image",
                |f| f["images"][1]["sentids"] = json!([0, 1]),
                &[("sentence_ids_disagree", Some(1), None)],
            ),
            (
                "sentids are no list",
                |f| f["images"][1]["sentids"] = json!("2, 3"),
                &[("sentence_ids_disagree", Some(1), None)],
            ),
            ("no sentids at the image", |f| _ = f["images"][1].as_object_mut().unwrap().remove("sentids"), &[]),
            (
                "a sentence of another image",
                |f| f["images"][1]["sentences"][0]["imgid"] = json!(0),
                &[("image_id_disagrees", Some(1), Some(2))],
            ),
            (
                "a sentence's imgid is text",
                |f| f["images"][1]["sentences"][0]["imgid"] = json!("1"),
                &[("image_id_disagrees", Some(1), Some(2))],
            ),
            (
                "no caption",
                |f| (f["images"][2]["sentences"], f["images"][2]["sentids"]) = (json!([]), json!([])),
                &[("no_captions", Some(2), None)],
            ),
            (
                "one caption too few",
                |f| {
                    f["images"][2]["sentences"].as_array_mut().unwrap().truncate(1);
                    f["images"][2]["sentids"] = json!([4]);
                },
                &[("caption_count", Some(2), None)],
            ),
            (
                "padding",
                |f| {
                    f["images"][1]["sentences"] = json!([
                        { "raw": "A lake .", "sentid": 2 }, { "raw": "A lake .", "sentid": 3 },
                    ]);
                },
                &[("padding", Some(1), None)],
            ),
            (
                "a caption twice",
                |f| {
                    f["images"][1]["sentences"] = json!([
                        { "raw": "A lake .", "sentid": 2 }, { "raw": "A lake .", "sentid": 3 },
                    ]);
                    let other = json!({ "raw": "Water .", "sentid": 90 });
                    f["images"][1]["sentences"].as_array_mut().unwrap().push(other);
                    f["images"][1]["sentids"] = json!([2, 3, 90]);
                },
                &[("caption_count", Some(1), None), ("repeated_caption", Some(1), None)],
            ),
            (
                "a test caption in train",
                |f| caption(f, 0, "Ships in a port ."),
                &[("leaked_caption", Some(3), Some(6))],
            ),
            ("a val caption in train is no leak yet", |f| caption(f, 0, "Green fields ."), &[]),
            (
                "all captions of a train image, in another order",
                |f| {
                    f["images"][2]["sentences"] = json!([
                        { "raw": "Water flows south .", "sentid": 4 }, { "raw": "A wide river .", "sentid": 5 },
                    ]);
                },
                &[("leaked_image", Some(2), None)],
            ),
            ("no val image", |f| f["images"][2]["split"] = json!("train"), &[("empty_split", None, None)]),
            (
                "further keys",
                |f| (f["year"], f["images"][0]["cocoid"]) = (json!(2016), json!({ "a": [1.5, null] })),
                &[],
            ),
        ],
    );
}

#[test]
fn chinese_oddities() {
    check(
        Language::Zh,
        &[
            ("a sound file", |_| {}, &[]),
            ("batch mark with blanks", |f| chinese(f, "跑道上有飞机.  ###"), &[("batch_mark", Some(0), Some(0))]),
            ("latin letters", |f| chinese(f, "一个T形的岛."), &[("latin_letters", Some(0), Some(0))]),
            ("another full stop", |f| chinese(f, "跑道上有飞机。"), &[("odd_ending", Some(0), Some(0))]),
            ("full-width comma is usual", |f| chinese(f, "跑道上，有飞机."), &[]),
            (
                "tokens in another order",
                |f| f["images"][0]["sentences"][0]["tokens_chinese"] = json!(["飞机", "跑道"]),
                &[("tokens_disagree", Some(0), Some(0))],
            ),
            ("English oddities do not matter", |f| caption(f, 0, "a#b"), &[]),
            ("no English at all", |f| _ = f["images"][0]["sentences"][0].as_object_mut().unwrap().remove("raw"), &[]),
        ],
    );
}

#[test]
fn captions_stay_as_published_but_for_the_two_repairs() {
    for (published, want) in [
        ("  A  plane\u{2019}s Ｗing ﬁ e\u{301} . ", "  A  plane\u{2019}s Ｗing ﬁ e\u{301} . "),
        ("一座桥，．.", "一座桥，．."),
        ("房屋.  ### ", "房屋."),
        ("a\u{7}b\r\nc", "a b c"),
    ] {
        let mut file = sound();
        caption(&mut file, 0, published);
        assert_eq!(load(&file, Language::En).sentences[0].raw, want);
    }
}

#[test]
fn sentence_ids_are_kept_unless_they_collide() {
    let ids = |file: &Value| -> Vec<u32> { load(file, Language::En).sentences.iter().map(|s| s.sent_id).collect() };
    let mut file = sound();
    file["images"][4]["sentences"][1]["sentid"] = json!(77);
    assert_eq!(ids(&file), [0, 1, 2, 3, 4, 5, 6, 7, 8, 77]);
    for (name, id) in [("repeated", json!(0)), ("missing", Value::Null)] {
        file["images"][2]["sentences"][0]["sentid"] = id;
        assert_eq!(ids(&file), (0..10).collect::<Vec<_>>(), "{name}");
        let findings = load(&file, Language::En).findings;
        assert!(kinds(&findings).contains(&("sentence_ids_renumbered", None, None)), "{name}");
    }
}

#[test]
fn layout_of_the_json_does_not_matter() {
    let file = sound();
    let want = load(&file, Language::En);
    let pretty = serde_json::to_vec_pretty(&file).unwrap();
    assert_eq!(read(&pretty, "made-up.json", Language::En).unwrap(), want, "many lines");
    let windows = String::from_utf8(pretty).unwrap().replace('\n', "\r\n");
    assert_eq!(read(windows.as_bytes(), "made-up.json", Language::En).unwrap(), want, "CR LF");

    let marked = [b"\xEF\xBB\xBF", &serde_json::to_vec(&file).unwrap()[..]].concat();
    let marked = read(&marked, "made-up.json", Language::En).unwrap();
    assert_eq!(kinds(&marked.findings), [("byte_order_mark", None, None)]);
    assert_eq!((marked.edition, marked.sentences), (want.edition, want.sentences));
}

#[test]
fn rows_come_in_published_order() {
    let mut file = sound();
    file["images"].as_array_mut().unwrap().reverse();
    let annotations = load(&file, Language::En);
    let images: Vec<u32> = annotations.images.iter().map(|image| image.image_id).collect();
    let sentences: Vec<u32> = annotations.sentences.iter().map(|sentence| sentence.sent_id).collect();
    assert_eq!(images, [4, 3, 2, 1, 0]);
    assert_eq!(sentences, [8, 9, 6, 7, 4, 5, 2, 3, 0, 1]);
}

#[test]
fn editions_are_equal_exactly_when_splits_and_references_are() {
    type Edit = (&'static str, fn(&mut Value), bool, bool);
    let base = load(&sound(), Language::En);
    assert!(base.edition.starts_with("custom-") && base.edition.len() == 15, "{}", base.edition);
    let rows: [Edit; 6] = [
        ("tokens do not matter", |f| f["images"][0]["sentences"][0]["tokens"] = json!([]), true, true),
        ("ids do not matter", |f| f["images"][0]["imgid"] = json!(9), true, true),
        ("an image changes its split", |f| f["images"][0]["split"] = json!("val"), false, true),
        ("a word changes", |f| caption(f, 0, "A plane on the runway ."), true, false),
        ("a blank changes", |f| caption(f, 0, "A plane on a runway."), true, false),
        ("images change their order", |f| f["images"].as_array_mut().unwrap().swap(0, 1), false, false),
    ];
    for (name, change, same_split, same_captions) in rows {
        let mut file = sound();
        change(&mut file);
        let other = load(&file, Language::En);
        assert_eq!(other.split_digest == base.split_digest, same_split, "{name}");
        assert_eq!(other.captions_digest == base.captions_digest, same_captions, "{name}");
        assert_eq!(other.edition == base.edition, same_split && same_captions, "{name}");
    }
    let zh = load(&sound(), Language::Zh);
    assert_eq!(zh.split_digest, base.split_digest);
    assert_ne!(zh.edition, base.edition, "references in another language are other references");
}

#[test]
fn equal_pixels_are_reported_once_per_later_image() {
    let image = |image_id, split| ImageRecord { image_id, filename: format!("{image_id}.tif"), split, class: None };
    let images = [image(1, Split::Train), image(2, Split::Train), image(3, Split::Test), image(4, Split::Val)];
    let digest = |text: &str| Digest::of(text.as_bytes());
    let (a, b) = (digest("a"), digest("b"));
    for (name, digests, want) in [
        ("none", vec![a, b, digest("c"), digest("d")], vec![]),
        ("in one split", vec![a, a, b, digest("c")], vec![("identical_pixels", Some(2), None)]),
        ("across splits", vec![a, b, b, digest("c")], vec![("identical_pixels_across_splits", Some(3), None)]),
        (
            "three times",
            vec![a, a, b, a],
            vec![("identical_pixels", Some(2), None), ("identical_pixels_across_splits", Some(4), None)],
        ),
    ] {
        assert_eq!(kinds(&pixel_identical(&images, &digests)), want, "{name}");
    }
}
