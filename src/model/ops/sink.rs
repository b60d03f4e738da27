//! A side way for the gradients of variables.
//!
//! candle adds every gradient to a fresh tensor of zeros, which costs as much as computing some of them. During [`backward`] our operations
//! hand those of variables over directly instead.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, bail};

use super::{tensor, values};
use crate::model::kernel::rows::add_to;

/// Variables with their gradients so far.
type Given = Vec<(Tensor, Vec<f32>)>;

thread_local! {
    static SINK: RefCell<Option<Given>> = const { RefCell::new(None) };
}

/// The gradients of a scalar by all variables that it depends on; like candle's `backward`, which not all of our operations allow.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let outer = SINK.replace(Some(Vec::new()));
    let grads = loss.backward();
    let given = SINK.replace(outer).unwrap_or_default();
    let mut grads = grads?;
    for (variable, mut values_of) in given {
        if let Some(other) = grads.remove(&variable) {
            add_to(&mut values_of, &values(&other.contiguous()?)?);
        }
        let grad = tensor(values_of, variable.shape())?;
        grads.insert(&variable, grad);
    }
    Ok(grads)
}

/// Hands over the gradient of a variable; gives it back if nobody waits for it or the tensor is not a variable.
pub(super) fn offer(to: &Tensor, grad: Vec<f32>) -> Option<Vec<f32>> {
    SINK.with_borrow_mut(|sink| match sink {
        Some(sink) if to.is_variable() => {
            match sink.iter_mut().find(|(known, _)| known.id() == to.id()) {
                Some((_, sum)) => add_to(sum, &grad),
                None => sink.push((to.clone(), grad)),
            }
            None
        }
        _ => Some(grad),
    })
}

/// [`offer`], with what is given back as the result of a backward pass.
pub(super) fn offer_tensor(to: &Tensor, grad: Vec<f32>) -> Result<Option<Tensor>> {
    offer(to, grad).map(|grad| tensor(grad, to.shape())).transpose()
}

/// Hands over the gradient of a weight that is not an argument of its operation.
///
/// Fails outside [`backward`].
pub(crate) fn give(to: &Tensor, grad: Vec<f32>) -> Result<()> {
    if offer(to, grad).is_some() {
        bail!("weights inside an operation get gradients only from `ops::backward`, and only if they are variables");
    }
    Ok(())
}
