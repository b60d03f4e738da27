//! Pixels and floats of Pillow and transformers, byte for byte.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;

use crate::picture::resize::resize_vertically_first;
use crate::picture::{Alpha, CropRule, Picture, center_crop, decode_with, fitted_size, square, to_chw};
use crate::shared;

const MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821073];
const STD: [f32; 3] = [0.26862955, 0.2613026, 0.2757771];

fn load(folder: &Path, file: &str, alpha: Alpha) -> Picture {
    decode_with(&std::fs::read(folder.join(file)).unwrap(), alpha).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn prepare(picture: &Picture, variant: &str) -> Picture {
    let vertical_first = |picture: &Picture| {
        let (width, height) = fitted_size(picture, 32);
        center_crop(&resize_vertically_first(picture, width, height), 32, CropRule::Floor)
    };
    match variant {
        "hf" | "hf_drop_alpha" => square(picture, 32, CropRule::Floor),
        "openai" => square(picture, 32, CropRule::RoundHalfEven),
        "hf_pillow13" => vertical_first(picture),
        other => panic!("unknown variant {other}"),
    }
}

#[test]
fn every_golden_picture_and_variant_is_exact() {
    let (Some(folder), Some(tensors)) =
        (shared::path("golden/models/images"), shared::path("golden/models/clip_tiny/golden.safetensors"))
    else {
        return;
    };
    let bytes = std::fs::read(tensors).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut checked = 0;
    for (name, tensor) in tensors.iter() {
        let Some((variant, file)) = name.strip_prefix("u8.").and_then(|rest| rest.split_once('.')) else { continue };
        // JPEG decoders differ by a level or two, so the exact comparison starts from Pillow's own decode.
        let lossless = file.replace(".jpg", ".decoded.png");
        let alpha = if variant == "hf_drop_alpha" { Alpha::Drop } else { Alpha::OverWhite };
        let got = prepare(&load(&folder, &lossless, alpha), variant);
        assert_eq!(got.rgb, tensor.data(), "{name}");
        if lossless != file {
            let got = prepare(&load(&folder, file, alpha), variant);
            let off = got.rgb.iter().zip(tensor.data()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off <= Some(2), "{name} from the JPEG itself: {off:?} levels off");
        }
        checked += 1;
    }
    assert_eq!(checked, 19, "8 files in 2 variants, one in 2 more, one in 1 more");
}

#[test]
fn pixel_values_are_exact() {
    let (Some(folder), Some(tensors), Some(expected)) = (
        shared::path("golden/models/images"),
        shared::path("golden/models/clip_tiny/golden.safetensors"),
        shared::path("golden/models/clip_tiny/expected.json"),
    ) else {
        return;
    };
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let rows: Vec<String> = serde_json::from_value(expected["rows"].clone()).unwrap();
    let bytes = std::fs::read(tensors).unwrap();
    let values = SafeTensors::deserialize(&bytes).unwrap();
    let values = values.tensor("pixel_values").unwrap();
    let per_row = values.data().len() / rows.len();
    for (file, want) in rows.iter().zip(values.data().chunks_exact(per_row)) {
        let picture = load(&folder, &file.replace(".jpg", ".decoded.png"), Alpha::OverWhite);
        let got = to_chw(&square(&picture, 32, CropRule::Floor), MEAN, STD);
        let got: Vec<u8> = got.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(got, want, "{file}");
    }
}

#[test]
fn resized_sizes_and_digests() {
    let (Some(folder), Some(expected)) =
        (shared::path("golden/models/images"), shared::path("golden/models/clip_tiny/expected.json"))
    else {
        return;
    };
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let mut digests = BTreeMap::new();
    for (file, variants) in expected["preprocessing"].as_object().unwrap() {
        let picture = load(&folder, file, Alpha::OverWhite);
        let (width, height) = fitted_size(&picture, 32);
        assert_eq!(variants["hf"]["resized_wh"], serde_json::json!([width, height]), "{file}");
        assert_eq!(digests.insert(picture.digest(), file), None, "{file} has the digest of another");
    }
}

#[test]
fn every_sample_image_decodes() {
    for (folder, images) in [
        ("data/sample/RSICD/RSICD_images", 315),
        ("data/sample/Sydney_captions/imgs", 9),
        ("data/sample/UCM_captions/imgs", 174),
        ("data/ucm128/UCM_captions/imgs", 2100),
    ] {
        let Some(folder) = shared::path(folder) else { return };
        let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), images, "{}", folder.display());
        for name in names.iter().step_by(if images > 1000 { 50 } else { 1 }) {
            let picture = load(&folder, name.to_str().unwrap(), Alpha::OverWhite);
            assert!(picture.width >= 100 && picture.rgb.len() == (picture.width * picture.height * 3) as usize);
        }
    }
}

#[test]
fn published_twins_have_one_digest() {
    for (folder, a, b) in [
        ("data/sample/UCM_captions/imgs", "102.tif", "103.tif"),
        ("data/sample/RSICD/RSICD_images", "industrial_203.jpg", "industrial_205.jpg"),
    ] {
        let Some(folder) = shared::path(folder) else { return };
        let digest = |file| load(&folder, file, Alpha::OverWhite).digest();
        assert_eq!(digest(a), digest(b), "{a} and {b}");
    }
}
