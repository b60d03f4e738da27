//! Values, as Python 3.11 writes them with `pickle.dumps(value, protocol)`.

use super::*;

fn object(class: &str, parts: Vec<Value>) -> Value {
    Value::Object { class: class.to_owned(), parts }
}

fn string(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Rows of (Python expression, pickle, value).
#[test]
fn plain_values_of_python() {
    use Value::{BigInt, Bool, Bytes, Dict, Float, Int, List, None, Set, Tuple};
    let one = || vec![(string("a"), Int(1))];
    let rows: [(&str, &[u8], Value); 43] = [
        ("None, 2", b"\x80\x02N.", None),
        ("[True, False], 4", b"\x80\x04\x95\x07\0\0\0\0\0\0\0]\x94(\x88\x89e.", List(vec![Bool(true), Bool(false)])),
        ("255, 4", b"\x80\x04K\xff.", Int(255)),
        ("256, 2", b"\x80\x02M\x00\x01.", Int(256)),
        ("-1, 2", b"\x80\x02J\xff\xff\xff\xff.", Int(-1)),
        ("-2**31, 2", b"\x80\x02J\x00\x00\x00\x80.", Int(-2147483648)),
        ("2**31, 2", b"\x80\x02\x8a\x05\x00\x00\x00\x80\x00.", Int(2147483648)),
        ("-2**63, 2", b"\x80\x02\x8a\x08\0\0\0\0\0\0\0\x80.", Int(i64::MIN)),
        ("2**63, 2", b"\x80\x02\x8a\x09\0\0\0\0\0\0\0\x80\0.", BigInt("9223372036854775808".to_owned())),
        ("-2**70, 2", b"\x80\x02\x8a\x09\0\0\0\0\0\0\0\0\xc0.", BigInt("-1180591620717411303424".to_owned())),
        ("-2**80, 2", b"\x80\x02\x8a\x0b\0\0\0\0\0\0\0\0\0\0\xff.", BigInt("-1208925819614629174706176".to_owned())),
        (
            "2**100, 2",
            b"\x80\x02\x8a\x0d\0\0\0\0\0\0\0\0\0\0\0\0\x10.",
            BigInt("1267650600228229401496703205376".to_owned()),
        ),
        ("1.5, 2", b"\x80\x02G?\xf8\0\0\0\0\0\0.", Float(1.5)),
        ("'\u{e9}', 2", b"\x80\x02X\x02\0\0\0\xc3\xa9q\0.", string("\u{e9}")),
        ("'\u{e9}', 4", b"\x80\x04\x95\x06\0\0\0\0\0\0\0\x8c\x02\xc3\xa9\x94.", string("\u{e9}")),
        ("'abc' of Python 2", b"\x80\x02U\x03abc.", string("abc")),
        ("'\\xff' of Python 2", b"\x80\x02U\x01\xff.", Bytes(vec![0xff])),
        (
            r"b'\x00\xff', 2",
            b"\x80\x02c_codecs\nencode\nq\0X\x03\0\0\0\0\xc3\xbfq\x01X\x06\0\0\0latin1q\x02\x86q\x03Rq\x04.",
            Bytes(vec![0, 255]),
        ),
        (r"b'\x00\xff', 4", b"\x80\x04\x95\x06\0\0\0\0\0\0\0C\x02\x00\xff\x94.", Bytes(vec![0, 255])),
        (
            "an encoding that is not that of bytes",
            b"\x80\x02c_codecs\nencode\nU\x01aU\x05utf16\x86R.",
            object("_codecs.encode", vec![Tuple(vec![string("a"), string("utf16")])]),
        ),
        ("b'', 2", b"\x80\x02c__builtin__\nbytes\nq\0)Rq\x01.", Bytes(vec![])),
        (
            "bytearray(b'xy'), 2",
            b"\x80\x02c__builtin__\nbytearray\nq\0c_codecs\nencode\nq\x01X\x02\0\0\0xyq\x02X\x06\0\0\0latin1q\x03\x86\
              q\x04Rq\x05\x85q\x06Rq\x07.",
            Bytes(b"xy".to_vec()),
        ),
        (
            "bytearray(b'xy'), 5",
            b"\x80\x05\x95\x0d\0\0\0\0\0\0\0\x96\x02\0\0\0\0\0\0\0xy\x94.",
            Bytes(b"xy".to_vec()),
        ),
        ("(), 2", b"\x80\x02).", Tuple(vec![])),
        ("(1,), 2", b"\x80\x02K\x01\x85q\0.", Tuple(vec![Int(1)])),
        ("(1, 2), 2", b"\x80\x02K\x01K\x02\x86q\0.", Tuple(vec![Int(1), Int(2)])),
        ("(1, 2, 3, 4), 2", b"\x80\x02(K\x01K\x02K\x03K\x04tq\0.", Tuple(vec![Int(1), Int(2), Int(3), Int(4)])),
        ("{1}, 2", b"\x80\x02c__builtin__\nset\nq\0]q\x01K\x01a\x85q\x02Rq\x03.", Set(vec![Int(1)])),
        ("{1}, 4", b"\x80\x04\x95\x07\0\0\0\0\0\0\0\x8f\x94(K\x01\x90.", Set(vec![Int(1)])),
        ("frozenset([3]), 4", b"\x80\x04\x95\x06\0\0\0\0\0\0\0(K\x03\x91\x94.", Set(vec![Int(3)])),
        ("[[]] * 2, 2", b"\x80\x02]q\0(]q\x01h\x01e.", List(vec![List(vec![]), List(vec![])])),
        (
            "{'a': 1, 2: [3]}, 2",
            b"\x80\x02}q\0(X\x01\0\0\0aq\x01K\x01K\x02]q\x02K\x03au.",
            Dict(vec![(string("a"), Int(1)), (Int(2), List(vec![Int(3)]))]),
        ),
        (
            "OrderedDict(a=1), 2",
            b"\x80\x02ccollections\nOrderedDict\nq\0)Rq\x01X\x01\0\0\0aq\x02K\x01s.",
            Dict(one()),
        ),
        (
            "OrderedDict(a=1), 4",
            b"\x80\x04\x95)\0\0\0\0\0\0\0\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94\x8c\x01a\x94K\x01s.",
            Dict(one()),
        ),
        (
            "OrderedDict(a=1) of Python 2",
            b"\x80\x02ccollections\nOrderedDict\nq\0]q\x01]q\x02(U\x01aq\x03K\x01ea\x85q\x04Rq\x05.",
            Dict(one()),
        ),
        (
            "defaultdict(list, a=1), 2",
            b"\x80\x02ccollections\ndefaultdict\nq\0c__builtin__\nlist\nq\x01\x85q\x02Rq\x03X\x01\0\0\0aq\x04K\x01s.",
            Dict(one()),
        ),
        (
            "torch.Size([1, 2]), 2",
            b"\x80\x02ctorch\nSize\nq\0K\x01K\x02\x86q\x01\x85q\x02Rq\x03.",
            Tuple(vec![Int(1), Int(2)]),
        ),
        ("torch.float16, 2", b"\x80\x02ctorch\nfloat16\nq\0.", object("torch.float16", vec![])),
        (
            "argparse.Namespace(lr=1), 2",
            b"\x80\x02cargparse\nNamespace\nq\0)\x81q\x01}q\x02X\x02\0\0\0lrq\x03K\x01sb.",
            object("argparse.Namespace", vec![Tuple(vec![]), Dict(vec![(string("lr"), Int(1))])]),
        ),
        (
            "datetime.date(2024, 1, 2), 4",
            b"\x80\x04\x95 \0\0\0\0\0\0\0\x8c\x08datetime\x94\x8c\x04date\x94\x93\x94C\x04\x07\xe8\x01\x02\x94\x85\x94R\x94.",
            object("datetime.date", vec![Tuple(vec![Bytes(vec![7, 232, 1, 2])])]),
        ),
        ("print, 2", b"\x80\x02c__builtin__\nprint\nq\0.", object("builtins.print", vec![])),
        (
            "__reduce__ = (os.system, ('touch x',)), 2",
            b"\x80\x02cposix\nsystem\nq\0X\x07\0\0\0touch xq\x01\x85q\x02Rq\x03.",
            object("posix.system", vec![Tuple(vec![string("touch x")])]),
        ),
        (
            "__reduce__ = (eval, ('1+1',)), 4",
            b"\x80\x04\x95\x1f\0\0\0\0\0\0\0\x8c\x08builtins\x94\x8c\x04eval\x94\x93\x94\x8c\x031+1\x94\x85\x94R\x94.",
            object("builtins.eval", vec![Tuple(vec![string("1+1")])]),
        ),
    ];
    for (name, bytes, expected) in rows {
        assert_eq!(parse(bytes).unwrap(), expected, "{name}");
    }
}

/// An object that holds itself is shown once, then by its name: `n = Namespace(); n.me = n`.
#[test]
fn objects_may_refer_to_themselves() {
    let body = b"cargparse\nNamespace\n)\x81q\x01}X\x02\0\0\0meh\x01sb";
    let again = object("argparse.Namespace", vec![]);
    let state = Value::Dict(vec![(string("me"), again)]);
    assert_eq!(value(body).unwrap(), object("argparse.Namespace", vec![Value::Tuple(vec![]), state]));
}

/// A dict subclass keeps what it is given: `AttributeDict(lr=1)` of Lightning.
#[test]
fn items_of_an_object_are_kept() {
    let body = [global("lightning AttributeDict"), b")\x81(".to_vec(), text("lr"), int(1), b"u".to_vec()].concat();
    let parts = vec![Value::Tuple(vec![]), string("lr"), Value::Int(1)];
    assert_eq!(value(&body).unwrap(), object("lightning.AttributeDict", parts));
}

/// Rows of (storage class, PyTorch's name of the type, bytes of an element), from PyTorch's table of types.
#[test]
fn every_storage_gives_its_type() {
    let rows = [
        ("torch DoubleStorage", "float64", 8),
        ("torch FloatStorage", "float32", 4),
        ("torch HalfStorage", "float16", 2),
        ("torch BFloat16Storage", "bfloat16", 2),
        ("torch LongStorage", "int64", 8),
        ("torch IntStorage", "int32", 4),
        ("torch ShortStorage", "int16", 2),
        ("torch CharStorage", "int8", 1),
        ("torch ByteStorage", "uint8", 1),
        ("torch BoolStorage", "bool", 1),
        ("torch ComplexFloatStorage", "complex64", 8),
        ("torch ComplexDoubleStorage", "complex128", 16),
        ("torch.cuda FloatStorage", "float32", 4),
    ];
    for (class, name, size) in rows {
        let tensor = info(&value(&view(storage(class, "7", 6), 1, &[2, 2], &[2, 1])).unwrap());
        assert_eq!((tensor.dtype.name(), tensor.dtype.size()), (name, size), "{class}");
        let (shape, strides) = (vec![2, 2], vec![2, 1]);
        let (storage, dtype) = ("7".to_owned(), tensor.dtype);
        assert_eq!(tensor, TensorInfo { dtype, shape, strides, offset: 1, storage, storage_len: 6 }, "{class}");
    }
}

/// Rows of (type, bytes of an element): types without a storage class lie in bytes, whose number is given.
#[test]
fn untyped_storages_take_the_type_of_the_tensor() {
    for (name, size) in [("uint16", 2), ("uint32", 4), ("uint64", 8), ("float8_e4m3fn", 1), ("float8_e5m2", 1)] {
        let hooks = call("collections OrderedDict", &[]);
        let bytes = storage("torch.storage UntypedStorage", "0", 24);
        let dtype = global(&format!("torch {name}"));
        let args = [bytes, int(0), ints(&[3]), ints(&[1]), b"\x89".to_vec(), hooks, dtype];
        let tensor = info(&value(&call("torch._utils _rebuild_tensor_v3", &args)).unwrap());
        assert_eq!((tensor.dtype.name(), tensor.storage_len), (name, 24 / size), "{name}");
    }
}

/// Rows of (name, pickle): wrappings that leave the tensor as it is.
#[test]
fn parameters_and_subclasses_are_tensors() {
    let (plain, none) = (floats("0", 2), b"N".to_vec());
    let hooks = || call("collections OrderedDict", &[]);
    let given = |args: &[u8]| [&args[..args.len() - 1]].concat();
    let inner = given(&plain["ctorch._utils\n_rebuild_tensor_v2\n".len()..]);
    let old = [storage("torch FloatStorage", "0", 2), int(0), ints(&[2]), ints(&[1])];
    let with_state = [plain.clone(), b"\x88".to_vec(), hooks(), dict(&[])];
    let subclass = [global("torch._utils _rebuild_tensor_v2"), global("torch.nn Buffer"), inner, dict(&[])];
    let rows = [
        ("parameter", call("torch._utils _rebuild_parameter", &[plain.clone(), b"\x88".to_vec(), hooks()])),
        ("parameter with attributes", call("torch._utils _rebuild_parameter_with_state", &with_state)),
        ("subclass", call("torch._tensor _rebuild_from_type_v2", &subclass)),
        ("first version", call("torch._utils _rebuild_tensor", &old)),
        ("attributes", [plain.clone(), none, b"b".to_vec()].concat()),
    ];
    let expected = value(&plain).unwrap();
    for (name, body) in rows {
        assert_eq!(value(&body).unwrap(), expected, "{name}");
    }
}

/// Rows of (name, pickle, class): what looks like a tensor but cannot be read as one is named.
#[test]
fn unusual_tensors_are_named() {
    let hooks = || call("collections OrderedDict", &[]);
    let args =
        [storage("torch ComplexFloatStorage", "0", 2), int(0), ints(&[2]), ints(&[1]), b"\x89".to_vec(), hooks()];
    let conjugated = [&args[..], &[dict(&[("conj", b"\x88".to_vec())])]].concat();
    let rows = [
        ("quantized", view(storage("torch QInt8Storage", "0", 2), 0, &[2], &[1]), "torch._utils._rebuild_tensor_v2"),
        ("conjugated", call("torch._utils _rebuild_tensor_v2", &conjugated), "torch._utils._rebuild_tensor_v2"),
        ("sparse", call("torch._utils _rebuild_sparse_tensor", &[]), "torch._utils._rebuild_sparse_tensor"),
        ("bare storage", storage("torch FloatStorage", "0", 2), "torch.FloatStorage"),
    ];
    for (name, body, expected) in rows {
        match value(&body).unwrap() {
            Value::Object { class, .. } => assert_eq!(class, expected, "{name}"),
            other => panic!("{name}: {other}"),
        }
    }
}
