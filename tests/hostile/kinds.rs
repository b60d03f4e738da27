//! The kinds of files that are mutated: whole ones, words of their grammar, and what reads them.

mod models;
mod store;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt32Array};
use arrow::datatypes::Float32Type;
use image::ImageFormat;
use rsic::dataset;
use rsic::language::Language;
use rsic::picture;
use rsic::pipeline::{Config, Graph};
use rsic::table;

use super::writers::{after, deflated, encoded, grey, mend_png, picture, tiff};
use crate::sandbox::TINY;

/// One kind of file.
pub(super) struct Kind {
    /// Words that a mutation exchanges and inserts.
    pub(super) tokens: &'static [&'static [u8]],
    /// Files that are read in different ways.
    pub(super) variants: Vec<Variant>,
    /// The most memory that the process may have had at the end, in megabytes.
    pub(super) most_memory: u64,
    /// Seeds at which something once went wrong; they are always read.
    pub(super) found: &'static [u64],
}

/// Reads a file; whether it was accepted.
type Reader = Box<dyn Fn(&[u8]) -> bool>;

/// Makes check sums right again.
type Mender = Box<dyn Fn(&mut Vec<u8>)>;

/// A kind by its name, and how to make it.
type Named = (&'static str, fn() -> Kind);

/// Whole files and their reader.
pub(super) struct Variant {
    /// Whole files.
    pub(super) seeds: Vec<Vec<u8>>,
    /// Makes check sums right again, so that a changed file is not refused for them alone.
    pub(super) mend: Mender,
    /// Reads a file; whether it was accepted.
    pub(super) read: Reader,
}

impl Variant {
    fn new(seeds: Vec<Vec<u8>>, read: impl Fn(&[u8]) -> bool + 'static) -> Self {
        Self::mended(seeds, |_| (), read)
    }

    /// Fails unless the whole files are accepted.
    fn mended(
        seeds: Vec<Vec<u8>>,
        mend: impl Fn(&mut Vec<u8>) + 'static,
        read: impl Fn(&[u8]) -> bool + 'static,
    ) -> Self {
        for (at, seed) in seeds.iter().enumerate() {
            let mut mended = seed.clone();
            mend(&mut mended);
            assert!(mended == *seed && read(seed), "whole file {at} is not accepted");
        }
        Self { seeds, mend: Box::new(mend), read: Box::new(read) }
    }
}

/// All kinds by name.
pub(super) fn all() -> Vec<Named> {
    vec![
        ("annotations", annotations),
        ("png", png),
        ("jpeg", jpeg),
        ("tiff", tiffs),
        ("safetensors", models::safetensors),
        ("torch", models::torch),
        ("config.json", models::configs),
        ("tokenizer", models::tokenizers),
        ("pipeline.toml", pipeline),
        ("store", store::store),
        ("parquet", parquet),
    ]
}

/// Words of JSON and of the files that are written in it here.
pub(super) const JSON: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\"",
    b"\\",
    b"null",
    b"true",
    b"-",
    b"0",
    b"1e9",
    b"\"imgid\"",
    b"\"sentid\"",
    b"\"sentids\"",
    b"\"filename\"",
    b"\"split\"",
    b"\"train\"",
    b"\"test\"",
    b"\"val\"",
    b"\"raw\"",
    b"\"raw_chinese\"",
    b"\"tokens\"",
    b"\"sentences\"",
    b"\"images\"",
    b"..",
    b"/",
    b"###",
    b"\\u0000",
    b"\\ud83d",
    b"\xEF\xBB\xBF",
    b"\xE2\x80\xA8",
    b"\xFF",
    b"\"type\"",
    b"\"vocab\"",
    b"\"merges\"",
    b"\"model\"",
    b"\"dtype\"",
    b"\"shape\"",
    b"\"data_offsets\"",
    b"\"F32\"",
    b"\"F16\"",
    b"\"I64\"",
    b"\"outputs\"",
    b"\"name\"",
    b"\"bytes\"",
    b"\"key\"",
];

