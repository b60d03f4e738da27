use std::collections::BTreeMap;

use candle_core::Tensor;
use serde_json::json;

use super::*;
use crate::model::Content;
use crate::model::init::Init;
use crate::model::weights::{self, Weights};
use crate::{picture, shared};

const TOLERANCE: f32 = 1e-4;

fn close(name: &str, got: &[f32], wanted: &[f32]) {
    assert_eq!(got.len(), wanted.len(), "{name}");
    let off = got.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    shared::parity(&format!("CLIP {name}"), f64::from(off), f64::from(TOLERANCE));
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// A golden folder: the model, its tensors, its expectations.
fn golden(folder: &str) -> Option<(Bundle, Weights, Value)> {
    let folder = shared::path(folder)?;
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let names = ["config.json", "preprocessor_config.json", "model.safetensors"];
    let files = names.iter().map(|name| ((*name).to_owned(), read(name).into())).collect();
    let expected = serde_json::from_slice(&read("expected.json")).unwrap();
    let tensors = weights::parse(&read("golden.safetensors")).unwrap();
    Some((Bundle { files, name: "golden".to_owned() }, tensors, expected))
}

/// Expected numbers: transformers' `CLIPModel` and `CLIPImageProcessor` on golden/models.
#[test]
fn vectors_agree_with_transformers() {
    for folder in ["golden/models/clip_tiny", "golden/models/clip_tiny_gelu"] {
        let Some((bundle, tensors, expected)) = golden(folder) else { return };
        let clip = ClipVision::load(&bundle).unwrap();
        assert_eq!((clip.dim(), ImageEncoder::load(&bundle).unwrap().dim()), (48, 48));
        let images = shared::path("golden/models/images").unwrap();
        let mut wanted = Vec::new();
        let mut pictures = Vec::new();
        for (file, vector) in expected["image_embeds"].as_object().unwrap() {
            let lossless = file.replace(".jpg", ".decoded.png");
            pictures.push(picture::decode(&std::fs::read(images.join(lossless)).unwrap()).unwrap());
            wanted.push((file, floats(vector)));
        }
        let vectors = clip.embed(&pictures).unwrap();
        for ((file, wanted), got) in wanted.iter().zip(vectors.chunks(48)) {
            close(&format!("{folder} {file}"), got, wanted);
        }
        let pixels: Vec<Vec<f32>> = pictures.iter().map(|picture| clip.input_spec().apply(picture)).collect();
        if let Some(exact) = tensors.get("pixel_values") {
            let rows: Vec<&str> =
                expected["rows"].as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
            for (row, exact) in rows.iter().zip(flat(exact).chunks(3 * 32 * 32)) {
                let at = wanted.iter().position(|(file, _)| file == row).unwrap();
                assert_eq!(pixels[at], exact, "{row}");
            }
        }
        // The golden tensors have the rows of `image_embeds` in the order of `rows` as well.
        close("hidden", &flat(&clip.hidden(&pixels).unwrap()), &flat(&tensors["vision_last_hidden_state"]));
        close("all", &vectors, &flat(&tensors["image_embeds"]));
    }
}

/// Expected numbers: transformers' `CLIPModel`.
#[test]
fn texts_agree_with_transformers() {
    for folder in ["golden/models/clip_tiny", "golden/models/clip_tiny_gelu"] {
        let Some((bundle, tensors, expected)) = golden(folder) else { return };
        let text = ClipText::load(&bundle).unwrap();
        let row = |row: &Value| floats(row).into_iter().map(|id| id as u32).collect();
        let source =
            if expected["text_rows"].is_array() { expected } else { golden("golden/models/clip_tiny").unwrap().2 };
        let ids: Vec<Vec<u32>> = source["text_rows"].as_array().unwrap().iter().map(row).collect();
        close(folder, &text.embed(&ids).unwrap(), &flat(&tensors["text_embeds"]));
    }
}

/// The names that `OpenCLIP` gives to the tensors of a `CLIPModel`.
fn openclip_names(weights: &Weights) -> Weights {
    let mut out = Weights::new();
    for (name, tensor) in weights {
        let (side, rest) = match name.split_once("_model.") {
            Some(("vision", rest)) => ("visual.", rest),
            Some((_, rest)) => ("", rest),
            None => ("", name.as_str()),
        };
        let words = [
            ("embeddings.patch_embedding.", "conv1."),
            ("embeddings.class_embedding", "class_embedding"),
            ("embeddings.position_embedding.weight", "positional_embedding"),
            ("embeddings.token_embedding", "token_embedding"),
            ("pre_layrnorm", "ln_pre"),
            ("post_layernorm", "ln_post"),
            ("final_layer_norm", "ln_final"),
            ("encoder.layers", "transformer.resblocks"),
            ("layer_norm", "ln_"),
            ("self_attn", "attn"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
        ];
        let new = words.iter().fold(rest.to_owned(), |rest, (from, to)| rest.replace(from, to));
        let new = format!("{side}{new}");
        if let Some((stem, kind)) = new.split_once("q_proj.") {
            let other = |part: &str| weights[&name.replace("q_proj", part)].clone();
            let joined = Tensor::cat(&[tensor.clone(), other("k_proj"), other("v_proj")], 0).unwrap();
            out.insert(format!("{stem}in_proj_{kind}"), joined);
        } else if let Some(projection) = name.strip_suffix("_projection.weight") {
            let new = if projection == "visual" { "visual.proj" } else { "text_projection" };
            out.insert(new.to_owned(), tensor.t().unwrap().contiguous().unwrap());
        } else if !(new.contains("k_proj") || new.contains("v_proj") || new.ends_with("position_ids")) {
            out.insert(new, tensor.clone());
        }
    }
    out
}

#[test]
fn openclip_checkpoints_are_the_same_models() {
    let Some((bundle, ..)) = golden("golden/models/clip_tiny") else { return };
    let mut renamed = bundle.clone();
    let weights = openclip_names(&weights::load(&bundle).unwrap());
    assert!(weights.contains_key("visual.transformer.resblocks.0.attn.in_proj_bias"));
    let wrapped: Weights = weights.into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)).collect();
    renamed.files.insert("model.safetensors".to_owned(), ::safetensors::serialize(&wrapped, None).unwrap().into());
    let vectors = |bundle| ClipVision::load(bundle).unwrap().embed(&pictures()).unwrap();
    assert_eq!(vectors(&renamed), vectors(&bundle));
    let ids = [vec![398, 5, 6, 399]];
    let texts = |bundle| ClipText::load(bundle).unwrap().embed(&ids).unwrap();
    assert_eq!(texts(&renamed), texts(&bundle));
}

