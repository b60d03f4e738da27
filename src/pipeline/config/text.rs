//! The text of `pipeline.toml`: overrides, positions for messages, near spellings.

use super::{ConfigError, FILE};
use crate::cache::without_credentials;

/// How much of a line a message shows, in characters.
const LONGEST_LINE: usize = 200;

/// Puts `a.b.c=value` into `table`; the value is TOML, or a string when it is not valid TOML.
pub(super) fn set(table: &mut toml::Table, item: &str) -> Result<(), String> {
    let (path, value) = item.split_once('=').ok_or("an override is written KEY=VALUE")?;
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok();
    let value = parsed.and_then(|mut t| t.remove("value")).unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or("the key is empty")?;
    let mut here = table;
    for key in keys {
        let next = here.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        here = next.as_table_mut().ok_or_else(|| format!("`{key}` is a value, not a table"))?;
    }
    here.insert(last.to_owned(), value);
    Ok(())
}

pub(super) fn invalid_file(text: &str, error: &toml::de::Error) -> ConfigError {
    let place = match error.span() {
        Some(span) => position(text, span.start),
        None => FILE.to_owned(),
    };
    let line = error.span().and_then(|span| {
        let start = text[..span.start.min(text.len())].rfind('\n').map_or(0, |at| at + 1);
        let line = text[start..].lines().next()?.trim_end();
        let end = line.char_indices().nth(LONGEST_LINE).map(|(end, _)| end);
        let line = end.map_or(line.to_owned(), |end| format!("{}...", &line[..end]));
        Some(format!("\n  | {}", without_credentials(&line)))
    });
    let message = without_credentials(&error.message().replace('\n', ", "));
    let hint = near_spelling(error.message());
    ConfigError::Invalid { place, text: format!("{message}{}", line.unwrap_or_default()), hint }
}

fn position(text: &str, offset: usize) -> String {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |s| s.chars().count()) + 1;
    format!("{FILE}:{line}:{column}")
}

/// The position of the table header `[key]`, or of its parent, for errors that concern a whole table.
pub(super) fn place_of_key(text: &str, key: &str) -> String {
    let parent = key.rsplit_once('.').map_or(key, |(parent, _)| parent);
    let line_of = |key: &str| text.lines().position(|line| line.trim_start().starts_with(&format!("[{key}]")));
    line_of(key).or_else(|| line_of(parent)).map_or_else(|| FILE.to_owned(), |line| format!("{FILE}:{}:1", line + 1))
}

/// Reads serde's ``unknown field `x`, expected one of `a`, `b` `` and proposes the nearest name.
pub(super) fn near_spelling(message: &str) -> Option<String> {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let is_unknown = message.contains("unknown field") || message.contains("unknown variant");
    let (&wrong, expected) = quoted.split_first().filter(|_| is_unknown)?;
    near(wrong, expected.iter().copied())
}

/// `did you mean ...?` for the candidates close to `wrong`.
pub fn near<'a>(wrong: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut scored: Vec<(f64, &str)> =
        candidates.map(|name| (strsim::jaro_winkler(wrong, name), name)).filter(|(score, _)| *score > 0.75).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.truncate(3);
    let names: Vec<String> = scored.iter().map(|(_, name)| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
}
