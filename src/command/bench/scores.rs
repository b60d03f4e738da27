//! `rsic bench scores`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::command::Global;
use crate::language::Language;
use crate::sample;
use crate::ui::{self, Ui};

/// Time scoring beside the reference scorers (pycocoevalcap with Java) in one run.
///
/// Each size is scored by a process of its own, with METEOR's tables compiled before, from reading the files to
/// intervals. The peer does what `pycocoevalcap` does on the same captions: PTB tokenizer, BLEU, METEOR, ROUGE-L, CIDEr.
#[derive(Debug, Args)]
pub(super) struct Scores {
    /// How many images, each with five references.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1000, 10_000])]
    images: Vec<usize>,
    /// Take captions from this annotation file instead of the rendered sample's.
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// A Python with pycocoevalcap, and Java on the path: the peer to time.
    #[arg(long, value_name = "PROGRAM")]
    peer: Option<PathBuf>,
    /// The largest size that the peer is given.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    peer_most: usize,
    /// How often each measurement is made; the fastest counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What the peer says: seconds per step, and its largest process.
#[derive(Debug, Deserialize, Serialize)]
struct Peer {
    steps: BTreeMap<String, f64>,
    peak_bytes: u64,
    scores: BTreeMap<String, f64>,
}

/// One size.
#[derive(Debug, Serialize)]
struct Measured {
    images: usize,
    seconds: f64,
    peak_bytes: Option<u64>,
    scores: BTreeMap<String, f64>,
    peer: Option<Peer>,
}

/// The peer: only its public classes are called.
const PEER: &str = r#"
import json, resource, sys, time
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
data = json.load(open(sys.argv[1]))
gts = {i: [{"caption": c} for c in refs] for i, refs in enumerate(data["references"])}
res = {i: [{"caption": c}] for i, c in enumerate(data["captions"])}
steps, scores = {}, {}
def timed(name, f):
    start = time.perf_counter()
    value = f()
    steps[name] = time.perf_counter() - start
    return value
tokenizer = PTBTokenizer()
gts = timed("tokenizer", lambda: tokenizer.tokenize(gts))
start = time.perf_counter()
res = tokenizer.tokenize(res)
steps["tokenizer"] += time.perf_counter() - start
bleu = timed("BLEU", lambda: Bleu(4).compute_score(gts, res, verbose=0)[0])
scores.update({f"BLEU-{n + 1}": float(b) for n, b in enumerate(bleu)})
scores["METEOR"] = float(timed("METEOR", lambda: Meteor().compute_score(gts, res)[0]))
scores["ROUGE-L"] = float(timed("ROUGE-L", lambda: Rouge().compute_score(gts, res)[0]))
scores["CIDEr-D"] = float(timed("CIDEr-D", lambda: Cider().compute_score(gts, res)[0]))
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print("RESULT " + json.dumps({"steps": steps, "peak_bytes": peak * 1024, "scores": scores}))
"#;

impl Scores {
    /// Runs the command.
    pub(super) fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let pool = self.pool()?;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let progress = ui.progress("bench");
        let steps = self.images.len() as u64 + 1;
        progress.begin("sizes", steps, "sizes");
        let tables = Run::new(folder.path(), "tables", &pool, 2)?;
        tables.time(global)?;
        progress.advance(1);
        let mut all = Vec::new();
        for &images in &self.images {
            let run = Run::new(folder.path(), &images.to_string(), &pool, images)?;
            let mut best: Option<(f64, Option<u64>, BTreeMap<String, f64>)> = None;
            for _ in 0..self.repeats {
                run.forget()?;
                let measured = run.time(global)?;
                if best.as_ref().is_none_or(|best| measured.0 < best.0) {
                    best = Some(measured);
                }
            }
            let (seconds, peak_bytes, scores) = best.context("nothing was measured")?;
            let peer = match &self.peer {
                Some(python) if images <= self.peer_most => Some(self.peer(python, &run)?),
                _ => None,
            };
            all.push(Measured { images, seconds, peak_bytes, scores, peer });
            progress.advance(1);
        }
        drop(progress);
        super::tell(ui, self.json, &all, print)
    }

    /// Captions by image.
    fn pool(&self) -> Result<Vec<Vec<String>>> {
        let Some(path) = &self.annotations else { return sample::captions(Language::En) };
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let read = crate::dataset::read(&bytes, &path.display().to_string(), Language::En)?;
        let mut images: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for sentence in read.sentences {
            images.entry(sentence.image_id).or_default().push(sentence.raw);
        }
        Ok(images.into_values().collect())
    }

