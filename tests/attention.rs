//! The attention baseline: feature maps, vocabulary, decoder, captions, and the drawing of where it looked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use arrow::array::{Array as _, FixedSizeListArray, Float32Array, ListArray, RecordBatch};
use rsic::metric::Words;
use rsic::model::resnet::{self, ResNetShape};
use rsic::table;

use crate::sandbox::{Sandbox, TINY, copy};

fn read(sandbox: &Sandbox, name: &str) -> RecordBatch {
    table::read(fs::read(sandbox.path(&format!("output/{name}.parquet"))).unwrap()).unwrap()
}

fn texts(table: &RecordBatch, column: &str) -> Vec<String> {
    table::strings(table, column).unwrap().iter().map(|text| text.unwrap().to_owned()).collect()
}

/// The words of the captions of one split.
fn words_of(sandbox: &Sandbox, dataset: &str, words: Words, split: &str) -> BTreeMap<String, u32> {
    let (entries, sentences) =
        (read(sandbox, &format!("annotations/{dataset}")), read(sandbox, &format!("annotations/sentences/{dataset}")));
    let ids = table::u32s(&entries, "image_id").unwrap().values();
    let of_split: BTreeSet<u32> =
        ids.iter().zip(texts(&entries, "split")).filter(|(_, of)| of == split).map(|(id, _)| *id).collect();
    let mut counts = BTreeMap::new();
    let owners = table::u32s(&sentences, "image_id").unwrap().values();
    for (_, raw) in owners.iter().zip(texts(&sentences, "raw")).filter(|(owner, _)| of_split.contains(owner)) {
        words.list(&raw).into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
    }
    counts
}

#[test]
fn both_languages_are_captioned_and_scored_in_the_same_graph() {
    let sandbox = Sandbox::new(TINY);
    let ran = sandbox.rsic(&["build", "score/ucm_r50", "score/ucm_cn_r50"]).ok();
    let built = ran.built();
    for target in ["features/ucm_r50", "tokenize/ucm_r50", "train/ucm_r50", "caption/ucm_cn_r50", "score/ucm_cn_r50"] {
        assert!(built.contains(target), "{target}: {built:?}");
    }
    // Chinese captions are of the same images.
    assert!(!built.contains("features/ucm_cn_r50") && !built.contains("pretrain/ucm_gpt2"), "{built:?}");
    assert_eq!(sandbox.rsic(&["build", "score/ucm_r50", "score/ucm_cn_r50"]).ok().built(), BTreeSet::new());

    // One map per distinct image: two halvings of 24 pixels, 16 channels, as 16-bit floats.
    let (features, images) = (read(&sandbox, "features/ucm_r50"), read(&sandbox, "ingest/ucm"));
    let distinct: BTreeSet<String> = texts(&images, "digest").into_iter().collect();
    assert_eq!(features.num_rows(), distinct.len());
    for (column, value) in [("height", 6), ("width", 6), ("channels", 16)] {
        assert!(table::u32s(&features, column).unwrap().values().iter().all(|x| *x == value), "{column}");
    }
    let map: &FixedSizeListArray = features.column_by_name("map").unwrap().as_any().downcast_ref().unwrap();
    assert_eq!((map.value_length(), map.value_type().to_string()), (6 * 6 * 16, "Float16".to_owned()));

    // Words come from the train captions alone.
    for (dataset, words) in [("ucm", Words::Ptb), ("ucm_cn", Words::Jieba)] {
        let vocabulary = read(&sandbox, &format!("tokenize/vocabulary/{dataset}_r50"));
        let known = texts(&vocabulary, "word");
        assert_eq!(known[..4], ["<pad>", "<unk>", "<start>", "<end>"].map(str::to_owned), "{dataset}");
        // With their numbers, which a caption of another split would change.
        let counts = table::u32s(&vocabulary, "count").unwrap().iter().map(Option::unwrap_or_default);
        let counted: BTreeMap<String, u32> = known.iter().cloned().zip(counts).skip(4).collect();
        let mut expected = words_of(&sandbox, dataset, words, "train");
        expected.retain(|_, count| *count > 5);
        assert_eq!(counted, expected, "{dataset}");
        assert!(known.len() > 20, "{dataset}: {known:?}");
    }

    let history = read(&sandbox, "train/ucm_r50");
    assert_eq!(history.num_rows(), 2);
    for column in ["val_loss", "val_bleu_4", "val_cider_d"] {
        assert_eq!(table::f64s(&history, column).unwrap().null_count(), 0, "{column}");
    }
    let captions = texts(&read(&sandbox, "caption/ucm_cn_r50"), "caption");
    assert!(captions.iter().all(|caption| !caption.contains(' ') && !caption.contains('<')), "{captions:?}");
    sandbox.rsic(&["build", "score/ucm_constant"]).ok();
    let compared = sandbox.rsic(&["compare", "score/ucm_r50", "score/ucm_constant"]).ok();
    assert!(compared.out.contains("CIDEr-D"), "{}", compared.out);
}