fn annotations() -> Kind {
    let sentence = |n: usize| {
        format!(
            r#"{{"sentid": {n}, "imgid": {}, "raw": "plane {n} is here .", "tokens": ["plane", "{n}", "is", "here"], "raw_chinese": "飞机{n}。", "tokens_chinese": ["飞机", "{n}"]}}"#,
            n / 2
        )
    };
    let image = |n: usize| {
        let split = ["train", "val", "test"][n % 3];
        format!(
            r#"{{"imgid": {n}, "filename": "airport_{n}.tif", "split": "{split}", "sentids": [{}, {}], "sentences": [{}, {}]}}"#,
            2 * n,
            2 * n + 1,
            sentence(2 * n),
            sentence(2 * n + 1)
        )
    };
    let images: Vec<String> = (0..6).map(image).collect();
    let json = format!(r#"{{"images": [{}], "dataset": "ucm"}}"#, images.join(",\n"));
    let seeds = vec![json.clone().into_bytes(), format!("\u{feff}{json}").into_bytes()];
    let read = |language| move |bytes: &[u8]| dataset::read(bytes, "x.json", language).is_ok();
    let variants = [Language::En, Language::Zh].map(|language| Variant::new(seeds.clone(), read(language)));
    Kind { tokens: JSON, variants: variants.into(), most_memory: 500, found: &[] }
}

/// Two-thirds of what is allowed is the widest picture of all, with as much again to work in.
const MOST_OF_A_PICTURE: u64 = 3_300;

fn decodes(bytes: &[u8]) -> bool {
    let decoded = picture::decode(bytes);
    if let Ok(picture) = &decoded {
        assert_eq!(picture.rgb.len(), picture.width as usize * picture.height as usize * 3);
    }
    decoded.is_ok()
}

fn png() -> Kind {
    let whole = picture();
    let pictures = [whole.clone(), whole.to_luma8().into(), whole.to_rgba8().into(), whole.to_rgba16().into()];
    let seeds: Vec<Vec<u8>> = pictures.iter().map(|picture| encoded(picture, ImageFormat::Png)).collect();
    let mend = |bytes: &mut Vec<u8>| mend_png(bytes);
    let tokens: &[&[u8]] = &[
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"tRNS",
        b"iCCP",
        b"zTXt",
        b"gAMA",
        b"acTL",
        b"fcTL",
        b"fdAT",
        b"iTXt",
        b"\0\0\0\0",
        b"\0\0\0\x0d",
        b"x\x9c",
    ];
    let variants = vec![Variant::new(seeds.clone(), decodes), Variant::mended(seeds, mend, decodes)];
    Kind { tokens, variants, most_memory: MOST_OF_A_PICTURE, found: &[] }
}

fn jpeg() -> Kind {
    let whole = picture();
    let seeds = vec![encoded(&whole, ImageFormat::Jpeg), encoded(&whole.to_luma8().into(), ImageFormat::Jpeg)];
    let tokens: &[&[u8]] = &[
        b"\xFF\xD8",
        b"\xFF\xC0",
        b"\xFF\xC1",
        b"\xFF\xC2",
        b"\xFF\xC3",
        b"\xFF\xC4",
        b"\xFF\xC9",
        b"\xFF\xDA",
        b"\xFF\xDB",
        b"\xFF\xDD",
        b"\xFF\xE0",
        b"\xFF\xE1",
        b"\xFF\xE2",
        b"\xFF\xEE",
        b"\xFF\xD9",
        b"\xFF\xD0",
        b"\xFF\xFE",
    ];
    Kind { tokens, variants: vec![Variant::new(seeds, decodes)], most_memory: MOST_OF_A_PICTURE, found: &[] }
}

fn tiffs() -> Kind {
    let whole = picture();
    let grey_of = |compression, pixels: Vec<u8>| {
        let tags = grey(8, 8, compression, (after(9), pixels.len() as u32));
        tiff(&tags, 0, &pixels)
    };
    let tiles = {
        let mut tags = grey(16, 16, 1, (0, 0));
        tags.retain(|tag| ![273, 278, 279].contains(&tag.0));
        tags.extend([(322, 4, 1, 16), (323, 4, 1, 16), (324, 4, 1, after(10)), (325, 4, 1, 256)]);
        tiff(&tags, 0, &(0..=255).collect::<Vec<u8>>())
    };
    let seeds = vec![
        encoded(&whole, ImageFormat::Tiff),
        encoded(&whole.to_luma16().into(), ImageFormat::Tiff),
        grey_of(1, (0..64).collect()),
        grey_of(8, deflated(0, &(0..64).collect::<Vec<u8>>())),
        // Eight rows of one run of eight bytes.
        grey_of(32773, [0xF9, 5].repeat(8)),
        tiles,
    ];
    // Types, and tags that change how all others are read.
    let tokens: &[&[u8]] = &[
        b"\x03\0",
        b"\x04\0",
        b"\x10\0",
        b"\x01\0\0\0",
        b"\x00\x01",
        b"\x01\x01",
        b"\x02\x01",
        b"\x03\x01",
        b"\x06\x01",
        b"\x11\x01",
        b"\x15\x01",
        b"\x16\x01",
        b"\x17\x01",
        b"\x1c\x01",
        b"\x3d\x01",
        b"\x42\x01",
        b"\x43\x01",
        b"\x52\x01",
        b"\x53\x01",
        b"\x05\0",
        b"\x08\0",
        b"\x07\0",
        b"\x05\x80",
        b"\xFF\xFF\xFF\xFF",
    ];
    Kind { tokens, variants: vec![Variant::new(seeds, decodes)], most_memory: MOST_OF_A_PICTURE, found: &[] }
}

fn pipeline() -> Kind {
    let tokens: &[&[u8]] = &[
        b"[",
        b"]",
        b"[[",
        b"]]",
        b"=",
        b"\"",
        b"'",
        b"\"\"\"",
        b"\n",
        b"#",
        b".",
        b"{",
        b"}",
        b",",
        b"inf",
        b"nan",
        b"true",
        b"1979-05-27",
        b"0x10",
        b"datasets",
        b"models",
        b"mappers",
        b"attention",
        b"train",
        b"caption",
        b"captions",
        b"score",
        b"checkpoints",
        b"scratch",
        b"ucm",
        b"ucm_cn",
        b"epochs",
        b"seeds",
        b"kind",
        b"mlp",
        b"amht",
        b"\"en\"",
        b"\"zh\"",
        b"clip",
        b"gpt2",
        b"width",
        b"layers",
        b"heads",
        b"..",
        b"/",
        b"\\u0000",
        b"\xFF",
    ];
    let read = |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let Ok(config) = Config::parse(text, &[]) else { return false };
        !Graph::new(&config, Path::new("/workspace")).nodes.is_empty()
    };
    let own = include_bytes!("../../pipeline.toml").to_vec();
    Kind { tokens, variants: vec![Variant::new(vec![TINY.into(), own], read)], most_memory: 500, found: &[] }
}

