//! The state of a run between two epochs, as bytes.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::trainer::Trainer;
use super::{EpochRow, TrainConfig, TrainData};
use crate::digest::Digest;
use crate::model::gpt2::Gpt2;
use crate::model::mapper::MapperConfig;
use crate::model::saved::{pack, unpack};

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

/// What is saved besides the best epoch's weights, the present weights and the optimiser's state.
#[derive(Serialize, Deserialize)]
struct State {
    /// Of the settings and data; a state of another run is not used.
    identity: Digest,
    history: Vec<EpochRow>,
    best: Option<f64>,
}

/// A digest of everything that decides what a run does.
pub(super) fn identity(config: &TrainConfig, mapper: &MapperConfig, gpt2: &Gpt2, data: &TrainData) -> Result<Digest> {
    let settings = serde_json::to_vec(&(config, mapper, gpt2.config(), data.dim, &data.bos, &data.train, &data.val))?;
    let mut bytes = settings;
    bytes.extend(data.vectors.iter().flat_map(|value| value.to_le_bytes()));
    Ok(Digest::derive("rsic training state v1", &bytes))
}

pub(super) fn save(run: &Run, identity: Digest, trainer: &Trainer) -> Result<Vec<u8>> {
    let state = State { identity, history: run.history.clone(), best: run.best };
    pack(&state, &[&run.weights, &trainer.save()?, &trainer.save_optimiser()?])
}

/// Puts a trainer where it was; `None`, with the trainer untouched, if the state is of another run.
pub(super) fn restore(bytes: &[u8], identity: Digest, trainer: &mut Trainer) -> Result<Option<Run>> {
    let (state, files): (State, _) = unpack(bytes)?;
    if state.identity != identity {
        return Ok(None);
    }
    let [best, now, optimiser] = files[..] else {
        bail!("the saved state of training is of another version: delete it to start over")
    };
    trainer.restore(now, optimiser).context("the saved state of training is damaged: delete it to start over")?;
    Ok(Some(Run { history: state.history, best: state.best, weights: best.to_vec() }))
}
