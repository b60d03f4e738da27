//! Writes a state dict as `torch.save` does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::value::elements;
use super::{Dtype, NOTES, TorchError};

/// The folder that all entries lie in; its name means nothing.
const FOLDER: &str = "archive";
/// Elements begin at multiples of this in the file, as PyTorch has it, so that they can be mapped.
const ALIGNMENT: u16 = 64;
/// An entry from this length on, in bytes, needs the 64-bit form.
const LARGE: usize = 0xffff_0000;

/// A tensor to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its key in the state dict.
    pub name: String,
    /// Type of the elements; the unsigned integers above 8 bits and the 8-bit floats cannot be written.
    pub dtype: Dtype,
    /// Length of every dimension; none for a single number.
    pub shape: Vec<usize>,
    /// Number of the storage that it fills. Tied tensors share one; they have one type and number of elements.
    pub storage: usize,
}

/// Writes an `OrderedDict` of `items` in their order, for `torch.load` of PyTorch 1.6 and later.
///
/// `notes` are texts by name, which PyTorch passes over. The storages are asked for by number, once each, from 0 to the highest that an item names; each gives its elements
/// little-endian in row-major order. Only one is held at a time. Equal input gives equal bytes. Fails with
/// [`TorchError::Unwritable`] if the items contradict each other or a storage does not have their size; what was
/// written until then is no checkpoint.
pub fn write<W: Write, E: From<TorchError>>(
    out: W,
    items: &[Item],
    notes: &[(&str, &str)],
    mut storage: impl FnMut(usize) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    let storages = storages(items)?;
    let mut zip = ZipWriter::new_stream(out);
    entry(&mut zip, "data.pkl", &pickle(items, &storages))?;
    entry(&mut zip, "byteorder", b"little")?;
    for (name, text) in notes {
        entry(&mut zip, &format!("{NOTES}{name}"), text.as_bytes())?;
    }
    for (i, (dtype, len)) in storages.iter().enumerate() {
        let bytes = storage(i)?;
        if bytes.len() != len * dtype.size() {
            let what = format!("storage {i} has {} bytes, not those of {len} elements {}", bytes.len(), dtype.name());
            return Err(TorchError::Unwritable { what }.into());
        }
        entry(&mut zip, &format!("data/{i}"), &bytes)?;
    }
    entry(&mut zip, "version", b"3\n")?;
    let mut out = zip.finish().map_err(TorchError::from)?.into_inner();
    out.flush().map_err(TorchError::from)?;
    Ok(())
}

/// Type and number of elements of every storage.
fn storages(items: &[Item]) -> Result<Vec<(Dtype, usize)>, TorchError> {
    let (mut storages, mut names) = (BTreeMap::new(), BTreeSet::new());
    let wrong = |what: String| Err(TorchError::Unwritable { what });
    for Item { name, dtype, shape, storage } in items {
        let len = elements(shape).filter(|len| len.checked_mul(dtype.size()).is_some_and(|n| i64::try_from(n).is_ok()));
        let Some(len) = len else { return wrong(format!("no tensor can have the shape {shape:?} of `{name}`")) };
        if dtype.storage_class().is_none() {
            return wrong(format!("`{name}` is {}, which has no storage class", dtype.name()));
        }
        if !names.insert(name) {
            return wrong(format!("two tensors have the name `{name}`"));
        }
        if *storages.entry(*storage).or_insert((*dtype, len)) != (*dtype, len) {
            return wrong(format!("`{name}` differs in type or size from another tensor in storage {storage}"));
        }
    }
    if storages.keys().copied().ne(0..storages.len()) {
        return wrong("the storages are not counted from 0 without a gap".to_owned());
    }
    Ok(storages.into_values().collect())
}

/// Adds a file to the archive.
fn entry<W: Write + Seek>(zip: &mut ZipWriter<W>, name: &str, bytes: &[u8]) -> Result<(), TorchError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGNMENT)
        .large_file(bytes.len() >= LARGE);
    zip.start_file(format!("{FOLDER}/{name}"), options)?;
    Ok(zip.write_all(bytes)?)
}

/// The pickle, in protocol 2: `OrderedDict([(name, _rebuild_tensor_v2(...)), ...])`, item by item.
fn pickle(items: &[Item], storages: &[(Dtype, usize)]) -> Vec<u8> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for Item { name, dtype, shape, storage } in items {
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(format!("ctorch\n{}\n", dtype.storage_class().unwrap_or_default()).bytes());
        text(&mut out, &storage.to_string());
        text(&mut out, "cpu");
        int(&mut out, storages[*storage].1);
        out.extend(b"tQ");
        int(&mut out, 0);
        tuple(&mut out, shape);
        tuple(&mut out, &strides(shape));
        // No gradient is asked for, and the dict of hooks is empty.
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    out
}

/// Steps between the elements of a tensor in row-major order; PyTorch counts empty dimensions as 1.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut step = 1usize;
    let mut strides = vec![0; shape.len()];
    for (stride, n) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        step = step.saturating_mul(*n.max(&1));
    }
    strides
}

fn tuple(out: &mut Vec<u8>, items: &[usize]) {
    out.push(b'(');
    for n in items {
        int(out, *n);
    }
    out.push(b't');
}

fn int(out: &mut Vec<u8>, n: usize) {
    if let Ok(n) = i32::try_from(n) {
        out.push(b'J');
        out.extend(n.to_le_bytes());
    } else {
        out.extend(b"\x8a\x08");
        out.extend((n as u64).to_le_bytes());
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}