/// A tiny model of our own: 20 pixels, so that patches of 8 do not cover the picture.
fn small(hidden_act: &str) -> Bundle {
    let d = 8;
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("vision_model.embeddings.class_embedding".into(), vec![d]),
        ("vision_model.embeddings.patch_embedding.weight".into(), vec![d, 3, 8, 8]),
        ("vision_model.embeddings.position_embedding.weight".into(), vec![5, d]),
        ("visual_projection.weight".into(), vec![6, d]),
    ];
    let mut affine = |name: &str, inputs: Option<usize>, outputs: usize| {
        shapes.push((format!("{name}.bias"), vec![outputs]));
        shapes.push((format!("{name}.weight"), [&[outputs][..], inputs.as_slice()].concat()));
    };
    for name in ["pre_layrnorm", "post_layernorm", "encoder.layers.0.layer_norm1", "encoder.layers.0.layer_norm2"] {
        affine(&format!("vision_model.{name}"), None, d);
    }
    for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        affine(&format!("vision_model.encoder.layers.0.self_attn.{name}"), Some(d), d);
    }
    affine("vision_model.encoder.layers.0.mlp.fc1", Some(d), 16);
    affine("vision_model.encoder.layers.0.mlp.fc2", Some(16), d);
    let tensors: BTreeMap<String, Tensor> = shapes
        .into_iter()
        .map(|(name, shape)| (name.clone(), Init::Normal(0.5).tensor(1, &name, shape).unwrap()))
        .collect();
    let config = json!({
        "model_type": "clip_vision_model", "projection_dim": 6, "image_size": 20, "patch_size": 8, "hidden_size": d,
        "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_act": hidden_act
    });
    let files = BTreeMap::from([
        ("config.json".to_owned(), config.to_string().into_bytes().into()),
        ("model.safetensors".to_owned(), ::safetensors::serialize(&tensors, None).unwrap().into()),
    ]);
    Bundle { files, name: "small".to_owned() }
}

fn pictures() -> Vec<Picture> {
    let picture = |(width, height): (u32, u32)| {
        let samples = width * height * 3;
        Picture { width, height, rgb: (0..samples).map(|i| (i * i % 251) as u8).collect() }
    };
    [(20, 20), (31, 47), (64, 20), (5, 9), (100, 99)].map(picture).into()
}