fn parquet() -> Kind {
    let texts = |all: &[&str]| -> ArrayRef { Arc::new(StringArray::from(all.to_vec())) };
    let ids: ArrayRef = Arc::new(UInt32Array::from(vec![3, 1, 4, 1, 5]));
    let names = texts(&["a.tif", "b.tif", "c.tif", "d.tif", "e.tif"]);
    let splits = texts(&["train", "train", "train", "train", "test"]);
    let classes: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, None, Some("b"), Some("b")]));
    let entries = table::make(table::entries(), vec![ids.clone(), names.clone(), splits, classes]).unwrap();
    let lists = table::u32_list_array(&[vec![1, 2], vec![], vec![3], vec![4; 40], vec![5]]);
    let tokens = table::make(table::tokens(), vec![ids.clone(), ids, lists]).unwrap();
    let vectors = table::vector_array::<Float32Type>((0..40).map(|n| n as f32).collect(), 8).unwrap();
    let vectors = table::make(table::embeddings(8), vec![names, vectors]).unwrap();
    let write = |table| table::write(table, &[(table::LINEAGE, "{}")]).unwrap();
    let seeds: Vec<Vec<u8>> = [&entries, &tokens, &vectors].map(write).into();
    let read = |bytes: &[u8]| {
        let lineage = table::lineage(bytes.to_vec());
        let table = table::read(bytes.to_vec());
        table.and_then(|table| table::column_hashes(&table)).is_ok() && lineage.is_ok()
    };
    let tokens: &[&[u8]] =
        &[b"PAR1", b"PARE", b"\x15\x00", b"\x15\x02", b"\x19\x1c", b"\x2c", b"schema", b"item", b"list"];
    Kind { tokens, variants: vec![Variant::new(seeds, read)], most_memory: 500, found: &[9861, 21930, 32251, 86037] }
}
