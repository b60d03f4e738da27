//! Rust text -> what counts of it: tokens without comments, blank space and test items; and the names it uses.

/// What a `use` declaration binds, or a path in code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    /// The name it has here; `*` for everything in a module.
    pub(super) name: String,
    /// The segments.
    pub(super) path: Vec<String>,
    /// Whether others may import it from here.
    pub(super) public: bool,
}

/// One source file.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// The tokens, one blank apart.
    pub(super) text: String,
    /// The modules that it declares.
    pub(super) modules: Vec<String>,
    pub(super) imports: Vec<Import>,
    /// All other paths of two segments and more.
    pub(super) paths: Vec<Vec<String>>,
    /// The types that have an `impl` block here.
    pub(super) implements: Vec<String>,
}

impl Code {
    pub(super) fn new(text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        let mut code = Self { text: tokens.join(" "), ..Self::default() };
        let mut at = 0;
        while at < tokens.len() {
            let end = match tokens[at].as_str() {
                "use" => code.read_use(&tokens, at),
                "mod" => {
                    code.modules.push(tokens[at + 1].clone());
                    at + 2
                }
                "impl" => {
                    code.implements.extend(self_type(&tokens[at..]));
                    at + 1
                }
                _ => code.read_path(&tokens, at),
            };
            at = end.max(at + 1);
        }
        code
    }

    fn read_use(&mut self, tokens: &[String], at: usize) -> usize {
        let end = at + tokens[at..].iter().position(|token| token == ";").unwrap_or(tokens.len() - at);
        let before = tokens[..at].last().map(String::as_str);
        let public = matches!(before, Some("pub" | ")"));
        let mut leaves = Vec::new();
        tree(&tokens[at + 1..end], &mut Vec::new(), &mut leaves);
        self.imports.extend(leaves.into_iter().map(|(path, name)| Import { name, path, public }));
        end
    }

    fn read_path(&mut self, tokens: &[String], at: usize) -> usize {
        let is_name = |at: usize| tokens.get(at).is_some_and(|token| is_name(token));
        if !is_name(at) {
            return at + 1;
        }
        let (mut path, mut end) = (vec![tokens[at].clone()], at + 1);
        while tokens.get(end).is_some_and(|token| token == "::") && is_name(end + 1) {
            path.push(tokens[end + 1].clone());
            end += 2;
        }
        if path.len() > 1 {
            self.paths.push(path);
        }
        end
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The leaves of a use tree with the names that they bind.
fn tree(tokens: &[String], prefix: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    let depth = prefix.len();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "::" => at += 1,
            "{" => {
                let end = close(tokens, at);
                for part in split(&tokens[at + 1..end]) {
                    tree(part, prefix, leaves);
                }
                prefix.truncate(depth);
                return;
            }
            "as" => {
                leaves.push((prefix.clone(), tokens[at + 1].clone()));
                prefix.truncate(depth);
                return;
            }
            // `a::{self}` is `a`.
            "self" if depth > 0 => at += 1,
            name => {
                prefix.push(name.to_owned());
                at += 1;
            }
        }
    }
    if prefix.last().is_some_and(|last| last == "*") {
        prefix.pop();
        leaves.push((prefix.clone(), "*".to_owned()));
    } else if let Some(last) = prefix.last() {
        leaves.push((prefix.clone(), last.clone()));
    }
    prefix.truncate(depth);
}

/// The parts between commas outside of brackets.
fn split(tokens: &[String]) -> Vec<&[String]> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => at = close(tokens, at),
            "," => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&tokens[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Where the bracket that opens at `open` closes.
fn close(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len() - 1
}

/// The type that an `impl` is for: the first name after `for`, else after the generics.
fn self_type(tokens: &[String]) -> Option<String> {
    let head = &tokens[1..tokens.iter().position(|token| token == "{" || token == ";")?];
    let mut depth = 0;
    let mut start = 0;
    for (at, token) in head.iter().enumerate() {
        match token.as_str() {
            "<" => depth += 1,
            ">" => {
                depth -= 1;
                if depth == 0 && head[0] == "<" && start == 0 {
                    start = at + 1;
                }
            }
            "where" => break,
            "for" if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    let path: Vec<&String> = head[start..].iter().take_while(|token| is_name(token) || *token == "::").collect();
    path.last().filter(|name| is_name(name)).map(|name| (*name).clone())
}

/// Leaves out whatever stands under `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().map(String::as_str).take(TEST.len()).eq(TEST) {
            at = after_item(tokens, at + TEST.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The end of the item that begins here: its `;`, or the end of its block.
fn after_item(tokens: &[String], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token == "#") {
        at = close(tokens, at + 1) + 1;
    }
    let ends_with_semicolon =
        tokens[at..].iter().take(5).any(|token| ["use", "const", "static", "let"].contains(&&**token))
            && !tokens[at..].iter().take(5).any(|token| token == "fn");
    while at < tokens.len() {
        match tokens[at].as_str() {
            ";" => return at + 1,
            "{" if !ends_with_semicolon => return close(tokens, at) + 1,
            "{" | "(" | "[" => at = close(tokens, at),
            _ => {}
        }
        at += 1;
    }
    at
}

/// Names, numbers, literals, `::`, and all other signs one by one.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let next = chars.get(at + 1).copied();
        match (chars[at], next) {
            (c, _) if c.is_whitespace() => {
                at += 1;
                continue;
            }
            ('/', Some('/')) => {
                at += chars[at..].iter().take_while(|c| **c != '\n').count();
                continue;
            }
            ('/', Some('*')) => {
                at = after_comment(&chars, at);
                continue;
            }
            ('"', _) => at = after_string(&chars, at),
            (':', Some(':')) => at += 2,
            ('\'', _) => at = after_quote(&chars, at),
            (c, _) if c.is_alphanumeric() || c == '_' => {
                at += chars[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
                let word: String = chars[start..at].iter().collect();
                if ["r", "br", "b", "c", "cr"].contains(&word.as_str()) {
                    at = after_prefixed(&chars, at, word.contains('r'));
                }
            }
            _ => at += 1,
        }
        tokens.push(chars[start..at].iter().collect());
    }
    tokens
}

fn after_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn after_string(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// A character or a lifetime.
fn after_quote(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => at + 3 + chars[at + 3..].iter().take_while(|c| **c != '\'').count() + 1,
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}

/// A literal such as `r#".."#`, `b".."` or `b'.'`; the prefix alone if none follows.
fn after_prefixed(chars: &[char], at: usize, raw: bool) -> usize {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    match chars.get(at + hashes) {
        Some('"') if raw => {
            let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = at + hashes + 1;
            let length = chars[body..].windows(end.len()).position(|window| window == end);
            length.map_or(chars.len(), |length| body + length + end.len())
        }
        Some('"') if hashes == 0 => after_string(chars, at),
        Some('\'') if hashes == 0 && !raw => after_quote(chars, at),
        _ => at,
    }
}
