//! Scoring captions of any origin, comparing scores, linting: what a user of the scorer types and sees.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::sandbox::{Ran, Sandbox, TINY};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Runs `rsic score ARGS --json` and returns the rows.
fn rows(sandbox: &Sandbox, args: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["score"].iter().chain(args).chain(&["--json"]).copied().collect();
    parsed(&sandbox.rsic(&args).ok().out).as_array().unwrap().clone()
}

fn value(rows: &[Value], metric: &str, variant: &str) -> Value {
    let found = rows.iter().find(|row| row["metric"] == metric && row["variant"] == variant);
    found.unwrap_or_else(|| panic!("no {metric} {variant} in {rows:?}"))["value"].clone()
}

/// The captions of the test split: (image id, file name, first reference).
fn first_references(sandbox: &Sandbox) -> Vec<(u64, String, String)> {
    let json = parsed(&fs::read_to_string(sandbox.path("datasets/UCM_captions/dataset.json")).unwrap());
    let images = json["images"].as_array().unwrap().iter().filter(|image| image["split"] == "test");
    let row = |image: &Value| {
        let raw = image["sentences"][0]["raw"].as_str().unwrap().to_owned();
        (image["imgid"].as_u64().unwrap(), image["filename"].as_str().unwrap().to_owned(), raw)
    };
    images.map(row).collect()
}

fn seed_format(captions: &[(u64, String, String)]) -> String {
    let pairs = captions.iter().map(|(id, _, raw)| (id.to_string(), json!(raw)));
    Value::Object(pairs.collect()).to_string()
}

fn path(sandbox: &Sandbox, name: &str) -> String {
    sandbox.path(name).display().to_string()
}

#[test]
fn every_format_gives_the_same_scores() {
    let sandbox = Sandbox::new(TINY);
    let captions = first_references(&sandbox);
    let coco: Vec<Value> = captions.iter().map(|(id, _, raw)| json!({"image_id": id, "caption": raw})).collect();
    let named: Vec<String> =
        captions.iter().map(|(_, name, raw)| json!({"filename": name, "caption": raw}).to_string()).collect();
    let csv: Vec<String> = captions.iter().map(|(id, _, raw)| format!("{id},\"{raw}\"")).collect();
    let tsv: Vec<String> = captions.iter().rev().map(|(id, _, raw)| format!("{id}\t{raw}")).collect();
    for (name, text) in [
        ("seed.json", seed_format(&captions)),
        ("coco.json", Value::Array(coco).to_string()),
        ("named.jsonl", named.join("\n")),
        ("table.csv", format!("image_id,caption\n{}\n", csv.join("\n"))),
        ("table.tsv", format!("image_id\tcaption\n{}\n", tsv.join("\n"))),
    ] {
        fs::write(sandbox.path(name), text).unwrap();
        let rows = rows(&sandbox, &[&path(&sandbox, name), "--dataset", "ucm", "--name", "mine"]);
        // A reference is one of its own references.
        assert_eq!(value(&rows, "ROUGE-L", "ptb"), 1.0, "{name}");
        let bleu = value(&rows, "BLEU-4", "ptb").as_f64().unwrap();
        assert!((bleu - 1.0).abs() < 1e-6, "{name}: {bleu}");
        assert_eq!(rows[0]["n"], captions.len(), "{name}");
    }
    // Equal captions are scored once, whatever file they came in.
    fs::write(sandbox.path("again.json"), seed_format(&captions)).unwrap();
    let again = sandbox.rsic(&["score", &path(&sandbox, "again.json"), "-d", "ucm", "--name", "mine"]).ok();
    assert!(!again.built().contains("score/ucm_mine"), "{}", again.err);
}

#[test]
fn parquet_of_an_own_caption_table_is_scored_too() {
    let sandbox = Sandbox::with_models();
    let own = path(&sandbox, "output/caption/ucm_amht.parquet");
    let rows = rows(&sandbox, &[&own, "--dataset", "ucm", "--name", "copied"]);
    let shown = sandbox.rsic(&["show", "score/ucm_amht", "--json", "--rows", "0"]).ok().out;
    let known: Vec<Value> = shown.lines().map(parsed).filter(|line| line["value"].is_number()).collect();
    // BLEU-1 to 4, ROUGE-L, CIDEr-D, CIDEr, and the original's four.
    assert_eq!(known.len(), 11);
    for line in known {
        let (metric, variant) = (line["metric"].as_str().unwrap(), line["variant"].as_str().unwrap());
        let difference = value(&rows, metric, variant).as_f64().unwrap() - line["value"].as_f64().unwrap();
        assert!(difference.abs() < 1e-9, "{metric} {variant}");
    }
}

