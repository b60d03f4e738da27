use proptest::prelude::*;

use super::*;
use crate::shared;

fn bundle(files: &[(&str, &[u8])]) -> Bundle {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec().into())).collect();
    Bundle { files, name: "made".to_owned() }
}

/// A folder of the shared data as a bundle of its `names`.
fn shared_bundle(folder: &str, names: &[&str]) -> Option<Bundle> {
    let folder = shared::path(folder)?;
    let read = |name: &&str| ((*name).to_owned(), crate::model::Content::File(folder.join(name)));
    Some(Bundle { files: names.iter().map(read).collect(), name: "shared".to_owned() })
}

fn expected(folder: &str) -> Value {
    let path = shared::path(folder).unwrap().join("expected.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Expected ids and texts: transformers' `GPT2Tokenizer` on `golden/models/gpt2_tiny`.
#[test]
fn byte_level_vocabularies_agree_with_transformers() {
    let folder = "golden/models/gpt2_tiny";
    let sets: [&[&str]; 2] = [&["tokenizer.json"], &["config.json", "vocab.json", "merges.txt"]];
    for names in sets {
        let Some(bundle) = shared_bundle(folder, names) else { return };
        let tokenizer = CaptionTokenizer::load(&bundle, Language::En).unwrap();
        assert_eq!((tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos()), (600, None, 599));
        for row in expected(folder)["tokenizer"].as_array().unwrap() {
            let mut wanted = ids(&row["ids"]);
            assert_eq!(tokenizer.decode(&wanted), row["decoded_skip_special"].as_str().unwrap());
            wanted.push(599);
            assert_eq!(tokenizer.encode(row["text"].as_str().unwrap()).unwrap(), wanted, "{row}");
        }
        for row in expected(folder)["decode_invalid_utf8"].as_array().unwrap() {
            let wanted = row["decoded"].as_str().unwrap().replace('\u{fffd}', "");
            assert_eq!(tokenizer.decode(&ids(&row["ids"])), wanted, "{row}");
        }
    }
}

/// Expected ids and texts: transformers' `BertTokenizer` on `golden/models/gpt2_zh_tiny`.
#[test]
fn bert_vocabularies_agree_with_transformers() {
    let folder = "golden/models/gpt2_zh_tiny";
    let Some(mut bundle) = shared_bundle(folder, &["config.json", "vocab.txt", "tokenizer_config.json"]) else {
        return;
    };
    let tokenizer = CaptionTokenizer::load(&bundle, Language::Zh).unwrap();
    let cased = br#"{"do_lower_case": false}"#.to_vec();
    bundle.files.insert("tokenizer_config.json".to_owned(), cased.into());
    let cased = CaptionTokenizer::load(&bundle, Language::Zh).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos()), (378, Some(2), 3));
    for row in expected(folder)["tokenizer"].as_array().unwrap() {
        let (text, wanted) = (row["text"].as_str().unwrap(), ids(&row["ids"]));
        assert_eq!(tokenizer.encode(text).unwrap(), wanted[1..], "{row}");
        assert_eq!(tokenizer.decode(&wanted), row["decoded_joined"].as_str().unwrap());
        let wanted = row.get("ids_do_lower_case_false").map_or(wanted, ids);
        assert_eq!(cased.encode(text).unwrap(), wanted[1..], "cased: {row}");
    }
}

#[test]
fn published_vocabularies_load() {
    let gpt2: &[&str] = &["encoder.json", "vocab.bpe"];
    let rows = [
        // "A plane ." by GPT-2's public vocabulary; 764 is " .", 50256 the end.
        ("gpt2", "data/vocab/gpt2", gpt2, Language::En, "A plane .", vec![32, 6614, 764, 50256], None, 50257),
        ("gpt2, Chinese", "data/vocab/gpt2", gpt2, Language::Zh, "\u{6709}", vec![17312, 231, 50256], None, 50257),
        ("bert", "data/vocab/bert_chinese", &["vocab.txt"], Language::Zh, "\u{4e00}", vec![671, 102], Some(101), 21128),
    ];
    for (name, folder, files, language, text, wanted, bos, size) in rows {
        let Some(bundle) = shared_bundle(folder, files) else { return };
        let tokenizer = CaptionTokenizer::load(&bundle, language).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), wanted, "{name}");
        assert_eq!(tokenizer.decode(&wanted), text, "{name}");
        assert_eq!((tokenizer.bos(), tokenizer.vocab_size()), (bos, size), "{name}");
    }
}

