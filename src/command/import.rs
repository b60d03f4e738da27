//! `rsic import`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::{ArgGroup, Args};
use serde_json::Value;

use super::Global;
use super::file::write_bundle;
use crate::language::Language;
use crate::model::checkpoint::{self, Adopted, Inspection};
use crate::model::clip::{self, ImageEncoder};
use crate::model::gpt2::Gpt2Config;
use crate::model::resnet;
use crate::model::search::DecodeConfig;
use crate::model::tokenizer::CaptionTokenizer;
use crate::model::{Bundle, Content};
use crate::pipeline::target::UsageError;
use crate::pipeline::{Config, ConfigError, config, models};
use crate::ui::{self, Ui};

/// Use weights that another program wrote: `ClipCap` mappers, `OpenCLIP` image encoders, torchvision's `ResNet`s.
///
/// `--as ucm_clipcap` adds a mapper to pipeline.toml, so that `caption/ucm_clipcap` and `score/ucm_clipcap` build like any
/// other. `--to DIR` makes a model folder of a single file of CLIP or `ResNet` weights. `--inspect` only says what a file is.
/// Nothing in a file is ever executed.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["inspect", "as_instance", "to"])))]
pub struct Import {
    /// The file: `.pt`, `.pth`, `.ckpt`, `.bin` or `.safetensors`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print tensors, architecture, unmatched names and the guessed profile.
    #[arg(long)]
    inspect: bool,
    /// Make a mapper the instance `DATASET_MODEL`.
    #[arg(long = "as", value_name = "DATASET_MODEL")]
    as_instance: Option<String>,
    /// Make a model folder of CLIP weights, for `models.clip`, or of a `ResNet`'s, for the `encoder` of an attention model.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Attention heads, where weights do not tell them.
    #[arg(long, value_name = "N", conflicts_with = "inspect")]
    heads: Option<usize>,
    /// Mapper: whether it was trained on image vectors of length 1.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", conflicts_with_all = ["inspect", "to"])]
    normalize: Option<bool>,
    /// Mapper: a text of one token that ends a caption; may be repeated, and empty means none.
    #[arg(long = "stop-text", value_name = "TEXT", conflicts_with_all = ["inspect", "to"])]
    stop_texts: Vec<String>,
    /// Mapper: another image encoder than `models.clip`.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["inspect", "to"])]
    clip: Option<String>,
    /// Mapper: another language model than `models.gpt2`; its configuration and vocabulary also serve weights in the file.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["inspect", "to"])]
    gpt2: Option<String>,
    /// CLIP: `quick_gelu` or `gelu`, which weights do not tell.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["inspect", "as_instance"], value_parser = ["quick_gelu", "gelu"])]
    activation: Option<String>,
    /// Print JSON.
    #[arg(long, conflicts_with_all = ["as_instance", "to"])]
    json: bool,
}

impl Import {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let content = Content::File(self.file.clone());
        let name = self.file.display().to_string();
        let report = checkpoint::inspect(&content).with_context(|| format!("cannot read the weights {name}"))?;
        if self.inspect {
            if self.json {
                ui.out(&serde_json::to_string_pretty(&report)?);
            } else {
                print(ui, &report);
            }
        } else if let Some(instance) = &self.as_instance {
            self.mapper(global, ui, instance, &content, &report)?;
        } else if let Some(folder) = &self.to {
            self.encoder(global, ui, folder, &content, &report)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn mapper(&self, global: &Global, ui: &Ui, instance: &str, content: &Content, report: &Inspection) -> Result<()> {
        let path = global.directory.join(config::FILE);
        let loaded = Config::load(&global.directory, &global.parameters)?;
        if loaded.checkpoints.contains_key(instance) {
            let text = format!("pipeline.toml has a [checkpoints.{instance}] already");
            return Err(UsageError { text, hint: "edit it there, or choose another name".to_owned() }.into());
        }
        let language =
            loaded.dataset_of(instance).and_then(|(dataset, _)| Some(loaded.datasets.get(dataset)?.language));
        let entry = self.entry(global, instance, report, language)?;
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let gap = if text.ends_with('\n') { "\n" } else { "\n\n" };
        let checked =
            Config::parse(&format!("{text}{gap}{entry}"), &global.parameters).map_err(|error| match error {
                // The position would be that of a line that is not written yet.
                ConfigError::Invalid { text, hint, .. } => anyhow!(UsageError {
                    text: format!("cannot be `{instance}`: {text}"),
                    hint: hint.unwrap_or_else(|| "choose another name".to_owned()),
                }),
                other => anyhow!(other),
            })?;
        let settings = &checked.checkpoints[instance];
        let language = language.unwrap_or(Language::En);
        let source = settings.gpt2.as_ref().or_else(|| checked.models.gpt2.get(&language));
        let gpt2 = bundle(ui, global, source, models::Role::Tokenizer);
        let clip = settings.clip.as_ref().unwrap_or(&checked.models.clip);
        let clip = bundle(ui, global, Some(clip), models::Role::ImageEncoder);
        if let Some(gpt2) = gpt2 {
            let name = self.file.display().to_string();
            let adopted = Adopted::read(content, &name, &settings.profile(), &Gpt2Config::load(&gpt2)?)?;
            let decoding = DecodeConfig { stop_texts: settings.stop_texts.clone(), ..DecodeConfig::default() };
            decoding.stops(&CaptionTokenizer::load(&gpt2, language)?)?;
            if let Some(clip) = clip {
                let (made, read) = (ImageEncoder::load(&clip)?.dim(), adopted.mapper().clip_dim);
                ensure!(
                    made == read,
                    "the mapper of {name} reads vectors of {read} numbers, but the image encoder {} makes {made}: name \
                     its own with `--clip`",
                    clip.name
                );
            }
        }
        // Appended in one piece, so that another import at the same time loses nothing.
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(format!("{gap}{entry}").as_bytes()));
        written.with_context(|| format!("cannot write {}", path.display()))?;
        ui.out(entry.trim_end());
        ui.say(&format!("added to {}; next: rsic build score/{instance}", path.display()));
        Ok(())
    }