#[test]
fn every_row_tells_what_was_measured() {
    let sandbox = Sandbox::new(TINY);
    fs::write(sandbox.path("c.json"), seed_format(&first_references(&sandbox))).unwrap();
    let rows = rows(&sandbox, &[&path(&sandbox, "c.json"), "--dataset", "ucm"]);
    for row in &rows {
        let signature = row["signature"].as_str().unwrap();
        let metric = row["metric"].as_str().unwrap();
        assert!(signature.starts_with(&format!("{metric}|set:custom-")), "{signature}");
        for key in ["|split:test.", "|refs:5x", "|variant:", "|words:", "|metric:", "|rsic:"] {
            assert!(signature.contains(key), "{signature}");
        }
        assert_eq!(row["references_digest"].as_str().unwrap().len(), 64);
        if let (Some(value), Some(low)) = (row["value"].as_f64(), row["ci_low"].as_f64()) {
            assert!(low <= value + 1e-9 && value <= row["ci_high"].as_f64().unwrap() + 1e-9, "{row}");
        }
    }
    let meteor = rows.iter().find(|row| row["metric"] == "METEOR").unwrap();
    assert!(meteor["value"].is_null() && meteor["note"].as_str().unwrap().contains("rsic fetch meteor"));
}

struct Bad {
    name: &'static str,
    code: i32,
    file: &'static str,
    text: fn(Vec<(u64, String, String)>) -> String,
    args: &'static [&'static str],
    words: &'static [&'static str],
}

const BAD: &[Bad] = &[
    Bad {
        name: "missing",
        code: 1,
        file: "c.json",
        text: |captions| seed_format(&captions[3..]),
        args: &[],
        words: &["3 of the 16 images", "--allow-missing"],
    },
    Bad {
        name: "unknown id",
        code: 1,
        file: "c.json",
        text: |mut captions| {
            captions.push((99_999, String::new(), "a plane".to_owned()));
            seed_format(&captions)
        },
        args: &[],
        words: &["99999"],
    },
    Bad {
        name: "duplicate keys of one object",
        code: 1,
        file: "c.json",
        text: |captions| seed_format(&captions).replacen('{', &format!("{{\"{}\": \"x\",", captions[0].0), 1),
        args: &[],
        words: &["1 image has more than one caption"],
    },
    Bad {
        name: "not a number",
        code: 1,
        file: "c.json",
        text: |captions| format!("{{\"{}\": NaN}}", captions[0].0),
        args: &[],
        words: &["c.json:1:", "NaN"],
    },
    Bad {
        name: "half a surrogate pair",
        code: 1,
        file: "c.json",
        text: |captions| format!("{{\"{}\": \"a \\ud800 plane\"}}", captions[0].0),
        args: &[],
        words: &["c.json:1:", "surrogate"],
    },
    Bad {
        name: "another split",
        code: 1,
        file: "c.json",
        text: |captions| seed_format(&captions),
        args: &["--split", "val"],
        words: &["test"],
    },
    Bad { name: "empty", code: 1, file: "c.json", text: |_| String::new(), args: &[], words: &["c.json", "empty"] },
    Bad {
        name: "a name that is taken",
        code: 2,
        file: "amht.json",
        text: |captions| seed_format(&captions),
        args: &[],
        words: &["ucm_amht", "--name"],
    },
    Bad {
        name: "no such dataset",
        code: 2,
        file: "c.json",
        text: |_| "{}".to_owned(),
        args: &["--dataset", "ucn"],
        words: &["ucn", "ucm"],
    },
];

#[test]
fn bad_caption_files_are_named_with_what_is_wrong() {
    let sandbox = Sandbox::new(TINY);
    for bad in BAD {
        println!("{}", bad.name);
        fs::write(sandbox.path(bad.file), (bad.text)(first_references(&sandbox))).unwrap();
        let file = path(&sandbox, bad.file);
        let mut args = vec!["score", &file];
        if !bad.args.contains(&"--dataset") {
            args.extend(["--dataset", "ucm"]);
        }
        args.extend(bad.args);
        let ran = sandbox.rsic(&args);
        println!("{}", ran.err);
        ran.fails(bad.code, bad.words);
    }
}

