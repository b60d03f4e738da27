//! The JSON parser's complaints in words that tell what to do.

use super::key::quote;

/// How much of the parser's own words a message repeats; they may hold a whole string of the file.
const SAID: usize = 160;

/// What Python writes though JSON does not have it.
const NOT_FINITE: [&str; 5] = ["NaN", "-Infinity", "Infinity", "nan", "inf"];

/// The parser's words without the place, and with what they leave out.
///
/// `at` is the byte of `text` that the error points at.
pub(super) fn explain(error: &serde_json::Error, text: &str, at: usize) -> String {
    let said = error.to_string();
    let cause = said.rsplit_once(" at line ").map_or(said.as_str(), |(cause, _)| cause);
    let rest = text.get(at..).unwrap_or_default();
    let found = quote(rest.split(|c: char| c.is_whitespace() || ",]}".contains(c)).next().unwrap_or_default());
    if error.is_eof() {
        return format!("{cause}: the file is cut off");
    }
    if cause.contains("hex escape") {
        return format!("{cause}: half a surrogate pair (`\\ud800` to `\\udfff`) is no character; leave it out");
    }
    let value = ["expected value", "expected ident", "invalid number"].contains(&cause);
    if let Some(token) = NOT_FINITE.iter().find(|token| value && starts(text, at, token)) {
        return format!("`{token}` is no JSON, though Python writes it; write `null`, or leave the field out");
    }
    match cause {
        "key must be a string" | "expected value" if rest.starts_with('\'') => {
            "single quotes: this is a Python dict as `str` or `print` shows it, no JSON; write it with `json.dump`"
                .into()
        }
        "key must be a string" if rest.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("a key without quotes, found {found}: this is a Python dict, no JSON; write it with `json.dump`")
        }
        "key must be a string" => format!("a key must be a string in double quotes, found {found}; use `json.dump`"),
        "expected value" if ["None", "True", "False"].iter().any(|word| rest.starts_with(word)) => {
            format!("expected value, found {found}: this is Python, no JSON; write it with `json.dump`")
        }
        "expected value" if rest.is_empty() || found == "``" => format!("expected value, found {}", first(rest)),
        "expected value" | "expected ident" | "invalid number" => format!("expected value, found {found}"),
        "trailing characters" => {
            format!(
                "trailing characters {found}: one JSON value is wanted, or one object with `image_id` and `caption` per line"
            )
        }
        _ if cause.chars().nth(SAID).is_some() => format!("{}...", cause.chars().take(SAID).collect::<String>()),
        _ => cause.to_owned(),
    }
}

/// Whether `token` stands at the byte the error points at, or begins up to two bytes before it.
fn starts(text: &str, at: usize, token: &str) -> bool {
    (0..=2)
        .filter_map(|back| text.get(at.checked_sub(back)?..))
        .any(|rest| rest.strip_prefix(token).is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric())))
}

fn first(rest: &str) -> String {
    rest.chars().next().map_or_else(|| "nothing".to_owned(), |c| quote(&c.to_string()))
}
