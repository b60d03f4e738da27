//! The scores of whole caption sets against those of the published implementations.

use std::process::Command;

use polars::prelude::DataFrame;
use serde_json::Value;

use super::score::score_in_blocks;
use super::{Scores, captions, references, score};
use crate::language::Language;

/// The sets that travel with the project (own text), and those of the shared folder.
const OWN: [(&str, &str); 5] = [
    ("tiny1_en", include_str!("../../tests/data/metrics/tiny1_en.json")),
    ("tiny2_en", include_str!("../../tests/data/metrics/tiny2_en.json")),
    ("adversarial_en", include_str!("../../tests/data/metrics/adversarial_en.json")),
    ("adversarial_zh", include_str!("../../tests/data/metrics/adversarial_zh.json")),
    ("synthetic_en", include_str!("../../tests/data/metrics/synthetic_en.json")),
];
const SHARED: [&str; 4] = ["synthetic_zh", "sydney_test_en", "sydney_test_zh", "ucm_test_en"];

fn frames(set: &Value) -> (DataFrame, DataFrame) {
    let items = set["items"].as_array().unwrap();
    let (mut ids, mut raws, mut images, mut hypotheses) = (vec![], vec![], vec![], vec![]);
    for item in items {
        let id = item["id"].as_u64().unwrap() as u32;
        images.push(id);
        hypotheses.push(item["candidate"].as_str().unwrap());
        for reference in item["references"].as_array().unwrap() {
            ids.push(id);
            raws.push(reference.as_str().unwrap());
        }
    }
    let sent_ids = (0..ids.len() as u32).collect();
    (references(ids, sent_ids, raws).unwrap(), captions(images, hypotheses).unwrap())
}

fn language(set: &Value) -> Language {
    if set["language"] == "zh" { Language::Zh } else { Language::En }
}

/// The six values of a `coco_on_*` object, in the order of [`Scores`].
fn expected(coco: &Value) -> [f64; 6] {
    let bleu = |n: usize| coco["Bleu"][n].as_f64().unwrap();
    let number = |name: &str| coco[name].as_f64().unwrap();
    [bleu(0), bleu(1), bleu(2), bleu(3), number("ROUGE_L"), number("CIDEr_pycocoevalcap")]
}

/// How far a value may be from the published one. Powers and logarithms are those of the C library, so other
/// libraries than the one behind the published numbers may round differently.
const TOLERANCE: f64 =
    if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")) { 0.0 } else { 1e-12 };

/// Checks every image and the corpus, and returns the largest difference per metric.
fn check(name: &str, set: &Value) -> [f64; 6] {
    let (references, captions) = frames(set);
    let scores = score(&references, &captions, language(set)).unwrap();
    let key = if language(set) == Language::Zh { "coco_on_jieba" } else { "coco_on_ptb" };
    let mut largest = [0.0_f64; 6];
    let mut compare = |values: Vec<f64>, coco: &Value, place: &str| {
        for (k, (value, expected)) in values.into_iter().zip(expected(coco)).enumerate() {
            let difference = (value - expected).abs();
            assert!(difference <= TOLERANCE, "{name}, {place}, metric {k}: {value}, not {expected}");
            largest[k] = largest[k].max(difference);
        }
    };
    let items = set["items"].as_array().unwrap();
    assert_eq!(scores.images.len(), 6 * items.len());
    for (item, rows) in items.iter().zip(scores.images.chunks(6)) {
        let place = format!("image {}", rows[0].image_id);
        compare(rows.iter().map(|row| row.value).collect(), &item[key], &place);
    }
    compare(scores.corpus.iter().map(|row| row.value).collect(), &set["corpus"][key], "corpus");
    largest
}

#[test]
fn own_sets_score_as_published() {
    for (name, text) in OWN {
        println!("{name}: {:?}", check(name, &serde_json::from_str(text).unwrap()));
    }
}

