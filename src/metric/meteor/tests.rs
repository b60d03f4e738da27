//! METEOR on a small table of our own, and against the published implementation where its files are at hand.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::sync::OnceLock;

use rust_stemmers::{Algorithm, Stemmer};
use serde_json::Value;

use super::normalize::{Prefixes, normalize};
use super::{COUNTS, Sources, Statistics, Tables, align, compile, score_of_sums};

const PREFIXES: &str = "# titles\nMr\n\nNo #NUMERIC_ONLY#\n";
const PARAPHRASES: &str =
    "0.1\nas to say\nand say\n0.5\nnext to\nbeside\n0.25\nnext to\nclose to\n0.1\nof\nbelonging to\n";

fn small_table() -> Vec<u8> {
    compile(Sources {
        function_words: b"a\nthe\nof\nto\n.\n",
        synsets: b"aircraft\n1\nbig\n3\nchild\n5 4\nkid\n4\nlarge\n3\nplane\n1 2\nu\n7\nuranium\n7\n",
        exceptions: b"child\nchildren kiddies\n",
        prefixes: PREFIXES.as_bytes(),
        paraphrases: &mut PARAPHRASES.as_bytes(),
    })
    .unwrap()
}

/// The small table, opened.
pub(in crate::metric) fn small_tables() -> Tables {
    Tables::new(small_table()).unwrap()
}

/// Counts as METEOR writes them, without the zeros behind the point.
fn line(statistics: &Statistics) -> String {
    statistics.counts().map(|count| count.to_string()).join(" ")
}

#[test]
fn words_match_in_four_ways() {
    let tables = Tables::new(small_table()).unwrap();
    // Counted by hand: words, function words; exact, stem, synonym, paraphrase; chunks, matched.
    for (hypothesis, reference, expected) in [
        ("", "", "0 0 0 0  0 0 0 0  0 0 0 0  0 0 0 0  0 0 0 0  0 0 0"),
        ("", "a tree", "0 2 0 1  0 0 0 0  0 0 0 0  0 0 0 0  0 0 0 0  0 0 0"),
        ("a tree", "a tree", "2 2 1 1  1 1 1 1  0 0 0 0  0 0 0 0  0 0 0 0  1 2 2"),
        ("tree a", "a tree", "2 2 1 1  1 1 1 1  0 0 0 0  0 0 0 0  0 0 0 0  2 2 2"),
        ("trees", "tree", "1 1 0 0  0 0 0 0  1 1 0 0  0 0 0 0  0 0 0 0  1 1 1"),
        ("aircraft", "planes", "1 1 0 0  0 0 0 0  0 0 0 0  1 1 0 0  0 0 0 0  1 1 1"),
        ("kids", "children", "1 1 0 0  0 0 0 0  0 0 0 0  1 1 0 0  0 0 0 0  1 1 1"),
        // A known irregular form is not taken for a regular one too, nor a word of two letters.
        ("kid", "kiddies", "1 1 0 0  0 0 0 0  0 0 0 0  1 1 0 0  0 0 0 0  1 1 1"),
        ("uranium", "us", "1 1 0 0  0 0 0 0  0 0 0 0  0 0 0 0  0 0 0 0  0 0 0"),
        ("next to a tree", "beside a tree", "4 3 2 1  1 1 1 1  0 0 0 0  0 0 0 0  1 1 1 0  1 4 3"),
        ("beside a tree", "next to a tree", "3 4 1 2  1 1 1 1  0 0 0 0  0 0 0 0  1 1 0 1  1 3 4"),
        // Both words have Java's hash 3122; only one of them is a function word of the published list.
        ("as", "c5", "1 1 0 0  1 1 0 0  0 0 0 0  0 0 0 0  0 0 0 0  1 1 1"),
        // Each Han character is a word.
        ("飞机 机场", "飞机场", "4 3 0 0  3 3 0 0  0 0 0 0  0 0 0 0  0 0 0 0  2 3 3"),
        ("飞 ， 机", "飞，机", "3 3 0 0  3 3 0 0  0 0 0 0  0 0 0 0  0 0 0 0  1 3 3"),
    ] {
        let statistics = align(&tables, &tables.hypothesis(hypothesis), &tables.sentence(reference));
        let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line(&statistics), expected, "{hypothesis:?} against {reference:?}");
    }
}