#[test]
fn odd_captions_have_defined_scores() {
    let sandbox = Sandbox::new(TINY);
    let mut captions = first_references(&sandbox);
    let odd = [
        String::new(),
        " . ".to_owned(),
        "a plane ".repeat(240),
        "a\u{1}plane\u{7f}".to_owned(),
        "one\u{2028}two\u{2029}three".to_owned(),
        "<b> ||| & \"quoted\" 飞机 😀".to_owned(),
    ];
    for ((_, _, caption), odd) in captions.iter_mut().zip(odd) {
        *caption = odd;
    }
    fs::write(sandbox.path("c.json"), seed_format(&captions)).unwrap();
    let rows = rows(&sandbox, &[&path(&sandbox, "c.json"), "--dataset", "ucm"]);
    for metric in ["BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr-D", "CIDEr"] {
        let value = value(&rows, metric, "ptb").as_f64().unwrap();
        assert!(value.is_finite() && value > 0.0, "{metric}: {value}");
    }
}

#[test]
fn missing_captions_can_be_allowed_and_one_image_is_enough() {
    let sandbox = Sandbox::new(TINY);
    let captions = first_references(&sandbox);
    fs::write(sandbox.path("c.json"), seed_format(&captions[..1])).unwrap();
    let rows = rows(&sandbox, &[&path(&sandbox, "c.json"), "--dataset", "ucm", "--allow-missing"]);
    assert_eq!(rows[0]["n"], 1);
    assert_eq!(value(&rows, "CIDEr-D", "ptb"), 0.0, "the logarithm of one image is 0");
}

#[test]
fn captions_of_pipeline_toml_are_ordinary_targets() {
    let text = format!("{TINY}\n[captions.theirs]\nfiles = {{ ucm = \"theirs.csv\" }}\nallow_missing = true\n");
    let sandbox = Sandbox::new(&text);
    let captions = first_references(&sandbox);
    let csv: Vec<String> = captions[1..].iter().map(|(id, _, raw)| format!("{id},\"{raw}\"")).collect();
    fs::write(sandbox.path("theirs.csv"), format!("image_id,caption\n{}", csv.join("\n"))).unwrap();
    let built = sandbox.rsic(&["build", "score/ucm_theirs"]).ok().built();
    let expected = ["annotations/ucm", "caption/ucm_theirs", "score/ucm_theirs"];
    let own: Vec<String> = built.into_iter().filter(|name| !name.starts_with("resource/")).collect();
    assert_eq!(own, expected, "no image is looked at");
    sandbox.edit("theirs.csv", |text| {
        text.replacen("image_id,caption", "image_id,caption,extra", 1).replace("\"\n", "\",\n") + ","
    });
    let why = sandbox.rsic(&["why", "score/ucm_theirs"]).ok().out;
    assert!(why.contains("caption/ucm_theirs: stale: input file changed"), "{why}");
    sandbox.edit("pipeline.toml", |text| text.replace("{ ucm = ", "{ ucn = "));
    sandbox.rsic(&["status"]).fails(2, &["names `ucn`, which is no dataset", "did you mean `ucm`"]);
}

#[test]
fn an_annotation_file_is_enough_to_score_and_lint() {
    let sandbox = Sandbox::new(TINY);
    fs::write(sandbox.path("c.json"), seed_format(&first_references(&sandbox))).unwrap();
    fs::remove_file(sandbox.path("pipeline.toml")).unwrap();
    fs::remove_dir_all(sandbox.path("datasets/UCM_captions/imgs")).unwrap();
    let annotations = path(&sandbox, "datasets/UCM_captions/dataset.json");
    let rows = rows(&sandbox, &[&path(&sandbox, "c.json"), "--annotations", &annotations]);
    assert_eq!(value(&rows, "ROUGE-L", "ptb"), 1.0);
    let out = sandbox.rsic(&["lint", &annotations]).ok().out;
    assert!(out.contains("unknown_edition") && out.contains("pictures were not looked at"), "{out}");
    assert!(!sandbox.path("cache").exists(), "nothing is written where there is no workspace");
}

