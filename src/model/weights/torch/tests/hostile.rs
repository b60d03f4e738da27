//! Pickles and archives that are damaged or made to do harm.

use proptest::prelude::*;

use super::super::pickle::MAX_STEPS;
use super::*;

fn repeat(n: usize, piece: &[u8]) -> Vec<u8> {
    piece.repeat(n)
}

/// `[x, x]` of the list before, again and again: 2 to the power of `n` values.
fn doubled(n: usize) -> Vec<u8> {
    let again: Vec<u8> = (0..n).flat_map(|_| b"q\x00h\x00\x86".to_vec()).collect();
    [b"]".to_vec(), again].concat()
}

/// Rows of (name, what follows `PROTO 2`, offset of the fault in the pickle, instruction, message).
#[test]
fn every_fault_has_its_place() {
    let id = |tag: &str, len: i64| {
        [tuple(&[text(tag), global("torch FloatStorage"), text("0"), text("cpu"), int(len)]), b"Q".to_vec()].concat()
    };
    let long_name = [b"c".to_vec(), repeat(2000, b"x"), b"\nx\n".to_vec()].concat();
    let long_key = storage("torch FloatStorage", &"0".repeat(65), 1);
    let many_dims = view(storage("torch FloatStorage", "0", 1), 0, &[1; 65], &[1; 65]);
    let uneven = view(storage("torch FloatStorage", "0", 1), 0, &[1], &[]);
    let negative = call(
        "torch._utils _rebuild_tensor",
        &[storage("torch IntStorage", "0", 1), int(-1), b")".to_vec(), b")".to_vec()],
    );
    let rows: [(&str, Vec<u8>, usize, &str, &str); 34] = [
        ("empty stack", b"".to_vec(), 2, "STOP", "no value to take"),
        ("value before a mark", b"N(".to_vec(), 4, "STOP", "no value to take"),
        ("no mark", b"Nt".to_vec(), 3, "TUPLE", "no mark"),
        ("unknown", b"\xfe".to_vec(), 2, "0xfe", "refused"),
        ("extension", b"\x82\x01".to_vec(), 2, "EXT1", "refused"),
        ("text protocol", b"I1\n".to_vec(), 2, "INT", "refused"),
        ("instance", b"(ios\nsystem\n".to_vec(), 3, "INST", "refused"),
        ("buffer outside", b"\x97".to_vec(), 2, "NEXT_BUFFER", "refused"),
        ("future protocol", b"\x80\x06".to_vec(), 2, "PROTO", "protocol 6"),
        ("cut text", b"X\xff\xff\xff\xffab".to_vec(), 2, "BINUNICODE", "it needs 4294967295 bytes and 3 are left"),
        (
            "cut bytes",
            [b"\x8e".to_vec(), vec![0xff; 8]].concat(),
            2,
            "BINBYTES8",
            "it needs 18446744073709551615 bytes",
        ),
        ("cut number", b"J\x00".to_vec(), 2, "BININT", "it needs 4 bytes and 2 are left"),
        ("cut frame", [b"\x95".to_vec(), vec![0xff; 8]].concat(), 2, "FRAME", "cut short"),
        ("no UTF-8", b"\x8c\x01\xff".to_vec(), 2, "SHORT_BINUNICODE", "not UTF-8"),
        ("no end of the name", b"cos\nsystem".to_vec(), 2, "GLOBAL", "does not end"),
        ("endless name", long_name, 2, "GLOBAL", "does not end"),
        ("name that is no text", b"NN\x93".to_vec(), 4, "STACK_GLOBAL", "not text"),
        ("unknown memory", b"h\x07".to_vec(), 2, "BINGET", "nothing was remembered as number 7"),
        ("nothing to remember", b"\x94".to_vec(), 2, "MEMOIZE", "no value to take"),
        ("huge integer", [b"\x8b\x41\0\0\0".to_vec(), vec![1; 65]].concat(), 2, "LONG4", "65 bytes is too long"),
        ("negative length", b"\x8b\xff\xff\xff\xff".to_vec(), 2, "LONG4", "it needs 4294967295 bytes"),
        ("append to a number", b"K\x01Na".to_vec(), 5, "APPEND", "lists and sets only"),
        ("key in a list", b"]NNs".to_vec(), 5, "SETITEM", "dicts only"),
        ("key without value", b"}(Nu".to_vec(), 5, "SETITEMS", "no value"),
        ("state of a number", b"K\x01Nb".to_vec(), 5, "BUILD", "no state"),
        ("call of a number", b"K\x01)R".to_vec(), 5, "REDUCE", "not a class"),
        ("foreign id", [text("x"), b"Q".to_vec()].concat(), 8, "BINPERSID", "only storages"),
        ("foreign kind", id("module", 1), id("module", 1).len() + 1, "BINPERSID", "only storages"),
        ("negative storage", id("storage", -1), id("storage", -1).len() + 1, "BINPERSID", "cannot have -1 elements"),
        ("long key", long_key.clone(), long_key.len() + 1, "BINPERSID", "has 65 bytes"),
        ("65 dimensions", many_dims.clone(), many_dims.len() + 1, "REDUCE", "at most 64"),
        ("uneven strides", uneven.clone(), uneven.len() + 1, "REDUCE", "1 dimensions and 0 strides"),
        ("negative offset", negative.clone(), negative.len() + 1, "REDUCE", "offset is -1"),
        ("itself", b"]q\x00h\x00a".to_vec(), 8, "STOP", "contains itself"),
    ];
    for (name, body, at, code, message) in rows {
        match value(&body) {
            Err(TorchError::Pickle { offset, opcode, why }) => {
                assert!(why.contains(message), "{name}: {why}");
                assert_eq!((offset, opcode.as_str()), (at, code), "{name}: {why}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Rows of (name, pickle, message): each asks for more than the limits allow, out of a few kB or MB.
#[test]
fn bombs_are_refused() {
    let shared_text =
        [b"]\x94".to_vec(), text(&"x".repeat(1 << 20)), b"\x940(".to_vec(), repeat(1000, b"h\x01"), b"e".to_vec()];
    let shared_text: Vec<u8> = shared_text.concat();
    let copies = [b"](".to_vec(), repeat(100_000, b"N"), b"eq\x00".to_vec()].concat();
    let copies = [copies, repeat(200, b"c__builtin__\nset\nh\x00\x85R")].concat();
    let rows = [
        ("doubled", doubled(60), "repeat more than"),
        ("nested", [repeat(100_000, b"]"), repeat(99_999, b"a")].concat(), "nest more than 256 deep"),
        ("nested tuples", [b")".to_vec(), repeat(100_000, b"\x85")].concat(), "nest more than 256 deep"),
        ("repeated text", shared_text, "repeat more than"),
        ("copied sets", copies, "more than 5000000 instructions"),
        ("instructions", repeat(MAX_STEPS + 1, b"2").splice(..1, *b"N").collect(), "there is no value"),
        ("duplicates", [b"N".to_vec(), repeat(MAX_STEPS + 1, b"2")].concat(), "more than 5000000 instructions"),
    ];
    for (name, body, message) in rows {
        let error = value(&body).unwrap_err().to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
    // The same shapes within the limits are read.
    assert!(value(&doubled(15)).is_ok());
    assert!(value(&[repeat(200, b"]"), repeat(199, b"a")].concat()).is_ok());
}

/// A pickle with something of everything: the state dict, settings, an object, big numbers, bytes, sets.
fn everything() -> Vec<u8> {
    let weights =
        dict(&[("a", floats("0", 6)), ("b", view(storage("torch FloatStorage", "0", 6), 1, &[2, 2], &[1, 2]))]);
    let namespace = b"cargparse\nNamespace\n)\x81}X\x02\0\0\0lrG?\xf8\0\0\0\0\0\0sb".to_vec();
    dict(&[
        ("state_dict", weights),
        ("args", namespace),
        ("big", b"\x8a\x0d\0\0\0\0\0\0\0\0\0\0\0\0\x10".to_vec()),
        ("set", b"\x8f(K\x01M\x00\x02\x90".to_vec()),
        ("frozen", b"(K\x03\x91q\x05".to_vec()),
        ("bytes", b"C\x02ab".to_vec()),
        ("again", b"h\x05".to_vec()),
        ("list", b"](\x88\x89Ne".to_vec()),
        ("stack", b"\x8c\x05torch\x8c\x07float16\x93".to_vec()),
    ])
}

/// Opens, names and reads whatever can be read; the error of the first thing that cannot.
fn use_all(bytes: &[u8]) -> Result<usize, TorchError> {
    let mut file = open(bytes)?;
    let named = named_tensors(file.root())?;
    named.tensors.iter().try_fold(0, |sum, (_, info)| Ok(sum + file.read(info)?.len()))
}

#[test]
fn a_pickle_cut_anywhere_is_an_error() {
    let whole = pickled(&everything());
    assert!(parse(&whole).is_ok());
    for n in 0..whole.len() {
        match parse(&whole[..n]) {
            Err(TorchError::Pickle { offset, .. }) => assert!(offset <= n, "{n}: {offset}"),
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = checkpoint(&everything(), 6);
    assert_eq!(use_all(&whole).unwrap(), 6 * 4 + 4 * 4);
    for n in 0..whole.len() {
        let error = use_all(&whole[..n]).unwrap_err();
        assert!(matches!(error, TorchError::Damaged { .. } | TorchError::NotTorch { .. }), "{n}: {error}");
    }
}

/// Whatever a changed byte means, it is a value or an error; the values can be used.
#[test]
fn a_pickle_with_any_byte_changed_does_no_harm() {
    let whole = pickled(&everything());
    let (mut read, mut refused) = (0, 0);
    for at in 0..whole.len() {
        for change in 1..=255 {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            match parse(&bytes) {
                Ok(value) => {
                    read += 1;
                    assert!(!value.to_string().is_empty());
                    if let Ok(named) = named_tensors(&value) {
                        assert!(!named.tensors.is_empty());
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(matches!(error, TorchError::Pickle { .. }), "byte {at} ^ {change}: {error}");
                }
            }
        }
    }
    assert!(read > 1000 && refused > 1000, "{read} were read, {refused} refused");
}

/// The pickle's changes reach the tensors too: shapes, strides and lengths that do not fit the archive.
#[test]
fn a_file_with_any_byte_changed_does_no_harm() {
    let body = dict(&[("b", view(storage("torch FloatStorage", "0", 6), 1, &[2, 2], &[1, 2]))]);
    let whole = checkpoint(&body, 6);
    let good = use_all(&whole).unwrap();
    let pickle = pickled(&body);
    for at in 0..pickle.len() {
        for change in 1..=255 {
            let mut bytes = pickle.clone();
            bytes[at] ^= change;
            let file = zip(&[("x/data.pkl", &bytes), ("x/data/0", &ramp(6))], CompressionMethod::Stored);
            let _ = use_all(&file);
        }
    }
    let (mut same, mut refused) = (0, 0);
    for at in 0..whole.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            match use_all(&bytes) {
                // A time or a flag that nobody reads, or elements of a part without checksum.
                Ok(n) => same += usize::from(n == good),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > same, "{refused} were refused, {same} read");
}

/// Pieces of pickles that fit together often enough to reach deep.
const PIECES: [&[u8]; 36] = [
    b"N",
    b"K\x01",
    b"J\xff\xff\xff\xff",
    b"X\x01\0\0\0a",
    b"\x8c\x07storage",
    b"C\x01a",
    b"]",
    b"}",
    b")",
    b"(",
    b"\x8f",
    b"t",
    b"l",
    b"d",
    b"a",
    b"e",
    b"s",
    b"u",
    b"\x90",
    b"\x91",
    b"\x85",
    b"\x86",
    b"\x87",
    b"0",
    b"2",
    b"q\0",
    b"h\0",
    b"\x94",
    b"R",
    b"\x81",
    b"b",
    b"Q",
    b"ccollections\nOrderedDict\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]
    #[test]
    fn any_instructions_give_a_value_or_an_error(pieces in prop::collection::vec(0..PIECES.len(), 0..40)) {
        let body: Vec<u8> = pieces.iter().flat_map(|i| PIECES[*i].to_vec()).collect();
        match value(&body) {
            Ok(value) => prop_assert!(!value.to_string().is_empty()),
            Err(TorchError::Pickle { offset, .. }) => prop_assert!(offset <= body.len() + 2),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
