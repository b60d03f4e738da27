//! `spice`: SPICE of every image, computed by the official program.
//!
//! SPICE parses captions with a large Java program whose licences (GPL, AGPL) and size keep it out of here. Where Java and
//! a SPICE folder are configured, this stage runs it; scores read the result.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::score::{by_image, held_out};
use super::{Context, Inputs, Outcome};
use crate::digest::Digest;
use crate::metric::ptb;
use crate::progress::{Interrupted, Progress};
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads `captions`, `sentences`, `held_out` where it is there, and the program's `jar` and `lib`; writes `spice`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spice {
    /// The Java to run, a name on the path or a file; not in the key.
    #[serde(skip)]
    pub java: PathBuf,
}

/// How often a running program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Spice {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let captions = inputs.table("captions")?;
        let ids = table::u32s(&captions, "image_id")?.values();
        let out = if inputs.has("held_out") { held_out(&inputs.table("held_out")?)? } else { BTreeSet::new() };
        let sentences = inputs.table("sentences")?;
        let references = by_image(&sentences, &ids.iter().copied().collect(), &out)?;
        let request = request(&captions, &references)?;
        context.progress.begin("SPICE", ids.len() as u64, "images");
        let answers = self.ask(inputs.path("jar")?, &request, context.progress)?;
        context.progress.advance(ids.len() as u64);
        let program = Digest::of(&inputs.bytes("jar")?).to_hex();
        let mut outcome = Outcome::default();
        outcome.table("spice", answers_table(ids, answers, &program)?);
        Ok(outcome)
    }

    /// Runs the program on a request; it is ended when the user asks to stop.
    fn ask(&self, jar: &Path, request: &[Value], progress: &dyn Progress) -> Result<Vec<Answer>> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let file = |name: &str| folder.path().join(name);
        let (input, output, said) = (file("input.json"), file("output.json"), file("said.txt"));
        let write = |path: &Path| format!("cannot write {}", path.display());
        std::fs::write(&input, serde_json::to_vec(request)?).with_context(|| write(&input))?;
        let errors = std::fs::File::create(&said).with_context(|| write(&said))?;
        let mut child = Command::new(&self.java)
            .args(["-Xmx8G", "-jar"])
            .arg(jar)
            .arg(&input)
            .arg("-out")
            .arg(&output)
            .args(["-subset", "-silent"])
            .current_dir(jar.parent().unwrap_or(jar))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot run `{}`: is Java installed?", self.java.display()))?;
        let status = loop {
            if let Some(status) = child.try_wait().context("cannot wait for SPICE")? {
                break status;
            }
            if progress.cancelled() {
                child.kill().context("cannot end SPICE")?;
                child.wait().context("cannot wait for SPICE")?;
                return Err(Interrupted.into());
            }
            std::thread::sleep(LOOK_EVERY);
        };
        if progress.cancelled() {
            return Err(Interrupted.into());
        }
        if !status.success() || !output.exists() {
            let said = std::fs::read(&said).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let lines: Vec<&str> = said.lines().collect();
            bail!("{} failed ({status}): {}", jar.display(), lines[lines.len().saturating_sub(3)..].join(" | "));
        }
        let answer = std::fs::read(&output).with_context(|| format!("cannot read {}", output.display()))?;
        serde_json::from_slice(&answer).context("the answer of SPICE is not as expected")
    }
}

/// The images as SPICE wants them, cut into words as the COCO caption evaluation cuts them.
fn request(captions: &RecordBatch, references: &BTreeMap<u32, Vec<&str>>) -> Result<Vec<Value>> {
    let ids = table::u32s(captions, "image_id")?.values();
    let of = |id: &u32| references.get(id).map(Vec::as_slice).unwrap_or_default();
    // The original cuts all references, then all captions, each as one file.
    let all: Vec<&str> = ids.iter().flat_map(|id| of(id).iter().copied()).collect();
    let mut references = ptb::tokenize_all(&all).into_iter();
    let texts: Vec<&str> = table::strings(captions, "caption")?.iter().map(Option::unwrap_or_default).collect();
    let rows = ids.iter().zip(ptb::tokenize_all(&texts)).map(|(id, caption)| {
        let references: Vec<String> = references.by_ref().take(of(id).len()).collect();
        json!({"image_id": id, "test": caption, "refs": references})
    });
    Ok(rows.collect())
}

/// What SPICE says of one image.
#[derive(Deserialize)]
struct Answer {
    image_id: u32,
    scores: BTreeMap<String, Part>,
}

/// One part of the scene graph; a missing number is NaN there and null here.
#[derive(Deserialize)]
struct Part {
    f: Option<f64>,
    pr: Option<f64>,
    re: Option<f64>,
}

fn answers_table(ids: &[u32], answers: Vec<Answer>, program: &str) -> Result<RecordBatch> {
    let answers: BTreeMap<u32, BTreeMap<String, Part>> =
        answers.into_iter().map(|answer| (answer.image_id, answer.scores)).collect();
    let (mut images, mut parts, mut f, mut precision, mut recall) = (vec![], vec![], vec![], vec![], vec![]);
    for id in ids {
        let scores = answers.get(id).with_context(|| format!("SPICE did not answer for image {id}"))?;
        ensure!(scores.contains_key("All"), "SPICE gave no total for image {id}");
        for (name, part) in scores {
            images.push(*id);
            parts.push(name.as_str());
            f.push(part.f);
            precision.push(part.pr);
            recall.push(part.re);
        }
    }
    let rows = images.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(images)),
        Arc::new(StringArray::from(parts)),
        Arc::new(Float64Array::from(f)),
        Arc::new(Float64Array::from(precision)),
        Arc::new(Float64Array::from(recall)),
        Arc::new(StringArray::from(vec![program; rows])),
    ];
    table::make(table::spice(), columns)
}