#[test]
fn floors_and_ceilings_are_ordinary_targets() {
    let sandbox = Sandbox::with_models();
    let floors = ["constant", "class", "knn", "human", "human_distinct"];
    let targets: Vec<String> = floors.iter().map(|floor| format!("score/ucm_{floor}")).collect();
    let mut args = vec!["build", "--json"];
    args.extend(targets.iter().map(String::as_str));
    let rows = parsed(&sandbox.rsic(&args).ok().out).as_array().unwrap().clone();
    let cider = |model: &str| {
        let of = |row: &&Value| row["model"] == model && row["metric"] == "CIDEr-D" && row["variant"] == "ptb";
        rows.iter().find(of).unwrap_or_else(|| panic!("no {model}"))["value"].as_f64().unwrap()
    };
    assert!(cider("knn") > cider("constant"), "a neighbour says more than one caption for all");
    assert!(cider("human") > cider("constant"));
    let human = rows.iter().find(|row| row["model"] == "human").unwrap();
    assert!(human["signature"].as_str().unwrap().contains("|refs:4x"), "{human}");
    // The rendered sample has no classes: all images are of one.
    assert!(sandbox.path("output/caption/held_out/ucm_human.parquet").is_file());
    let shown = sandbox.rsic(&["show", "caption/ucm_class", "--rows", "0", "--json"]).ok().out;
    let captions: std::collections::BTreeSet<String> =
        shown.lines().map(|line| parsed(line)["caption"].to_string()).collect();
    assert_eq!(captions.len(), 1, "{captions:?}");
}

#[test]
fn two_models_are_compared_with_interval_and_p() {
    let sandbox = Sandbox::with_models();
    sandbox.rsic(&["build", "score/ucm_constant", "score/ucm_knn", "score/ucm_human"]).ok();
    let lines = |args: &[&str]| -> Vec<Value> { parsed(&sandbox.rsic(args).ok().out).as_array().unwrap().clone() };
    let same = lines(&["compare", "ucm_knn", "score/ucm_knn", "--json"]);
    assert_eq!(same.len(), 7);
    assert!(same.iter().all(|line| line["difference"] == 0.0 && line["p"] == 1.0), "{same:?}");
    let lines = lines(&["compare", "ucm_knn", "ucm_constant", "--json", "--trials", "500"]);
    assert!(lines.len() >= 7 && lines.iter().all(|line| line["variant"] == "ptb"));
    for line in &lines {
        let number = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"));
        assert!((number("a") - number("b") - number("difference")).abs() < 1e-12);
        assert!(number("ci_low") <= number("ci_high") && number("p") <= number("p_holm"));
    }
    let text = sandbox.rsic(&["compare", "ucm_knn", "ucm_constant"]).ok().out;
    assert!(text.contains("p (Holm)") && text.contains("A score/ucm_knn, B score/ucm_constant"), "{text}");
    // A human caption is scored against the other references.
    let human = ["compare", "ucm_human", "ucm_knn"];
    sandbox.rsic(&human).fails(2, &["different references", "--anyway"]);
    let anyway = sandbox.rsic(&["compare", "ucm_human", "ucm_knn", "--anyway", "--json"]).ok();
    assert!(anyway.err.contains("not comparable"));
    assert!(parsed(&anyway.out).as_array().unwrap().iter().all(|line| line["p"].is_null()));
    sandbox
        .rsic(&["compare", "ucm_knn", "ucm_mlp"])
        .fails(2, &["score/ucm_mlp is not built", "rsic build score/ucm_mlp"]);
    sandbox.rsic(&["compare", "ucm_knn", "ucm_knm"]).fails(2, &["no target matches", "did you mean"]);
}

#[test]
fn editions_are_not_compared_unless_asked() {
    let other = "\n[datasets.swapped]\nannotations = \"swapped.json\"\nimages = \"datasets/UCM_captions/imgs\"\nlanguage = \"en\"\n";
    let sandbox = Sandbox::new(&format!("{TINY}{other}"));
    let text = fs::read_to_string(sandbox.path("datasets/UCM_captions/dataset.json")).unwrap();
    let text = text.replace("\"val\"", "\"x\"").replace("\"test\"", "\"val\"").replace("\"x\"", "\"test\"");
    fs::write(sandbox.path("swapped.json"), text).unwrap();
    sandbox.rsic(&["build", "score/ucm_constant", "score/swapped_constant"]).ok();
    let args = ["compare", "ucm_constant", "swapped_constant"];
    sandbox.rsic(&args).fails(2, &["different editions", "custom-", "--anyway"]);
}

