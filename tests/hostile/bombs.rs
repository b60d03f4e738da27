//! Files of some kilobytes that ask for all the memory or time there is.

use std::fmt::Write as _;
use std::fs;

use image::{ImageFormat, RgbImage};
use serde_json::Value;
use zip::CompressionMethod;

use super::writers::{
    Tag, after, archive, deflated, directory, encoded, grey, picture, png, safetensors, state_dict, tiff,
};
use super::{bundles, each, refused, within_bounds};
use crate::sandbox::{Sandbox, TINY};

const ANNOTATIONS: &str = "datasets/UCM_captions/dataset.json";
const MODEL: &str = "models/gpt2";

/// JPEG's frame header, with another size.
fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = encoded(&picture(), ImageFormat::Jpeg);
    let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[height.to_be_bytes(), width.to_be_bytes()].concat());
    bytes
}

/// A grey picture of 8 x 8 with other tags in the place of those of the same number.
fn with_tags(other: &[Tag], next: u32, data: &[u8]) -> Vec<u8> {
    let mut tags = grey(8, 8, 1, (0, 64));
    tags.retain(|tag| other.iter().all(|o| o.0 != tag.0));
    tags.extend(other);
    tags.sort_by_key(|tag| tag.0);
    tiff(&tags, next, data)
}

