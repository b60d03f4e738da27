//! One file of weights -> tensors, whichever of the two formats it is in.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{SafeTensorError, TensorView};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::{Weights, fault, pickle};

/// Reads the bytes of a SafeTensors file or of a PyTorch checkpoint (zip format), told apart by their first bytes.
///
/// Floats of any width become `f32`. Fails with the name of what the file really is.
pub fn parse(bytes: &[u8]) -> Result<Weights> {
    if let Some(fault) = fault::describe(bytes) {
        bail!("{fault}");
    }
    if bytes.starts_with(fault::ZIP) { pickle::read(bytes) } else { safetensors(bytes) }
}

/// Reads a SafeTensors file.
fn safetensors(bytes: &[u8]) -> Result<Weights> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| explain(bytes, &error))?;
    let mut weights = Weights::new();
    for (name, view) in file.iter() {
        let tensor = tensor(&view).with_context(|| format!("cannot read tensor `{name}`"))?;
        weights.insert(name.to_owned(), tensor);
    }
    Ok(weights)
}

/// Says why a file is not SafeTensors; a download that was cut short is the usual reason.
fn explain(bytes: &[u8], error: &SafeTensorError) -> anyhow::Error {
    match promised(bytes) {
        Some(promised) if promised > bytes.len() as u64 => anyhow!(
            "the file is cut short: it has {} bytes and its header promises at least {promised}; download it again",
            bytes.len()
        ),
        _ => anyhow!("the file is neither SafeTensors nor a PyTorch checkpoint ({error})"),
    }
}

/// The length in bytes that a SafeTensors header speaks of, as far as the header is there.
fn promised(bytes: &[u8]) -> Option<u64> {
    let header = u64::from_le_bytes(*bytes.first_chunk()?);
    // A real header has at most 100 MB; anything longer is not a length.
    let start = Some(8 + header).filter(|_| header < 100_000_000)?;
    let Some(text) = bytes.get(8..start as usize) else { return Some(start) };
    let entries: BTreeMap<String, Value> = serde_json::from_slice(text).ok()?;
    let end = entries.values().filter_map(|entry| entry["data_offsets"][1].as_u64()).max();
    Some(start + end.unwrap_or(0))
}

/// Copies one tensor out of the file.
fn tensor(view: &TensorView<'_>) -> Result<Tensor> {
    let dtype = match view.dtype() {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::U32 => DType::U32,
        Dtype::U8 | Dtype::BOOL => DType::U8,
        other => bail!("type {other:?} is not supported: convert the weights to float32"),
    };
    floats(&Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)?)
}

/// Widens or narrows floats to `f32`; leaves integers alone.
pub(super) fn floats(tensor: &Tensor) -> Result<Tensor> {
    Ok(if tensor.dtype().is_float() { tensor.to_dtype(DType::F32)? } else { tensor.clone() })
}
