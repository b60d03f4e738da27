//! What the decoder looks at.

use anyhow::Result;
use candle_core::{Tensor, Var};

use crate::model::ops::{adaptive_average, tensor};

/// Where the feature maps of images come from.
pub trait MapSource {
    /// The cells of these images: `f32[images, cells, channels]`.
    fn cells(&self, images: &[u32]) -> Result<Tensor>;

    /// The encoder that makes them, if it is trained along.
    fn encoder(&self) -> Option<&dyn Encoder> {
        None
    }
}

/// An encoder that is trained along with the decoder.
pub trait Encoder {
    /// The cells of these images, `f32[images, cells, channels]`, from which gradients go back to the weights.
    fn cells_to_learn(&self, images: &[u32]) -> Result<Tensor>;

    /// The weights that are trained.
    fn parameters(&self) -> Vec<(String, Var)>;

    /// All weights as a SafeTensors file; equal weights give equal bytes.
    fn save(&self) -> Result<Vec<u8>>;

    /// Takes the weights of such a file.
    fn restore(&self, weights: &[u8]) -> Result<()>;
}

/// Finds maps by their numbers: those of some maps, one map after the other.
pub type ReadMaps = Box<dyn Fn(&[u32]) -> Result<Vec<f32>>>;

/// Maps that `read` finds by their numbers, each `f32[side * side, channels]`.
pub struct Stored {
    /// Cells along a side of a map.
    pub side: usize,
    /// Numbers per cell.
    pub channels: usize,
    /// Cells along a side of the grid to which maps are averaged, if not their own.
    pub grid: Option<usize>,
    /// Where maps are.
    pub read: ReadMaps,
}

impl MapSource for Stored {
    fn cells(&self, images: &[u32]) -> Result<Tensor> {
        let maps = tensor((self.read)(images)?, (images.len(), self.side * self.side, self.channels))?;
        match self.grid {
            Some(grid) if grid != self.side => Ok(adaptive_average(&maps, grid)?),
            _ => Ok(maps),
        }
    }
}
