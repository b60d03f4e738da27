//! Elements as they are stored -> candle's tensors.

use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};

use super::Dtype;

/// A tensor from its little-endian elements, row by row; floats of any width become `f32`.
///
/// Fails for types that no network here has a use for.
pub(super) fn tensor(bytes: &[u8], dtype: Dtype, shape: &[usize]) -> Result<Tensor> {
    let stored = match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::U8 | Dtype::Bool => DType::U8,
        other => bail!("type {} is not supported: convert the weights to float32", other.name()),
    };
    let tensor = Tensor::from_raw_buffer(bytes, stored, shape, &Device::Cpu)?;
    Ok(if stored.is_float() { tensor.to_dtype(DType::F32)? } else { tensor })
}

/// Whether [`tensor`] makes `f32` of a type.
pub(super) fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// The type by SafeTensors' name for it, under PyTorch's.
pub(super) fn dtype(stored: safetensors::Dtype) -> Result<Dtype> {
    Ok(match stored {
        safetensors::Dtype::F64 => Dtype::F64,
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::BF16,
        safetensors::Dtype::I64 => Dtype::I64,
        safetensors::Dtype::I32 => Dtype::I32,
        safetensors::Dtype::I16 => Dtype::I16,
        safetensors::Dtype::I8 => Dtype::I8,
        safetensors::Dtype::U8 => Dtype::U8,
        safetensors::Dtype::BOOL => Dtype::Bool,
        other => bail!("type {other:?} is not supported: convert the weights to float32"),
    })
}
