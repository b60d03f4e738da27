//! Tensors on their way into a network, with a list of what does not fit.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::{TensorFile, Weights, convert};
use crate::model::Bundle;

/// The files that hold weights and their shard lists, best first.
const FILES: [(&str, &str); 2] =
    [("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")];

/// Tensors of one model, to be taken by name.
///
/// What is missing or misshapen is collected, so that [`Tensors::finish`] can list every fault at once.
pub struct Tensors {
    model: String,
    files: Vec<TensorFile>,
    rest: BTreeMap<String, Place>,
    faults: Vec<String>,
    /// Numbers in the place of tensors that did not fit.
    zeros: usize,
}

/// How many zeros may be copied in the place of tensors that do not fit: config.json may ask for any size.
const MOST_ZEROS: usize = 1 << 26;
/// How many faults a message lists.
const LISTED: usize = 200;

/// Where a tensor is.
enum Place {
    Memory(Tensor),
    /// A file by its number, and the entry in it.
    File(usize, usize),
}

/// A list of weights in several files.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Tensors {
    /// Starts with all `weights` of the model that messages call `model`.
    pub fn new(model: &str, weights: Weights) -> Self {
        let rest = weights.into_iter().map(|(name, tensor)| (name, Place::Memory(tensor))).collect();
        Self { model: model.to_owned(), files: Vec::new(), rest, faults: Vec::new(), zeros: 0 }
    }

    /// Starts with all tensors of a file that messages call `model`.
    pub fn of_file(model: &str, file: TensorFile) -> Self {
        let mut tensors = Self::new(model, Weights::new());
        tensors.hold(file);
        tensors
    }

    fn hold(&mut self, file: TensorFile) {
        for (at, entry) in file.entries.iter().enumerate() {
            if self.rest.insert(entry.name.clone(), Place::File(self.files.len(), at)).is_some() {
                self.faults.push(format!("twice: {}, in two files", entry.name));
            }
        }
        self.files.push(file);
    }

    /// Opens the weights of a model: `model.safetensors` or `pytorch_model.bin`, or the shards that their index names.
    ///
    /// Fails if there are none, or if a file is not what its name says; see [`TensorFile::open`].
    pub fn open(bundle: &Bundle) -> Result<Self> {
        let mut tensors = Self::new(&format!("model {}", bundle.name), Weights::new());
        for (whole, index) in FILES {
            if bundle.files.contains_key(whole) {
                tensors.add(bundle, whole)?;
                return Ok(tensors);
            }
            if bundle.files.contains_key(index) {
                tensors.add_shards(bundle, index)?;
                return Ok(tensors);
            }
        }
        bail!(
            "model {} has no weights: put `model.safetensors` or `pytorch_model.bin` beside its config.json (it has {:?})",
            bundle.name,
            bundle.files.keys()
        )
    }

    fn add(&mut self, bundle: &Bundle, file: &str) -> Result<()> {
        let opened = TensorFile::open(bundle.content(file)?)
            .with_context(|| format!("cannot read the weights `{file}` of model {}", bundle.name))?;
        self.hold(opened);
        Ok(())
    }

    fn add_shards(&mut self, bundle: &Bundle, index: &str) -> Result<()> {
        let map = serde_json::from_slice::<Index>(&bundle.file(index)?)
            .with_context(|| format!("cannot read `{index}` of model {}", bundle.name))?
            .weight_map;
        let shards: BTreeSet<&String> = map.values().collect();
        for shard in shards {
            self.add(bundle, shard)?;
        }
        for (tensor, shard) in &map {
            if !self.rest.contains_key(tensor) {
                bail!("model {}: `{index}` promises tensor `{tensor}`, but `{shard}` does not hold it", bundle.name);
            }
        }
        Ok(())
    }

    /// What messages call the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Removes `prefix` from the names that have it.
    pub fn strip_prefix(&mut self, prefix: &str) {
        self.rename(|name| name.strip_prefix(prefix).unwrap_or(name).to_owned());
    }

    /// Gives every tensor another name; two that would have the same are a fault.
    pub fn rename(&mut self, new: impl Fn(&str) -> String) {
        for (name, place) in std::mem::take(&mut self.rest) {
            let new = new(&name);
            if self.rest.insert(new.clone(), place).is_some() {
                self.faults.push(format!("twice: {new}, the other time as {name}"));
            }
        }
    }

    /// The names of the tensors that are still there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rest.keys().map(String::as_str)
    }

    /// Drops the tensors that the network has no use for, such as stored masks.
    pub fn ignore(&mut self, useless: impl Fn(&str) -> bool) {
        self.rest.retain(|name, _| !useless(name));
    }

    /// Names and shapes of the tensors that are still there.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.rest.iter().map(|(name, place)| (name.clone(), self.shape(place).to_vec())).collect()
    }

    fn shape<'a>(&'a self, place: &'a Place) -> &'a [usize] {
        match place {
            Place::Memory(tensor) => tensor.dims(),
            Place::File(file, at) => &self.files[*file].entries[*at].shape,
        }
    }

    /// Whether a tensor of this name is still there.
    pub fn has(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    /// Takes the `f32` tensor of this name and shape; zeros of that shape if it does not fit.
    ///
    /// Fails if its numbers cannot be read.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let fault = match self.rest.remove(name) {
            None => format!("missing: {name} {shape:?}"),
            Some(place) => match self.misfit(&place, shape) {
                None => return self.read(&place),
                Some(fault) => format!("{} {name} is {}", fault.0, fault.1),
            },
        };
        self.faults.push(fault);
        let zeros = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        self.zeros = self.zeros.saturating_add(zeros.unwrap_or(usize::MAX));
        Ok(Tensor::zeros(1, DType::F32, &Device::Cpu)?.broadcast_as(shape)?)
    }

    /// To be asked before tensors that were taken are copied: zeros that take the place of others need no memory until then.
    ///
    /// Fails, with the list of faults so far, if there are too many of them.
    pub fn check_zeros(&self) -> Result<()> {
        if self.zeros > MOST_ZEROS { self.check() } else { Ok(()) }
    }

    /// Why a tensor cannot be taken as floats of this shape.
    fn misfit(&self, place: &Place, shape: &[usize]) -> Option<(&'static str, String)> {
        let (dims, float, kind) = match place {
            Place::Memory(tensor) => {
                let dtype = tensor.dtype();
                (tensor.dims(), dtype == DType::F32, format!("{dtype:?}"))
            }
            Place::File(file, at) => {
                let entry = &self.files[*file].entries[*at];
                (&entry.shape[..], convert::is_float(entry.dtype), entry.dtype.name().to_owned())
            }
        };
        if dims != shape {
            return Some(("misshapen:", format!("{dims:?}, expected {shape:?}")));
        }
        (!float).then_some(("not floats:", kind))
    }

    fn read(&mut self, place: &Place) -> Result<Tensor> {
        match place {
            Place::Memory(tensor) => Ok(tensor.clone()),
            Place::File(file, at) => self.files[*file].read(*at).with_context(|| format!("of {}", self.model)),
        }
    }

    /// All tensors that are left, whatever their types.
    pub fn into_weights(mut self) -> Result<Weights> {
        let rest = std::mem::take(&mut self.rest);
        rest.into_iter().map(|(name, place)| Ok((name, self.read(&place)?))).collect()
    }

    /// Fails, listing every fault, unless every tensor that was taken fitted.
    pub fn check(&self) -> Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let more = self.faults.len().saturating_sub(LISTED);
        bail!(
            "the weights of {} are not those of the network that its configuration describes:\n  {}{}",
            self.model,
            self.faults[..self.faults.len() - more].join("\n  "),
            if more > 0 { format!("\n  and {more} more") } else { String::new() }
        )
    }

    /// Fails, listing every fault, unless every tensor fitted and none is left.
    pub fn finish(mut self) -> Result<()> {
        for (name, place) in &self.rest {
            let shape = self.shape(place);
            self.faults.push(format!("unused: {name} {shape:?}"));
        }
        self.check()
    }
}