const CORPUS: [&str; 3] = ["many planes are parked .", "many green trees are near many planes .", "two planes"];

fn small_bpe() -> CaptionTokenizer {
    let json = train_bpe(CORPUS, 300).unwrap();
    CaptionTokenizer::load(&bundle(&[("tokenizer.json", &json)]), Language::En).unwrap()
}

#[test]
fn a_trained_vocabulary_merges_what_is_frequent_and_ends_last() {
    let tokenizer = small_bpe();
    assert_eq!(tokenizer.eos() as usize, tokenizer.vocab_size() - 1);
    for text in CORPUS {
        let ids = tokenizer.encode(text).unwrap();
        assert!(ids.len() <= text.split(' ').count() * 4, "{text}: {ids:?}");
        assert_eq!(tokenizer.decode(&ids), text);
    }
    // " planes" occurs three times, "many" twice: both have become single tokens.
    assert_eq!(tokenizer.encode("many planes").unwrap().len(), 3);
    assert_eq!(train_bpe(CORPUS, 300).unwrap(), train_bpe(CORPUS, 300).unwrap());
    assert!(train_bpe(CORPUS, 256).unwrap_err().to_string().contains("at least 257"));
}

#[test]
fn ties_are_merged_in_the_order_of_their_texts() {
    let json = train_bpe(["ba", "ba", "ab", "ab", "cb", "cb"], 259).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["model"]["merges"], serde_json::json!([["a", "b"], ["b", "a"]]));
}

#[test]
fn a_character_vocabulary_knows_no_blanks() {
    let json = train_characters(["\u{6709} \u{6811}\u{6728}\u{3002}", "T\u{5b57}"]).unwrap();
    let tokenizer = CaptionTokenizer::load(&bundle(&[("tokenizer.json", &json)]), Language::Zh).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos()), (8, None, 1));
    // By code point: T 2, U+3002 3, U+5B57 4, U+6709 5, U+6728 6, U+6811 7; U+5C71 is unknown.
    let ids = tokenizer.encode(" \u{6709}\u{5c71} \u{6811}T\n").unwrap();
    assert_eq!(ids, [5, 0, 7, 2, 1]);
    assert_eq!(tokenizer.decode(&ids), "\u{6709}\u{6811}T");
}

#[test]
fn what_does_not_fit_is_refused() {
    type Files<'a> = &'a [(&'a str, &'a [u8])];
    let json = train_bpe(CORPUS, 260).unwrap();
    let unigram = br#"{"version": "1.0", "model": {"type": "Unigram", "vocab": []}}"#;
    let rows: [(&str, Files, &str); 5] = [
        ("no files", &[("config.json", b"{}")], "no vocabulary"),
        (
            "foreign end",
            &[("config.json", br#"{"eos_token_id": 50256}"#), ("tokenizer.json", &json)],
            "outside the vocabulary",
        ),
        ("unknown model", &[("tokenizer.json", unigram)], "`Unigram` is not supported"),
        ("no end", &[("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\na\n")], "no token `[SEP]`"),
        ("broken merges", &[("vocab.json", b"{}"), ("merges.txt", b"#version: 0.2\nab\n")], "line 2"),
    ];
    for (name, files, wanted) in rows {
        let error = format!("{:#}", CaptionTokenizer::load(&bundle(files), Language::En).unwrap_err());
        assert!(error.contains(wanted) && error.contains("model made"), "{name}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_survives_byte_level_bpe(text in "\\PC{0,40}") {
        let tokenizer = small_bpe();
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()), text.replace(['\u{fffd}'], ""));
    }

    #[test]
    fn any_tokens_decode_to_clean_text(ids in proptest::collection::vec(0u32..320, 0..40)) {
        let text = small_bpe().decode(&ids);
        prop_assert!(!text.contains('\u{fffd}'), "{}", text);
    }
}