#[test]
fn only_what_a_setting_decides_runs_again() {
    let sandbox = Sandbox::new(TINY);
    sandbox.rsic(&["build", "score/ucm_r50"]).ok();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    for (setting, runs) in [
        ("attention.r50.keep_attention=true", set(&["caption/ucm_r50"])),
        ("attention.r50.decoding.width=3", set(&["caption/ucm_r50"])),
        ("attention.r50.train.alpha_c=0.5", set(&["train/ucm_r50", "caption/ucm_r50"])),
        ("attention.r50.grid=3", set(&["train/ucm_r50", "caption/ucm_r50"])),
        ("attention.r50.vocabulary.min_word_freq=9", set(&["tokenize/ucm_r50", "train/ucm_r50", "caption/ucm_r50"])),
        ("attention.r50.store=f32", set(&["features/ucm_r50", "train/ucm_r50", "caption/ucm_r50"])),
        ("train.seed=2", set(&["train/ucm_r50", "caption/ucm_r50"])),
        ("train.lr=5e-4", set(&[])),
    ] {
        let mut built = sandbox.rsic(&["build", "score/ucm_r50", "-p", setting]).ok().built();
        // Scores run again exactly if captions come out otherwise.
        built.remove("score/ucm_r50");
        assert_eq!(built, runs, "{setting}");
    }
}

