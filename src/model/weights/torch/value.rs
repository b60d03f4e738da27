//! What a checkpoint says, as plain data.

use std::fmt;

use super::TorchError;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// 16-bit float of IEEE 754.
    F16,
    /// The upper 16 bits of a 32-bit float.
    BF16,
    /// 8-bit float with 4 bits of exponent, without infinities.
    F8E4M3,
    /// 8-bit float with 5 bits of exponent.
    F8E5M2,
    /// 64-bit integer with sign.
    I64,
    /// 32-bit integer with sign.
    I32,
    /// 16-bit integer with sign.
    I16,
    /// 8-bit integer with sign.
    I8,
    /// 64-bit integer without sign.
    U64,
    /// 32-bit integer without sign.
    U32,
    /// 16-bit integer without sign.
    U16,
    /// 8-bit integer without sign.
    U8,
    /// One byte, 0 or 1.
    Bool,
    /// Two 32-bit floats: real, imaginary.
    C64,
    /// Two 64-bit floats: real, imaginary.
    C128,
}

/// Rows of (type, PyTorch's name, its storage class if it has one, bytes of an element, bytes of a number in it).
const DTYPES: [(Dtype, &str, Option<&str>, usize, usize); 17] = [
    (Dtype::F64, "float64", Some("DoubleStorage"), 8, 8),
    (Dtype::F32, "float32", Some("FloatStorage"), 4, 4),
    (Dtype::F16, "float16", Some("HalfStorage"), 2, 2),
    (Dtype::BF16, "bfloat16", Some("BFloat16Storage"), 2, 2),
    (Dtype::F8E4M3, "float8_e4m3fn", None, 1, 1),
    (Dtype::F8E5M2, "float8_e5m2", None, 1, 1),
    (Dtype::I64, "int64", Some("LongStorage"), 8, 8),
    (Dtype::I32, "int32", Some("IntStorage"), 4, 4),
    (Dtype::I16, "int16", Some("ShortStorage"), 2, 2),
    (Dtype::I8, "int8", Some("CharStorage"), 1, 1),
    (Dtype::U64, "uint64", None, 8, 8),
    (Dtype::U32, "uint32", None, 4, 4),
    (Dtype::U16, "uint16", None, 2, 2),
    (Dtype::U8, "uint8", Some("ByteStorage"), 1, 1),
    (Dtype::Bool, "bool", Some("BoolStorage"), 1, 1),
    (Dtype::C64, "complex64", Some("ComplexFloatStorage"), 8, 4),
    (Dtype::C128, "complex128", Some("ComplexDoubleStorage"), 16, 8),
];

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        DTYPES[self as usize].3
    }

    /// PyTorch's name without `torch.`, such as `float32`.
    pub fn name(self) -> &'static str {
        DTYPES[self as usize].1
    }

    /// Name of PyTorch's storage class in module `torch`; the newer types have none.
    pub(super) fn storage_class(self) -> Option<&'static str> {
        DTYPES[self as usize].2
    }

    /// Bytes whose order depends on the machine: the element, or one half of a complex number.
    pub(super) fn swapped(self) -> usize {
        DTYPES[self as usize].4
    }

    /// Finds a type by PyTorch's name.
    pub(super) fn named(name: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Finds a type by its storage class.
    pub(super) fn stored(class: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.2 == Some(class)).map(|row| row.0)
    }
}

/// Where a tensor lies: a strided view of a storage, which other tensors may share. Counts are in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Length of every dimension; none for a single number.
    pub shape: Vec<usize>,
    /// Steps in the storage from one index to the next, as many as dimensions.
    pub strides: Vec<usize>,
    /// The first element in the storage.
    pub offset: usize,
    /// Key of the storage: `data/KEY` in the archive.
    pub storage: String,
    /// Length of the storage.
    pub storage_len: usize,
}

impl TensorInfo {
    /// Number of elements; fails with [`TorchError::Storage`] where it passes the machine's integers.
    pub fn elements(&self) -> Result<usize, TorchError> {
        elements(&self.shape).ok_or_else(|| self.fault(format!("no tensor can have the shape {:?}", self.shape)))
    }

    /// An error that names this tensor's storage.
    pub(super) fn fault(&self, why: String) -> TorchError {
        TorchError::Storage { storage: self.storage.clone(), why }
    }
}

/// Product of a shape; an empty tensor may have any other dimensions.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n)) }
}

/// A Python value without any behaviour. `Display` gives its kind and size in a few words.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// The decimal digits of an integer that needs more than 64 bits.
    BigInt(String),
    /// A float.
    Float(f64),
    /// `str`.
    Text(String),
    /// `bytes` or `bytearray`.
    Bytes(Vec<u8>),
    /// `list`.
    List(Vec<Value>),
    /// `tuple` or `torch.Size`.
    Tuple(Vec<Value>),
    /// `set` or `frozenset`, in file order.
    Set(Vec<Value>),
    /// `dict`, `OrderedDict` or `defaultdict`, in file order; a repeated key is kept. Attributes are left out.
    Dict(Vec<(Value, Value)>),
    /// A tensor or a parameter.
    Tensor(Box<TensorInfo>),
    /// A class, or whatever the file would have built by calling it: it is named, and nothing is called.
    Object {
        /// `module.name`.
        class: String,
        /// What the file gives to the class: arguments, then items and state. Empty where the same object is met again.
        parts: Vec<Value>,
    },
}

impl Value {
    /// The value of a text key, if this is a dict that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Self::Dict(pairs) = self else { return None };
        pairs.iter().rev().find(|(name, _)| matches!(name, Self::Text(name) if name == key)).map(|(_, value)| value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Bool(value) => write!(f, "bool {value}"),
            Self::Int(value) => write!(f, "int {value}"),
            Self::BigInt(value) => write!(f, "int {value}"),
            Self::Float(value) => write!(f, "float {value}"),
            Self::Text(text) if text.chars().count() > 40 => write!(f, "text of {}", text.chars().count()),
            Self::Text(text) => write!(f, "text {text:?}"),
            Self::Bytes(bytes) => write!(f, "bytes of {}", bytes.len()),
            Self::List(items) => write!(f, "list of {}", items.len()),
            Self::Tuple(items) => write!(f, "tuple of {}", items.len()),
            Self::Set(items) => write!(f, "set of {}", items.len()),
            Self::Dict(pairs) => write!(f, "dict of {}", pairs.len()),
            Self::Tensor(info) => write!(f, "tensor {} {:?}", info.dtype.name(), info.shape),
            Self::Object { class, .. } => write!(f, "object {class}"),
        }
    }
}