#[test]
fn pictures_that_claim_too_much_are_refused_by_name() {
    let whole = deflated(0, &[[0; 1 + 8 * 3]; 8].concat());
    let name = |keyword: &str, bomb: Vec<u8>| [keyword.as_bytes(), b"\0\0", &bomb].concat();
    let chain: Vec<u8> = (0..100_000_u32).flat_map(|n| directory(&grey(8, 8, 1, (0, 64)), 8 + (n + 1) * 114)).collect();
    let deep = deflated(1 << 30, &[]);
    let strip = (after(9), deep.len() as u32);
    let rows: Vec<(&str, Vec<u8>, Option<i32>)> = vec![
        ("png of 10^5 x 10^5", png(100_000, 100_000, &[], &whole), Some(1)),
        ("png of 2^31 x 2^31", png(1 << 31, 1 << 31, &[], &whole), Some(1)),
        ("png, a gigabyte behind 8 x 8", png(8, 8, &[], &deflated(1 << 30, &[])), None),
        (
            "png, colour profile of a gigabyte",
            png(8, 8, &[(*b"iCCP", name("x", deflated(1 << 30, &[])))], &whole),
            None,
        ),
        ("png, text of a gigabyte", png(8, 8, &[(*b"zTXt", name("x", deflated(1 << 30, &[])))], &whole), None),
        ("jpeg of one colour, 4,000 x 4,000", encoded(&RgbImage::new(4_000, 4_000).into(), ImageFormat::Jpeg), Some(0)),
        ("jpeg of 65,500 x 65,500", jpeg(65_500, 65_500), Some(1)),
        ("jpeg of 19,000 x 10,000 in 700 bytes", jpeg(19_000, 10_000), Some(1)),
        ("tiff of 10^5 x 10^5", tiff(&grey(100_000, 100_000, 1, (8, 64)), 0, &[0; 64]), Some(1)),
        ("tiff of 14,000 x 14,000 in 200 bytes", tiff(&grey(14_000, 14_000, 1, (8, 64)), 0, &[0; 64]), Some(1)),
        ("tiff, a gigabyte behind 8 x 8", tiff(&grey(8, 8, 8, strip), 0, &deep), None),
        ("tiff with 2^32 strips", with_tags(&[(273, 4, u32::MAX, 8), (279, 4, u32::MAX, 8)], 0, &[0; 64]), Some(1)),
        ("tiff with 2^28 bits per sample", with_tags(&[(258, 3, 1 << 28, 8)], 0, &[0; 64]), Some(1)),
        (
            "tiff with tiles of 2^30 x 2^30",
            with_tags(&[(322, 4, 1, 1 << 30), (323, 4, 1, 1 << 30), (324, 4, 1, 8), (325, 4, 1, 64)], 0, &[0; 64]),
            Some(1),
        ),
        (
            "tiff with tiles of 0 x 0",
            with_tags(&[(322, 4, 1, 0), (323, 4, 1, 0), (324, 4, 1, 8), (325, 4, 1, 64)], 0, &[]),
            Some(1),
        ),
        ("tiff with strips of 0 rows", with_tags(&[(278, 4, 1, 0)], 0, &[0; 64]), None),
        ("tiff with 65,535 samples", with_tags(&[(277, 3, 1, 65_535)], 0, &[0; 64]), Some(1)),
        ("tiff that goes on with itself", with_tags(&[], 8, &[0; 64]), None),
        ("tiff of 100,000 pictures", [b"II*\0\x08\0\0\0".to_vec(), chain].concat(), None),
        ("tiff whose directory is behind its end", b"II*\0\xff\xff\xff\xff".to_vec(), Some(1)),
        ("big tiff with 2^63 tags", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80".to_vec(), Some(1)),
    ];
    let sandbox = Sandbox::new(TINY);
    let json: Value = serde_json::from_slice(&fs::read(sandbox.path(ANNOTATIONS)).unwrap()).unwrap();
    let first = json["images"][0]["filename"].as_str().unwrap();
    each(rows, |(name, bytes, code)| {
        let path = sandbox.path("datasets/UCM_captions/imgs").join(first);
        fs::write(&path, &bytes).unwrap();
        let ran = within_bounds(name, &sandbox, &["build", "ingest/ucm"]);
        assert!(code.is_none() || code == ran.code, "{name}: {:?} {}", ran.code, ran.err);
        if ran.code != Some(0) {
            refused(name, &ran, 1, &["1 of ", "images cannot be read", first]);
        }
    });
}

#[test]
fn annotations_that_claim_too_much_are_refused_with_a_place() {
    let row = |rest: &str| {
        let start = r#"{"images": [{"imgid": 0, "filename": "1.tif", "split": "train", "#;
        format!("{start}{rest}}}]}}").into_bytes()
    };
    let sentence = |text: &str| row(&format!(r#""sentences": [{{"raw": "{text}"}}]"#));
    let keys = (0..1_000_000).fold(String::new(), |mut keys, n| {
        let _ = write!(keys, "\"k{n}\": {n}, ");
        keys
    });
    let long = "x".repeat(8 << 20);
    let rows: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("100,000 brackets", "[".repeat(100_000).into(), &["dataset.json:1:", "expected"]),
        ("100,000 brackets in a field", row(&format!("\"x\": {}", "[".repeat(100_000))), &["dataset.json:1:"]),
        (
            "100,000 braces in a field",
            row(&format!("\"sentids\": {}", "{\"a\":".repeat(100_000))),
            &["dataset.json:1:"],
        ),
        ("a number of 10^6 digits", row(&format!("\"x\": {}", "9".repeat(1_000_000))), &["dataset.json:1:"]),
        ("1e999", row("\"x\": 1e999"), &["dataset.json:1:"]),
        ("an id above 2^32", row("\"imgid\": 4294967296"), &["dataset.json:1:"]),
        ("a key twice", row("\"split\": \"train\""), &["dataset.json:1:", "duplicate field `split`"]),
        ("all of it twice", [sentence("a"), sentence("a")].concat(), &["dataset.json:1:", "trailing characters"]),
        ("UTF-16", "{\"images\"".encode_utf16().flat_map(u16::to_le_bytes).collect(), &["dataset.json:1:"]),
        (
            "a split of 8 MB",
            format!(r#"{{"images": [{{"imgid": 0, "filename": "1", "split": "{long}", "sentences": []}}]}}"#).into(),
            &["dataset.json"],
        ),
        ("10^6 unknown keys", row(&format!("{keys}\"sentences\": []")), &[]),
        ("a caption of 8 MB", sentence(&long), &[]),
        ("a caption of 10^6 blanks", sentence(&"a ".repeat(1_000_000)), &[]),
    ];
    let sandbox = Sandbox::new(TINY);
    each(rows, |(name, bytes, words)| {
        fs::write(sandbox.path(ANNOTATIONS), &bytes).unwrap();
        let ran = within_bounds(name, &sandbox, &["build", "annotations/ucm"]);
        refused(name, &ran, i32::from(!words.is_empty()), words);
        within_bounds(name, &sandbox, &["lint", "ucm"]);
    });
}

#[test]
fn a_pipeline_toml_that_claims_too_much_is_refused_with_a_place() {
    let keys = (0..1_000_000).fold("[x]\n".to_owned(), |mut keys, n| {
        let _ = writeln!(keys, "k{n} = {n}");
        keys
    });
    let set = |from: &str, to: &str| TINY.replacen(from, to, 1);
    let rows: Vec<(&str, String)> = vec![
        ("100,000 brackets", format!("x = {}", "[".repeat(100_000))),
        ("100,000 braces", format!("x = {}", "{a=".repeat(100_000))),
        ("100,000 dots", format!("x{} = 1", ".a".repeat(100_000))),
        ("a table header of 100,000 dots", format!("[x{}]", ".a".repeat(100_000))),
        ("10^6 keys", keys),
        ("a string of 8 MB", format!("x = \"{}\"", "a".repeat(8 << 20))),
        ("a number of 10^6 digits", set("epochs = 2", &format!("epochs = {}", "9".repeat(1_000_000)))),
        ("a key twice", format!("{TINY}\n[train]\nepochs = 3\n")),
        ("prefix_length of 10^15", set("prefix_length = 3", "prefix_length = 1000000000000000")),
        ("layers of 10^15", set("layers = 1", "layers = 1000000000000000")),
        ("clip_length of 10^15", set("clip_length = 3", "clip_length = 1000000000000000")),
        ("decoder of 10^15", set("decoder_dim = 16", "decoder_dim = 1000000000000000")),
        ("channels of 10^15", set("channels = [8, 16]", "channels = [8, 1000000000000000]")),
        ("text_width of 10^15", set("text_width = 16", "text_width = 1000000000000000")),
        ("vocab_size of 10^15", set("vocab_size = 400", "vocab_size = 1000000000000000")),
        ("width of 10^15", set("width = 32", "width = 1000000000000000")),
        ("beams of 10^15", set("method = \"beam\", width = 2", "method = \"beam\", width = 1000000000000000")),
        ("tokens of 10^15", set("en = 20, zh = 30", "en = 1000000000000000, zh = 30")),
        ("resamples of 10^15", format!("{TINY}\n[score]\nresamples = 1000000000000000\n")),
        ("grid of 10^15", set("encoder = \"scratch\"", "encoder = \"scratch\"\ngrid = 1000000000000000")),
        ("10^5 seeds", set("seed = 1", &format!("seeds = [{}]", "1, 2, ".repeat(50_000)))),
    ];
    let sandbox = Sandbox::new(TINY);
    each(rows, |(name, text)| {
        fs::write(sandbox.path("pipeline.toml"), text).unwrap();
        for args in [&["status"][..], &["build", "score/ucm_constant"]] {
            let ran = within_bounds(name, &sandbox, args);
            refused(name, &ran, 2, &["pipeline.toml"]);
        }
    });
}

#[test]
fn checkpoints_that_claim_too_much_are_refused_by_name() {
    let names = |n: usize| -> Vec<String> { (0..n).map(|n| format!("clip_project.model.{n}.weight")).collect() };
    let stored = |pickle: &[u8]| archive(&[("x/data.pkl", pickle), ("x/data/0", &[0; 4])], CompressionMethod::Stored);
    let bomb = {
        let pickle = vec![b'N'; 1 << 28];
        archive(&[("x/data.pkl", &pickle)], CompressionMethod::Deflated)
    };
    let lying = |at: usize| {
        // The sizes in the archive's directory, of the entry `x/data/0`.
        let mut bytes = stored(&state_dict(&names(1), 1 << 30, &[1 << 30], &[1]));
        let entry = bytes.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
        bytes[entry + at..entry + at + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
        bytes
    };
    let overlapping = {
        // 200 entries of the directory that show one piece of the file.
        let one =
            archive(&[("x/data.pkl", b"\x80\x02}."), ("x/data/0", &vec![0; 1 << 20])], CompressionMethod::Deflated);
        let start = one.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
        let end = one.windows(4).rposition(|four| four == b"PK\x05\x06").unwrap();
        let last = one[..end].windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
        let mut bytes = one[..end].to_vec();
        for n in 1..=200_u8 {
            let mut entry = one[last..end].to_vec();
            let name = entry.len() - 1;
            entry[name] = n;
            bytes.extend(entry);
        }
        let mut tail = one[end..].to_vec();
        let (count, size) = (202_u16.to_le_bytes(), ((bytes.len() - start) as u32).to_le_bytes());
        tail[8..10].copy_from_slice(&count);
        tail[10..12].copy_from_slice(&count);
        tail[12..16].copy_from_slice(&size);
        [bytes, tail].concat()
    };
    let tensor =
        |shape: &str, to: u64| format!(r#"{{"a": {{"dtype": "F32", "shape": {shape}, "data_offsets": [0, {to}]}}}}"#);
    let header = |text: &str| safetensors(text.len() as u64, text.as_bytes(), &[0; 4]);
    let nested = format!("{{\"a\": {}", "[".repeat(100_000));
    let rows: Vec<(&str, &str, Vec<u8>)> = vec![
        ("pickle of 256 MB", "x.pt", bomb),
        ("1,000 tensors of a gigabyte from one number", "x.pt", stored(&state_dict(&names(1000), 1, &[1 << 28], &[0]))),
        ("a shape of 2^96", "x.pt", stored(&state_dict(&names(1), 1, &[u32::MAX; 3], &[1, 1, 1]))),
        ("compressed size that lies", "x.pt", lying(20)),
        ("size that lies", "x.pt", lying(24)),
        ("entries over each other", "x.pt", overlapping),
        (
            "an archive of nothing",
            "x.pt",
            b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0".to_vec(),
        ),
        ("header of 2^63 bytes", "x.safetensors", safetensors(1 << 63, b"{}", &[])),
        ("header of 99 MB", "x.safetensors", safetensors(99_000_000, b"{}", &[])),
        ("header of 100,000 brackets", "x.safetensors", header(&nested)),
        ("tensor of 2^62 bytes", "x.safetensors", header(&tensor("[1152921504606846976]", 1 << 62))),
        ("shape whose product overflows", "x.safetensors", header(&tensor("[4294967296, 4294967296, 16]", 4))),
        ("backward offsets", "x.safetensors", header(&tensor("[1]", 4).replace("[0, 4]", "[4, 0]"))),
    ];
    let sandbox = Sandbox::new(TINY);
    each(rows, |(name, file, bytes)| {
        fs::write(sandbox.path(file), &bytes).unwrap();
        let path = sandbox.path(file).display().to_string();
        let _ = within_bounds(name, &sandbox, &["import", &path, "--inspect"]);
        for args in [["import", &path, "--as", "ucm_new"], ["import", &path, "--to", "model"]] {
            let ran = within_bounds(name, &sandbox, &args);
            let why = if name.starts_with("1,000 tensors") { "repeat or unpack the same bytes" } else { "" };
            refused(name, &ran, 1, &["error: ", file, why]);
        }
        assert!(!sandbox.path("model").exists(), "{name}");
    });
}

/// Sizes in config.json, which a network is made of before its weights are looked at.
#[test]
fn a_config_json_that_claims_too_much_is_refused_by_name() {
    let sandbox = Sandbox::with_models();
    sandbox.edit("pipeline.toml", |text| text.replace("[train]\nepochs = 2", "[train]\nepochs = 1"));
    let published = bundles::clip();
    fs::create_dir(sandbox.path("models/published")).unwrap();
    for name in published.files.keys() {
        fs::write(sandbox.path("models/published").join(name), bundles::file(&published, name)).unwrap();
    }
    let of_gpt2 = ["/n_layer", "/n_embd", "/n_positions", "/vocab_size", "/n_inner", "/n_head", "/eos_token_id"];
    let of_scratch = ["/channels/0", "/blocks", "/projection_dim", "/image_size", "/views"];
    let of_clip = ["hidden_size", "intermediate_size", "num_hidden_layers", "image_size", "patch_size"];
    let of_clip = of_clip.map(|name| format!("/vision_config/{name}"));
    let of_clip: Vec<&str> = of_clip.iter().map(String::as_str).chain(["/projection_dim"]).collect();
    let models: [(&str, &str, &[&str]); 3] = [
        ("models/gpt2", "caption/ucm_mlp", &of_gpt2),
        ("models/clip", "embed/ucm", &of_scratch),
        ("models/published", "embed/ucm", &of_clip),
    ];
    for (model, target, places) in models {
        let path = sandbox.path(model).join("config.json");
        let whole = fs::read(&path).unwrap();
        let chosen = format!("models.clip=./{}", if model == "models/gpt2" { "models/clip" } else { model });
        let args = ["build", target, "-p", &chosen];
        within_bounds(model, &sandbox, &args).ok();
        each(places, |place| {
            for size in [4_000, 60_000, 1_000_000, 1 << 40, u64::MAX] {
                let mut config: Value = serde_json::from_slice(&whole).unwrap();
                *config.pointer_mut(place).unwrap() = size.into();
                if ["/n_embd", "/vision_config/hidden_size"].contains(place) {
                    for heads in ["/n_head", "/vision_config/num_attention_heads"] {
                        if let Some(heads) = config.pointer_mut(heads) {
                            *heads = 1.into();
                        }
                    }
                }
                fs::write(&path, config.to_string()).unwrap();
                let name = format!("{model} {place} = {size}");
                refused(&name, &within_bounds(&name, &sandbox, &args), 1, &["error: ", model]);
            }
        });
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn vocabularies_that_claim_too_much_are_refused_by_name() {
    let sandbox = Sandbox::with_models();
    let folder = sandbox.path(MODEL);
    let whole: Value = serde_json::from_slice(&fs::read(folder.join("tokenizer.json")).unwrap()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut json = whole.clone();
        change(&mut json);
        json.to_string()
    };
    let split = |regex: &str| {
        with(&|json| {
            json["pre_tokenizer"] = serde_json::json!({
                "type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false
            });
        })
    };
    let rows: Vec<(&str, String, i32)> = vec![
        ("100,000 brackets", "[".repeat(100_000), 1),
        ("an id of 2^32 - 1", with(&|json| json["model"]["vocab"]["zzz"] = u32::MAX.into()), 0),
        ("an id above 2^32", with(&|json| json["model"]["vocab"]["zzz"] = u64::MAX.into()), 1),
        ("a merge of nothing", with(&|json| json["model"]["merges"] = serde_json::json!([["", ""]])), 1),
        ("a merge of three", with(&|json| json["model"]["merges"] = serde_json::json!(["a b c"])), 1),
        ("an endless expression", split("(?=(a+)+\\1$)b|(a|a)*$"), 0),
        ("an expression that is none", split("("), 1),
        ("an expression of 2^30 repetitions", split("((a{1000}){1000}){1000}"), 1),
    ];
    each(rows, |(name, text, code)| {
        fs::write(folder.join("tokenizer.json"), text).unwrap();
        let ran = within_bounds(name, &sandbox, &["build", "tokenize/ucm"]);
        refused(name, &ran, code, if code == 0 { &[] } else { &["error: ", "models/gpt2"] });
    });
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    fs::write(folder.join("vocab.json"), whole["model"]["vocab"].to_string()).unwrap();
    for (name, merges) in [
        ("10^6 merges of unknown tokens", "qqq qqq\n".repeat(1_000_000)),
        ("a line of 8 MB", "x".repeat(8 << 20)),
        ("a pair of 8 MB", format!("x {}", "y".repeat(8 << 20))),
        ("no line that is a pair", "a\n".repeat(1_000)),
    ] {
        fs::write(folder.join("merges.txt"), merges).unwrap();
        let ran = within_bounds(name, &sandbox, &["build", "tokenize/ucm"]);
        refused(name, &ran, 1, &["error: ", "models/gpt2"]);
    }
}