#[test]
fn half_words_are_rounded_away() {
    // METEOR 1.5 on the same words. A plane matches planes twice, by stem and by synonym, so the search decides;
    // there a word that is not equal counts 0.5, rounded down, and no match has fewer chunks.
    let tables = Tables::new(small_table()).unwrap();
    for (hypothesis, reference, expected) in [
        ("plane", "planes", 0.0),
        ("big plane", "big planes", 0.8),
        ("plane", "plane", 1.0),
        ("the plane", "plane the", 0.4),
    ] {
        let statistics = align(&tables, &tables.hypothesis(hypothesis), &tables.sentence(reference));
        assert_eq!(statistics.score(), expected, "{hypothesis:?} against {reference:?}");
    }
}

#[test]
fn separators_split_references_only() {
    let tables = Tables::new(small_table()).unwrap();
    assert_eq!(tables.hypothesis("big |||plane").len(), 2);
    assert_eq!(
        tables.references("a tree ||| big plane|||").iter().map(super::Sentence::len).collect::<Vec<_>>(),
        [2, 2, 0]
    );
}

#[test]
fn the_first_best_reference_counts() {
    let tables = Tables::new(small_table()).unwrap();
    let hypothesis = tables.hypothesis("a big tree");
    let all = tables.references("big ||| tree big ||| the big tree ||| a b c big tree ||| the big tree .");
    let all: Vec<Statistics> = all.iter().map(|reference| align(&tables, &hypothesis, reference)).collect();
    let (best, score) = Statistics::best(all.iter().copied()).unwrap();
    assert_eq!((best, score), (all[2], all[2].score()));
    assert!(Statistics::best([]).is_none());
    let first = Statistics::best([all[0], all[0]].map(|statistics| statistics)).unwrap();
    assert_eq!(first.0, all[0]);
}

#[test]
fn a_perfect_match_adds_no_chunk() {
    let tables = Tables::new(small_table()).unwrap();
    let perfect = align(&tables, &tables.hypothesis("a tree"), &tables.sentence("a tree"));
    assert_eq!((perfect.counts()[20], perfect.sums()[20]), (1, 0.0));
    let twice = perfect.sums().map(|sum| 2.0 * sum);
    assert_eq!((perfect.score(), score_of_sums(&twice)), (1.0, 1.0));
    assert_eq!(score_of_sums(&[0.0; COUNTS]), 0.0);
}

#[test]
fn text_is_normalised() {
    let prefixes = Prefixes::new(PREFIXES);
    // METEOR 1.5 (`-writeAlignments`), whose list of prefixes has the two above.
    for (text, expected) in [
        ("a,b 1,2 1,b a,,b 1,2,3 a,b,c", "a , b 1,2 1 , b a , ,b 1,2,3 a , b,c"),
        ("a'b 1'b 1's '' a''b ''' 1'2 x's", "a 'b 1'b 1 's \" a \" b \" ' 1 ' 2 x 's"),
        ("`a a`b ``", "' a a 'b \""),
        ("a-b a-b-c a--b a---b -a a- -- x.-b 飞--飞", "a b a b-c a b a--b -a a- - x. b 飞 - 飞"),
        ("u.s. u.s a.b.c. 1.2. .a a.. a...b x. .", "us u.s abc 1.2 . .a a .. a ... b x . ."),
        ("Mr. X mr. X No. 5 No. X end. End. x.  y. z", "mr. x mr . x no. 5 no . x end . end. x. y. z"),
        ("(a) a/b a_b $5 12:30 “q” ‘b’ – …", "( a ) a / b a _ b $ 5 12 : 30 \" q \" ' b ' - …"),
        ("é ж-ж Ω aΩ ½飞机b ﬁ x\u{a0}y\u{3000}z", "é ж ж ω a ω ½ 飞 机 b ﬁ x y z"),
        ("x. \u{a0} y x.\t y 555\u{a0}123 don't it 's TITLE", "x . y x. y 555 123 don 't it ' s title"),
        (".' a.'' '.'", ". ' a . \" ' .'"),
        (" \t", ""),
    ] {
        assert_eq!(normalize(text, &prefixes), expected, "{text:?}");
    }
}

