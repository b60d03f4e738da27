//! Weights that other programs wrote: looked at, imported, exported, and refused where they are not what they should be.

use std::fs;
use std::process::Command;

use rsic::model::clip::{ClipShape, Family, random};
use serde_json::Value;

use crate::sandbox::Sandbox;

fn captions(sandbox: &Sandbox, model: &str) -> String {
    fs::read_to_string(sandbox.path(&format!("output/eval_files/ucm_{model}.json"))).unwrap()
}

/// A workspace with `train/ucm_amht` exported to every kind of file, and a mapper that is the same but for its name.
fn exported() -> Sandbox {
    let sandbox = Sandbox::with_models();
    sandbox.rsic_here(&["export", "train/ucm_amht", "--to", "whole.pt"]).ok();
    sandbox.rsic_here(&["export", "train/ucm_amht", "--to", "mapper.pt", "--mapper-only"]).ok();
    sandbox.rsic_here(&["export", "train/ucm_amht", "--to", "whole.safetensors"]).ok();
    sandbox
}

#[test]
fn an_exported_mapper_comes_back_with_the_same_captions() {
    let sandbox = exported();
    for (model, file) in [("whole", "whole.pt"), ("alone", "mapper.pt"), ("notes", "whole.safetensors")] {
        let added = sandbox.rsic_here(&["import", file, "--as", &format!("ucm_{model}")]).ok();
        assert!(added.out.contains(&format!("[checkpoints.ucm_{model}]")), "{}", added.out);
        assert_eq!(added.out.contains("with_gpt2 = true"), model != "alone", "{}", added.out);
        let built = sandbox.rsic(&["build", &format!("score/ucm_{model}")]).ok().built();
        // Equal weights, whatever file they came in, are captioned once.
        let stages = ["train", "caption", "score"].iter().filter(|stage| model == "whole" || **stage != "caption");
        assert_eq!(built, stages.map(|stage| format!("{stage}/ucm_{model}")).collect(), "{model}");
        assert_eq!(captions(&sandbox, model), captions(&sandbox, "amht"), "{model}");
    }
    let shown = sandbox.rsic(&["show", "train/ucm_whole", "--json", "--rows", "0"]).ok().out;
    let rows: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().any(|row| row["name"] == "clip_project.prefix_const" && row["part"] == "mapper"), "{shown}");
    assert!(rows.iter().any(|row| row["part"] == "language model"), "{shown}");
    // What stands in pipeline.toml stays: the first import again would need another name.
    sandbox
        .rsic_here(&["import", "whole.pt", "--as", "ucm_whole"])
        .fails(2, &["pipeline.toml has a [checkpoints.ucm_whole] already", "hint: "]);
    // A second build finds everything in place.
    assert!(sandbox.rsic(&["build", "score/ucm_whole"]).ok().built().is_empty());
}

