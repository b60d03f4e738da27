//! Whole files: what kind they are, and the elements of tensors in them.

use proptest::prelude::*;

use super::*;

/// (name, offset, shape, strides, elements).
type View<'a> = (&'a str, usize, &'a [usize], &'a [usize], &'a [f32]);

/// The names are expressions of PyTorch, with `b = torch.arange(24.).reshape(2, 3, 4)`; the numbers are what it prints.
#[test]
fn views_are_read_in_row_major_order() {
    let rows: [View<'_>; 11] = [
        ("b[0]", 0, &[3, 4], &[4, 1], &[0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11.]),
        ("b[0].t()", 0, &[4, 3], &[1, 4], &[0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]),
        ("b[1, 1:, ::2]", 16, &[2, 2], &[4, 2], &[16., 18., 20., 22.]),
        ("b.permute(2, 0, 1)[:2]", 0, &[2, 2, 3], &[1, 12, 4], &[0., 4., 8., 12., 16., 20., 1., 5., 9., 13., 17., 21.]),
        ("b[1, 2, 3]", 23, &[], &[], &[23.]),
        ("b[:, :1, :1].expand(2, 3, 1)", 0, &[2, 3, 1], &[12, 0, 1], &[0., 0., 0., 12., 12., 12.]),
        ("b[0].diagonal()", 0, &[3], &[5], &[0., 5., 10.]),
        ("b[:, 0:0]", 0, &[2, 0, 4], &[12, 4, 1], &[]),
        ("b.flatten()[24:]", 24, &[0], &[1], &[]),
        ("b[1:, 2:, 2:]", 22, &[1, 1, 2], &[12, 4, 1], &[22., 23.]),
        ("b[0, 0].unfold(0, 2, 1)", 0, &[3, 2], &[1, 1], &[0., 1., 1., 2., 2., 3.]),
    ];
    for (name, offset, shape, strides, expected) in rows {
        let pickle = pickled(&view(storage("torch FloatStorage", "0", 24), offset, shape, strides));
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let bytes = zip(&[("data.pkl", &pickle), ("data/0", &ramp(24))], method);
            let mut file = open(&bytes).unwrap();
            let tensor = info(file.root());
            assert_eq!(numbers(&file.read(&tensor).unwrap()), expected, "{name}, {method:?}");
        }
    }
}

proptest! {
    /// Any view gives the element `offset + sum of index * stride` at every index.
    #[test]
    fn any_view_follows_its_strides(
        dims in prop::collection::vec((0usize..4, 0usize..6), 0..4),
        offset in 0usize..5,
    ) {
        let (shape, strides): (Vec<usize>, Vec<usize>) = dims.into_iter().unzip();
        let mut expected = vec![offset];
        for (n, stride) in shape.iter().zip(&strides) {
            expected = expected.iter().flat_map(|at| (0..*n).map(move |i| at + i * stride)).collect();
        }
        let bytes = checkpoint(&view(storage("torch FloatStorage", "0", 64), offset, &shape, &strides), 64);
        let mut file = open(&bytes).unwrap();
        let tensor = info(file.root());
        let expected: Vec<f32> = expected.iter().map(|i| *i as f32).collect();
        prop_assert_eq!(numbers(&file.read(&tensor).unwrap()), expected);
    }
}

/// Rows of (name, tensor, message): in the archive, storage 0 has 6 elements.
#[test]
fn a_tensor_outside_its_storage_is_refused() {
    let far = usize::MAX / 2;
    let of = |key: &str, len: usize, offset: usize, shape: &[usize], strides: &[usize]| {
        view(storage("torch FloatStorage", key, len), offset, shape, strides)
    };
    let rows = [
        ("too long", of("0", 6, 0, &[7], &[1]), "does not fit its 6 elements"),
        ("too late", of("0", 6, 6, &[], &[]), "does not fit its 6 elements"),
        ("too wide", of("0", 6, 0, &[2, 2], &[5, 1]), "does not fit its 6 elements"),
        ("longer than the archive has", of("0", 7, 0, &[7], &[1]), "its entry has 24 bytes and 28 are needed"),
        ("missing", of("1", 6, 0, &[6], &[1]), "no entry `x/data/1`"),
        ("a path", of("../data.pkl", 6, 0, &[6], &[1]), "no entry `x/data/../data.pkl`"),
        ("shape past all numbers", of("0", 6, 0, &[far, far], &[0, 0]), "no tensor can have the shape"),
        ("stride past all numbers", of("0", 6, 0, &[4], &[far]), "does not fit its 6 elements"),
        ("lengths past all numbers", of("0", far, far - 1, &[1], &[1]), "its entry has 24 bytes"),
        ("repeated without end", of("0", far, 0, &[1 << 40], &[0]), "into more than 1 GiB"),
    ];
    for (name, body, message) in rows {
        let mut file = open(&checkpoint(&body, 6)).unwrap();
        let tensor = info(file.root());
        let error = file.read(&tensor).unwrap_err();
        assert!(matches!(error, TorchError::Storage { .. }), "{name}: {error}");
        assert!(error.to_string().contains(message), "{name}: {error}");
    }
}