#[test]
fn attention_is_kept_when_asked_and_drawn() {
    let sandbox = Sandbox::new(TINY);
    sandbox.rsic(&["build", "score/ucm_r50"]).ok();
    let plain = read(&sandbox, "caption/ucm_r50");
    assert!(plain.column_by_name("attention").is_none());
    let images = read(&sandbox, "annotations/ucm");
    let in_test = texts(&images, "split").iter().rposition(|split| split == "test").unwrap();
    let image = texts(&images, "filename").swap_remove(in_test);
    let draw = ["draw", "caption/ucm_r50", "--image", &image, "--to"];
    let file = sandbox.path("looked.svg");
    let to = file.to_str().unwrap();
    sandbox.rsic(&[&draw[..], &[to]].concat()).fails(2, &["without keeping attention", "keep_attention = true"]);
    sandbox.edit("pipeline.toml", |text| {
        text.replace("encoder = \"scratch\"", "encoder = \"scratch\"\nkeep_attention = true")
    });
    sandbox.rsic(&[&draw[..], &[to]].concat()).fails(1, &["run `rsic build caption/ucm_r50`"]);
    sandbox.rsic(&["build", "score/ucm_r50"]).ok();
    let kept = read(&sandbox, "caption/ucm_r50");
    assert_eq!(texts(&kept, "caption"), texts(&plain, "caption"));
    let weights: &ListArray = kept.column_by_name("attention").unwrap().as_any().downcast_ref().unwrap();
    for (row, tokens) in table::u32_lists(&kept, "tokens").unwrap().iter().enumerate() {
        let weights = weights.value(row);
        let weights: &Float32Array = weights.as_any().downcast_ref().unwrap();
        assert_eq!(weights.len(), tokens.len() * 36);
        for word in weights.values().chunks(36) {
            assert!((word.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
    // The image by its name and by its number: one panel per token.
    let drawn = sandbox.rsic(&[&draw[..], &[to]].concat()).ok();
    assert!(drawn.err.contains("is drawn in"), "{}", drawn.err);
    let svg = fs::read_to_string(&file).unwrap();
    let number = table::u32s(&images, "image_id").unwrap().value(in_test);
    let row = table::u32s(&kept, "image_id").unwrap().values().iter().position(|id| *id == number).unwrap();
    let tokens = table::u32_lists(&kept, "tokens").unwrap().swap_remove(row);
    assert_eq!(svg.matches("<use ").count(), tokens.len());
    let number = number.to_string();
    let by_number = ["draw", "caption/ucm_r50", "--image", &number, "--force", "--to", to];
    sandbox.rsic(&by_number).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), svg);
    // On another grid there are as many weights as cells.
    sandbox.rsic(&["build", "caption/ucm_r50", "-p", "attention.r50.grid=3"]).ok();
    let coarse = read(&sandbox, "caption/ucm_r50");
    let weights: &ListArray = coarse.column_by_name("attention").unwrap().as_any().downcast_ref().unwrap();
    for (row, tokens) in table::u32_lists(&coarse, "tokens").unwrap().iter().enumerate() {
        assert_eq!(weights.value(row).len(), tokens.len() * 9);
    }
    // A Chinese model draws on the images of the English one.
    let chinese = ["draw", "caption/ucm_cn_r50", "--image", &number, "--to", to, "--force"];
    sandbox.rsic(&["build", "caption/ucm_cn_r50"]).ok();
    sandbox.rsic(&chinese).ok();
    let in_train = texts(&images, "split").iter().position(|split| split == "train").unwrap();
    let other = texts(&images, "filename").swap_remove(in_train);
    let held = ["draw", "caption/ucm_cn_r50", "--image", &other, "--to", to, "--force"];
    sandbox.rsic(&held).fails(2, &[&other, "is not in the captioned split"]);
    for (args, words) in [
        (["draw", "caption/ucm_r50", "--image", "nothing.tif", "--to", "x.svg"], "no image `nothing.tif`"),
        (["draw", "caption/ucm_r50", "--image", &image, "--to", "x.png"], "end it in `.svg`"),
        (["draw", "caption/ucm_r50", "--image", &image, "--to", to], "--force"),
        (["draw", "caption/ucm_knn", "--image", &image, "--to", "x.svg"], "has no attention"),
    ] {
        sandbox.rsic(&args).fails(2, &[words]);
    }
}

#[test]
fn a_resnet_in_a_folder_makes_maps_of_any_store_and_grid() {
    let sandbox = Sandbox::new(&TINY.replace("encoder = \"scratch\"", "encoder = \"./models/resnet\"\ngrid = 14"));
    sandbox.rsic(&["build", "features/ucm_r50"]).fails(1, &["models/resnet does not exist"]);
    let shape =
        ResNetShape { embedding_size: 4, hidden_sizes: vec![8, 12], depths: vec![1, 1], ..ResNetShape::default() };
    fs::create_dir_all(sandbox.path("models/resnet")).unwrap();
    for (name, content) in resnet::random(&shape, 1).unwrap().files {
        fs::write(sandbox.path("models/resnet").join(name), content.read().unwrap()).unwrap();
    }
    sandbox.rsic(&["build", "features/ucm_r50", "-p", "attention.r50.store=f32"]).ok();
    let exact = read(&sandbox, "features/ucm_r50");
    sandbox.rsic(&["build", "score/ucm_r50"]).ok();
    let half = read(&sandbox, "features/ucm_r50");
    // 256 pixels, halved by the first convolution, the pooling and the second stage.
    assert_eq!(table::u32s(&half, "height").unwrap().value(0), 32);
    let (exact, width) = table::vectors(&exact, "map").unwrap();
    assert_eq!(width, 32 * 32 * 12);
    let (half, _) = table::vectors_of::<arrow::datatypes::Float16Type>(&half, "map").unwrap();
    let off = half
        .iter()
        .zip(exact)
        .map(|(half, exact)| (half.to_f32() - exact).abs() / exact.abs().max(1e-3))
        .fold(0.0, f32::max);
    assert!(off > 0.0 && off < 1.0 / 2048.0 + 1e-6, "{off}");
    // What 16-bit floats cannot hold is refused.
    let large = resnet::random(&shape, 1).unwrap();
    let bytes = large.file("model.safetensors").unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let million = 1e6_f32.to_le_bytes().repeat(12);
    let views = tensors.tensors().into_iter().map(|(name, view)| {
        let scale = name.ends_with("stages.1.layers.0.layer.2.normalization.weight");
        let data = if scale { million.as_slice() } else { view.data() };
        let view = safetensors::tensor::TensorView::new(view.dtype(), view.shape().to_vec(), data).unwrap();
        (name, view)
    });
    let file = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
    copy(&sandbox.path("models/resnet"), &sandbox.path("models/large"));
    fs::write(sandbox.path("models/large/model.safetensors"), file).unwrap();
    let encoder = ["-p", "attention.r50.encoder=\"./models/large\""];
    sandbox
        .rsic(&[&["build", "features/ucm_r50"], &encoder[..]].concat())
        .fails(1, &["too large for 16-bit floats", "f32"]);
    sandbox.rsic(&[&["build", "features/ucm_r50", "-p", "attention.r50.store=f32"], &encoder[..]].concat()).ok();
    sandbox.rsic(&["build", "features/ucm_r50"]).ok();
    // Trained along, the encoder has maps of its own.
    let settings = ["-p", "attention.r50.grid=2", "-p", "attention.r50.train.epochs=1"];
    let ran = sandbox.rsic(&[&["build", "score/ucm_r50_ft"], &settings[..]].concat()).ok();
    assert!(
        ran.built().is_superset(&["train/ucm_r50_ft", "features/ucm_r50_ft"].map(str::to_owned).into()),
        "{:?}",
        ran.built()
    );
    let (frozen, tuned) = (read(&sandbox, "features/ucm_r50"), read(&sandbox, "features/ucm_r50_ft"));
    assert_eq!(frozen.schema(), tuned.schema());
    assert_ne!(frozen.column_by_name("map").unwrap(), tuned.column_by_name("map").unwrap());
    assert!(sandbox.path("output/train/encoder/ucm_r50_ft/model.safetensors").is_file());
    let keep = ["-p", "attention.r50.keep_attention=true"];
    sandbox.rsic(&[&["build", "caption/ucm_r50_ft"], &settings[..], &keep].concat()).ok();
    let ids = read(&sandbox, "caption/ucm_r50_ft");
    let image = table::u32s(&ids, "image_id").unwrap().value(0).to_string();
    let to = sandbox.path("tuned.svg");
    let draw = ["draw", "caption/ucm_r50_ft", "--image", &image, "--to", to.to_str().unwrap()];
    sandbox.rsic(&[&draw[..], &settings, &keep].concat()).ok();
    // An image encoder for vectors is refused by name, and the reverse.
    sandbox.rsic(&["build", "embed/ucm", "-p", "models.clip=./models/resnet"]).fails(1, &["resnet", "[attention"]);
}

/// The name that torchvision gives a tensor of Hugging Face's `ResNetModel`.
fn torchvision(name: &str) -> String {
    let words: Vec<&str> = name.split('.').collect();
    let kind =
        |word: &str, number: usize| if word == "convolution" { format!("conv{number}") } else { format!("bn{number}") };
    let next = |word: &str| word.parse::<usize>().unwrap() + 1;
    match words[..] {
        ["embedder", "embedder", part, rest] => format!("{}.{rest}", kind(part, 1)),
        ["encoder", "stages", stage, "layers", block, "layer", layer, part, rest] => {
            format!("layer{}.{block}.{}.{rest}", next(stage), kind(part, next(layer)))
        }
        ["encoder", "stages", stage, "layers", block, "shortcut", part, rest] => {
            format!("layer{}.{block}.downsample.{}.{rest}", next(stage), usize::from(part == "normalization"))
        }
        _ => panic!("{name}"),
    }
}

#[test]
fn a_file_of_torchvision_becomes_an_encoder() {
    let sandbox = Sandbox::new(TINY);
    let shape =
        ResNetShape { embedding_size: 4, hidden_sizes: vec![8, 12], depths: vec![1, 1], ..ResNetShape::default() };
    let bundle = resnet::random(&shape, 1).unwrap();
    let bytes = bundle.file("model.safetensors").unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let renamed = tensors.tensors().into_iter().map(|(name, view)| (torchvision(&name), view));
    let file = safetensors::serialize(renamed.collect::<Vec<_>>(), None).unwrap();
    fs::write(sandbox.path("resnet.safetensors"), file).unwrap();
    let seen = sandbox.rsic_here(&["import", "resnet.safetensors", "--inspect"]).ok().out;
    for words in [
        "a ResNet with torchvision's names",
        "hidden_sizes [8,12]",
        "missing: none",
        "unmatched: none",
        "misshapen: none",
    ] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    let to = ["import", "resnet.safetensors", "--to", "models/r50"];
    sandbox.rsic_here(&[&to[..], &["--activation", "gelu"]].concat()).fails(2, &["is a ResNet"]);
    let out = sandbox.rsic_here(&to).ok().out;
    assert_eq!(out.trim(), "encoder = \"./models/r50\" # under [attention.NAME]");
    sandbox.rsic_here(&to).fails(2, &["is there already"]);
    assert_eq!(fs::read(sandbox.path("models/r50/model.safetensors")).unwrap(), bytes);
    sandbox.edit("pipeline.toml", |text| text.replace("encoder = \"scratch\"", out.trim()));
    sandbox.rsic(&["build", "features/ucm_r50"]).ok();
}

#[test]
fn an_added_image_is_the_only_one_computed() {
    let sandbox = Sandbox::new(TINY);
    // Without a pretraining that would see the image: the encoder's files are those of the first build.
    sandbox.rsic(&["build", "pretrain/ucm_clip"]).ok();
    crate::sandbox::copy(&sandbox.path("output/pretrain/ucm_clip"), &sandbox.path("models/scratch"));
    sandbox.edit("pipeline.toml", |text| text.replace("encoder = \"scratch\"", "encoder = \"./models/scratch\""));
    sandbox.rsic(&["build", "features/ucm_r50"]).ok();
    let before = read(&sandbox, "features/ucm_r50");
    crate::stale::add_an_image(&sandbox);
    sandbox.rsic(&["build", "features/ucm_r50"]).ok();
    let after = read(&sandbox, "features/ucm_r50");
    assert_eq!(after.num_rows(), before.num_rows() + 1);
    let record = crate::stale::newest_record(&sandbox, "features");
    let log = record["log"][0].as_str().unwrap();
    assert!(log.contains(&format!("1 computed, {} reused", before.num_rows())), "{log}");
}

#[test]
fn settings_that_cannot_work_are_named_with_their_place() {
    let sandbox = Sandbox::new(TINY);
    for (setting, words) in [
        ("attention.r50.grid=0", "`grid` must be 1 to 256"),
        ("attention.r50.decoder.decoder_dim=0", "`decoder.decoder_dim`"),
        ("attention.r50.train.lr=-1", "`lr` must be a positive number"),
        ("attention.r50.train.select=rouge", "unknown variant `rouge`"),
        ("attention.r50.decoding.n=3", "`n` must be at most `width`"),
        ("attention.knn.encoder=scratch", "not be `constant`"),
        ("attention.mlp.encoder=scratch", "`ucm_mlp` is defined twice"),
        ("attention.r50.epochs=3", "unknown field `epochs`"),
        ("attention.cn.encoder=scratch", "the name of dataset `ucm_cn`"),
        ("attention.r50.finetune.from_stage=5", "must be 1 to 4"),
    ] {
        sandbox.rsic(&["build", "tokenize/ucm_r50", "-p", setting]).fails(2, &[words]);
    }
    let rare = ["build", "tokenize/ucm_r50", "-p", "attention.r50.vocabulary.min_word_freq=100000"];
    sandbox.rsic(&rare).fails(1, &["no word occurs more than 100000 times", "min_word_freq"]);
    let short = ["build", "tokenize/ucm_r50", "-p", "attention.r50.vocabulary.max_words=1"];
    sandbox.rsic(&short).fails(1, &["no train caption has 1 to 1 words", "max_words"]);
}

#[test]
fn an_edited_test_caption_reaches_scores_alone() {
    let sandbox = Sandbox::new(TINY);
    sandbox.rsic(&["build", "score/ucm_r50"]).ok();
    sandbox.edit("datasets/UCM_captions/dataset.json", |text| {
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let images = json["images"].as_array_mut().unwrap();
        let image = images.iter_mut().find(|image| image["split"] == "test").unwrap();
        image["sentences"][0]["raw"] = "Nothing like any other caption .".into();
        json.to_string()
    });
    let built = sandbox.rsic(&["build", "score/ucm_r50"]).ok().built();
    // The scratch encoder reads all captions, and comes out equal.
    for target in ["features/ucm_r50", "train/ucm_r50", "caption/ucm_r50"] {
        assert!(!built.contains(target), "{target}: {built:?}");
    }
    assert!(built.contains("tokenize/ucm_r50") && built.contains("score/ucm_r50"), "{built:?}");
}

#[test]
fn a_scratch_encoder_that_has_seen_held_out_images_is_refused() {
    let sandbox = Sandbox::new(TINY);
    sandbox.edit("datasets/UCM_captions/dataset_ucm_cn.json", |text| text.replacen("\"train\"", "\"test\"", 1));
    sandbox.rsic(&["build", "score/ucm_cn_r50"]).fails(1, &["held-out images", "images_of"]);
}

#[test]
fn training_is_timed_once_per_model() {
    let sandbox = Sandbox::new(TINY);
    let args = ["bench", "training", "score/ucm_r50", "train/ucm_r50", "score/ucm_mlp", "--json"];
    let ran = sandbox.rsic(&args).ok();
    let all: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let targets: Vec<&str> = all.as_array().unwrap().iter().map(|row| row["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["train/ucm_mlp", "train/ucm_r50"]);
    for row in all.as_array().unwrap() {
        let [best, last] = ["best_epoch", "epochs"].map(|name| row[name].as_u64().unwrap());
        assert!((1..=last).contains(&best) && last == 2, "{row}");
        let [to_best, to_end] = ["best", "all"].map(|name| row[name]["wall_seconds"].as_f64().unwrap());
        assert!(to_best > 0.0 && to_best <= to_end, "{row}");
    }
    // Nothing is kept: the models still have to be trained.
    assert!(sandbox.rsic(&["build", "train/ucm_r50"]).ok().built().contains("train/ucm_r50"));
    let seeds = ["bench", "training", "score/ucm_mlp", "--json", "-p", "train.seeds=[1,2]", "-p", "train.epochs=1"];
    let ran = sandbox.rsic(&seeds).ok();
    let all: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2, "{}", ran.out);
    sandbox.rsic(&["bench", "training", "score/ucm_knn"]).fails(2, &["score/ucm_knn is not trained here"]);
}