#[test]
fn several_seeds_give_mean_deviation_and_all_runs() {
    let sandbox = Sandbox::with_models();
    let seeds = ["-p", "train.seeds=[1, 2]"];
    let build = |target: &str| -> Ran { sandbox.rsic(&["build", target, "--json", seeds[0], seeds[1]]).ok() };
    let built = build("score/ucm_mlp");
    let rows = parsed(&built.out).as_array().unwrap().clone();
    let runs: Vec<Value> = ["score/ucm_mlp_seed1", "score/ucm_mlp_seed2"]
        .iter()
        .flat_map(|name| parsed(&build(name).out).as_array().unwrap().clone())
        .collect();
    assert_eq!(rows.iter().filter(|row| row["value"].is_number()).count(), 11);
    for row in rows.iter().filter(|row| row["value"].is_number()) {
        let same = |run: &&Value| run["metric"] == row["metric"] && run["variant"] == row["variant"];
        let values: Vec<f64> = runs.iter().filter(same).map(|run| run["value"].as_f64().unwrap()).collect();
        let (mean, half) = (f64::midpoint(values[0], values[1]), (values[0] - values[1]) / 2.0);
        assert!((row["value"].as_f64().unwrap() - mean).abs() < 1e-12, "{row}");
        // The sample standard deviation of two values is their distance over the root of 2.
        assert!((row["sd"].as_f64().unwrap() - half.abs() * 2_f64.sqrt()).abs() < 1e-12, "{row}");
        assert_eq!(row["runs"], 2);
    }
    assert!(sandbox.path("output/score/runs/ucm_mlp.parquet").is_file());
    // A run is the same action as a single training with its seed.
    let single = sandbox.rsic(&["build", "score/ucm_mlp", "-p", "train.seed=2"]).ok();
    assert!(!single.built().contains("train/ucm_mlp"), "{}", single.err);
    sandbox.rsic(&["status", "-p", "train.seeds=[1, 1]"]).fails(2, &["`seeds` must differ"]);
}

#[test]
fn lint_counts_findings_and_fails_where_told_to() {
    let sandbox = Sandbox::new(TINY);
    sandbox.edit("datasets/UCM_captions/dataset.json", |text| {
        let mut json = parsed(&text);
        let images = json["images"].as_array_mut().unwrap();
        let train = images.iter().position(|image| image["split"] == "train").unwrap();
        let test = images.iter().position(|image| image["split"] == "test").unwrap();
        images[test]["sentences"] = images[train]["sentences"].clone();
        json.to_string()
    });
    let report = parsed(&sandbox.rsic(&["lint", "ucm", "--json", "--examples", "2"]).ok().out);
    let findings = &report[0]["findings"];
    assert_eq!(findings["leaked_image"]["count"], 1, "{findings}");
    assert!(findings["leaked_caption"]["count"].as_u64().unwrap() >= 5);
    assert_eq!(report[0]["pictures"], true);
    assert!(sandbox.rsic(&["lint", "ucm"]).ok().out.contains("leaked_image"));
    assert_eq!(sandbox.rsic(&["lint", "ucm", "--deny", "leaked_image"]).code, Some(1));
    assert_eq!(sandbox.rsic(&["lint", "ucm", "--deny", "swapped_splits,padding"]).code, Some(0));
    sandbox.rsic(&["lint", "ucm", "--deny", "leaked_imag"]).fails(2, &["did you mean", "leaked_image"]);
    sandbox.rsic(&["lint", "ucn"]).fails(2, &["neither a dataset nor a file", "did you mean `ucm`"]);
}

