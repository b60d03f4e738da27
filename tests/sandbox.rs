//! A workspace in a temporary folder, with a tiny rendered dataset and models small enough to train in seconds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use rsic::progress::Silent;
use rsic::sample::{self, SampleConfig};
use tempfile::TempDir;

/// Sizes that keep a whole build at some seconds; the shape of the pipeline is that of the demo.
pub(crate) const TINY: &str = r#"
[datasets.ucm]
annotations = "datasets/UCM_captions/dataset.json"
images = "datasets/UCM_captions/imgs"
language = "en"

[datasets.ucm_cn]
annotations = "datasets/UCM_captions/dataset_ucm_cn.json"
images = "datasets/UCM_captions/imgs"
language = "zh"
images_of = "ucm"

[models]
clip = "scratch"
gpt2 = { en = "scratch", zh = "scratch" }

[mappers.mlp]
kind = "mlp"
prefix_length = 3

[mappers.transformer]
kind = "transformer"
prefix_length = 3
clip_length = 3
layers = 1
heads = 2

[mappers.amht]
kind = "amht"
prefix_length = 3
clip_length = 3
layers = 1
heads = 2

[attention.r50]
encoder = "scratch"
decoder = { attention_dim = 8, embed_dim = 8, decoder_dim = 16 }
train = { epochs = 2, lr = 1e-2 }
decoding = { method = "beam_set_aside", width = 2 }

[scratch.clip]
epochs = 2
image_size = 24
crop = 16
channels = [8, 16]
dim = 16
text_width = 16
batch = 16
views = 1

[scratch.gpt2]
epochs = 2
vocab_size = 400
width = 32
layers = 1
heads = 2

[train]
epochs = 2
batch_size = 16
lr = 1e-3
seed = 1

[caption]
max_tokens = { en = 20, zh = 30 }
decoding = { method = "beam", width = 2 }
"#;

/// Targets that write every kind of file but unfinished work, in a fraction of a second.
pub(crate) const QUICK: [&str; 4] = ["score/ucm_human", "ingest/ucm", "-p", "score.resamples=10"];

/// A workspace that is removed at the end of the test.
pub(crate) struct Sandbox {
    folder: TempDir,
    /// The workspace.
    pub(crate) root: PathBuf,
}

/// What a command did.
pub(crate) struct Ran {
    /// Exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ran {
    /// The targets that ran, in any order.
    pub(crate) fn built(&self) -> BTreeSet<String> {
        let lines = self.err.lines().filter_map(|line| line.trim().strip_prefix("built "));
        lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    }

    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Fails the test unless the command failed with this code and these words on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in stderr:\n{}", self.err);
        }
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The rendered dataset, made once for all tests.
fn dataset() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = SampleConfig { images_per_class: 10, size: 64, ..SampleConfig::default() };
        sample::write(folder.path(), &config, &Silent).unwrap();
        folder
    });
    folder.path()
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// All files below a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let below = entries.map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = below.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

impl Sandbox {
    /// A workspace with the dataset and `pipeline` as its pipeline.toml; nothing is built.
    pub(crate) fn new(pipeline: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("workspace");
        copy(dataset(), &root.join("datasets"));
        fs::write(root.join("pipeline.toml"), pipeline).unwrap();
        Self { folder, root }
    }

