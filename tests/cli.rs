//! The commands, as users type them.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Sandbox, TINY};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn status_tells_fresh_from_stale_in_text_and_json() {
    let sandbox = Sandbox::with_models();
    let out = sandbox.rsic(&["status", "--exit-code", "score/ucm_amht"]).ok().out;
    assert_eq!(out.matches("fresh").count(), 7, "{out}");
    let rows = json(&sandbox.rsic(&["status", "--json", "score/ucm_amht", "score/ucm_mlp"]).ok().out);
    let state = |target: &str| {
        let found = rows.as_array().unwrap().iter().find(|row| row["target"] == target);
        found.unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("score/ucm_amht"), "fresh");
    assert_eq!(state("train/ucm_mlp"), "stale");
    assert!(sandbox.rsic(&["status", "--all"]).ok().out.contains("score/ucm_cn_transformer_gpt"));
}

#[test]
fn a_dry_run_does_nothing_and_says_what_the_build_does() {
    let sandbox = Sandbox::new(TINY);
    let plan = json(&sandbox.rsic(&["build", "--dry-run", "--json", "score/ucm_mlp"]).ok().out);
    assert!(!sandbox.path("cache").exists() && !sandbox.path("output").exists());
    let planned: Vec<&str> = plan.as_array().unwrap().iter().map(|row| row["target"].as_str().unwrap()).collect();
    let built = sandbox.rsic(&["build", "score/ucm_mlp"]).ok().built();
    assert_eq!(built.len(), planned.len());
    assert!(planned.iter().all(|name| built.contains(*name)));
}

#[test]
fn outputs_stand_at_stable_paths_and_clean_removes_views_only() {
    let sandbox = Sandbox::with_models();
    let paths = [
        "output/annotations/ucm.parquet",
        "output/annotations/sentences/ucm.parquet",
        "output/annotations/edition/ucm.parquet",
        "output/ingest/ucm.parquet",
        "output/ingest/lint/ucm.parquet",
        "output/tokenize/ucm.parquet",
        "output/tokenize/lengths/ucm.parquet",
        "output/embed/ucm.parquet",
        "output/train/ucm_amht.parquet",
        "output/train/weights/ucm_amht.safetensors",
        "output/caption/ucm_amht.parquet",
        "output/eval_files/ucm_amht.json",
        "output/score/ucm_amht.parquet",
        "output/score/images/ucm_amht.parquet",
        "output/score/statistics/ucm_amht.parquet",
        "output/scores/ucm_amht.txt",
    ];
    for path in paths {
        assert!(sandbox.path(path).is_file(), "{path}");
    }
    let eval = json(&fs::read_to_string(sandbox.path("output/eval_files/ucm_amht.json")).unwrap());
    assert!(eval.as_object().unwrap().keys().all(|key| key.parse::<u32>().is_ok()));
    let scores = "output/score/ucm_amht.parquet";
    let before = fs::read(sandbox.path(scores)).unwrap();
    sandbox.rsic(&["clean", "score/ucm_amht"]).ok();
    assert!(!sandbox.path(scores).exists() && sandbox.path("output/caption/ucm_amht.parquet").exists());
    assert!(sandbox.rsic(&["why", "score/ucm_amht"]).ok().out.contains("restorable"));
    assert!(sandbox.rsic(&["build", "score/ucm_amht"]).ok().built().is_empty());
    assert_eq!(fs::read(sandbox.path(scores)).unwrap(), before);
    sandbox.rsic(&["clean", "--cache", "score/ucm_amht"]).ok();
    let built = sandbox.rsic(&["build", "score/ucm_amht"]).ok().built();
    assert_eq!(built.into_iter().collect::<Vec<_>>(), ["score/ucm_amht"]);
    assert_eq!(fs::read(sandbox.path(scores)).unwrap(), before);
}