    /// The table for pipeline.toml; what is guessed has a comment that says so.
    fn entry(
        &self,
        global: &Global,
        instance: &str,
        report: &Inspection,
        language: Option<Language>,
    ) -> Result<String> {
        if !report.architecture.contains_key("mapper") {
            bail!("{} holds no mapper, but {}", self.file.display(), report.model);
        }
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut entry =
            format!("[checkpoints.{instance}]\nfile = {}\n", quoted(&place(&self.file, &global.directory)?));
        for (key, source) in [("clip", &self.clip), ("gpt2", &self.gpt2)] {
            if let Some(source) = source {
                writeln!(entry, "{key} = {}", quoted(source))?;
            }
        }
        if report.architecture.contains_key("gpt2") {
            entry.push_str("with_gpt2 = true\n");
        }
        let given = [("heads", self.heads.map(Value::from)), ("normalize", self.normalize.map(Value::from))];
        for (key, value) in given {
            let guess = report.profile.iter().find(|guess| guess.setting == key);
            match (value, guess) {
                (Some(value), _) => writeln!(entry, "{key} = {value}")?,
                (None, Some(guess)) if !guess.known => {
                    writeln!(entry, "{key} = {} # a guess: {}", guess.value, guess.why)?;
                }
                (None, _) => {}
            }
        }
        let guess = report.profile.iter().find(|guess| guess.setting == "stop_texts");
        match (&self.stop_texts[..], guess.filter(|_| language != Some(Language::Zh))) {
            ([], Some(guess)) => writeln!(entry, "stop_texts = {} # a guess: {}", guess.value, guess.why)?,
            ([], None) => {}
            (texts, _) => {
                let texts: Vec<String> =
                    texts.iter().filter(|text| !text.is_empty()).map(|text| quoted(text)).collect();
                writeln!(entry, "stop_texts = [{}]", texts.join(", "))?;
            }
        }
        Ok(entry)
    }