    /// A workspace without any file.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("workspace");
        fs::create_dir(&root).unwrap();
        Self { folder, root }
    }

    /// A workspace whose models were trained before and lie in folders, as downloaded ones would;
    /// `score/ucm_amht` is built.
    pub(crate) fn with_models() -> Self {
        static BUILT: OnceLock<Sandbox> = OnceLock::new();
        let built = BUILT.get_or_init(|| {
            let sandbox = Self::new(TINY);
            sandbox.rsic(&["build", "embed/ucm", "tokenize/ucm"]).ok();
            copy(&sandbox.root.join("output/pretrain/ucm_clip"), &sandbox.root.join("models/clip"));
            copy(&sandbox.root.join("output/pretrain/ucm_gpt2"), &sandbox.root.join("models/gpt2"));
            let text = TINY.replace("clip = \"scratch\"", "clip = \"./models/clip\"");
            let text = text.replace("en = \"scratch\"", "en = \"./models/gpt2\"");
            fs::write(sandbox.root.join("pipeline.toml"), text).unwrap();
            sandbox.rsic(&["build", "score/ucm_amht"]).ok();
            sandbox
        });
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("workspace");
        copy(&built.root, &root);
        Self { folder, root }
    }

    /// A workspace with [`QUICK`] built; its datasets are a link to some that all such workspaces read.
    pub(crate) fn quick() -> Self {
        static BUILT: OnceLock<Sandbox> = OnceLock::new();
        let built = BUILT.get_or_init(|| {
            let sandbox = Self::new(TINY);
            sandbox.build().ok();
            sandbox
        });
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("workspace");
        for name in ["cache", "output"] {
            copy(&built.path(name), &root.join(name));
        }
        fs::copy(built.path("pipeline.toml"), root.join("pipeline.toml")).unwrap();
        std::os::unix::fs::symlink(built.path("datasets"), root.join("datasets")).unwrap();
        Self { folder, root }
    }

    /// Builds [`QUICK`].
    pub(crate) fn build(&self) -> Ran {
        self.rsic(&[&["build"], &QUICK[..]].concat())
    }

    /// Runs `rsic -C <workspace> ARGS`.
    pub(crate) fn rsic(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Runs `rsic ARGS` in the workspace folder, so that files among the arguments are those of the workspace.
    pub(crate) fn rsic_here(&self, args: &[&str]) -> Ran {
        self.command_here(args).output().unwrap().into()
    }

    /// The command, to be started in another way.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.command_here(&["-C"]);
        command.arg(&self.root).args(args);
        command
    }

    /// The command `rsic ARGS` in the workspace folder.
    pub(crate) fn command_here(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rsic"));
        command.current_dir(&self.root).args(args).env_remove("RUST_BACKTRACE").env("NO_COLOR", "1");
        command.env("HF_HOME", self.folder.path().join("no-hub"));
        // Neither the user's folders nor an installed pycocoevalcap may show.
        command.env("XDG_CACHE_HOME", self.folder.path().join("user-cache"));
        command.env("XDG_DATA_HOME", self.folder.path().join("user-data"));
        command.env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        for variable in ["RSIC_METEOR", "VIRTUAL_ENV", "CONDA_PREFIX"] {
            command.env_remove(variable);
        }
        command
    }

    /// A path in the workspace.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Changes a text file of the workspace.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.path(name);
        let old = fs::read_to_string(&path).unwrap();
        let new = change(old.clone());
        assert_ne!(old, new, "the edit of {name} changes nothing");
        fs::write(path, new).unwrap();
    }

    /// Moves the whole workspace to another folder.
    pub(crate) fn relocate(&mut self) {
        let target = self.folder.path().join("elsewhere");
        fs::rename(&self.root, &target).unwrap();
        self.root = target;
    }

    /// Instance -> data hashes of its outputs, for everything that these targets need.
    pub(crate) fn data(&self, targets: &[&str]) -> Vec<(String, Vec<(String, String)>)> {
        let args: Vec<&str> = ["status", "--json"].iter().chain(targets).copied().collect();
        let rows: serde_json::Value = serde_json::from_str(&self.rsic(&args).ok().out).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let outputs = |row: &serde_json::Value| {
            let outputs = row["outputs"].as_array().unwrap().iter();
            outputs.map(|output| (text(&output["name"]), text(&output["data"]))).collect()
        };
        rows.as_array().unwrap().iter().map(|row| (text(&row["target"]), outputs(row))).collect()
    }
}
