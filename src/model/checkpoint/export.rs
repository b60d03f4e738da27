//! Trained weights -> a file that ClipCap's code loads.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;

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

/// Writes trained weights under ClipCap's names: `clip_project.*` and, with a language model, `gpt.transformer.*` and
/// `gpt.lm_head.weight`, which `ClipCaptionModel.load_state_dict` takes with `strict=True`.
///
/// - `trained`: what training wrote.
/// - `gpt2`: the frozen language model; used if none was trained along. `None` leaves the language model out.
///
/// Equal weights give equal bytes.
pub fn export(trained: &Content, gpt2: Option<&Bundle>, format: ExportFormat, out: &mut dyn Write) -> Result<()> {
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
    match format {
        ExportFormat::SafeTensors => {
            let config = serde_json::to_string(trained.mapper.config())?;
            // A single note: the order of several would change from run to run.
            let notes = HashMap::from([(MAPPER_KEY.to_owned(), config)]);
            out.write_all(&safetensors::serialize(tensors, Some(notes))?)?;
        }
        ExportFormat::PyTorch => pytorch(&tensors, out)?,
    }
    Ok(())
}

/// Tensors of one storage, such as the token table under its two names, are written once.
fn pytorch(tensors: &[(String, Tensor)], out: &mut dyn Write) -> Result<()> {
    let mut storages: Vec<&Tensor> = Vec::new();
    let mut items = Vec::new();
    for (name, tensor) in tensors {
        let storage = storages.iter().position(|known| known.id() == tensor.id()).unwrap_or(storages.len());
        if storage == storages.len() {
            storages.push(tensor);
        }
        items.push(torch::Item { name: name.clone(), dtype: Dtype::F32, shape: tensor.dims().to_vec(), storage });
    }
    torch::write(out, &items, |storage| -> Result<Vec<u8>> {
        let values = values(storages[storage]).context("cannot read a tensor")?;
        Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    })
}
