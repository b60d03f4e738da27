//! What the two encoders learn from.

use candle_core::{D, Result, Tensor};

use crate::model::ops::{Grad, Stored, log_softmax_rows, matmul};

/// How far pictures and captions are from their partners: cross-entropy both ways, in nats.
///
/// - `pictures`, `captions`: `f32[batch, dim]`; row `i` of one belongs to row `i` of the other.
/// - `scale`: `f32[1]`, the logarithm of what cosines are multiplied by.
/// - `targets`: `f32[batch, batch]`, symmetric before its rows were scaled to sum 1: how well each caption fits each
///   picture. Unlike in CLIP other rows may be positives too: the captions of one class are hardly negatives.
pub(super) fn contrast(pictures: &Tensor, captions: &Tensor, scale: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let (pictures, captions) = (unit(pictures)?, unit(captions)?);
    let cosines = matmul(&pictures, &captions, Stored::OutIn, Grad::Both)?;
    let logits = cosines.broadcast_mul(&scale.exp()?)?;
    let batch = logits.dim(0)? as f64;
    let by_picture = (targets * log_softmax_rows(&logits)?)?.sum_all()?;
    let by_caption = (targets * log_softmax_rows(&logits.t()?.contiguous()?)?)?.sum_all()?;
    ((by_picture + by_caption)? * (-0.5 / batch))?.reshape(())
}

/// Rows scaled to length 1.
fn unit(x: &Tensor) -> Result<Tensor> {
    let length = (x.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
    x.broadcast_div(&length)
}

/// The mean binary cross-entropy per picture between shares and the logits of terms, in nats over ten.
///
/// `logits`, `shares`: `f32[batch, terms]`. The tenth keeps it about as large as [`contrast`].
pub(super) fn term_loss(logits: &Tensor, shares: &Tensor) -> Result<Tensor> {
    let batch = logits.dim(0)? as f64;
    // log(1 + e^z) = max(z, 0) + log(1 + e^-|z|).
    let soft = (logits.relu()? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    (soft - (logits * shares)?)?.sum_all()? * (0.1 / batch)
}
