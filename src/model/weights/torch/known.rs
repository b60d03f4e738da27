//! The few calls in a pickle whose result is plain data or a tensor; every other call gives a named object.

use super::pickle::{BYTES_PER_STEP, Id, Machine, Node, Step, Storage};
use super::value::{Dtype, TensorInfo};

/// More dimensions than PyTorch allows.
const MAX_RANK: usize = 64;
/// The longest key of a storage, in bytes; PyTorch counts them up from 0.
const MAX_KEY: usize = 64;

impl Machine<'_> {
    /// REDUCE and NEWOBJ: what calling `class` with a tuple of arguments stands for.
    pub(super) fn call(&mut self, mut class: Id, mut args: Id) -> Step<()> {
        loop {
            let (Node::Class(name), Node::Tuple(given)) = (self.node(class), self.node(args)) else {
                return self.object(class, vec![args]);
            };
            // A tensor with attributes or of a subclass: (how to build it, subclass, its arguments, attributes).
            if name == "torch._tensor._rebuild_from_type_v2"
                && let [how, _, inner, _] = given[..]
            {
                (class, args) = (how, inner);
                self.charge(1)?;
                continue;
            }
            let given = given.clone();
            self.charge(given.len())?;
            if !self.known(class, &given)? {
                self.object(class, vec![args])?;
            }
            return Ok(());
        }
    }

    /// Pushes the result of a known call, or tells that the call is not known.
    fn known(&mut self, class: Id, args: &[Id]) -> Step<bool> {
        let Node::Class(name) = self.node(class) else { return Ok(false) };
        match (name.as_str(), args) {
            ("collections.OrderedDict" | "builtins.dict", []) | ("collections.defaultdict", [_]) => {
                self.push(Node::Dict(Vec::new()));
            }
            ("collections.OrderedDict", [pairs]) => return self.dict(*pairs),
            ("builtins.set" | "builtins.frozenset", [items]) => {
                let Node::List(items) = self.node(*items) else { return Ok(false) };
                let items = items.clone();
                self.charge(items.len())?;
                self.push(Node::Set(items));
            }
            ("builtins.bytes" | "builtins.bytearray", []) => self.push(Node::Bytes(Vec::new())),
            // Protocol 2 knows no bytes: they are written as text of the characters 0 to 255.
            ("_codecs.encode", [text, code]) => {
                let (Node::Text(text), Node::Text(code)) = (self.node(*text), self.node(*code)) else {
                    return Ok(false);
                };
                let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>();
                let Some(bytes) = bytes.filter(|_| matches!(code.as_str(), "latin1" | "latin-1")) else {
                    return Ok(false);
                };
                self.charge(bytes.len() / BYTES_PER_STEP)?;
                self.push(Node::Bytes(bytes));
            }
            ("builtins.bytearray", [bytes]) if matches!(self.node(*bytes), Node::Bytes(_)) => self.push_again(*bytes),
            ("torch.Size", [shape]) if matches!(self.node(*shape), Node::Tuple(_)) => self.push_again(*shape),
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", [tensor, ..])
                if matches!(self.node(*tensor), Node::Tensor(_)) =>
            {
                self.push_again(*tensor);
            }
            ("torch._utils._rebuild_tensor", [storage, offset, shape, strides]) => {
                return self.tensor(*storage, *offset, [*shape, *strides], None);
            }
            ("torch._utils._rebuild_tensor_v2", [storage, offset, shape, strides, _, _, flags @ ..])
                if flags.iter().all(|flags| self.unset(*flags)) =>
            {
                return self.tensor(*storage, *offset, [*shape, *strides], None);
            }
            ("torch._utils._rebuild_tensor_v3", [storage, offset, shape, strides, _, _, dtype, flags @ ..])
                if flags.iter().all(|flags| self.unset(*flags)) =>
            {
                return self.tensor(*storage, *offset, [*shape, *strides], Some(*dtype));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether nothing is said: flags mark tensors that are conjugated or negated when they are read.
    fn unset(&self, flags: Id) -> bool {
        match self.node(flags) {
            Node::None => true,
            Node::Dict(pairs) => pairs.is_empty(),
            _ => false,
        }
    }

    /// A value that is named, with what the stream gives to its class.
    pub(super) fn object(&mut self, class: Id, parts: Vec<Id>) -> Step<()> {
        match self.node(class) {
            Node::Class(_) => self.push(Node::Object(class, parts)),
            Node::Object(class, _) => self.push(Node::Object(*class, parts)),
            _ => return Err("it calls a value that is not a class".to_owned()),
        }
        Ok(())
    }

    /// A dict from a list of pairs.
    fn dict(&mut self, pairs: Id) -> Step<bool> {
        let Node::List(items) = self.node(pairs) else { return Ok(false) };
        let pair = |item: &Id| match self.node(*item) {
            Node::List(pair) | Node::Tuple(pair) => pair.as_array::<2>().map(|[key, value]| (*key, *value)),
            _ => None,
        };
        let Some(pairs) = items.iter().map(pair).collect::<Option<Vec<_>>>() else { return Ok(false) };
        self.charge(pairs.len())?;
        self.push(Node::Dict(pairs));
        Ok(true)
    }

    /// BUILD: gives a state to the value on top; attributes of plain data are left out.
    pub(super) fn build(&mut self, state: Id) -> Step<()> {
        let into = self.top()?;
        match &mut self.nodes[into as usize] {
            Node::Object(_, parts) => parts.push(state),
            Node::Dict(_) | Node::List(_) | Node::Set(_) | Node::Tensor(_) => {}
            _ => return Err("this kind of value has no state to set".to_owned()),
        }
        Ok(())
    }

    /// BINPERSID: a storage `("storage", class, key, device, length)`.
    pub(super) fn persistent(&mut self, id: Id) -> Step<()> {
        let wrong = || "only storages of tensors may lie outside the pickle".to_owned();
        let Node::Tuple(parts) = self.node(id) else { return Err(wrong()) };
        let &[tag, class, key, _, len] = &parts[..] else { return Err(wrong()) };
        let nodes = (self.node(tag), self.node(class), self.node(key), self.node(len));
        let (Node::Text(tag), Node::Class(name), Node::Text(key), Node::Int(len)) = nodes else { return Err(wrong()) };
        if tag != "storage" {
            return Err(wrong());
        }
        let len = usize::try_from(*len).map_err(|_| format!("a storage cannot have {len} elements"))?;
        if key.len() > MAX_KEY {
            return Err(format!("the key of a storage has {} bytes", key.len()));
        }
        let kind = if name.starts_with("torch.") { name.rsplit('.').next().unwrap_or_default() } else { "" };
        let storage = Storage { class, kind: kind.to_owned(), key: key.clone(), len };
        self.charge(MAX_KEY)?;
        self.push(Node::Storage(Box::new(storage)));
        Ok(())
    }

    /// A tensor over a storage. A storage of a type that is not known gives an object.
    fn tensor(&mut self, storage: Id, offset: Id, [shape, strides]: [Id; 2], dtype: Option<Id>) -> Step<bool> {
        let Node::Storage(storage) = self.node(storage) else { return Err("the tensor has no storage".to_owned()) };
        let typed = Dtype::stored(&storage.kind);
        let named = dtype.and_then(|dtype| match self.node(dtype) {
            Node::Class(name) => name.strip_prefix("torch.").and_then(Dtype::named),
            _ => None,
        });
        let (dtype, storage_len) = match (dtype, typed, named) {
            (None, Some(dtype), _) => (dtype, storage.len),
            (Some(_), None, Some(dtype)) if storage.kind == "UntypedStorage" => (dtype, storage.len / dtype.size()),
            _ => return Ok(false),
        };
        let (shape, strides) = (self.counts(shape, "shape")?, self.counts(strides, "strides")?);
        if shape.len() != strides.len() {
            return Err(format!("the tensor has {} dimensions and {} strides", shape.len(), strides.len()));
        }
        let Node::Int(offset) = self.node(offset) else { return Err("the tensor's offset is no integer".to_owned()) };
        let offset = usize::try_from(*offset).map_err(|_| format!("the tensor's offset is {offset}"))?;
        let info = TensorInfo { dtype, shape, strides, offset, storage: storage.key.clone(), storage_len };
        self.charge(MAX_KEY + 2 * info.shape.len())?;
        self.push(Node::Tensor(Box::new(info)));
        Ok(true)
    }

    /// A tuple of counts.
    fn counts(&self, tuple: Id, what: &str) -> Step<Vec<usize>> {
        let wrong = || format!("the tensor's {what} is not a tuple of at most {MAX_RANK} counts");
        let Node::Tuple(items) = self.node(tuple) else { return Err(wrong()) };
        if items.len() > MAX_RANK {
            return Err(wrong());
        }
        let count = |item: &Id| match self.node(*item) {
            Node::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        };
        items.iter().map(count).collect::<Option<Vec<_>>>().ok_or_else(wrong)
    }
}
