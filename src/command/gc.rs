//! `rsic gc`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::Global;
use crate::cache::{Cache, Item, Patience, Policy, Why};
use crate::pipeline::store;
use crate::ui::{self, Ui};

/// Say what nothing needs in the cache, and with `--apply` remove it.
///
/// Kept in any case: the last build of every target in every workspace that shares the cache, with all that it read; what is pinned; and what
/// builds that run now rely on. Besides, the last builds and whatever is younger than `--keep-within`.
#[derive(Debug, Args)]
pub struct Gc {
    /// How many builds of every target to keep.
    #[arg(long, value_name = "N", default_value_t = 3)]
    keep_last: usize,
    /// Keep what is younger, such as `12h` or `7d`.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = time)]
    keep_within: Duration,
    /// How large records and objects may be, such as `20GB`: what only the two rules above keep goes, oldest first.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    budget: Option<u64>,
    /// Workspaces that are not at their place any more keep nothing. They may be on a disk that is not mounted.
    #[arg(long)]
    forget_gone: bool,
    /// Remove it.
    #[arg(long)]
    apply: bool,
    /// Print every file.
    #[arg(long)]
    files: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Gc {
    /// Runs the command.
    pub fn run(&self, global: &Global, ui: &Ui) -> Result<ExitCode> {
        let policy = Policy {
            keep_last: self.keep_last,
            keep_within: self.keep_within,
            budget: self.budget,
            forget_gone: self.forget_gone,
        };
        let folder = store(&global.directory);
        let cache = if self.apply { Cache::open(&folder)? } else { Cache::peek(&folder)? };
        let plan = cache.plan_collection(&policy)?;
        let mut spared = Vec::new();
        let mut items = plan.remove.clone();
        if self.apply {
            let patience =
                Patience { command: "rsic gc", instance: "the cache", timeout: None, cancelled: &|| ui::stopped() };
            let applied = cache.collect(&plan, &patience, &mut |holder| ui.say(&format!("waiting for {holder}")))?;
            (items, spared) = (applied.removed, applied.spared);
        }
        let bytes: u64 = items.iter().map(|item| item.bytes).sum();
        if self.json {
            let row = |item: &Item| json!({"path": item.path.to_string_lossy(), "bytes": item.bytes, "why": item.why.to_string()});
            let all = json!({
                "applied": self.apply,
                "removed": items.iter().map(row).collect::<Vec<_>>(),
                "spared": spared.iter().map(|(item, _)| row(item)).collect::<Vec<_>>(),
                "bytes": bytes,
                "kept": plan.kept,
                "kept_bytes": plan.kept_bytes,
            });
            ui.out(&serde_json::to_string_pretty(&all)?);
            return Ok(ExitCode::SUCCESS);
        }
        if self.files {
            for item in &items {
                ui.out(&format!("{}\t{}\t{}", item.path.display(), ui::bytes(item.bytes), item.why));
            }
        } else if !items.is_empty() {
            ui.out(&ui::table(&["why", "files", "size"], by_reason(&items)));
        }
        let did = if self.apply { "removed" } else { "would remove" };
        let kept = format!("{} records and objects of {} stay", plan.kept, ui::bytes(plan.kept_bytes));
        ui.say(&format!("{did} {} files of {}; {kept}", items.len(), ui::bytes(bytes)));
        if plan.over_budget() > 0 {
            ui.warn(&format!("what has to stay is {} over the budget", ui::bytes(plan.over_budget())));
        }
        if !spared.is_empty() {
            ui.say(&format!("{} files stayed: they are needed by now, or somebody else removed them", spared.len()));
        }
        if !self.apply && !items.is_empty() {
            ui.hint("`--apply` removes them, `--files` lists them");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn by_reason(items: &[Item]) -> Vec<Vec<String>> {
    let mut reasons: Vec<Why> = items.iter().map(|item| item.why).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let row = |why: Why| {
        let of = || items.iter().filter(move |item| item.why == why);
        vec![why.to_string(), of().count().to_string(), ui::bytes(of().map(|item| item.bytes).sum())]
    };
    reasons.into_iter().map(row).collect()
}

/// Reads `90s`, `30m`, `12h`, `7d` or `2w`.
fn time(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)];
    let seconds = quantity(text, &units).ok_or_else(|| format!("`{text}` is no time such as `12h` or `7d`"))?;
    Ok(Duration::from_secs(seconds))
}

/// Reads `500MB`, `20GB`, `1TiB` or a number of bytes.
fn size(text: &str) -> Result<u64, String> {
    let units = [
        ("", 1),
        ("B", 1),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    quantity(text, &units).ok_or_else(|| format!("`{text}` is no size such as `500MB` or `20GB`"))
}

/// A whole number and a unit, in the units' base.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        for (text, seconds) in [("90s", Some(90)), ("30m", Some(1800)), ("7d", Some(604_800)), ("0s", Some(0))] {
            assert_eq!(time(text).ok().map(|time| time.as_secs()), seconds, "{text}");
        }
        for (text, bytes) in [("12", Some(12)), ("20GB", Some(20_000_000_000)), ("1 KiB", Some(1024))] {
            assert_eq!(size(text).ok(), bytes, "{text}");
        }
        for text in ["", "7", "d", "-1d", "1.5d", "7 days"] {
            assert!(time(text).unwrap_err().contains("is no time"), "{text}");
        }
        for text in ["GB", "-1", "1.5GB", "99999999999TB", "5gb"] {
            assert!(size(text).unwrap_err().contains("is no size"), "{text}");
        }
    }
}
