//! Checkpoints built by hand, instruction by instruction.

mod files;
mod golden;
mod hostile;
mod named;
mod values;
mod writing;

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::pickle::parse;
use super::*;

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn int(n: i64) -> Vec<u8> {
    [&b"\x8a\x08"[..], &n.to_le_bytes()].concat()
}

fn ints(items: &[usize]) -> Vec<u8> {
    tuple(&items.iter().map(|n| int(*n as i64)).collect::<Vec<_>>())
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [&b"("[..], &items.concat(), b"t"].concat()
}

fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<u8> = pairs.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
    [&b"}("[..], &pairs, b"u"].concat()
}

/// REDUCE of a class given as `module name`.
fn call(class: &str, args: &[Vec<u8>]) -> Vec<u8> {
    [global(class), tuple(args), b"R".to_vec()].concat()
}

fn global(class: &str) -> Vec<u8> {
    format!("c{}\n", class.replace(' ', "\n")).into_bytes()
}

fn storage(class: &str, key: &str, len: usize) -> Vec<u8> {
    let id = [text("storage"), global(class), text(key), text("cpu"), int(len as i64)];
    [tuple(&id), b"Q".to_vec()].concat()
}

/// A view of a storage, as `torch.save` writes it.
fn view(storage: Vec<u8>, offset: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let hooks = call("collections OrderedDict", &[]);
    let args = [storage, int(offset as i64), ints(shape), ints(strides), b"\x89".to_vec(), hooks];
    call("torch._utils _rebuild_tensor_v2", &args)
}

/// A tensor of `f32` that fills storage `key`.
fn floats(key: &str, n: usize) -> Vec<u8> {
    view(storage("torch FloatStorage", key, n), 0, &[n], &[1])
}

fn pickled(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

fn value(body: &[u8]) -> Result<Value, TorchError> {
    parse(&pickled(body))
}

fn zip(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn open(bytes: &[u8]) -> Result<TorchFile<Cursor<Vec<u8>>>, TorchError> {
    TorchFile::open(Cursor::new(bytes.to_vec()))
}

/// An uncompressed checkpoint with this root and one storage of the `f32` 0, 1, 2, ...
fn checkpoint(body: &[u8], n: usize) -> Vec<u8> {
    zip(&[("x/data.pkl", &pickled(body)), ("x/data/0", &ramp(n))], CompressionMethod::Stored)
}

fn ramp(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The tensor that a root is.
fn info(root: &Value) -> TensorInfo {
    match root {
        Value::Tensor(info) => (**info).clone(),
        other => panic!("{other} is no tensor"),
    }
}
