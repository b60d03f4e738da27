//! The scores of whole caption sets against those of the published implementations.

use std::collections::BTreeMap;
use std::process::Command;

use polars::prelude::DataFrame;
use serde_json::Value;

use super::family::{Family, Metric, Variant};
use super::ngram::Item;
use super::score::{counted, measured, pairs};
use super::words::Words;
use super::{Resources, Scores, captions, jieba, measures, meteor, nltk, references, score};
use crate::language::Language;

/// The sets that travel with the project (own text), and those of the shared folder.
const OWN: [(&str, &str); 6] = [
    ("tiny1_en", include_str!("../../tests/data/metrics/tiny1_en.json")),
    ("tiny2_en", include_str!("../../tests/data/metrics/tiny2_en.json")),
    ("adversarial_en", include_str!("../../tests/data/metrics/adversarial_en.json")),
    ("adversarial_zh", include_str!("../../tests/data/metrics/adversarial_zh.json")),
    ("synthetic_en", include_str!("../../tests/data/metrics/synthetic_en.json")),
    ("synthetic_zh", include_str!("../../tests/data/metrics/synthetic_zh.json")),
];
const SHARED: [&str; 3] = ["sydney_test_en", "sydney_test_zh", "ucm_test_en"];

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
    (references(ids, raws).unwrap(), captions(images, hypotheses).unwrap())
}

fn language(set: &Value) -> Language {
    if set["language"] == "zh" { Language::Zh } else { Language::En }
}

/// How far a value may be from the published one. Powers and logarithms are those of the C library, so other
/// libraries than the one behind the published numbers may round differently.
const TOLERANCE: f64 =
    if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")) { 0.0 } else { 1e-12 };

/// The golden name of a metric's values under a variant, how many there are, and how far ours may be off.
fn golden(metric: Metric) -> Option<(&'static str, usize, f64)> {
    match metric {
        Metric::Bleu => Some(("Bleu", 4, TOLERANCE)),
        Metric::Meteor => Some(("METEOR", 1, TOLERANCE)),
        Metric::RougeL => Some(("ROUGE_L", 1, TOLERANCE)),
        Metric::CiderD => Some(("CIDEr_pycocoevalcap", 1, TOLERANCE)),
        Metric::Cider => Some(("CIDEr_plain", 1, TOLERANCE)),
        Metric::Spice | Metric::NltkBleu | Metric::CharacterCosine => None,
    }
}

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value.as_array().map_or_else(|| vec![value.as_f64()], |list| list.iter().map(Value::as_f64).collect())
}

/// The largest difference of each metric, by words and name.
type Differences = BTreeMap<String, f64>;

/// Compares values with the published ones, which are null where there is none (a division by zero).
fn compare(what: &str, ours: &[f64], golden: &Value, tolerance: f64, largest: &mut Differences, name: &str) {
    let golden = numbers(golden);
    assert_eq!(ours.len(), golden.len(), "{what}");
    for (&value, expected) in ours.iter().zip(golden) {
        let Some(expected) = expected else {
            assert!(value.is_nan(), "{what}: {value}, not null");
            continue;
        };
        let difference = (value - expected).abs();
        assert!(difference <= tolerance, "{what}: {value}, not {expected}, off by {difference:e}");
        let most = largest.entry(name.to_owned()).or_default();
        *most = most.max(difference);
    }
}