#[test]
fn an_inspection_says_what_a_file_is() {
    let sandbox = exported();
    let report: Value =
        serde_json::from_str(&sandbox.rsic_here(&["import", "whole.pt", "--inspect", "--json"]).ok().out).unwrap();
    assert_eq!(report["format"], "pytorch");
    assert_eq!(report["architecture"]["mapper"]["kind"], "amht");
    assert_eq!(report["architecture"]["mapper"]["prefix_length"], 3);
    assert_eq!(report["architecture"]["gpt2"]["layers"], 1);
    assert_eq!(report["unmatched"], Value::Array(Vec::new()));
    let text = sandbox.rsic_here(&["import", "whole.pt", "--inspect"]).ok().out;
    for words in [
        "mapper of kind amht, with its GPT-2",
        "clip_project.linear.weight",
        "missing: none",
        "known: normalize = false",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

/// Every import adds its own table, however many there are at once.
#[test]
fn imports_at_the_same_time_lose_nothing() {
    let sandbox = exported();
    let mut children: Vec<_> = (0..4)
        .map(|i| sandbox.command_here(&["import", "whole.pt", "--as", &format!("ucm_p{i}")]).spawn().unwrap())
        .collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let text = fs::read_to_string(sandbox.path("pipeline.toml")).unwrap();
    assert_eq!(text.matches("[checkpoints.").count(), 4, "{text}");
    sandbox.rsic(&["build", "train/ucm_p0", "train/ucm_p3"]).ok();
}

/// One file of CLIP weights becomes a model folder that `embed` uses.
#[test]
fn a_file_of_clip_weights_becomes_an_encoder() {
    let sandbox = exported();
    let shape = ClipShape {
        family: Family::Clip,
        width: 64,
        layers: 1,
        inner: 32,
        patch_size: 16,
        image_size: 32,
        projection_dim: 16,
        text: None,
    };
    let weights = random(&shape, 1).unwrap().file("model.safetensors").unwrap();
    fs::write(sandbox.path("vit.safetensors"), &weights).unwrap();
    let args = ["import", "vit.safetensors", "--to", "models/vit"];
    sandbox.rsic_here(&args).fails(2, &["do not tell their activation", "--activation quick_gelu"]);
    let args = [&args[..], &["--activation", "quick_gelu"]].concat();
    let made = sandbox.rsic_here(&args).ok();
    assert_eq!(made.out, "clip = \"./models/vit\" # under [models]\n");
    assert!(made.err.contains("with 1 heads, a guess"), "{}", made.err);
    let built = sandbox.rsic(&["build", "embed/ucm", "-p", "models.clip=./models/vit"]).ok().built();
    assert!(built.contains("embed/ucm"));
    sandbox.rsic_here(&args).fails(2, &["models/vit is there already"]);
    // A mapper may have an encoder of its own.
    sandbox.rsic_here(&["import", "whole.pt", "--as", "ucm_vit", "--clip", "./models/vit"]).ok();
    // Its vectors are those that `embed/ucm` just had, so they come from the cache.
    let built = sandbox.rsic(&["build", "caption/ucm_vit"]).ok().built();
    assert_eq!(built, ["train/ucm_vit", "caption/ucm_vit"].map(str::to_owned).into());
    assert!(sandbox.path("output/embed/ucm_vit.parquet").exists());
    // Another activation is another key: everything after it runs again.
    sandbox.edit("models/vit/config.json", |text| text.replace("quick_gelu", "gelu"));
    let built = sandbox.rsic(&["build", "caption/ucm_vit"]).ok().built();
    assert_eq!(built, ["embed/ucm_vit", "caption/ucm_vit"].map(str::to_owned).into());
}

/// File name, what is in it (made from a good checkpoint and a good SafeTensors file), what the message says.
type Broken = (&'static str, fn(&[u8], &[u8]) -> Vec<u8>, &'static [&'static str]);

const BROKEN: &[Broken] = &[
    ("empty.pt", |_, _| Vec::new(), &["is empty", "download it again"]),
    ("page.pt", |_, _| b"<!DOCTYPE html><html>Sign in</html>".to_vec(), &["web page"]),
    ("denied.pt", |_, _| br#"{"error": "access denied"}"#.to_vec(), &["JSON text"]),
    (
        "pointer.safetensors",
        |_, _| b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n".to_vec(),
        &["Git LFS pointer", "git lfs pull"],
    ),
    (
        "old.pt",
        |_, _| b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec(),
        &["PyTorch before 1.6", "torch.save(torch.load"],
    ),
    ("pickle.pkl", |_, _| b"\x80\x04\x95\x05\0\0\0\0\0\0\0]\x94.".to_vec(), &["bare Python pickle", "never executed"]),
    ("half.pt", |pt, _| pt[..pt.len() / 2].to_vec(), &["damaged or cut short", "download it again"]),
    ("half.safetensors", |_, st| st[..st.len() / 2].to_vec(), &["cut short", "download it again"]),
    ("head.safetensors", |_, st| st[..20].to_vec(), &["cut short"]),
    ("noise.bin", |_, _| vec![0xa5; 4096], &["neither SafeTensors nor a PyTorch checkpoint"]),
    ("keras.h5", |_, _| b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec(), &["HDF5"]),
    ("weights.gz", |_, _| b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), &["compressed: unpack it"]),
    (
        // Half-precision weights that a program saved as integers.
        "types.safetensors",
        |_, st| retyped(st),
        &["not floats: clip_project."],
    ),
];

/// The same file with every tensor declared as 32-bit integers.
fn retyped(safetensors: &[u8]) -> Vec<u8> {
    let length = u64::from_le_bytes(safetensors[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(safetensors[8..8 + length].to_vec()).unwrap().replace("\"F32\"", "\"I32\"");
    assert_eq!(header.len(), length);
    [&safetensors[..8], header.as_bytes(), &safetensors[8 + length..]].concat()
}

#[test]
fn broken_files_are_named_for_what_they_are() {
    let sandbox = exported();
    let [pt, st] = ["whole.pt", "whole.safetensors"].map(|name| fs::read(sandbox.path(name)).unwrap());
    let pipeline = fs::read_to_string(sandbox.path("pipeline.toml")).unwrap();
    for (file, content, words) in BROKEN {
        fs::write(sandbox.path(file), content(&pt, &st)).unwrap();
        let ran = sandbox.rsic_here(&["import", file, "--as", "ucm_broken"]);
        println!("{file}: {}", ran.err.trim());
        ran.fails(1, &[&[*file][..], words].concat());
    }
    assert_eq!(fs::read_to_string(sandbox.path("pipeline.toml")).unwrap(), pipeline, "nothing was added");
    // The same file in the place of a model's weights: the build names the model and the file.
    fs::copy(sandbox.path("page.pt"), sandbox.path("models/gpt2/model.safetensors")).unwrap();
    sandbox
        .rsic(&["build", "caption/ucm_amht"])
        .fails(1, &["train/ucm_amht: ", "`model.safetensors` of model ./models/gpt2", "web page"]);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let sandbox = exported();
    let rows: [(&[&str], i32, &[&str]); 13] = [
        (&["import", "whole.pt"], 2, &["--inspect", "--as", "--to"]),
        (&["import", "nothing.pt", "--inspect"], 1, &["cannot read", "nothing.pt"]),
        (&["import", "whole.pt", "--as", "nowhere_x"], 2, &["`nowhere_x` is not named DATASET_MODEL", "ucm"]),
        (&["import", "whole.pt", "--as", "ucm_amht"], 2, &["`ucm_amht` is defined twice, by [checkpoints.ucm_amht]"]),
        (&["import", "whole.pt", "--as", "ucm_cn"], 2, &["`ucm_cn` has the name of a dataset"]),
        (&["import", "whole.pt", "--as", "ucm_x", "--json"], 2, &["cannot be used with"]),
        (&["import", "whole.pt", "--as", "ucm_x", "--activation", "gelu"], 2, &["cannot be used with"]),
        (&["import", "whole.pt", "--as", "ucm_x", "--stop-text", "many planes are"], 1, &["tokens, not one"]),
        (&["import", "whole.pt", "--as", "ucm_x", "--heads", "7"], 1, &["whole.pt: its own notes say 2 heads"]),
        (
            &["import", "whole.pt", "--to", "folder", "--activation", "gelu"],
            1,
            &["holds no CLIP and no ResNet of torchvision, but a captioning model"],
        ),
        (&["export", "train/ucm_mlp", "--to", "x.pt"], 1, &["train/ucm_mlp is not built", "rsic build train/ucm_mlp"]),
        (&["export", "score/ucm_amht", "--to", "x.pt"], 2, &["is no trained mapper"]),
        (&["export", "train/ucm_amht", "--to", "whole.pt"], 2, &["whole.pt is there already", "--force"]),
    ];
    for (args, code, words) in rows {
        sandbox.rsic_here(args).fails(code, words);
    }
    assert!(!sandbox.path("x.pt").exists());
}

/// Sampling depends on its seed alone, and several captions come with their ranks.
#[test]
fn captions_are_drawn_by_seed_and_listed_by_rank() {
    let sandbox = exported();
    let sample = |seed: &str| {
        let settings = ["method=sample", "top_p=0.9", "temperature=0.8", "n=3", seed];
        let settings: Vec<String> = settings.iter().map(|setting| format!("caption.decoding.{setting}")).collect();
        let mut args = vec!["build", "caption/ucm_amht"];
        args.extend(settings.iter().flat_map(|setting| ["-p", setting]));
        sandbox.rsic(&args).ok();
        captions(&sandbox, "amht")
    };
    let (one, two) = (sample("seed=1"), sample("seed=2"));
    assert_ne!(one, two);
    let nbest = sandbox.path("output/caption/nbest/ucm_amht.parquet");
    assert!(nbest.exists());
    sandbox.rsic(&["build", "caption/ucm_amht"]).ok();
    assert!(!nbest.exists(), "what the newest build does not have is not shown");
    sandbox.rsic(&["clean", "caption/ucm_amht"]).ok();
    assert_eq!(sample("seed=1"), one);
    let table = rsic::table::read(fs::read(sandbox.path("output/caption/nbest/ucm_amht.parquet")).unwrap()).unwrap();
    let ranks = rsic::table::u32s(&table, "rank").unwrap().values().to_vec();
    assert!(ranks.chunks(3).all(|ranks| ranks == [1, 2, 3]), "{ranks:?}");
    let first: Vec<&str> = rsic::table::strings(&table, "caption").unwrap().iter().step_by(3).flatten().collect();
    let listed: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(listed.as_object().unwrap().values().map(|text| text.as_str().unwrap()).collect::<Vec<_>>(), first);
    sandbox
        .rsic(&["build", "caption/ucm_amht", "-p", "caption.decoding.top_p=0.9"])
        .fails(2, &["`top_p` has no effect with method `beam`"]);
}

/// `ClipCap`'s model in PyTorch, from the description of its checkpoints; it loads an exported file with strict=True.
const STRICT: &str = r"
import json, sys
import torch
from torch import nn
class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.to_queries, self.to_keys_values = nn.Linear(d, d, bias=False), nn.Linear(d, 2 * d, bias=False)
        self.project = nn.Linear(d, d)
        self.adaptive_weights = nn.Parameter(torch.zeros(heads, d // heads, d // heads))
        self.adaptive_biases = nn.Parameter(torch.zeros(heads, d // heads))
class Mlp(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)
class Layer(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.norm1, self.attn, self.norm2, self.mlp = nn.LayerNorm(d), Attention(d, heads), nn.LayerNorm(d), Mlp(d)
class Stack(nn.Module):
    def __init__(self, d, heads, layers):
        super().__init__()
        self.layers = nn.ModuleList(Layer(d, heads) for _ in range(layers))
class Mapper(nn.Module):
    def __init__(self, clip, d, k, m, heads, layers):
        super().__init__()
        self.transformer, self.linear = Stack(d, heads, layers), nn.Linear(clip, m * d)
        self.prefix_const = nn.Parameter(torch.zeros(k, d))
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.clip_project = Mapper(16, 32, 3, 3, 2, 1)
model = Model()
print(model.load_state_dict(torch.load(sys.argv[1], weights_only=True), strict=True))
";

/// Set `RSIC_TORCH` to a Python with torch to run this; torch is too large to be fetched for a test.
#[test]
fn pytorch_loads_what_is_exported() {
    let Some(python) = std::env::var_os("RSIC_TORCH") else {
        println!("SKIPPED: set RSIC_TORCH to a Python with torch");
        return;
    };
    let sandbox = exported();
    let output =
        Command::new(python).args(["-c", STRICT]).arg(sandbox.path("mapper.pt")).output().expect("RSIC_TORCH runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("All keys matched"), "{text}");
}
