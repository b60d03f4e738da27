//! PyTorch checkpoints in the zip format of `torch.save`, read from memory; nothing in them is ever executed.

use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use candle_core::pickle::{Object, Stack, TensorInfo};
use candle_core::{Device, Tensor};
use zip::ZipArchive;

use super::Weights;
use super::checkpoint::floats;

/// The keys under which training programs hide the weights inside a larger checkpoint.
const NESTS: [&str; 2] = ["state_dict", "model_state_dict"];

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Reads every tensor of a checkpoint.
///
/// Entries that are not tensors, or whose element type is unknown (masks of `bool`), are left out; who needs
/// one of them finds it missing by name.
pub(super) fn read(bytes: &[u8]) -> Result<Weights> {
    let broken = "the file is a damaged or cut short PyTorch checkpoint: download it again";
    let mut archive = ZipArchive::new(Cursor::new(bytes)).context(broken)?;
    let pickle = archive.file_names().filter_map(|name| name.ok().map(|name| name.to_string()));
    let pickle = pickle.into_iter().find(|name| name.ends_with("/data.pkl") || name == "data.pkl");
    let pickle =
        pickle.ok_or_else(|| anyhow!("the file is a zip archive, but not one of torch.save: it has no data.pkl"))?;
    let entries = entries(&content(&mut archive, &pickle)?)?;
    let folder = Path::new(pickle.strip_suffix(".pkl").unwrap_or(&pickle));
    let mut weights = Weights::new();
    for (name, value) in entries {
        if let Ok(Some(info)) = value.into_tensor_info(name, folder) {
            let tensor = tensor(&mut archive, &info).with_context(|| format!("cannot read tensor `{}`", info.name))?;
            weights.insert(info.name, tensor);
        }
    }
    if weights.is_empty() {
        bail!("the PyTorch checkpoint holds no tensors by name: save the model's state_dict()");
    }
    Ok(weights)
}

/// The bytes of one file of the archive.
fn content(archive: &mut Archive<'_>, name: &str) -> Result<Vec<u8>> {
    let what = || format!("cannot read `{name}` in the PyTorch checkpoint");
    let mut bytes = Vec::new();
    archive.by_name(name).with_context(what)?.read_to_end(&mut bytes).with_context(what)?;
    Ok(bytes)
}

/// The named values of the pickled dictionary, out of the nest that it may lie in.
fn entries(pickle: &[u8]) -> Result<Vec<(Object, Object)>> {
    let wrong = "the PyTorch checkpoint is not a dictionary of tensors: save the model's state_dict()";
    let mut stack = Stack::empty();
    stack.read_loop(&mut Cursor::new(pickle)).context(wrong)?;
    let mut entries = stack.finalize()?.dict().map_err(|_| anyhow!(wrong))?;
    for nest in NESTS {
        let key = Object::Unicode(nest.to_owned());
        if let Some(at) = entries.iter().position(|(name, _)| *name == key) {
            entries = entries.swap_remove(at).1.dict().map_err(|_| anyhow!(wrong))?;
        }
    }
    Ok(entries)
}

/// Copies one tensor out of the archive, in row-major order.
fn tensor(archive: &mut Archive<'_>, info: &TensorInfo) -> Result<Tensor> {
    let storage = content(archive, &info.path)?;
    let (dims, width) = (info.layout.dims(), info.dtype.size_in_bytes());
    // candle counts the offset of a PyTorch tensor in bytes already.
    let storage = storage.get(info.layout.start_offset()..).unwrap_or_default();
    let strides: Vec<usize> = info.layout.stride().iter().map(|stride| stride * width).collect();
    let mut bytes = Vec::with_capacity(info.layout.shape().elem_count() * width);
    if info.layout.shape().elem_count() > 0 {
        gather(storage, dims, &strides, width, &mut bytes)?;
    }
    floats(&Tensor::from_raw_buffer(&bytes, info.dtype, dims, &Device::Cpu)?)
}

/// Appends the elements of a strided tensor to `into`, last dimension fastest.
fn gather(from: &[u8], dims: &[usize], strides: &[usize], width: usize, into: &mut Vec<u8>) -> Result<()> {
    let short = || anyhow!("the tensor's data are cut short");
    match (dims, strides) {
        ([], _) => into.extend(from.get(..width).ok_or_else(short)?),
        ([n], [stride]) if *stride == width => into.extend(from.get(..n * width).ok_or_else(short)?),
        ([n, dims @ ..], [stride, strides @ ..]) => {
            for i in 0..*n {
                gather(from.get(i * stride..).ok_or_else(short)?, dims, strides, width, into)?;
            }
        }
        (_, []) => bail!("the tensor's strides do not match its shape"),
    }
    Ok(())
}