#[test]
fn the_batch_changes_no_bit() {
    let encoder = ImageEncoder::load(&small("gelu")).unwrap();
    let pictures = pictures();
    let together = encoder.embed(&pictures).unwrap();
    for (picture, row) in pictures.iter().zip(together.chunks(6)) {
        assert_eq!(encoder.embed(std::slice::from_ref(picture)).unwrap(), row);
    }
    assert!(encoder.embed(&[]).unwrap().is_empty());
}

#[test]
fn the_activation_is_read_from_the_configuration() {
    let embed = |act: &str| ImageEncoder::load(&small(act)).unwrap().embed(&pictures()).unwrap();
    let off = embed("gelu").iter().zip(embed("quick_gelu")).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off > 1e-3, "{off}");
    let error = format!("{:#}", ImageEncoder::load(&small("swish")).unwrap_err());
    assert!(error.contains("hidden_act `swish`") && error.contains("model small"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let rows: [(&str, &str, Value, &str); 9] = [
        ("not an encoder", "config.json", json!({"model_type": "gpt2"}), "type `gpt2`, not an image encoder"),
        ("no type", "config.json", json!({}), "no `model_type`"),
        ("no vision", "config.json", json!({"model_type": "clip"}), "`vision_config` is missing"),
        ("another size", "config.json", json!({"model_type": "clip", "vision_config": {}}), "missing: "),
        ("crop", "preprocessor_config.json", json!({"crop_size": 24}), "takes pictures of 20 pixels"),
        ("filter", "preprocessor_config.json", json!({"resample": 2}), "bicubic"),
        ("size", "preprocessor_config.json", json!({"size": {"longest_edge": 3}}), "not a size"),
        ("mean", "preprocessor_config.json", json!({"image_mean": [0.5]}), "one number per channel"),
        ("step", "preprocessor_config.json", json!({"do_normalize": false}), "do_normalize is false"),
    ];
    for (name, file, content, wanted) in rows {
        let mut bundle = small("gelu");
        bundle.files.insert(file.to_owned(), content.to_string().into_bytes().into());
        let error = format!("{:#}", ImageEncoder::load(&bundle).unwrap_err());
        assert!(error.contains(wanted) && error.contains("small"), "{name}: {error}");
    }
}

#[test]
fn sizes_are_understood_in_all_their_forms() {
    let rows = [
        ("default", json!({}), Scale::ShortestSide(20)),
        ("old", json!({"size": 24}), Scale::ShortestSide(24)),
        (
            "new",
            json!({"size": {"shortest_edge": 22}, "crop_size": {"height": 20, "width": 20}}),
            Scale::ShortestSide(22),
        ),
        ("exact", json!({"size": {"height": 21, "width": 30}}), Scale::Exact(30, 21)),
    ];
    for (name, content, wanted) in rows {
        let mut bundle = small("gelu");
        bundle.files.insert("preprocessor_config.json".to_owned(), content.to_string().into_bytes().into());
        let clip = ClipVision::load(&bundle).unwrap();
        assert_eq!(clip.input_spec().scale, wanted, "{name}");
        assert_eq!(clip.input_spec().apply(&pictures()[1]).len(), 3 * 20 * 20, "{name}");
    }
}

/// A small CLIP with both towers, and its tensors.
fn both_towers() -> (Bundle, Weights) {
    let text = TextShape { width: 64, layers: 1, inner: 32, vocab: 40, positions: 6 };
    let shape = ClipShape {
        family: Family::Clip,
        width: 64,
        layers: 2,
        inner: 32,
        patch_size: 8,
        image_size: 24,
        projection_dim: 6,
        text: Some(text),
    };
    let bundle = random(&shape, 3).unwrap();
    let weights = weights::load(&bundle).unwrap();
    (bundle, weights)
}

/// One file of weights, as `RemoteCLIP` is published, becomes a model folder that gives the same vectors.
#[test]
fn a_single_file_becomes_a_model_folder() {
    let (bundle, weights) = both_towers();
    let openclip: Weights =
        openclip_names(&weights).into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)).collect();
    let vectors = |bundle: &Bundle| ClipVision::load(bundle).unwrap().embed(&pictures()).unwrap();
    let texts = |bundle: &Bundle| ClipText::load(bundle).unwrap().embed(&[vec![38, 5, 39]]).unwrap();
    for (name, file) in [("OpenCLIP", &openclip), ("Hugging Face", &weights)] {
        let content = Content::from(::safetensors::serialize(file, None).unwrap());
        let made = convert(&content, name, "quick_gelu", None).unwrap();
        assert_eq!(vectors(&made), vectors(&bundle), "{name}");
        assert_eq!(texts(&made), texts(&bundle), "{name}");
        let gelu = convert(&content, name, "gelu", None).unwrap();
        assert_ne!(vectors(&gelu), vectors(&bundle), "{name}: the activation is what was asked for");
        let error = convert(&content, name, "gelu", Some(7)).unwrap_err().to_string();
        assert!(error.contains("a width of 64 has no 7 heads"), "{error}");
    }
    let mut lacking = openclip;
    let moved = lacking.remove("module.visual.ln_post.bias").unwrap();
    lacking.insert("module.visual.extra".to_owned(), moved);
    let content = Content::from(::safetensors::serialize(&lacking, None).unwrap());
    let error = convert(&content, "x.pt", "gelu", None).unwrap_err().to_string();
    for words in ["x.pt", "missing: vision_model.post_layernorm.bias", "unused: visual.extra"] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

