//! Trained weights -> a file that ClipCap's code loads.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};

use super::trained::{GPT_PREFIX, MAPPER_KEY, named, read_weights};
use crate::model::gpt2::{Gpt2, Gpt2Config};
use crate::model::ops::values;
use crate::model::weights::{Dtype, torch};
use crate::model::{Bundle, Content};

/// The format of an exported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// For any program, with the mapper's configuration in the notes.
    SafeTensors,
    /// For `torch.load`.
    PyTorch,
}

/// How a file is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// The format.
    pub format: ExportFormat,
    /// Whether GPT-2's masks (`attn.bias`, `attn.masked_bias`) are written, which old versions of transformers expect.
    pub masks: bool,
}

/// Writes trained weights under ClipCap's names: `clip_project.*` and, with a language model, `gpt.transformer.*` and
/// `gpt.lm_head.weight`, which `ClipCaptionModel.load_state_dict` takes with `strict=True`.
///
/// - `trained`: what training wrote.
/// - `gpt2`: the frozen language model; used if none was trained along. `None` leaves the language model out.
///
/// Equal weights give equal bytes.
pub fn export(trained: &Content, gpt2: Option<&Bundle>, options: Export, out: &mut dyn Write) -> Result<()> {
    let trained = read_weights(trained)?;
    let gpt2 = match (gpt2, trained.gpt2) {
        (None, Some(_)) => bail!("its language model was trained along and cannot be left out"),
        (None, None) => None,
        (Some(bundle), Some(tuned)) => Some(Gpt2::from_tensors(Gpt2Config::load(bundle)?, tuned)?),
        (Some(bundle), None) => Some(Gpt2::load(bundle)?),
    };
    if let Some(gpt2) = &gpt2 {
        let (made, read) = (trained.mapper.config().width, gpt2.width());
        ensure!(made == read, "the mapper makes rows of {made}, but the language model reads rows of {read}");
    }
    let mut tensors: Vec<(String, Tensor)> =
        named(&trained.mapper, gpt2.as_ref()).into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
    let tokens = format!("{GPT_PREFIX}transformer.wte.weight");
    if let Some((_, table)) = tensors.iter().find(|(name, _)| *name == tokens) {
        tensors.push((format!("{GPT_PREFIX}lm_head.weight"), table.clone()));
    }
    if let Some(gpt2) = gpt2.as_ref().filter(|_| options.masks) {
        tensors.extend(masks(gpt2.config())?);
    }
    let config = serde_json::to_string(trained.mapper.config())?;
    match options.format {
        ExportFormat::SafeTensors => {
            // A single note: the order of several would change from run to run.
            let notes = HashMap::from([(MAPPER_KEY.to_owned(), config)]);
            out.write_all(&safetensors::serialize(tensors, Some(notes))?)?;
        }
        ExportFormat::PyTorch => pytorch(&tensors, &config, out)?,
    }
    Ok(())
}

/// The masks that old versions of transformers store with every layer: below the diagonal 1, and the score of what is masked.
fn masks(config: &Gpt2Config) -> Result<Vec<(String, Tensor)>> {
    let n = config.n_positions;
    let causal: Vec<u8> = (0..n * n).map(|at| u8::from(at % n <= at / n)).collect();
    let causal = Tensor::from_vec(causal, (1, 1, n, n), &Device::Cpu)?;
    let score = Tensor::new(-1e4_f32, &Device::Cpu)?;
    let layer = |layer| {
        let name = |part: &str| format!("{GPT_PREFIX}transformer.h.{layer}.attn.{part}");
        [(name("bias"), causal.clone()), (name("masked_bias"), score.clone())]
    };
    Ok((0..config.n_layer).flat_map(layer).collect())
}

/// Tensors of one storage, such as the token table under its two names, are written once.
fn pytorch(tensors: &[(String, Tensor)], config: &str, out: &mut dyn Write) -> Result<()> {
    let mut storages: Vec<&Tensor> = Vec::new();
    let mut items = Vec::new();
    for (name, tensor) in tensors {
        let storage = storages.iter().position(|known| known.id() == tensor.id()).unwrap_or(storages.len());
        if storage == storages.len() {
            storages.push(tensor);
        }
        let dtype = if tensor.dtype() == DType::U8 { Dtype::U8 } else { Dtype::F32 };
        items.push(torch::Item { name: name.clone(), dtype, shape: tensor.dims().to_vec(), storage });
    }
    torch::write(out, &items, &[(MAPPER_KEY, config)], |storage| -> Result<Vec<u8>> {
        let tensor = storages[storage];
        if tensor.dtype() == DType::U8 {
            return Ok(tensor.flatten_all()?.to_vec1()?);
        }
        let values = values(tensor).context("cannot read a tensor")?;
        Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    })
}