    fn peer(&self, python: &Path, run: &Run) -> Result<Peer> {
        let mut best: Option<Peer> = None;
        for _ in 0..self.repeats {
            let output = Command::new(python)
                .args(["-c", PEER])
                .arg(&run.plain)
                .stdin(Stdio::null())
                .output()
                .with_context(|| format!("cannot run {}", python.display()))?;
            let text = String::from_utf8_lossy(&output.stdout);
            let result = text.lines().find_map(|line| line.strip_prefix("RESULT "));
            let Some(result) = result else {
                bail!("the peer failed: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default())
            };
            let peer: Peer = serde_json::from_str(result).context("the peer's answer")?;
            if best.as_ref().is_none_or(|best| total(&peer) < total(best)) {
                best = Some(peer);
            }
        }
        best.context("nothing was measured")
    }
}

fn total(peer: &Peer) -> f64 {
    peer.steps.values().sum()
}

/// The files of one size, and the cache that its runs share with the others.
struct Run {
    annotations: PathBuf,
    captions: PathBuf,
    /// The same captions for the peer.
    plain: PathBuf,
    cache: PathBuf,
}

impl Run {
    fn new(folder: &Path, name: &str, pool: &[Vec<String>], images: usize) -> Result<Self> {
        let (references, captions) = made_up(pool, images)?;
        let run = Self {
            annotations: folder.join(format!("bench_{name}.json")),
            captions: folder.join(format!("captions_{name}.json")),
            plain: folder.join(format!("plain_{name}.json")),
            cache: folder.join("cache"),
        };
        let write = |path: &Path, value: &Value| {
            std::fs::write(path, serde_json::to_vec(value)?).with_context(|| format!("cannot write {}", path.display()))
        };
        let rows: Vec<Value> = references
            .iter()
            .enumerate()
            .map(|(id, raws)| {
                let sentences: Vec<Value> = raws.iter().map(|raw| json!({"raw": raw})).collect();
                json!({"imgid": id, "filename": format!("{id}.jpg"), "split": "test", "sentences": sentences})
            })
            .collect();
        write(&run.annotations, &json!({"images": rows}))?;
        let by_id: serde_json::Map<String, Value> =
            captions.iter().enumerate().map(|(id, caption)| (id.to_string(), caption.as_str().into())).collect();
        write(&run.captions, &by_id.into())?;
        write(&run.plain, &json!({"references": references, "captions": captions}))?;
        Ok(run)
    }

    /// Forgets the results, but not METEOR's tables.
    fn forget(&self) -> Result<()> {
        let folder = self.cache.join("rsic/cache");
        if folder.exists() {
            let cache = Cache::open(&folder)?;
            for root in cache.roots()?.into_iter().filter(|root| !root.instance.starts_with("resource/")) {
                cache.forget(root.key)?;
                cache.remove_root(&root.instance)?;
            }
        }
        Ok(())
    }

    /// Wall seconds of the whole process, the most memory it had, and the scores.
    fn time(&self, global: &Global) -> Result<(f64, Option<u64>, BTreeMap<String, f64>)> {
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        command.arg("score").arg(&self.captions).arg("--annotations").arg(&self.annotations);
        command.args(["--quiet", "--json"]).env("XDG_CACHE_HOME", &self.cache);
        for parameter in &global.parameters {
            command.args(["-p", parameter]);
        }
        if let Some(threads) = global.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        let started = Instant::now();
        let output = command.output().context("cannot run this program")?;
        let seconds = started.elapsed().as_secs_f64();
        if !output.status.success() {
            bail!("scoring failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).context("the scores")?;
        let standard = rows.iter().filter(|row| row["variant"] == "ptb");
        let scores = standard.filter_map(|row| Some((row["metric"].as_str()?.to_owned(), row["value"].as_f64()?)));
        let scores = scores.collect();
        let cache = Cache::open(&self.cache.join("rsic/cache"))?;
        let newest = cache.history()?.find(|event| event.instance.starts_with("score/"));
        Ok((seconds, newest.and_then(|event| event.peak_memory), scores))
    }
}

/// Five references and a caption for each image: the pool's, and from its second round on with one word changed, so that
/// texts stay distinct. Every other caption is one of another image.
fn made_up(pool: &[Vec<String>], images: usize) -> Result<(Vec<Vec<String>>, Vec<String>)> {
    ensure!(pool.iter().any(|captions| !captions.is_empty()), "there are no captions to score");
    let words: Vec<&str> = pool.iter().flatten().flat_map(|caption| caption.split(' ')).collect();
    let caption = |image: usize, k: usize| -> String {
        let own = &pool[image % pool.len()];
        let text = own.get(k % own.len().max(1)).map_or("", String::as_str);
        let round = image / pool.len();
        if round == 0 {
            return text.to_owned();
        }
        let mut parts: Vec<&str> = text.split(' ').collect();
        let place = (round * 7 + k) % parts.len();
        parts[place] = words[(image * 31 + k * 17) % words.len()];
        parts.join(" ")
    };
    let references = (0..images).map(|image| (0..5).map(|k| caption(image, k)).collect()).collect();
    let captions = (0..images).map(|image| caption(image + image % 2, image % 5)).collect();
    Ok((references, captions))
}

fn print(ui: &Ui, all: &[Measured]) {
    let memory = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000));
    let rows = all.iter().map(|one| {
        let peer = one.peer.as_ref();
        let seconds = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2} s"));
        let off = peer.map(|peer| {
            let differences =
                peer.scores.iter().filter_map(|(name, value)| Some((value - one.scores.get(name)?).abs()));
            differences.fold(0.0, f64::max)
        });
        vec![
            one.images.to_string(),
            format!("{:.3} s", one.seconds),
            memory(one.peak_bytes),
            seconds(peer.map(total)),
            seconds(peer.and_then(|peer| peer.steps.get("METEOR").copied())),
            memory(peer.map(|peer| peer.peak_bytes)),
            peer.map_or_else(|| "-".to_owned(), |peer| format!("{:.0} x", total(peer) / one.seconds)),
            off.map_or_else(|| "-".to_owned(), |off| format!("{off:.1e}")),
        ]
    });
    let header = ["images", "rsic", "peak", "pycocoevalcap", "of it METEOR", "its peak", "ratio", "largest difference"];
    ui.out(&ui::table(&header, rows));
}
