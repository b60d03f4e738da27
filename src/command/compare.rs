//! `rsic compare`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use serde::Serialize;

use super::scores::{self, Row, shown, signed};
use super::{Global, status};
use crate::cache::Record;
use crate::metric::resample::{self, Comparison, Plan, System};
use crate::metric::{Family, Variant};
use crate::pipeline::plan::{Planner, State};
use crate::pipeline::target::UsageError;
use crate::pipeline::{Workspace, target};
use crate::stage::statistics::Statistics;
use crate::table;
use crate::ui::{self, Ui};

/// Compare two scored models: difference, interval and p value of every metric.
///
/// Both must be scored on the same edition, split and references. The interval is a paired bootstrap over images, p that
/// of a paired approximate randomisation test (two-sided), adjusted over the metrics by Holm's method.
#[derive(Debug, Args)]
pub struct Compare {
    /// A scored target, such as `score/ucm_amht` or `ucm_amht`.
    #[arg(value_name = "A")]
    a: String,
    /// Another one.
    #[arg(value_name = "B")]
    b: String,
    /// How many exchanges the test tries.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    trials: u32,
    /// How many bootstrap resamples the intervals are made of.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    resamples: u32,
    /// The seed of both.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Compare the original code's own variants as well.
    #[arg(long)]
    seed_variants: bool,
    /// Set scores of different editions, splits or references side by side, without a test.
    #[arg(long)]
    anyway: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One line of the comparison.
#[derive(Debug, Serialize)]
struct Line {
    metric: String,
    variant: String,
    a: Option<f64>,
    b: Option<f64>,
    difference: Option<f64>,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    p: Option<f64>,
    p_holm: Option<f64>,
    /// Why there is no p.
    note: Option<String>,
}

/// A scored target.
struct Scored {
    name: String,
    rows: Vec<Row>,
    statistics: Statistics,
}

impl Compare {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let workspace = global.peek()?;
        let a = self.load(&workspace, &self.a)?;
        let b = self.load(&workspace, &self.b)?;
        warn_of_stale(ui, &workspace, &[&a.name, &b.name])?;
        let differences = differences(&a, &b);
        let lines = if differences.is_empty() {
            let lines = self.tested(&a, &b)?;
            let notes: BTreeSet<&str> = lines.iter().filter_map(|line| line.note.as_deref()).collect();
            for note in notes {
                ui.warn(&format!("no p value: {note}"));
            }
            lines
        } else if self.anyway {
            for difference in &differences {
                ui.warn(&format!("not comparable: {difference}"));
            }
            side_by_side(&a, &b)
        } else {
            let text = format!("{} and {} cannot be compared: {}", a.name, b.name, differences.join("; "));
            let hint = "`--anyway` sets them side by side, without a test".to_owned();
            return Err(UsageError { text, hint }.into());
        };
        if self.json {
            ui.out(&serde_json::to_string_pretty(&lines)?);
        } else {
            print(ui, &a, &b, &lines);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn load(&self, workspace: &Workspace, name: &str) -> Result<Scored> {
        let full = if name.starts_with("score/") { name.to_owned() } else { format!("score/{name}") };
        let nodes = target::resolve(&workspace.graph, std::slice::from_ref(&full));
        // Scores of `rsic score` are no targets of pipeline.toml, but they are remembered.
        let name = match nodes.as_deref() {
            Ok([node]) => workspace.graph.name(*node),
            Ok(nodes) => bail!("`{name}` names {} targets; name one", nodes.len()),
            Err(_) if workspace.cache.root(&full)?.is_some() => full,
            Err(_) => return Err(nodes.map(|_| ()).err().map_or_else(|| anyhow!("no target"), Into::into)),
        };
        let build = || UsageError { text: format!("{name} is not built"), hint: format!("run `rsic build {name}`") };
        let root = workspace.cache.root(&name)?.ok_or_else(build)?;
        let record = workspace.cache.record(root.key)?.ok_or_else(build)?;
        let mut statistics = Statistics::read(&statistics_table(workspace, &record)?).with_context(|| name.clone())?;
        let kept = |family: &Family| self.seed_variants || family.variant != Variant::Seed;
        statistics.runs.iter_mut().for_each(|families| families.retain(kept));
        let mut rows = scores::read(workspace, &record)?;
        rows.retain(|row| self.seed_variants || row.variant != Variant::Seed.name());
        Ok(Scored { name, rows, statistics })
    }

    /// Differences with intervals and tests, by the families that both have.
    fn tested(&self, a: &Scored, b: &Scored) -> Result<Vec<Line>> {
        let names = |scored: &Scored| -> Vec<_> {
            scored.statistics.runs[0].iter().map(|family| (family.metric, family.variant)).collect()
        };
        let (in_a, in_b) = (names(a), names(b));
        let only = |scored: &Scored, other: &[_]| -> Vec<Vec<Family>> {
            let both = |family: &&Family| other.contains(&(family.metric, family.variant));
            scored.statistics.runs.iter().map(|families| families.iter().filter(both).cloned().collect()).collect()
        };
        let (runs_a, runs_b) = (only(a, &in_b), only(b, &in_a));
        let plan = Plan::new(self.resamples as usize, self.seed, 0.95)?;
        let compared = resample::compare(&System::new(&runs_a)?, &System::new(&runs_b)?, &plan, self.trials as usize)?;
        let mut lines = Vec::new();
        for (family, comparisons) in runs_a[0].iter().zip(compared) {
            for (name, comparison) in family.metric.names().iter().zip(comparisons) {
                lines.push(line(name, family.variant, &comparison));
            }
        }
        let p: Vec<f64> = lines.iter().filter_map(|line| line.p).collect();
        let mut adjusted = resample::holm(&p).into_iter();
        for line in lines.iter_mut().filter(|line| line.p.is_some()) {
            line.p_holm = adjusted.next();
        }
        Ok(lines)
    }
}

fn statistics_table(workspace: &Workspace, record: &Record) -> Result<arrow::array::RecordBatch> {
    let output = record.output("statistics").context("it has no statistics; build it again")?;
    let bytes = workspace.cache.get(&output.stored())?;
    table::read(bytes.context("its statistics are damaged or gone; build it again")?)
}

fn side_by_side(a: &Scored, b: &Scored) -> Vec<Line> {
    let value_in_b =
        |row: &Row| b.rows.iter().find(|other| (&other.metric, &other.variant) == (&row.metric, &row.variant))?.value;
    let line = |row: &Row| Line {
        metric: row.metric.clone(),
        variant: row.variant.clone(),
        a: row.value,
        b: value_in_b(row),
        difference: None,
        ci_low: None,
        ci_high: None,
        p: None,
        p_holm: None,
        note: Some("not comparable".to_owned()),
    };
    a.rows.iter().map(line).collect()
}

fn line(metric: &str, variant: Variant, comparison: &Comparison) -> Line {
    let finite = |value: f64| value.is_finite().then_some(value);
    Line {
        metric: metric.to_owned(),
        variant: variant.name().to_owned(),
        a: finite(comparison.a),
        b: finite(comparison.b),
        difference: finite(comparison.difference),
        ci_low: finite(comparison.interval.low),
        ci_high: finite(comparison.interval.high),
        p: comparison.p.as_ref().ok().copied(),
        p_holm: None,
        note: comparison.p.as_ref().err().map(ToString::to_string),
    }
}

/// What is compared is the last build; it may not be what the files and settings of now would give.
fn warn_of_stale(ui: &Ui, workspace: &Workspace, names: &[&str]) -> Result<()> {
    let nodes: Vec<_> = names.iter().filter_map(|name| workspace.graph.find(name)).collect();
    let plan = Planner::new(workspace).plan(&nodes, &[])?;
    for planned in plan.nodes.iter().filter(|planned| nodes.contains(&planned.node)) {
        if !matches!(planned.state, State::Fresh | State::Restorable | State::Modified { .. }) {
            let name = workspace.graph.name(planned.node);
            let why = status::explain(&planned.state);
            ui.warn(&format!("{name} is not fresh ({why}): what its last build gave is compared"));
        }
    }
    Ok(())
}

/// Why two scores must not be compared, in words.
fn differences(a: &Scored, b: &Scored) -> Vec<String> {
    let (Some(x), Some(y)) = (a.rows.first(), b.rows.first()) else { return vec!["one has no scores".to_owned()] };
    let mut found = Vec::new();
    if x.edition != y.edition {
        found.push(format!("different editions, {} and {}: other splits or other references", x.edition, y.edition));
    }
    if x.split != y.split {
        found.push(format!("different splits, {} and {}", x.split, y.split));
    }
    if x.edition == y.edition && x.split_digest != y.split_digest {
        found.push("the splits hold different images".to_owned());
    }
    if x.n != y.n || a.statistics.image_ids != b.statistics.image_ids {
        found.push(format!("different images ({} and {})", x.n, y.n));
    } else if x.references_digest != y.references_digest {
        found.push("different references (a human ceiling has one caption less of each image)".to_owned());
    }
    for row in &a.rows {
        let other = b.rows.iter().find(|other| (&other.metric, &other.variant) == (&row.metric, &row.variant));
        let Some(other) = other else { continue };
        for (key, what) in [("words", "cut words by"), ("tables", "used the tables"), ("metric", "are of version")] {
            let (mine, theirs) = (part(&row.signature, key), part(&other.signature, key));
            if row.value.is_some() && other.value.is_some() && mine != theirs {
                let shown = |part: Option<&str>| part.unwrap_or("none").to_owned();
                found.push(format!("{} values {what} {} and {}", row.metric, shown(mine), shown(theirs)));
            }
        }
    }
    found
}

/// The part of a signature that begins with `key:`.
fn part<'a>(signature: &'a str, key: &str) -> Option<&'a str> {
    signature.split('|').find_map(|part| part.strip_prefix(key)?.strip_prefix(':'))
}

fn print(ui: &Ui, a: &Scored, b: &Scored, lines: &[Line]) {
    let p = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |p| format!("{p:.4}"));
    let rows = lines.iter().filter(|line| line.a.is_some() || line.b.is_some()).map(|line| {
        let interval = line.ci_low.zip(line.ci_high).map(|(low, high)| format!("{} - {}", signed(low), signed(high)));
        vec![
            line.metric.clone(),
            line.variant.clone(),
            shown(line.a),
            shown(line.b),
            line.difference.map_or_else(|| "-".to_owned(), signed),
            interval.unwrap_or_else(|| "-".to_owned()),
            p(line.p),
            p(line.p_holm),
        ]
    });
    ui.out(&format!("A {}, B {}", a.name, b.name));
    ui.out(&ui::table(&["metric", "variant", "A", "B", "A - B", "95 % interval", "p", "p (Holm)"], rows));
}
