//! Hands out the tensors that a network expects and lists everything that does not fit.

use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};

use super::Weights;

/// Weights on their way into a network.
///
/// Take every tensor by name and shape, then call [`Tensors::finish`], which fails with the whole list of what
/// was missing, misshapen or left over. Until then a tensor that does not fit is stood in for by zeros.
#[derive(Debug)]
pub struct Tensors {
    model: String,
    rest: Weights,
    faults: Vec<String>,
}

impl Tensors {
    /// Starts with all `weights` of the model that messages call `model`.
    pub fn new(model: &str, weights: Weights) -> Self {
        Self { model: model.to_owned(), rest: weights, faults: Vec::new() }
    }

    /// Removes `prefix` from the names that have it.
    pub fn strip_prefix(&mut self, prefix: &str) {
        let rest = std::mem::take(&mut self.rest);
        self.rest = rest.into_iter().map(|(name, tensor)| (bare(&name, prefix), tensor)).collect();
    }

    /// Drops the tensors that the network has no use for, such as stored masks.
    pub fn ignore(&mut self, useless: impl Fn(&str) -> bool) {
        self.rest.retain(|name, _| !useless(name));
    }

    /// Whether a tensor of this name is still there.
    pub fn has(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    /// Takes the `f32` tensor of this name and shape; zeros of that shape if it does not fit.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        match self.rest.remove(name) {
            Some(tensor) if tensor.dims() != shape => {
                self.faults.push(format!("misshapen: {name} is {:?}, expected {shape:?}", tensor.dims()));
            }
            Some(tensor) if tensor.dtype() != DType::F32 => {
                self.faults.push(format!("not floats: {name} is {:?}", tensor.dtype()));
            }
            Some(tensor) => return Ok(tensor),
            None => self.faults.push(format!("missing: {name} {shape:?}")),
        }
        Ok(Tensor::zeros(1, DType::F32, &Device::Cpu)?.broadcast_as(shape)?)
    }

    /// Fails, listing every fault, unless every tensor fitted and none is left.
    pub fn finish(mut self) -> Result<()> {
        self.faults.extend(self.rest.iter().map(|(name, tensor)| format!("unused: {name} {:?}", tensor.dims())));
        if self.faults.is_empty() {
            return Ok(());
        }
        bail!(
            "the weights of model {} are not those of the network that its configuration describes:\n  {}",
            self.model,
            self.faults.join("\n  ")
        )
    }
}

/// `name` without `prefix`.
fn bare(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}