#[test]
fn shared_sets_score_as_published() {
    println!("largest difference per set: BLEU-1 BLEU-2 BLEU-3 BLEU-4 ROUGE-L CIDEr-D");
    for name in SHARED {
        let Some(path) = crate::shared::path(&format!("golden/metrics/{name}.json")) else { continue };
        let largest = check(name, &serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
        println!("{name}: {largest:?}");
    }
}

/// A set of captions that needs no file: few words, much repetition, some empty.
fn made_up(images: u32, language: Language) -> (DataFrame, DataFrame) {
    let words = match language {
        Language::En => ["a", "plane", "is", "parked", "near", "the", "runway", "trees", "don't", "green", ".", ""],
        Language::Zh => ["机场", "停", "着", "飞机", "旁边", "有", "绿色", "树木", "，", "道路", ".", ""],
    };
    let mut state = 7_u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let mut sentence = || -> String {
        let length = next(14);
        (0..length).map(|_| words[next(words.len() as u32) as usize]).collect::<Vec<_>>().join(" ")
    };
    let hypotheses: Vec<String> = (0..images).map(|_| sentence()).collect();
    let raws: Vec<String> = (0..5 * images).map(|_| sentence()).collect();
    let ids = (0..5 * images).map(|k| k / 5).collect();
    let references = references(ids, (0..5 * images).collect(), raws.iter().map(String::as_str).collect());
    let captions = captions((0..images).collect(), hypotheses.iter().map(String::as_str).collect());
    (references.unwrap(), captions.unwrap())
}

fn bits(scores: &Scores) -> Vec<u64> {
    let images = scores.images.iter().map(|row| row.value.to_bits());
    images.chain(scores.corpus.iter().map(|row| row.value.to_bits())).collect()
}

#[test]
fn blocks_do_not_change_a_bit() {
    for language in [Language::En, Language::Zh] {
        let (references, captions) = made_up(60, language);
        let whole = bits(&score(&references, &captions, language).unwrap());
        for size in [1, 7, 59] {
            assert_eq!(bits(&score_in_blocks(&references, &captions, language, size).unwrap()), whole, "{size}");
        }
    }
}

/// The child of the next test: prints the digest of some scores.
#[test]
fn digest_of_made_up_scores() {
    let (references, captions) = made_up(300, Language::En);
    let scores = score(&references, &captions, Language::En).unwrap();
    let bytes: Vec<u8> = bits(&scores).iter().flat_map(|bits| bits.to_le_bytes()).collect();
    println!("DIGEST {}", blake3::hash(&bytes).to_hex());
}

#[test]
fn thread_counts_do_not_change_a_bit() {
    let digest = |threads: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "metric::golden_tests::digest_of_made_up_scores", "--nocapture"])
            .env("POLARS_MAX_THREADS", threads)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let at = text.find("DIGEST ").unwrap_or_else(|| panic!("no digest in {text}"));
        text[at..].lines().next().unwrap().to_owned()
    };
    let one = digest("1");
    for threads in ["2", "4", "4"] {
        assert_eq!(digest(threads), one, "{threads} threads");
    }
}

#[test]
fn the_order_of_references_does_not_matter() {
    let (references, captions) = made_up(40, Language::En);
    let reversed = references.reverse();
    let (a, b) = (score(&references, &captions, Language::En), score(&reversed, &captions, Language::En));
    for (a, b) in a.unwrap().images.iter().zip(&b.unwrap().images) {
        assert!((a.value - b.value).abs() < 1e-12, "{a:?} {b:?}");
    }
}

#[test]
fn scores_stay_in_their_range() {
    for language in [Language::En, Language::Zh] {
        let (references, captions) = made_up(200, language);
        for row in score(&references, &captions, language).unwrap().images {
            let most = if row.metric == "CIDEr-D" { 10.0 } else { 1.0 };
            assert!((0.0..=most + 1e-9).contains(&row.value), "{row:?}");
        }
    }
}

fn one(caption: &str, sentences: &[&str]) -> Scores {
    let ids = vec![4; sentences.len()];
    let references = references(ids, (0..sentences.len() as u32).collect(), sentences.to_vec()).unwrap();
    score(&references, &captions(vec![4], vec![caption]).unwrap(), Language::En).unwrap()
}

#[test]
fn odd_captions_have_defined_scores() {
    let long = "plane ".repeat(480);
    // (caption, references, BLEU-1, BLEU-4, ROUGE-L), by hand from the definitions; CIDEr-D of one image is 0.
    for (caption, sentences, bleu_1, bleu_4, rouge_l) in [
        ("a plane is parked here", &["A plane is parked here ."][..], 1.0, 1.0, 1.0),
        ("", &["a plane"], 0.0, 0.0, 0.0),
        ("", &[""], 0.0, 0.0, 1.0),
        (" . ! ", &[".", ""], 0.0, 0.0, 1.0),
        ("plane", &["plane"], 1.0, 3.162e-5, 1.0),
        (&long, &[&long], 1.0, 1.0, 1.0),
        ("one\u{2028}two\u{0}three\u{1f}four", &["one two three four"], 1.0, 1.0, 1.0),
    ] {
        let scores = one(caption, sentences);
        for (metric, expected) in [("BLEU-1", bleu_1), ("BLEU-4", bleu_4), ("ROUGE-L", rouge_l), ("CIDEr-D", 0.0)] {
            let value = scores.corpus(metric).unwrap();
            assert!((value - expected).abs() < 1e-6, "{caption:.20?} {metric}: {value}, not {expected}");
        }
    }
}

#[test]
fn captions_and_references_must_be_of_the_same_images() {
    let references = references(vec![1, 2, 2], vec![0, 1, 2], vec!["a", "b", "c"]).unwrap();
    // (captioned images, what the error says)
    for (images, expected) in [
        (vec![1], "1 image without a caption: 2"),
        (vec![1, 2, 3], "1 image without references: 3"),
        (vec![1, 1, 2], "image 1 has two captions"),
        (vec![], "there are no captions to score"),
    ] {
        let texts = vec!["a"; images.len()];
        let error = score(&references, &captions(images, texts).unwrap(), Language::En).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
}

#[test]
fn many_images_take_little_time() {
    let (references, captions) = made_up(1000, Language::En);
    let start = std::time::Instant::now();
    score(&references, &captions, Language::En).unwrap();
    println!("1,000 images x 5 references: {:?}", start.elapsed());
    // Usually 0.07 s: the bound is wide for slow machines and still catches what grows with the square.
    assert!(start.elapsed().as_secs() < 10);
}