#[test]
fn the_same_files_give_the_same_table() {
    assert_eq!(small_table(), small_table());
}

#[test]
fn damaged_tables_are_refused_or_harmless() {
    let good = small_table();
    for length in 0..good.len() {
        assert!(Tables::new(good[..length].to_vec()).is_err(), "{length} bytes");
    }
    let mut opened = 0;
    for place in 0..good.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[place] ^= mask;
            if let Ok(tables) = Tables::new(bad) {
                let [here, there] =
                    ["Mr. as to say next to kiddies of", "and say belonging to beside the big children"];
                let score = align(&tables, &tables.hypothesis(here), &tables.sentence(there)).score();
                assert!((0.0..=1.0).contains(&score));
                opened += 1;
            }
        }
    }
    assert!(opened < 3 * good.len());
}

#[test]
fn incomplete_files_are_refused() {
    let paraphrases = |mut text: &[u8]| {
        let (function_words, synsets, exceptions, prefixes) = (&b""[..], &b""[..], &b""[..], &b""[..]);
        compile(Sources { function_words, synsets, exceptions, prefixes, paraphrases: &mut text })
    };
    assert!(paraphrases(b"").and_then(Tables::new).is_ok());
    assert!(paraphrases(b"0.1\na\n").is_err());
    assert!(paraphrases(b"0.1\na\n\xff\n").is_err());
}

#[test]
fn long_captions_end() {
    let tables = Tables::new(small_table()).unwrap();
    let [planes, trees] = ["planes ", "tree plane "].map(|word| tables.sentence(&word.repeat(240)));
    assert_eq!(align(&tables, &planes, &planes).score(), 1.0);
    assert!(align(&tables, &planes, &trees).score() < 1.0);
}

fn shared(file: &str) -> Option<Value> {
    let path = crate::shared::path(&format!("golden/metrics/{file}"))?;
    Some(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
}

/// The published table, made once from the METEOR folder at `$RSIC_METEOR`; `None` with a visible remark without it.
pub(in crate::metric) fn published_tables() -> Option<&'static Tables> {
    static TABLES: OnceLock<Option<Tables>> = OnceLock::new();
    TABLES.get_or_init(compile_published).as_ref()
}

fn compile_published() -> Option<Tables> {
    let folder = std::env::var_os("RSIC_METEOR").map(PathBuf::from);
    let Some(folder) = folder.filter(|folder| folder.join("meteor-1.5.jar").exists()) else {
        println!("SKIPPED: RSIC_METEOR does not name the folder with meteor-1.5.jar and data/paraphrase-en.gz");
        return None;
    };
    let mut jar = zip::ZipArchive::new(File::open(folder.join("meteor-1.5.jar")).unwrap()).unwrap();
    let mut member = |name: &str| {
        let index = jar.index_for_name(name).unwrap();
        let mut bytes = Vec::new();
        flate2::read::DeflateDecoder::new(jar.by_index_raw(index).unwrap()).read_to_end(&mut bytes).unwrap();
        bytes
    };
    let paraphrases = BufReader::new(File::open(folder.join("data/paraphrase-en.gz")).unwrap());
    let sources = Sources {
        function_words: &member("function/english.words"),
        synsets: &member("synonym/english.synsets"),
        exceptions: &member("synonym/english.exceptions"),
        prefixes: &member("nonbreaking/english.prefixes"),
        paraphrases: &mut flate2::bufread::GzDecoder::new(paraphrases),
    };
    Some(Tables::new(compile(sources).unwrap()).unwrap())
}

