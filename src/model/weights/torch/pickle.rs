//! A reader of pickles that knows data only: it keeps what the stream says and calls nothing.
//!
//! Values are kept in one vector and refer to each other by index, since Python's may be shared or contain
//! themselves. Every instruction costs a bounded amount of memory, and their number is limited.

use std::collections::BTreeMap;

use super::stream::{Stream, short};
use super::value::TensorInfo;
use super::{TorchError, Value, opcode, resolve};

/// The longest pickle that is read, in bytes: a checkpoint of 10000 tensors has 3 MB.
pub(super) const MAX_BYTES: u64 = 64 << 20;
/// The most instructions (and values in the result) that are followed.
pub(super) const MAX_STEPS: usize = 5_000_000;
/// Copied bytes of text that count as much as one instruction.
pub(super) const BYTES_PER_STEP: usize = 32;

/// What a step gives, or what is wrong; [`parse`] adds the place.
pub(super) type Step<T> = Result<T, String>;
/// Index of a node.
pub(super) type Id = u32;

/// A value under construction.
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    BigInt(String),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// `module.name` of a class or function.
    Class(String),
    Storage(Box<Storage>),
    Tensor(Box<TensorInfo>),
    /// The class and what the stream gives to it, see [`Value::Object`].
    Object(Id, Vec<Id>),
}

/// Bytes of the archive in which tensors lie.
#[derive(Clone)]
pub(super) struct Storage {
    /// Node of the class.
    pub(super) class: Id,
    /// The class's name without `torch.`, such as `FloatStorage`.
    pub(super) kind: String,
    /// `data/KEY` in the archive.
    pub(super) key: String,
    /// Number of elements, or of bytes for an `UntypedStorage`.
    pub(super) len: usize,
}

/// The state of a reader in the middle of a stream.
pub(super) struct Machine<'a> {
    stream: Stream<'a>,
    pub(super) nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
    steps: usize,
}

/// Reads one pickle of protocol 2 to 5.
///
/// Fails with [`TorchError::Pickle`] where the stream is damaged or needs more than the limits of this module.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, TorchError> {
    let (nodes, stack, marks, memo) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
    let mut machine = Machine { stream: Stream::new(bytes), nodes, stack, marks, memo, steps: 0 };
    loop {
        let offset = bytes.len() - machine.stream.left();
        let Ok(opcode) = machine.stream.number(1) else {
            let why = "the pickle ends without STOP: it is cut short".to_owned();
            return Err(TorchError::Pickle { offset, opcode: "end".to_owned(), why });
        };
        let opcode = opcode as u8;
        let step = machine.charge(1).and_then(|()| machine.step(opcode));
        let step = step.and_then(|root| root.map(|root| resolve::resolve(&machine.nodes, root)).transpose());
        match step {
            Ok(None) => {}
            Ok(Some(value)) => return Ok(value),
            Err(why) => return Err(TorchError::Pickle { offset, opcode: opcode::name(opcode), why }),
        }
    }
}