    fn encoder(&self, global: &Global, ui: &Ui, folder: &Path, content: &Content, report: &Inspection) -> Result<()> {
        let name = self.file.display().to_string();
        let resnet = report.architecture.contains_key("resnet");
        if !resnet && !report.architecture.contains_key("clip") {
            bail!("{name} holds no CLIP and no ResNet of torchvision, but {}", report.model);
        }
        if resnet && (self.activation.is_some() || self.heads.is_some()) {
            let text = format!("{name} is a ResNet: it has neither heads nor another activation");
            return Err(UsageError { text, hint: "leave `--activation` and `--heads` out".to_owned() }.into());
        }
        let activation = match &self.activation {
            Some(activation) => activation,
            None if resnet => "relu",
            None => return Err(self.unknown_activation(report).into()),
        };
        if folder.exists() {
            let text = format!("{} is there already", folder.display());
            return Err(UsageError { text, hint: "name a folder that is not there yet".to_owned() }.into());
        }
        let bundle = if resnet {
            resnet::convert(content, &name)?
        } else {
            clip::convert(content, &name, activation, self.heads)?
        };
        let what = || format!("cannot make {}", folder.display());
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).with_context(what)?;
        // Whole or not there.
        let new = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o777)).tempdir_in(parent);
        let new = new.with_context(what)?;
        write_bundle(&bundle, new.path())?;
        std::fs::rename(new.path(), folder).with_context(what)?;
        let place = toml::Value::String(place(folder, &global.directory)?);
        if resnet {
            ui.say(&format!("{} is a model folder now", folder.display()));
            ui.out(&format!("encoder = {place} # under [attention.NAME]"));
            return Ok(());
        }
        let config = bundle.file("config.json")?;
        let heads = serde_json::from_slice::<Value>(&config)?["vision_config"]["num_attention_heads"].clone();
        let why = if self.heads.is_none() { ", a guess by its width; `--heads` sets it" } else { "" };
        ui.say(&format!("{} is a model folder now, with {heads} heads{why}", folder.display()));
        ui.out(&format!("clip = {place} # under [models]"));
        Ok(())
    }

    fn unknown_activation(&self, report: &Inspection) -> UsageError {
        let guess = report.profile.iter().find(|guess| guess.setting == "hidden_act");
        let why = guess.map_or_else(String::new, |guess| format!("{} is likely: {}", guess.value, guess.why));
        UsageError {
            text: format!("the weights of {} do not tell their activation ({why})", self.file.display()),
            hint: "say `--activation quick_gelu` or `--activation gelu`".to_owned(),
        }
    }
}

/// A path as pipeline.toml names it: `./` and the rest below the workspace, else in full.
fn place(path: &Path, root: &Path) -> Result<String> {
    let full = |path: &Path| path.canonicalize().with_context(|| format!("cannot read {}", path.display()));
    // A link keeps its own name, such as that of a file in the hub's cache.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let path = full(folder.unwrap_or(Path::new(".")))?.join(path.file_name().unwrap_or_default());
    let below = path.strip_prefix(full(root)?).ok();
    let text = below.unwrap_or(&path).to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(if below.is_some() { format!("./{text}") } else { text.to_owned() })
}

/// A model of pipeline.toml as far as it is on this machine; whoever imports is warned where it is not.
fn bundle(ui: &Ui, global: &Global, source: Option<&String>, role: models::Role) -> Option<Bundle> {
    let source = source?;
    if source == models::SCRATCH {
        ui.warn("whether the file fits the scratch models is only found out in the build");
        return None;
    }
    let Ok(found) = models::find(source, &global.directory, role) else {
        ui.warn(&format!("{source} is not here, so whether the file fits it is only found out in the build"));
        return None;
    };
    let files = found.files.into_iter().map(|(name, path)| (name, Content::File(path))).collect();
    Some(Bundle { files, name: source.clone() })
}

fn print(ui: &Ui, report: &Inspection) {
    let format = serde_json::to_value(report.format).unwrap_or_default();
    let place = if report.place.is_empty() { String::new() } else { format!(", tensors under `{}`", report.place) };
    ui.out(&format!("{} ({}{place})", report.model, format.as_str().unwrap_or_default()));
    for (part, sizes) in &report.architecture {
        let sizes = sizes.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let sizes: Vec<String> = sizes.map(|(name, value)| format!("{name} {}", bare(value))).collect();
        ui.out(&format!("{part}: {}", sizes.join(", ")));
    }
    let rows = report.tensors.iter().map(|row| {
        let shape: Vec<String> = row.shape.iter().map(ToString::to_string).collect();
        vec![row.name.clone(), row.dtype.to_owned(), shape.join(" x "), row.part.to_owned()]
    });
    ui.out(&ui::table(&["tensor", "type", "shape", "part"], rows));
    let lists = [("missing", &report.missing), ("unmatched", &report.unmatched), ("misshapen", &report.misshapen)];
    for (title, names) in lists {
        ui.out(&format!("{title}: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }));
    }
    if !report.beside.is_empty() {
        let beside: Vec<String> = report.beside.iter().map(|one| format!("{} ({})", one.name, one.what)).collect();
        ui.out(&format!("beside the tensors: {}", beside.join(", ")));
    }
    for guess in &report.profile {
        let word = if guess.known { "known" } else { "guess" };
        ui.out(&format!("{word}: {} = {}: {}", guess.setting, guess.value, guess.why));
    }
}

/// A JSON value without quotes.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
