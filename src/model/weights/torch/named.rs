//! Finds the state dict in a checkpoint.

use super::{TensorInfo, TorchError, Value};

/// The keys under which training programs keep the weights in a larger checkpoint, best first.
const NESTS: [&str; 12] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "ema_state_dict",
    "model_ema",
    "ema",
];

/// The longest name, in bytes: names of nested dicts repeat those around them.
const MAX_NAME: usize = 4096;

/// The tensors of a checkpoint by name, and what lies beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The keys that lead to the state dict, joined by dots; empty if the checkpoint is one itself.
    pub path: String,
    /// (name, tensor) in file order; the names of nested dicts are joined by dots.
    pub tensors: Vec<(String, TensorInfo)>,
    /// Entries inside the state dict that are not tensors.
    pub inside: Vec<Entry>,
    /// Entries of the dicts around the state dict: epoch, optimizer, settings and so on.
    pub beside: Vec<Entry>,
}

/// An entry that is not one of the tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its keys, joined by dots.
    pub name: String,
    /// What it is, in a few words: `int 7`, `dict of 3`, `object argparse.Namespace`.
    pub what: String,
}

/// Finds the state dict: the checkpoint itself, or the dict below one of the usual keys if that holds tensors.
///
/// Fails with [`TorchError::WholeModel`] if a model was saved as an object, with [`TorchError::NoTensors`] if
/// nothing in the file is a tensor by name, and with [`TorchError::Damaged`] if two tensors have one name.
pub fn named_tensors(root: &Value) -> Result<Named, TorchError> {
    if let Value::Object { class, .. } = root {
        return Err(TorchError::WholeModel { class: class.clone() });
    }
    let mut named = Named { path: String::new(), tensors: Vec::new(), inside: Vec::new(), beside: Vec::new() };
    let mut dict = root;
    while let Some((key, inner)) = nest(dict) {
        let Value::Dict(pairs) = dict else { break };
        for (name, value) in pairs.iter().filter(|(_, value)| !std::ptr::eq(value, inner)) {
            named.beside.push(Entry { name: join(&named.path, &text(name))?, what: value.to_string() });
        }
        named.path = join(&named.path, key)?;
        dict = inner;
    }
    flatten(dict, "", &mut named)?;
    if named.tensors.is_empty() {
        let model = NESTS.iter().find_map(|key| match root.get(key) {
            Some(Value::Object { class, .. }) => Some(class.clone()),
            _ => None,
        });
        let what = format!("it is a {root}");
        return Err(model.map_or(TorchError::NoTensors { what }, |class| TorchError::WholeModel { class }));
    }
    let mut names: Vec<&str> = named.tensors.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some([name, _]) = names.array_windows().find(|[a, b]| a == b) {
        return Err(TorchError::Damaged { what: format!("two tensors have the name `{name}`") });
    }
    Ok(named)
}

/// The first of the usual keys whose value is a dict with tensors.
fn nest(dict: &Value) -> Option<(&'static str, &Value)> {
    NESTS.iter().find_map(|key| dict.get(key).filter(|inner| holds_tensors(inner)).map(|inner| (*key, inner)))
}

fn holds_tensors(value: &Value) -> bool {
    let Value::Dict(pairs) = value else { return false };
    by_text(pairs) && pairs.iter().any(|(_, value)| matches!(value, Value::Tensor(_)) || holds_tensors(value))
}

/// Whether all keys are text; an optimizer counts its tensors, which are no weights.
fn by_text(pairs: &[(Value, Value)]) -> bool {
    pairs.iter().all(|(key, _)| matches!(key, Value::Text(_)))
}

fn flatten(dict: &Value, prefix: &str, into: &mut Named) -> Result<(), TorchError> {
    let Value::Dict(pairs) = dict else { return Ok(()) };
    for (key, value) in pairs {
        let name = join(prefix, &text(key))?;
        match (key, value) {
            (Value::Text(_), Value::Tensor(info)) => into.tensors.push((name, (**info).clone())),
            (Value::Text(_), Value::Dict(_)) if holds_tensors(value) => flatten(value, &name, into)?,
            _ => into.inside.push(Entry { name, what: value.to_string() }),
        }
    }
    Ok(())
}

fn join(prefix: &str, name: &str) -> Result<String, TorchError> {
    if prefix.len() + name.len() > MAX_NAME {
        return Err(TorchError::Damaged { what: format!("a name has more than {MAX_NAME} bytes") });
    }
    Ok(if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") })
}

/// A key as it is shown.
fn text(key: &Value) -> String {
    match key {
        Value::Text(text) => text.clone(),
        Value::Int(n) => n.to_string(),
        key => format!("({key})"),
    }
}