#[test]
fn an_edited_output_is_noticed_kept_by_clean_and_put_right_by_build() {
    let sandbox = Sandbox::with_models();
    let path = sandbox.path("output/scores/ucm_amht.txt");
    let before = fs::read(&path).unwrap();
    fs::write(&path, "BLEU-4: 1.000\n").unwrap();
    assert!(sandbox.rsic(&["why", "score/ucm_amht"]).ok().out.contains("edited since it was built"));
    sandbox.rsic(&["clean", "score/ucm_amht"]).ok();
    assert!(path.exists());
    assert!(sandbox.rsic(&["build", "score/ucm_amht"]).ok().built().is_empty());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn show_dag_log_and_completions_print_to_stdout() {
    let sandbox = Sandbox::with_models();
    let out = |args: &[&str]| sandbox.rsic(args).ok().out;
    assert!(out(&["show", "score/ucm_amht"]).contains("CIDEr-D"));
    assert!(out(&["show", "annotations/ucm", "--output", "sentences", "--rows", "2"]).contains("sent_id"));
    let row = out(&["show", "caption/ucm_amht", "--json", "--rows", "1"]);
    assert!(json(row.trim())["caption"].is_string());
    assert!(out(&["dag", "score/ucm_amht"]).contains("score/ucm_amht <- annotations/ucm, caption/ucm_amht"));
    assert!(out(&["dag", "score/ucm_amht", "--format", "mermaid"]).starts_with("flowchart LR"));
    assert!(out(&["dag", "score/ucm_amht", "--format", "dot"]).trim_end().ends_with('}'));
    let log = out(&["log", "--lines", "0", "--json"]);
    assert!(log.lines().all(|line| json(line)["seconds"].is_number()));
    assert!(log.contains("train/ucm_amht"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(out(&["completions", shell]).contains("rsic"), "{shell}");
    }
}

#[test]
fn targets_are_names_globs_and_kinds() {
    let sandbox = Sandbox::new(TINY);
    for (target, expected) in [
        ("score/*_amht", &["score/ucm_amht", "score/ucm_cn_amht"][..]),
        ("embed", &["embed/ucm"]),
        ("embed/ucm_cn", &["embed/ucm"]),
        ("tokenize/{ucm,ucm_cn}", &["tokenize/ucm", "tokenize/ucm_cn"]),
        ("train/ucm_mlp_gpt", &["train/ucm_mlp_gpt"]),
    ] {
        let out = sandbox.rsic(&["dag", target]).ok().out;
        let kind = target.split('/').next().unwrap();
        let found: Vec<&str> = out.lines().filter_map(|line| line.split(' ').next()).collect();
        let mut found: Vec<&str> = found.into_iter().filter(|name| name.starts_with(kind)).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{target}");
    }
}

#[test]
fn a_change_of_its_own_is_told_even_behind_a_stale_input() {
    let sandbox = Sandbox::with_models();
    let why = sandbox.rsic(&["why", "-p", "train.lr=0.5", "-p", "caption.decoding.width=7", "score/ucm_amht"]).ok().out;
    assert!(why.contains("caption/ucm_amht: stale: parameter decoding.width 2 -> 7"), "{why}");
    assert!(why.contains("score/ucm_amht: maybe"), "{why}");
}

#[test]
fn forcing_computes_every_row_again() {
    let sandbox = Sandbox::with_models();
    let before = sandbox.data(&["embed/ucm"]);
    let ran = sandbox.rsic(&["build", "--force", "embed/ucm"]).ok();
    assert!(ran.err.contains("embed/ucm images: 160 images"), "{}", ran.err);
    assert_eq!(sandbox.data(&["embed/ucm"]), before);
}

#[test]
fn nothing_built_is_not_fresh() {
    Sandbox::new(TINY).rsic(&["status", "--exit-code"]).fails(3, &["nothing is built yet"]);
}

#[test]
fn an_override_changes_the_plan_but_not_the_file() {
    let sandbox = Sandbox::with_models();
    let why = sandbox.rsic(&["why", "-p", "train.epochs=3", "train/ucm_amht"]).ok().out;
    assert!(why.contains("parameter train.epochs 2 -> 3"), "{why}");
    assert!(sandbox.rsic(&["why", "train/ucm_amht"]).ok().out.contains("fresh"));
}

#[test]
fn every_mapper_and_fine_tuning_build_in_both_languages() {
    let sandbox = Sandbox::new(TINY);
    sandbox.rsic(&["build", "--jobs", "2", "score/*", "-p", "train.epochs=1"]).ok();
    for dataset in ["ucm", "ucm_cn"] {
        for model in ["constant", "mlp", "transformer", "amht", "mlp_gpt", "transformer_gpt", "amht_gpt"] {
            let text = fs::read_to_string(sandbox.path(&format!("output/scores/{dataset}_{model}.txt"))).unwrap();
            assert!(text.contains("BLEU-4: "), "{dataset}_{model}: {text}");
        }
    }
    let eval = fs::read_to_string(sandbox.path("output/eval_files/ucm_cn_amht.json")).unwrap();
    for caption in json(&eval).as_object().unwrap().values() {
        let caption = caption.as_str().unwrap();
        assert!(!caption.contains('\u{FFFD}') && !caption.contains(' '), "{caption:?}");
    }
}