impl Machine<'_> {
    /// Follows one instruction; gives the root once the stream stops.
    fn step(&mut self, opcode: u8) -> Step<Option<Id>> {
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => match self.stream.number(1)? {
                0..=5 => {}
                version => return Err(format!("protocol {version} is not known")),
            },
            0x95 => {
                let frame = self.stream.number(8)?;
                if frame > self.stream.left() as u64 {
                    return Err(format!("the frame of {frame} bytes is cut short"));
                }
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'K' | b'M' => {
                let value = self.stream.number(if opcode == b'K' { 1 } else { 2 })?;
                self.push(Node::Int(value as i64));
            }
            b'J' => {
                let value = self.stream.number(4)? as u32 as i32;
                self.push(Node::Int(i64::from(value)));
            }
            0x8a | 0x8b => {
                let integer = self.stream.integer(if opcode == 0x8a { 1 } else { 4 })?;
                self.push(integer);
            }
            b'G' => {
                let bits = self.stream.number(8)?.swap_bytes();
                self.push(Node::Float(f64::from_bits(bits)));
            }
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'U' => self.string(1)?,
            b'T' => self.string(4)?,
            b'C' => self.blob(1)?,
            b'B' => self.blob(4)?,
            0x8e | 0x96 => self.blob(8)?,
            b']' => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            0x8f => self.push(Node::Set(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::List(items));
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items));
            }
            0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::Set(items));
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(pairs(&items)?));
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0..opcode - 0x84 {
                    items.insert(0, self.pop()?);
                }
                self.push(Node::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            0x94 => {
                let (next, top) = (self.memo.len() as u32, self.top()?);
                self.memo.insert(next, top);
            }
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            b'c' => {
                let (module, name) = (self.stream.line()?, self.stream.line()?);
                self.class(&module, &name);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Text(module), Node::Text(name)) = (self.node(module), self.node(name)) else {
                    return Err("the name of a class is not text".to_owned());
                };
                let (module, name) = (short(module.as_bytes())?, short(name.as_bytes())?);
                self.class(&module, &name);
            }
            b'R' | 0x81 => {
                let args = self.pop()?;
                let class = self.pop()?;
                self.call(class, args)?;
            }
            0x92 => {
                let (keywords, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.object(class, vec![args, keywords])?;
            }
            b'b' => {
                let state = self.pop()?;
                self.build(state)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(id)?;
            }
            _ => return Err("no checkpoint needs this instruction; it is refused".to_owned()),
        }
        Ok(None)
    }

    /// Counts work and memory that an instruction asks for beyond its own bytes.
    pub(super) fn charge(&mut self, steps: usize) -> Step<()> {
        self.steps += steps;
        if self.steps > MAX_STEPS { Err(format!("there are more than {MAX_STEPS} instructions")) } else { Ok(()) }
    }

    /// The node of an index; every index in use comes from [`Machine::push`].
    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    /// Puts a new node on the stack.
    pub(super) fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len() as Id);
        self.nodes.push(node);
    }

    /// Puts a node that is there already on the stack.
    pub(super) fn push_again(&mut self, id: Id) {
        self.stack.push(id);
    }

    fn pop(&mut self) -> Step<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The value that was pushed last since the last mark.
    pub(super) fn top(&self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let values = self.stack.get(floor..).unwrap_or_default();
        values.last().copied().ok_or_else(|| "there is no value to take".to_owned())
    }

    /// Takes everything since the last mark, and the mark.
    fn pop_mark(&mut self) -> Step<Vec<Id>> {
        let floor = self.marks.pop().ok_or("there is no mark to go back to")?;
        Ok(self.stack.split_off(floor))
    }

    /// A class by its names; those of Python 2 become those of Python 3.
    fn class(&mut self, module: &str, name: &str) {
        let module = match module {
            "__builtin__" => "builtins",
            "copy_reg" => "copyreg",
            module => module,
        };
        self.push(Node::Class(format!("{module}.{name}")));
    }

    fn text(&mut self, width: u64) -> Step<()> {
        let text = str::from_utf8(self.stream.counted(width)?).map_err(|_| "the text is not UTF-8")?.to_owned();
        self.push(Node::Text(text));
        Ok(())
    }

    /// A `str` of Python 2: bytes, which are text in almost every checkpoint.
    fn string(&mut self, width: u64) -> Step<()> {
        let bytes = self.stream.counted(width)?.to_vec();
        self.push(String::from_utf8(bytes).map_or_else(|error| Node::Bytes(error.into_bytes()), Node::Text));
        Ok(())
    }

    fn blob(&mut self, width: u64) -> Step<()> {
        let bytes = self.stream.counted(width)?.to_vec();
        self.push(Node::Bytes(bytes));
        Ok(())
    }

    fn put(&mut self, width: u64) -> Step<()> {
        let slot = self.stream.number(width)? as u32;
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn get(&mut self, width: u64) -> Step<()> {
        let slot = self.stream.number(width)? as u32;
        let id = self.memo.get(&slot).ok_or_else(|| format!("nothing was remembered as number {slot}"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn extend(&mut self, items: &[Id]) -> Step<()> {
        let into = self.top()?;
        match &mut self.nodes[into as usize] {
            Node::List(into) | Node::Set(into) | Node::Object(_, into) => into.extend(items),
            _ => return Err("items can be added to lists and sets only".to_owned()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Step<()> {
        let pairs = pairs(items)?;
        let into = self.top()?;
        match &mut self.nodes[into as usize] {
            Node::Dict(into) => into.extend(pairs),
            Node::Object(_, into) => into.extend(items),
            _ => return Err("keys can be set in dicts only".to_owned()),
        }
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Step<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    } else {
        Err("the last key has no value".to_owned())
    }
}
