//! Captions that are given, step by step.

use anyhow::Result;
use candle_core::Tensor;

use super::batch::{Batch, Caption};
use super::net::{Images, Net, Trace};
use crate::model::kernel::{Buffer, rows};
use crate::model::ops::Mask;

/// What the decoder did with some captions.
pub(super) struct Forward {
    pub(super) images: Images,
    pub(super) batch: Batch,
    /// The mean cell of every image.
    pub(super) means: Buffer,
    pub(super) trace: Trace,
    /// Of what [`Self::shown`] lacks.
    pub(super) mask: Option<Mask>,
    /// The state after every step as the output layer sees it: `[rows, decoder_dim]`.
    pub(super) shown: Buffer,
}

impl Forward {
    /// Reads all captions.
    ///
    /// - `features`: `f32[n, cells, encoder_dim]`.
    /// - `mask`: of the states before the output layer, by the captions' places in the list and their steps.
    pub(super) fn run(net: &Net, features: &Tensor, captions: &[Caption], mask: Option<Mask>) -> Result<Self> {
        let images = net.images(features)?;
        let batch = Batch::new(captions, images.count, net.config.vocab_size)?;
        let width = net.config.decoder_dim;
        let means = net.means(&images)?;
        let mut memory = net.begin(&means, &batch.images);
        let mut trace = Trace::new(&net.config, images.cells, batch.rows());
        let mut shown = Buffer::new(batch.rows() * width);
        for step in 0..batch.steps() {
            let range = batch.step(step);
            let which = (&batch.images[..range.len()], &batch.words[range.clone()]);
            net.step(&images, which, &mut memory, &mut trace, &range)?;
            let shown = &mut shown[range.start * width..range.end * width];
            shown.copy_from_slice(&memory.h[..range.len() * width]);
            drop_elements(mask, &batch, step, shown, width);
        }
        Ok(Self { images, batch, means, trace, mask, shown })
    }

    /// The weights of the cells in one row.
    pub(super) fn alphas(&self, row: usize) -> &[f32] {
        &self.trace.alphas[row * self.images.cells..][..self.images.cells]
    }

    /// For every caption, longest first: the sum of each cell's weights over its steps, `[captions, cells]`.
    pub(super) fn coverage(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.batch.captions() * self.images.cells];
        for (caption, sums) in sums.chunks_exact_mut(self.images.cells).enumerate() {
            for row in self.batch.rows_of(caption) {
                rows::add_to(sums, self.alphas(row));
            }
        }
        sums
    }
}

/// Drops elements of the states after one step, or of the gradient by them.
pub(super) fn drop_elements(mask: Option<Mask>, batch: &Batch, step: usize, x: &mut [f32], width: usize) {
    let Some(mask) = mask else { return };
    for (x, &place) in x.chunks_exact_mut(width).zip(&batch.order) {
        mask.apply(place, step, 0, x);
    }
}
