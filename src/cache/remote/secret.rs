//! What must never be said: credentials, in settings, in the environment, and in what services answer.

/// Parts of the names of settings and variables whose values are credentials.
const SECRET_WORDS: [&str; 8] =
    ["secret", "token", "password", "access_key", "account_key", "master_key", "sas_key", "key_base64"];

/// A text that may be shown: without the values of credentials in the environment, and without users and queries of
/// addresses, where signatures stand.
pub(super) fn clean(text: &str) -> String {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    without_secrets(text, variables)
}

/// [`clean`] in an environment of these variables.
pub(super) fn without_secrets(text: &str, variables: impl Iterator<Item = (String, String)>) -> String {
    let of_services = |name: &str| ["aws_", "azure_", "google_"].iter().any(|start| name.starts_with(start));
    let secrets = variables.filter(|(name, value)| {
        let name = name.to_ascii_lowercase();
        of_services(&name) && is_secret(&name) && value.len() >= 4
    });
    let text = secrets.fold(text.to_owned(), |text, (_, secret)| text.replace(&secret, "***"));
    text.split_inclusive(char::is_whitespace).map(without_parts).collect()
}

/// Whether the value under a name in lower case is a credential, not where one is.
pub(super) fn is_secret(name: &str) -> bool {
    SECRET_WORDS.iter().any(|word| name.contains(word)) && !name.ends_with("_file")
}

/// A text of settings that may be shown: lines that seem to set a credential end at the name.
pub fn without_credentials(text: &str) -> String {
    let line = |line: &str| {
        let lower = line.to_ascii_lowercase();
        // A whole word: `max_tokens` is none.
        let ends = |at: &usize| !lower[*at..].starts_with(|c: char| c.is_alphanumeric());
        let after = |word: &&str| lower.match_indices(*word).map(|(at, word)| at + word.len()).find(ends);
        let value =
            SECRET_WORDS.iter().filter_map(after).min().and_then(|from| Some(from + lower[from..].find('=')? + 1));
        match value {
            Some(at) if line.is_char_boundary(at) => format!("{} ***", &line[..at]),
            _ => line.split_inclusive(char::is_whitespace).map(without_parts).collect(),
        }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// One word; if it is an address, without its user and query.
fn without_parts(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let scheme = scheme.rsplit('@').next().unwrap_or_default();
    let ends = |c: char| matches!(c, ')' | '"' | '\'' | ',' | '>' | ';') || c.is_whitespace();
    let (address, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
    let address = address.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}{after}")
}
