//! `spice`: SPICE of every image, computed by the official program.
//!
//! SPICE parses captions with a large Java program whose licences (GPL, AGPL) and size keep it out of here. Where Java and
//! a SPICE folder are configured, this stage runs it; scores read the result.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::score::{Referenced, held_out};
use super::{Context, Inputs, Outcome};
use crate::metric::ptb;
use crate::table;

/// History: 1, the first.
pub const VERSION: u32 = 1;

/// Reads `captions`, `sentences`, `entries`, `held_out` where it is there, and the program's `jar` and `lib`; writes
/// `spice`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spice {
    /// The Java to run, a name on the path or a file; not in the key.
    #[serde(skip)]
    pub java: String,
}

impl Spice {
    /// Runs the stage.
    pub fn run(&self, inputs: &Inputs, context: &mut Context<'_>) -> Result<Outcome> {
        let captions = inputs.table("captions")?;
        let ids = table::u32s(&captions, "image_id")?.values();
        let out = if inputs.has("held_out") { held_out(&inputs.table("held_out")?)? } else { BTreeSet::new() };
        let captioned = ids.iter().copied().collect();
        let sentences = inputs.table("sentences")?;
        let references = Referenced::new(&sentences, &inputs.table("entries")?, &captioned, &out)?;
        let request = request(&captions, &references.by_image()?)?;
        context.progress.begin("SPICE", ids.len() as u64, "images");
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let (input, output) = (folder.path().join("input.json"), folder.path().join("output.json"));
        std::fs::write(&input, serde_json::to_vec(&request)?)
            .with_context(|| format!("cannot write {}", input.display()))?;
        let jar = inputs.path("jar")?;
        let ran = Command::new(&self.java)
            .args(["-Xmx8G", "-jar"])
            .arg(jar)
            .arg(&input)
            .arg("-out")
            .arg(&output)
            .args(["-subset", "-silent"])
            .current_dir(jar.parent().unwrap_or(jar))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run `{}`: is Java installed?", self.java))?;
        if !ran.status.success() || !output.exists() {
            let said = String::from_utf8_lossy(&ran.stderr);
            let last: Vec<&str> = said.lines().rev().take(3).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            bail!("{} failed ({}): {}", jar.display(), ran.status, last.join(" | "));
        }
        let answer = std::fs::read(&output).with_context(|| format!("cannot read {}", output.display()))?;
        let answer: Vec<Answer> = serde_json::from_slice(&answer).context("the answer of SPICE is not as expected")?;
        context.progress.advance(ids.len() as u64);
        let mut outcome = Outcome::default();
        outcome.table("spice", answers_table(ids, answer)?);
        Ok(outcome)
    }
}

/// The images as SPICE wants them, cut into words as the COCO caption evaluation cuts them.
fn request(captions: &RecordBatch, references: &BTreeMap<u32, Vec<&str>>) -> Result<Vec<Value>> {
    let ids = table::u32s(captions, "image_id")?.values().iter();
    let rows = ids.zip(table::strings(captions, "caption")?).map(|(id, caption)| {
        let words = references.get(id).into_iter().flatten().map(|raw| ptb::tokenize(raw)).collect::<Vec<_>>();
        json!({"image_id": id, "test": ptb::tokenize(caption.unwrap_or_default()), "refs": words})
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

fn answers_table(ids: &[u32], answers: Vec<Answer>) -> Result<RecordBatch> {
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
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(images)),
        Arc::new(StringArray::from(parts)),
        Arc::new(Float64Array::from(f)),
        Arc::new(Float64Array::from(precision)),
        Arc::new(Float64Array::from(recall)),
    ];
    table::make(table::spice(), columns)
}
