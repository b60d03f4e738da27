//! The state of a run between two epochs, as bytes.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::trainer::Trainer;
use super::{EpochRow, TrainConfig, TrainData};
use crate::digest::Digest;
use crate::model::gpt2::Gpt2;
use crate::model::mapper::MapperConfig;

/// A run after some epochs.
#[derive(Default)]
pub(super) struct Run {
    /// One row per finished epoch.
    pub(super) history: Vec<EpochRow>,
    /// The lowest validation loss.
    pub(super) best: Option<f64>,
    /// The weights of the best epoch.
    pub(super) weights: Vec<u8>,
}

/// What stands before the three files of a saved state.
#[derive(Serialize, Deserialize)]
struct Header {
    /// Of the settings and data; a state of another run is not used.
    identity: Digest,
    history: Vec<EpochRow>,
    best: Option<f64>,
    /// Lengths of: the best epoch's weights, the present weights, the optimiser's state.
    lengths: [u64; 3],
}

/// A digest of everything that decides what a run does.
pub(super) fn identity(config: &TrainConfig, mapper: &MapperConfig, gpt2: &Gpt2, data: &TrainData) -> Result<Digest> {
    let settings = serde_json::to_vec(&(config, mapper, gpt2.config(), data.dim, &data.bos, &data.train, &data.val))?;
    let mut bytes = settings;
    bytes.extend(data.vectors.iter().flat_map(|value| value.to_le_bytes()));
    Ok(Digest::derive("rsic training state v1", &bytes))
}

pub(super) fn save(run: &Run, identity: Digest, trainer: &Trainer) -> Result<Vec<u8>> {
    let (now, optimiser) = (trainer.save()?, trainer.save_optimiser()?);
    let lengths = [run.weights.len(), now.len(), optimiser.len()].map(|length| length as u64);
    let header = Header { identity, history: run.history.clone(), best: run.best, lengths };
    let header = serde_json::to_vec(&header)?;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    for part in [&header, &run.weights, &now, &optimiser] {
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

/// Puts a trainer where it was; `None`, with the trainer untouched, if the state is of another run.
pub(super) fn restore(bytes: &[u8], identity: Digest, trainer: &mut Trainer) -> Result<Option<Run>> {
    let what = "the saved state of training is damaged: delete it to start over";
    let (length, rest) = bytes.split_first_chunk::<8>().context(what)?;
    let (header, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).context(what)?;
    let header: Header = serde_json::from_slice(header).context(what)?;
    if header.identity != identity {
        return Ok(None);
    }
    let [best, now, optimiser] = header.lengths.map(|length| length as usize);
    let (best, rest) = rest.split_at_checked(best).context(what)?;
    let (now, rest) = rest.split_at_checked(now).context(what)?;
    let optimiser = rest.get(..optimiser).context(what)?;
    trainer.restore(now, optimiser).context(what)?;
    Ok(Some(Run { history: header.history, best: header.best, weights: best.to_vec() }))
}