/// Rows of (type, stored big-endian, little-endian): numbers are turned around, halves of complex numbers singly.
#[test]
fn big_endian_elements_are_turned_around() {
    let rows: [(&str, &[u8], &[u8]); 4] = [
        ("torch ShortStorage", &[1, 2, 3, 4], &[2, 1, 4, 3]),
        ("torch FloatStorage", &[1, 2, 3, 4, 5, 6, 7, 8], &[4, 3, 2, 1, 8, 7, 6, 5]),
        ("torch ComplexFloatStorage", &[1, 2, 3, 4, 5, 6, 7, 8], &[4, 3, 2, 1, 8, 7, 6, 5]),
        ("torch ByteStorage", &[1, 2], &[1, 2]),
    ];
    for (class, stored, expected) in rows {
        let pickle = |n| pickled(&view(storage(class, "0", n), 0, &[n], &[1]));
        let n = stored.len() / info(&parse(&pickle(1)).unwrap()).dtype.size();
        for (order, expected) in [(&b"big"[..], expected), (b"little", stored)] {
            let entries: [(&str, &[u8]); 3] =
                [("x/data.pkl", &pickle(n)), ("x/byteorder", order), ("x/data/0", stored)];
            let mut file = open(&zip(&entries, CompressionMethod::Stored)).unwrap();
            let tensor = info(file.root());
            assert_eq!(file.read(&tensor).unwrap(), expected, "{class}, {order:?}");
        }
    }
}

/// Rows of (name, file, whole message).
#[test]
fn other_files_are_named_for_what_they_are() {
    let pickle = pickled(b"}");
    let torch = |entries: &[(&str, &[u8])]| zip(entries, CompressionMethod::Stored);
    let mut twice = torch(&[("x/data.pkl", &pickle), ("y/data.pkl", &pickle)]);
    for at in 0..twice.len() - 10 {
        if twice[at..].starts_with(b"y/data.pkl") {
            twice[at] = b'x';
        }
    }
    let endless = zip(&[("x/data.pkl", &vec![b'0'; (64 << 20) + 1])], CompressionMethod::Deflated);
    let script = "the file is a TorchScript program: load it with torch.jit.load(...) and save its weights with \
                  torch.save(model.state_dict(), ...)";
    let rows = [
        (
            "other zip",
            torch(&[("x/metadata.pkl", &pickle)]),
            "the file is not a checkpoint of torch.save: it is a zip archive without data.pkl",
        ),
        ("script", torch(&[("ViT/data.pkl", &pickle), ("ViT/constants.pkl", &pickle)]), script),
        ("script code", torch(&[("x/code/__torch__.py", b""), ("x/data.pkl", &pickle)]), script),
        (
            "one name twice",
            twice,
            "the file is damaged or cut short: two entries of the archive have one name; download it again or save it \
             again",
        ),
        (
            "endless pickle",
            endless,
            "the file is damaged or cut short: `x/data.pkl` has more than 67108864 bytes; download it again or save it \
             again",
        ),
        (
            "order",
            torch(&[("x/data.pkl", &pickle), ("x/byteorder", b"middle")]),
            "the file is damaged or cut short: `x/byteorder` is neither `little` nor `big`; download it again or save \
             it again",
        ),
        (
            "pickle in the archive",
            torch(&[("x/data.pkl", b"\x80\x02(")]),
            "cannot read data.pkl at byte 3 (end): the pickle ends without STOP: it is cut short; if PyTorch loads the \
             file, save its weights alone with torch.save(model.state_dict(), ...)",
        ),
    ];
    for (name, bytes, message) in rows {
        assert_eq!(open(&bytes).unwrap_err().to_string(), message, "{name}");
    }
}

#[test]
fn the_folder_of_the_archive_may_have_any_name() {
    for folder in ["", "archive/", "my model/", "a/b/", "data/"] {
        let pickle = pickled(&floats("0", 3));
        let names = (format!("{folder}data.pkl"), format!("{folder}data/0"));
        let entries: [(&str, &[u8]); 2] = [(&names.0, &pickle), (&names.1, &ramp(3))];
        let mut file = open(&zip(&entries, CompressionMethod::Stored)).unwrap();
        let tensor = info(file.root());
        assert_eq!(numbers(&file.read(&tensor).unwrap()), [0., 1., 2.], "{folder}");
    }
}

/// The checksum of a whole storage is compared; 0 says that none was computed (`torch.serialization.set_crc32_options`).
#[test]
fn changed_elements_are_noticed() {
    let mut bytes = checkpoint(&floats("0", 6), 6);
    let at = bytes.windows(8).position(|bytes| bytes == &ramp(6)[8..16]).unwrap();
    bytes[at] ^= 1;
    let mut file = open(&bytes).unwrap();
    let tensor = info(file.root());
    assert!(matches!(file.read(&tensor), Err(TorchError::Damaged { .. })));

    // In a record of the directory, the checksum lies 16 bytes after its start.
    let starts: Vec<usize> = bytes.windows(4).enumerate().filter(|(_, w)| w == b"PK\x01\x02").map(|(i, _)| i).collect();
    for start in starts {
        bytes[start + 16..start + 20].fill(0);
    }
    let mut file = open(&bytes).unwrap();
    assert_ne!(file.read(&tensor).unwrap(), ramp(6));
}