/// A wheel with tables of a few words, in METEOR's formats.
fn tiny_meteor(folder: &Path) -> PathBuf {
    use std::io::Write as _;
    let jar = {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in [
            ("function/english.words", "a\nthe\n"),
            ("synonym/english.synsets", "plane\n1 2\naircraft\n2\n"),
            ("synonym/english.exceptions", "geese\ngoose\n"),
            ("nonbreaking/english.prefixes", "Mr\n"),
        ] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"0.5\nnear the\nclose to\n").unwrap();
    let wheel = folder.join("pycocoevalcap.whl");
    let mut zip = zip::ZipWriter::new(fs::File::create(&wheel).unwrap());
    for (name, bytes) in [
        ("pycocoevalcap/meteor/meteor-1.5.jar", jar),
        ("pycocoevalcap/meteor/data/paraphrase-en.gz", gz.finish().unwrap()),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap();
    wheel
}

#[test]
fn meteor_is_null_until_its_tables_are_fetched() {
    let sandbox = Sandbox::new(TINY);
    let captions = first_references(&sandbox);
    fs::write(sandbox.path("c.json"), seed_format(&captions)).unwrap();
    let file = path(&sandbox, "c.json");
    let before = sandbox.rsic(&["score", &file, "--dataset", "ucm"]).ok();
    assert!(before.err.contains("rsic fetch meteor") && !before.out.contains("METEOR"), "{}", before.err);
    let wheel = tiny_meteor(&sandbox.root).display().to_string();
    let fetched = sandbox.rsic(&["fetch", "meteor", "--from", &wheel]).ok();
    assert!(fetched.err.contains("not that of the known version"), "{}", fetched.err);
    let after = rows(&sandbox, &[&file, "--dataset", "ucm"]);
    let meteor = after.iter().find(|row| row["metric"] == "METEOR").unwrap();
    assert!(meteor["value"].as_f64().unwrap() > 0.9, "{meteor}");
    assert!(meteor["signature"].as_str().unwrap().contains("|tables:"), "{meteor}");
    assert!(sandbox.rsic(&["fetch", "meteor", "--from", &wheel]).ok().err.contains("already"));
    let off = rows(&sandbox, &[&file, "--dataset", "ucm", "-p", "score.meteor=off"]);
    assert!(value(&off, "METEOR", "ptb").is_null());
    sandbox.rsic(&["fetch", "meteor", "--force", "--from", &file]).fails(1, &["holds no METEOR", "hint: "]);
}

#[cfg(unix)]
#[test]
fn spice_is_what_the_configured_program_says() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new(TINY);
    fs::write(sandbox.path("c.json"), seed_format(&first_references(&sandbox))).unwrap();
    fs::create_dir_all(sandbox.path("spice/lib")).unwrap();
    fs::write(sandbox.path("spice/spice-1.0.jar"), "jar").unwrap();
    // Called as `java -Xmx8G -jar JAR IN -out OUT -subset -silent`; answers in the program's form.
    let java = "#!/bin/sh\n[ \"$2\" = -jar ] || exit 9\nsep=\nprintf '[' > \"$6\"\n\
        for id in $(grep -o '\"image_id\":[0-9]*' \"$4\" | cut -d: -f2); do\n\
        printf '%s{\"image_id\":%s,\"scores\":{\"All\":{\"f\":0.25,\"pr\":0.5,\"re\":0.2},\"Color\":{\"f\":null,\"pr\":null,\"re\":null}}}' \
        \"$sep\" \"$id\" >> \"$6\"\nsep=,\ndone\nprintf ']' >> \"$6\"\n";
    fs::write(sandbox.path("java"), java).unwrap();
    fs::set_permissions(sandbox.path("java"), fs::Permissions::from_mode(0o755)).unwrap();
    let file = path(&sandbox, "c.json");
    let args = [&file, "--dataset", "ucm", "-p", "score.spice=spice", "-p", "score.java=./java"];
    let found = rows(&sandbox, &args);
    assert_eq!(value(&found, "SPICE", "ptb"), 0.25);
    assert!(found.iter().any(|row| row["metric"] == "SPICE" && row["resource"].as_str().unwrap().len() == 64));
    // In the workspace itself, where paths are short.
    let args_here = ["build", "score/ucm_constant", "-p", "score.spice=spice", "-p", "score.java=./java"];
    let output = sandbox.command_here(&args_here).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(sandbox.path("java"), "#!/bin/sh\necho out of memory >&2\nexit 1\n").unwrap();
    fs::write(sandbox.path("spice/spice-1.0.jar"), "another jar").unwrap();
    let args: Vec<&str> = ["score"].iter().chain(&args).copied().collect();
    sandbox.rsic(&args).fails(1, &["spice/ucm_c", "out of memory"]);
}