/// A Chinese-CLIP's vision tower is a CLIP's; its text tower, a BERT, is passed over, and its pictures are not cropped.
#[test]
fn the_vision_tower_of_chinese_clip_is_read() {
    let plain = small("quick_gelu");
    let mut bundle = plain.clone();
    let mut weights = weights::load(&plain).unwrap();
    weights.insert(
        "text_model.encoder.layer.0.attention.self.query.weight".to_owned(),
        weights["visual_projection.weight"].clone(),
    );
    bundle.files.insert("model.safetensors".to_owned(), ::safetensors::serialize(&weights, None).unwrap().into());
    let mut own: Value = serde_json::from_slice(&plain.file("config.json").unwrap()).unwrap();
    own.as_object_mut().unwrap().remove("model_type");
    let config = json!({"model_type": "chinese_clip", "projection_dim": 6, "vision_config": own, "text_config": {}});
    bundle.files.insert("config.json".to_owned(), config.to_string().into_bytes().into());
    let square = json!({"do_center_crop": false, "size": {"height": 20, "width": 20}});
    bundle.files.insert("preprocessor_config.json".to_owned(), square.to_string().into_bytes().into());
    let mut stretched = plain;
    stretched.files.insert(
        "preprocessor_config.json".to_owned(),
        json!({"size": {"height": 20, "width": 20}}).to_string().into_bytes().into(),
    );
    let vectors = |bundle| ImageEncoder::load(bundle).unwrap().embed(&pictures()).unwrap();
    assert_eq!(vectors(&bundle), vectors(&stretched));
    let uncut = json!({"do_center_crop": false, "size": {"shortest_edge": 20}});
    bundle.files.insert("preprocessor_config.json".to_owned(), uncut.to_string().into_bytes().into());
    assert!(format!("{:#}", ImageEncoder::load(&bundle).unwrap_err()).contains("do_center_crop is false"));
}

/// Sizes of published models and what their shapes must be read as; from the models' public configurations.
#[test]
fn shapes_of_published_models_are_recognised() {
    // Name, width, layers, patch, pixels, projection, heads.
    let rows = [
        ("ViT-B/32", 768, 12, 32, 224, 512, 12),
        ("ViT-B/16", 768, 12, 16, 224, 512, 12),
        ("ViT-L/14", 1024, 24, 14, 224, 768, 16),
        ("ViT-L/14@336", 1024, 24, 14, 336, 768, 16),
        ("ViT-H/14", 1280, 32, 14, 224, 1024, 16),
    ];
    for (name, width, layers, patch_size, image_size, projection_dim, heads) in rows {
        let shape = ClipShape {
            family: Family::Clip,
            width,
            layers,
            inner: 4 * width,
            patch_size,
            image_size,
            projection_dim,
            text: None,
        };
        let shapes: BTreeMap<String, Vec<usize>> = shape.tensors().into_iter().collect();
        assert_eq!(ClipShape::new(&shapes).as_ref(), Some(&shape), "{name}");
        assert_eq!(shape.usual_heads(), heads, "{name}");
        assert_eq!(shape.differences(&shapes), (vec![], vec![]), "{name}");
    }
}