/// Checks every number of a set: each metric over each way to cut words, per image and over the corpus.
fn check(name: &str, set: &Value, tables: Option<&meteor::Tables>) -> Differences {
    let (references, captions) = frames(set);
    let (_, pairs) = pairs(&references, &captions).unwrap();
    let items = set["items"].as_array().unwrap();
    let corpus = &set["corpus"];
    let resources = Resources { meteor: tables, spice: None };
    let mut largest = Differences::new();
    let all: &[Metric] = &[Metric::Bleu, Metric::Meteor, Metric::RougeL, Metric::CiderD, Metric::Cider];
    for (key, words, variant) in [
        ("coco_on_ptb", Words::Ptb, Variant::Ptb),
        ("coco_on_jieba", Words::Jieba, Variant::Jieba),
        ("coco_on_characters", Words::Characters, Variant::Characters),
    ] {
        if corpus[key].is_null() {
            continue;
        }
        for family in measured(&pairs, (variant, words, all), resources, 4096).unwrap() {
            let (published, count, tolerance) = golden(family.metric).unwrap();
            assert_eq!(family.corpus().len(), count);
            let label = format!("{key} {published}");
            for (image, item) in items.iter().enumerate() {
                let what = format!("{name}, image {}, {label}", item["id"]);
                compare(&what, &family.image(image), &item[key][published], tolerance, &mut largest, &label);
            }
            compare(
                &format!("{name}, {label}"),
                &family.corpus(),
                &corpus[key][published],
                tolerance,
                &mut largest,
                &label,
            );
        }
    }
    let seed = |words, metric: &'static [Metric]| {
        measured(&pairs, (Variant::Seed, words, metric), resources, 4096).unwrap().remove(0)
    };
    let bleu = seed(Words::JiebaAndBlanks, &[Metric::NltkBleu]);
    for (image, item) in items.iter().enumerate() {
        let what = format!("{name}, image {}, seed BLEU", item["id"]);
        let golden = &item["seed_bleu_nltk_jieba_sentence"];
        compare(&what, &bleu.image(image), golden, TOLERANCE, &mut largest, "seed BLEU");
    }
    let golden = &corpus["seed_bleu_nltk_jieba"]["corpus_method1"];
    compare(&format!("{name}, seed BLEU"), &bleu.corpus(), golden, TOLERANCE, &mut largest, "seed BLEU");
    if language(set) == Language::Zh {
        let cosine = seed(Words::Ptb, &[Metric::CharacterCosine]);
        for (image, item) in items.iter().enumerate() {
            let what = format!("{name}, image {}, character cosine", item["id"]);
            // scikit-learn sums in another order.
            compare(&what, &cosine.image(image), &item["seed_zh_cider_on_ptb"], 1e-12, &mut largest, "cosine");
        }
        compare(name, &cosine.corpus(), &corpus["seed_zh_cider_on_ptb"], 1e-12, &mut largest, "cosine");
    }
    nltk_on_other_words(name, set, &mut largest);
    largest
}

/// nltk's BLEU over other words than the original's, with its weights and with exact thirds.
fn nltk_on_other_words(name: &str, set: &Value, largest: &mut Differences) {
    let split: fn(&str) -> String = |raw| raw.split_whitespace().collect::<Vec<_>>().join(" ");
    for (key, cut) in [
        ("nltk_bleu_raw_split", split),
        ("nltk_bleu_ptb_tokens", |raw| Words::Ptb.cut(raw)),
        ("nltk_bleu_jieba_without_blank_tokens", jieba::tokenize),
    ] {
        let (mut texts, mut items) = (Vec::new(), Vec::new());
        let mut place = |raw: &Value| {
            texts.push(cut(raw.as_str().unwrap()));
            texts.len() - 1
        };
        for item in set["items"].as_array().unwrap() {
            let hypothesis = place(&item["candidate"]);
            let references = item["references"].as_array().unwrap().iter().map(&mut place).collect();
            items.push(Item { hypothesis, references });
        }
        let metrics = &[Metric::NltkBleu];
        let mut rows = counted(&texts, Words::Jieba, &items, metrics, Resources::default(), 4096).unwrap();
        let rows = rows.remove(&Metric::NltkBleu).unwrap();
        let family = Family { metric: Metric::NltkBleu, variant: Variant::Seed, rows };
        let golden = &set["corpus"][key];
        compare(&format!("{name}, {key}"), &family.corpus(), &golden["corpus_method1"], TOLERANCE, largest, key);
        let thirds = nltk::with_exact_thirds(&family.sums());
        let golden = &golden["corpus_method1_bleu3_with_weights_1/3"];
        compare(&format!("{name}, {key}, thirds"), &[thirds], golden, TOLERANCE, largest, key);
    }
}

#[test]
fn own_sets_score_as_published() {
    let tables = meteor::tests::published_tables();
    for (name, text) in OWN {
        println!("{name}: {:?}", check(name, &serde_json::from_str(text).unwrap(), tables));
    }
}

