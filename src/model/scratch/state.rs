//! The state of a training run as bytes, so that it can go on after a kill.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, anyhow, ensure};
use candle_core::Var;
use safetensors::SafeTensors;

use super::EpochLoss;
use crate::model::weights::{Weights, parse};

/// The key of the history in the file's metadata.
const HISTORY: &str = "history";

/// What a training run was after some epochs.
pub(super) struct State {
    /// The epochs that are done.
    pub(super) history: Vec<EpochLoss>,
    /// Weights, running averages and the optimiser's memory, each under a prefix.
    pub(super) tensors: Weights,
}

impl State {
    /// A SafeTensors file; equal states give equal bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let history = serde_json::to_string(&self.history)?;
        to_bytes(&self.tensors, Some(HashMap::from([(HISTORY.to_owned(), history)])))
    }

    /// Reads what [`State::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let what = "cannot read the saved state of training";
        let (_, header) = SafeTensors::read_metadata(bytes).context(what)?;
        let history = header.metadata().as_ref().and_then(|all| all.get(HISTORY));
        let history = history.ok_or_else(|| anyhow!("it has no history")).context(what)?;
        Ok(Self { history: serde_json::from_str(history).context(what)?, tensors: parse(bytes).context(what)? })
    }

    /// The tensors under a prefix, without it.
    pub(super) fn take(&self, prefix: &str) -> Weights {
        let named = self.tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
        named.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
    }
}

/// Tensors as a SafeTensors file.
pub(super) fn to_bytes(tensors: &Weights, metadata: Option<HashMap<String, String>>) -> Result<Vec<u8>> {
    Ok(safetensors::serialize(tensors, metadata)?)
}

/// The same tensors with `prefix` before their names.
pub(super) fn prefixed(prefix: &str, tensors: &Weights) -> Weights {
    tensors.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect()
}

/// Gives variables the values of the tensors of the same names.
pub(super) fn set(variables: &BTreeMap<String, Var>, tensors: &Weights) -> Result<()> {
    let (wanted, found) = (variables.len(), tensors.len());
    ensure!(wanted == found, "the saved state of training has {found} tensors, not {wanted}: its settings were others");
    for (name, variable) in variables {
        let tensor = tensors.get(name).ok_or_else(|| anyhow!("the saved state of training lacks `{name}`"))?;
        variable.set(tensor).with_context(|| format!("the saved `{name}` does not fit"))?;
    }
    Ok(())
}