/// The texts of an item as the named scores were made.
fn texts(item: &Value, key: &str) -> (String, Vec<String>) {
    let text = |value: &Value| match (key, value) {
        ("coco_on_characters", Value::String(text)) => {
            text.chars().filter(|sign| !sign.is_whitespace()).map(String::from).collect::<Vec<_>>().join(" ")
        }
        (_, Value::String(text)) => text.clone(),
        (_, tokens) => {
            let tokens = tokens.as_array().unwrap().iter().map(|token| token.as_str().unwrap());
            tokens.filter(|token| !token.trim().is_empty()).collect::<Vec<_>>().join(" ")
        }
    };
    let of = match key {
        "coco_on_ptb" => &item["ptb"],
        "coco_on_jieba" => &item["jieba"],
        _ => item,
    };
    (text(&of["candidate"]), of["references"].as_array().unwrap().iter().map(text).collect())
}

#[test]
fn published_sets_score_as_published() {
    let names = ["tiny1", "tiny2", "adversarial", "synthetic", "sydney_test", "ucm_test"];
    let Some(tables) = shared("tiny1_en.json").and_then(|_| published_tables()) else { return };
    let mut checked = 0;
    for name in names.iter().flat_map(|name| ["en", "zh"].map(|language| format!("{name}_{language}.json"))) {
        if ["tiny1_zh.json", "tiny2_zh.json", "ucm_test_zh.json"].contains(&name.as_str()) {
            continue;
        }
        let Some(set) = shared(&name) else { continue };
        for key in ["coco_on_ptb", "coco_on_jieba", "coco_on_characters"] {
            let Some(expected) = set["corpus"][key]["METEOR"].as_f64() else { continue };
            let mut sums = [0.0; COUNTS];
            for item in set["items"].as_array().unwrap() {
                let (hypothesis, references) = texts(item, key);
                let hypothesis = tables.hypothesis(&hypothesis);
                let references = references.iter().flat_map(|reference| tables.references(reference));
                let all = references.map(|reference| align(tables, &hypothesis, &reference));
                let (best, score) = Statistics::best(all).unwrap();
                let place = format!("{name}, {key}, {}", item["id"]);
                let counts = item[key]["METEOR_stats"].as_str().unwrap().replace(".0", "");
                assert_eq!(line(&best), counts, "{place}");
                assert_eq!(Some(score), item[key]["METEOR"].as_f64(), "{place}");
                sums.iter_mut().zip(best.sums()).for_each(|(sum, count)| *sum += count);
                checked += 1;
            }
            assert_eq!(score_of_sums(&sums), expected, "{name}, {key}, corpus");
        }
    }
    println!("{checked} images scored as published");
    assert_eq!(checked, 1560);
}

#[test]
fn stems_are_those_of_meteor() {
    let Some(golden) = shared("meteor_stems.json") else { return };
    let stemmer = Stemmer::create(Algorithm::English);
    for (word, stem) in golden["stems"].as_object().unwrap() {
        assert_eq!(stemmer.stem(word), stem.as_str().unwrap(), "{word}");
    }
}

#[test]
fn powers_round_as_in_java() {
    let Some(golden) = shared("java_pow_exceptions.json") else { return };
    let float = |text: &Value| {
        let (digits, exponent) = text.as_str().unwrap().strip_prefix("0x1.").unwrap().split_once('p').unwrap();
        let mantissa = 1.0 + u64::from_str_radix(digits, 16).unwrap() as f64 / 16.0_f64.powi(digits.len() as i32);
        mantissa * 2.0_f64.powi(exponent.parse().unwrap())
    };
    for pair in golden["base_hex_to_result_hex"].as_array().unwrap() {
        assert_eq!(super::power::power_beta(float(&pair[0])), float(&pair[1]), "{pair}");
    }
}
