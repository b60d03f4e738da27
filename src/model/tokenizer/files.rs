//! The vocabulary files of a model -> one tokenizer.json.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};

use super::{CLS, END_OF_TEXT, PAD, SEP, UNK};
use crate::model::Bundle;

/// The tokenizer.json of a model, made from older vocabulary files if there is none.
pub(super) fn tokenizer_json(bundle: &Bundle) -> Result<Value> {
    if bundle.files.contains_key("tokenizer.json") {
        return parse(bundle, "tokenizer.json");
    }
    let first = |names: [&'static str; 2]| names.into_iter().find(|name| bundle.files.contains_key(*name));
    if let (Some(vocab), Some(merges)) = (first(["vocab.json", "encoder.json"]), first(["merges.txt", "vocab.bpe"])) {
        return byte_level(parse(bundle, vocab)?, &text(bundle, merges)?).with_context(|| format!("in `{merges}`"));
    }
    if bundle.files.contains_key("vocab.txt") {
        let options = if bundle.files.contains_key("tokenizer_config.json") {
            parse(bundle, "tokenizer_config.json")?
        } else {
            Value::Null
        };
        return Ok(word_piece(&text(bundle, "vocab.txt")?, &options));
    }
    bail!(
        "there is no vocabulary: put `tokenizer.json`, `vocab.json` with `merges.txt`, or `vocab.txt` beside its \
         config.json (it has {:?})",
        bundle.files.keys()
    )
}

/// The `eos_token_id` of config.json, if it has one.
pub(super) fn end_id(bundle: &Bundle) -> Result<Option<u32>> {
    if !bundle.files.contains_key("config.json") {
        return Ok(None);
    }
    let field = &parse(bundle, "config.json")?["eos_token_id"];
    let id = field.as_array().map_or(field, |ids| ids.first().unwrap_or(&Value::Null));
    match id {
        Value::Null => Ok(None),
        id => {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            Ok(Some(id.ok_or_else(|| anyhow!("config.json: eos_token_id is {field}, not a token id"))?))
        }
    }
}

/// One file as JSON.
fn parse(bundle: &Bundle, name: &str) -> Result<Value> {
    serde_json::from_slice(&bundle.file(name)?).with_context(|| format!("`{name}` is not JSON"))
}

/// One file as text.
fn text(bundle: &Bundle, name: &str) -> Result<String> {
    String::from_utf8(bundle.file(name)?.into()).with_context(|| format!("`{name}` is not UTF-8"))
}

/// The entry of `added_tokens` for a token that is recognised inside text.
pub(super) fn special(token: &str, id: u64) -> Value {
    json!({
        "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true
    })
}

/// A whole tokenizer.json for byte-level BPE, as GPT-2 has it.
pub(super) fn byte_level_json(vocab: &Map<String, Value>, merges: &[(String, String)]) -> Value {
    let end = vocab.get(END_OF_TEXT).and_then(Value::as_u64);
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": end.map(|id| special(END_OF_TEXT, id)).into_iter().collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges
        }
    })
}

/// GPT-2's two files: token -> id, and one merge per line after a version line.
fn byte_level(vocab: Value, merges: &str) -> Result<Value> {
    let Value::Object(vocab) = vocab else { bail!("the vocabulary is not a JSON object") };
    let lines = merges.split('\n').map(|line| line.trim_end_matches('\r')).enumerate();
    let lines = lines.filter(|(at, line)| !(line.is_empty() || *at == 0 && line.starts_with("#version")));
    let merges = lines.map(|(at, line)| {
        let pair = line.split_once(' ').ok_or_else(|| anyhow!("line {}: `{line}` is not a pair of tokens", at + 1))?;
        Ok((pair.0.to_owned(), pair.1.to_owned()))
    });
    Ok(byte_level_json(&vocab, &merges.collect::<Result<Vec<_>>>()?))
}

/// BERT's file: one token per line, its id the line number from 0.
///
/// Options of `tokenizer_config.json`: `do_lower_case` (default true), `strip_accents` (default: as lower case),
/// `tokenize_chinese_chars` (default true).
fn word_piece(vocab: &str, options: &Value) -> Value {
    let lines = vocab.strip_suffix('\n').unwrap_or(vocab).split('\n').map(|line| line.trim_end_matches('\r'));
    let ids: BTreeMap<&str, u64> = lines.zip(0..).collect();
    let added = [PAD, UNK, CLS, SEP, "[MASK]"];
    let added = added.iter().filter_map(|token| Some(special(token, *ids.get(token)?)));
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": options["tokenize_chinese_chars"].as_bool().unwrap_or(true),
            "strip_accents": options["strip_accents"].as_bool(),
            "lowercase": options["do_lower_case"].as_bool().unwrap_or(true)
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" }, "post_processor": null,
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": false },
        "model": {
            "type": "WordPiece", "unk_token": UNK, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": ids
        }
    })
}