#[test]
fn shared_sets_score_as_published() {
    let tables = meteor::tests::published_tables();
    for name in SHARED {
        let Some(path) = crate::shared::path(&format!("golden/metrics/{name}.json")) else { continue };
        let set = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        println!("{name}: {:?}", check(name, &set, tables));
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
    let references = references(ids, raws.iter().map(String::as_str).collect());
    let captions = captions((0..images).collect(), hypotheses.iter().map(String::as_str).collect());
    (references.unwrap(), captions.unwrap())
}

fn scored(references: &DataFrame, captions: &DataFrame, language: Language) -> anyhow::Result<Scores> {
    score(references, captions, language, Resources::default())
}

fn bits(families: &[Family]) -> Vec<u64> {
    let values = families.iter().flat_map(|family| family.rows.iter().copied().chain(family.corpus()));
    values.map(f64::to_bits).collect()
}

#[test]
fn blocks_do_not_change_a_bit() {
    for language in [Language::En, Language::Zh] {
        let (references, captions) = made_up(60, language);
        let (_, pairs) = pairs(&references, &captions).unwrap();
        for measure in measures(language) {
            let in_blocks = |size| bits(&measured(&pairs, *measure, Resources::default(), size).unwrap());
            let whole = in_blocks(4096);
            for size in [1, 7, 59] {
                assert_eq!(in_blocks(size), whole, "{measure:?} {size}");
            }
        }
    }
}

/// The child of the next test: prints the digest of some scores.
#[test]
fn digest_of_made_up_scores() {
    let tables = meteor::tests::small_tables();
    let mut bytes: Vec<u8> = Vec::new();
    for language in [Language::En, Language::Zh] {
        let (references, captions) = made_up(300, language);
        let resources = Resources { meteor: Some(&tables), spice: None };
        let scores = score(&references, &captions, language, resources).unwrap();
        bytes.extend(bits(&scores.families).iter().flat_map(|bits| bits.to_le_bytes()));
    }
    println!("DIGEST {}", blake3::hash(&bytes).to_hex());
}

#[test]
fn thread_counts_do_not_change_a_bit() {
    let digest = |threads: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "metric::golden_tests::digest_of_made_up_scores", "--nocapture"])
            .env("POLARS_MAX_THREADS", threads)
            .env("RAYON_NUM_THREADS", threads)
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
    let a = scored(&references, &captions, Language::En).unwrap().families;
    let b = scored(&reversed, &captions, Language::En).unwrap().families;
    for (a, b) in a.iter().zip(&b) {
        for (x, y) in a.rows.iter().zip(&b.rows) {
            assert!((x - y).abs() < 1e-12, "{:?}", a.metric);
        }
    }
}

#[test]
fn scores_stay_in_their_range() {
    for language in [Language::En, Language::Zh] {
        let (references, captions) = made_up(200, language);
        let scores = scored(&references, &captions, language).unwrap();
        for family in scores.families {
            let most = if matches!(family.metric, Metric::CiderD | Metric::Cider) { 10.0 } else { 1.0 };
            for value in (0..scores.image_ids.len()).flat_map(|image| family.image(image)) {
                let none = family.metric == Metric::CharacterCosine && value.is_nan();
                assert!(none || (0.0..=most + 1e-9).contains(&value), "{:?} {value}", family.metric);
            }
        }
    }
}

fn one(caption: &str, sentences: &[&str]) -> Scores {
    let ids = vec![4; sentences.len()];
    let references = references(ids, sentences.to_vec()).unwrap();
    scored(&references, &captions(vec![4], vec![caption]).unwrap(), Language::En).unwrap()
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
            let value = scores.corpus(metric, Variant::Ptb).unwrap();
            assert!((value - expected).abs() < 1e-6, "{caption:.20?} {metric}: {value}, not {expected}");
        }
    }
}

#[test]
fn the_original_counts_blanks_as_words() {
    // By hand: four words and three blanks of "a b c d" against "a x c y": 2 words and 3 blanks of 7.
    let scores = one("a b c d", &["a x c y"]);
    assert!((scores.corpus("BLEU-1", Variant::Seed).unwrap() - 5.0 / 7.0).abs() < 1e-12);
    assert!((scores.corpus("BLEU-1", Variant::Ptb).unwrap() - 2.0 / 4.0).abs() < 1e-9);
}

#[test]
fn captions_and_references_must_be_of_the_same_images() {
    let references = references(vec![1, 2, 2], vec!["a", "b", "c"]).unwrap();
    // (captioned images, what the error says)
    for (images, expected) in [
        (vec![1], "1 image without a caption: 2"),
        (vec![1, 2, 3], "1 image without references: 3"),
        (vec![1, 1, 2], "image 1 has two captions"),
        (vec![], "there are no captions to score"),
    ] {
        let texts = vec!["a"; images.len()];
        let error = scored(&references, &captions(images, texts).unwrap(), Language::En).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
}
