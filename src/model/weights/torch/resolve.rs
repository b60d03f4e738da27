//! The nodes of a pickle -> the tree of its values.

use std::collections::BTreeSet;

use super::Value;
use super::pickle::{BYTES_PER_STEP, Id, MAX_STEPS, Node, Step};

/// Nesting that Python itself would hardly write: its pickler fails at some 300.
const MAX_DEPTH: usize = 256;

/// A walk over the nodes.
struct Walk<'a> {
    nodes: &'a [Node],
    /// The plain data that the walk is inside of.
    open: BTreeSet<Id>,
    /// Objects met so far; they may refer to each other in circles, so each is shown once.
    met: BTreeSet<Id>,
    steps: usize,
}

/// Copies the value at `root` out of the nodes; what is shared is repeated.
///
/// Fails where plain data contain themselves, nest too deep or become too many by repetition.
pub(super) fn resolve(nodes: &[Node], root: Id) -> Step<Value> {
    Walk { nodes, open: BTreeSet::new(), met: BTreeSet::new(), steps: 0 }.value(root)
}

impl<'a> Walk<'a> {
    fn value(&mut self, id: Id) -> Step<Value> {
        let nodes = self.nodes;
        let node = &nodes[id as usize];
        let bytes = match node {
            Node::Text(text) | Node::BigInt(text) | Node::Class(text) => text.len(),
            Node::Bytes(bytes) => bytes.len(),
            Node::Tensor(info) => info.shape.len() * 16 + info.storage.len(),
            Node::Object(class, _) => self.name(*class).len(),
            Node::Storage(storage) => self.name(storage.class).len(),
            _ => 0,
        };
        self.steps += 1 + bytes / BYTES_PER_STEP;
        if self.steps > MAX_STEPS {
            return Err(format!("shared values repeat more than {MAX_STEPS} times"));
        }
        Ok(match node {
            Node::None => Value::None,
            Node::Bool(value) => Value::Bool(*value),
            Node::Int(value) => Value::Int(*value),
            Node::BigInt(digits) => Value::BigInt(digits.clone()),
            Node::Float(value) => Value::Float(*value),
            Node::Text(text) => Value::Text(text.clone()),
            Node::Bytes(bytes) => Value::Bytes(bytes.clone()),
            Node::Tensor(info) => Value::Tensor(info.clone()),
            Node::Class(name) => Value::Object { class: name.clone(), parts: Vec::new() },
            Node::Storage(storage) => Value::Object { class: self.name(storage.class).to_owned(), parts: Vec::new() },
            Node::Object(class, parts) => {
                let parts = if self.met.insert(id) { self.inside(id, |walk| walk.values(parts))? } else { Vec::new() };
                Value::Object { class: self.name(*class).to_owned(), parts }
            }
            Node::List(items) => Value::List(self.inside(id, |walk| walk.values(items))?),
            Node::Tuple(items) => Value::Tuple(self.inside(id, |walk| walk.values(items))?),
            Node::Set(items) => Value::Set(self.inside(id, |walk| walk.values(items))?),
            Node::Dict(pairs) => Value::Dict(self.inside(id, |walk| {
                pairs.iter().map(|(key, value)| Ok((walk.value(*key)?, walk.value(*value)?))).collect()
            })?),
        })
    }

    fn values(&mut self, ids: &[Id]) -> Step<Vec<Value>> {
        ids.iter().map(|id| self.value(*id)).collect()
    }

    /// Goes one level down.
    fn inside<T>(&mut self, id: Id, walk: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        if !self.open.insert(id) {
            return Err("a list, tuple, set or dict contains itself".to_owned());
        }
        if self.open.len() > MAX_DEPTH {
            return Err(format!("values nest more than {MAX_DEPTH} deep"));
        }
        let value = walk(self)?;
        self.open.remove(&id);
        Ok(value)
    }

    fn name(&self, class: Id) -> &'a str {
        match &self.nodes[class as usize] {
            Node::Class(name) => name,
            _ => "",
        }
    }
}
