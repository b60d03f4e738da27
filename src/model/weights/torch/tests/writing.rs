//! Written checkpoints are read again; that PyTorch reads them was checked by hand.

use std::io::{Error, Read};

use proptest::prelude::*;
use zip::ZipArchive;

use super::*;

const DTYPES: [Dtype; 12] = [
    Dtype::F64,
    Dtype::F32,
    Dtype::F16,
    Dtype::BF16,
    Dtype::I64,
    Dtype::I32,
    Dtype::I16,
    Dtype::I8,
    Dtype::U8,
    Dtype::Bool,
    Dtype::C64,
    Dtype::C128,
];

fn item(name: &str, dtype: Dtype, shape: &[usize], storage: usize) -> Item {
    Item { name: name.to_owned(), dtype, shape: shape.to_vec(), storage }
}

fn written(items: &[Item], storages: &[Vec<u8>]) -> Result<Vec<u8>, TorchError> {
    let mut out = Vec::new();
    write(&mut out, items, &[], |i| Ok::<_, TorchError>(storages[i].clone()))?;
    Ok(out)
}

proptest! {
    #[test]
    fn tensors_come_back(
        made in prop::collection::vec((0usize..12, prop::collection::vec(0usize..5, 0..4), "\\PC{0,8}"), 1..8),
        tied in any::<bool>(),
    ) {
        let mut items = Vec::new();
        for (i, (dtype, shape, name)) in made.iter().enumerate() {
            items.push(item(&format!("{name}{i}"), DTYPES[*dtype], shape, i));
        }
        if tied {
            items.push(Item { name: "tied".to_owned(), ..items[0].clone() });
        }
        let storages: Vec<Vec<u8>> = items.iter().take(made.len()).map(|item| {
            let n = item.shape.iter().product::<usize>() * item.dtype.size();
            (0..n).map(|i| (i * 7 + item.storage) as u8).collect()
        }).collect();
        let mut file = open(&written(&items, &storages).unwrap()).unwrap();
        let named = named_tensors(file.root()).unwrap();
        prop_assert_eq!(named.tensors.len(), items.len());
        for (item, (name, info)) in items.iter().zip(&named.tensors) {
            prop_assert_eq!((name, info.dtype, &info.shape), (&item.name, item.dtype, &item.shape));
            prop_assert_eq!(&info.storage, &item.storage.to_string());
            prop_assert_eq!(&file.read(info).unwrap(), &storages[item.storage]);
        }
    }
}

/// Names, order, alignment and times are those of `torch.save`, but for the folder, whose name means nothing.
#[test]
fn the_archive_is_laid_out_as_by_pytorch() {
    let items = [item("a", Dtype::F32, &[3], 0), item("b", Dtype::I64, &[], 1), item("c", Dtype::F32, &[3, 1], 0)];
    let bytes = written(&items, &[ramp(3), vec![7; 8]]).unwrap();
    let mut archive = ZipArchive::new(Cursor::new(&bytes)).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    let expected = ["data.pkl", "byteorder", "data/0", "data/1", "version"].map(|name| format!("archive/{name}"));
    assert_eq!(names, expected);
    for name in names {
        let mut entry = archive.by_name(&name).unwrap();
        let start = entry.data_start().unwrap();
        assert_eq!((entry.compression(), start % 64), (CompressionMethod::Stored, 0), "{name}");
        assert_eq!(entry.last_modified().unwrap().to_string(), "1980-01-01 00:00:00", "{name}");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        match name.as_str() {
            "archive/byteorder" => assert_eq!(content, b"little"),
            "archive/version" => assert_eq!(content, b"3\n"),
            "archive/data/0" => assert_eq!(content, ramp(3)),
            "archive/data/1" => assert_eq!(content, [7; 8]),
            _ => {}
        }
        assert!(bytes[start as usize..].starts_with(&content), "{name}");
    }
    assert_eq!(bytes, written(&items, &[ramp(3), vec![7; 8]]).unwrap());
}

/// A storage above 2^31 elements is promised by a long integer: the pickle comes before any element is asked for.
#[test]
fn large_sizes_are_written_in_full() {
    let items = [item("a", Dtype::U8, &[3, 1 << 31], 0)];
    let mut out = Vec::new();
    let error = write(&mut out, &items, &[], |_| Err(TorchError::Io(Error::other("enough")))).unwrap_err();
    assert_eq!(error.to_string(), "cannot access the checkpoint: enough");
    let start = out.windows(2).position(|bytes| bytes == b"\x80\x02").unwrap();
    let tensor = parse(&out[start..]).unwrap();
    let tensor = info(tensor.get("a").unwrap());
    assert_eq!((tensor.shape, tensor.strides, tensor.storage_len), (vec![3, 1 << 31], vec![1 << 31, 1], 3 << 31));
}

/// Rows of (name, items, message); storage 0 has 8 bytes.
#[test]
fn contradictions_are_refused() {
    let two = |a: Item, b: Item| vec![a, b];
    let a = || item("a", Dtype::F32, &[2], 0);
    let rows = [
        ("one name twice", two(a(), a()), "two tensors have the name `a`"),
        ("tied types differ", two(a(), item("b", Dtype::I32, &[2], 0)), "`b` differs in type or size"),
        ("tied sizes differ", two(a(), item("b", Dtype::F32, &[1], 0)), "`b` differs in type or size"),
        ("a gap", two(a(), item("b", Dtype::F32, &[2], 2)), "without a gap"),
        (
            "too few bytes",
            vec![item("a", Dtype::F32, &[3], 0)],
            "storage 0 has 8 bytes, not those of 3 elements float32",
        ),
        ("new type", vec![item("a", Dtype::U16, &[4], 0)], "`a` is uint16"),
        ("endless shape", vec![item("a", Dtype::F32, &[usize::MAX, 2], 0)], "no tensor can have the shape"),
    ];
    for (name, items, message) in rows {
        let error = written(&items, &[vec![0; 8]]).unwrap_err();
        assert!(matches!(error, TorchError::Unwritable { .. }), "{name}: {error}");
        assert!(error.to_string().contains(message), "{name}: {error}");
    }
}
