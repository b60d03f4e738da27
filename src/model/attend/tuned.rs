//! An encoder that is trained along with the decoder.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{Tensor, Var};

use super::features::{Encoder, MapSource};
use crate::model::ops::{adaptive_average, tensor, values};
use crate::model::resnet::TunedResNet;
use crate::picture::Picture;

/// Pictures by their numbers.
pub type OpenPictures<'a> = Box<dyn Fn(&[u32]) -> Result<Vec<Picture>> + 'a>;

/// A `ResNet` that is trained, with the pictures that it sees.
pub struct Tuned<'a> {
    resnet: TunedResNet,
    open: OpenPictures<'a>,
    grid: Option<usize>,
    /// Maps by the present weights; none after a step of training.
    known: RefCell<BTreeMap<u32, Vec<f32>>>,
}

impl<'a> Tuned<'a> {
    /// - `grid`: cells along a side of the grid to which maps are averaged, if not their own.
    pub fn new(resnet: TunedResNet, open: OpenPictures<'a>, grid: Option<usize>) -> Self {
        Self { resnet, open, grid, known: RefCell::default() }
    }

    /// The `ResNet`'s config.json.
    pub fn config(&self) -> Result<Vec<u8>> {
        self.resnet.config()
    }

    /// Numbers per cell.
    pub fn channels(&self) -> usize {
        self.resnet.channels()
    }

    fn averaged(&self, maps: Tensor) -> Result<Tensor> {
        match self.grid {
            Some(grid) if grid != self.resnet.side() => Ok(adaptive_average(&maps, grid)?),
            _ => Ok(maps),
        }
    }
}

impl MapSource for Tuned<'_> {
    fn cells(&self, images: &[u32]) -> Result<Tensor> {
        let (cells, channels) = (self.resnet.side().pow(2), self.resnet.channels());
        let mut known = self.known.borrow_mut();
        let new: Vec<u32> = images.iter().copied().filter(|image| !known.contains_key(image)).collect();
        if !new.is_empty() {
            let maps = self.resnet.maps(&(self.open)(&new)?)?.detach();
            let maps = values(&maps)?;
            known.extend(new.into_iter().zip(maps.chunks(cells * channels).map(<[f32]>::to_vec)));
        }
        let numbers: Vec<f32> = images.iter().flat_map(|image| known[image].iter().copied()).collect();
        self.averaged(tensor(numbers, (images.len(), cells, channels))?)
    }

    fn encoder(&self) -> Option<&dyn Encoder> {
        Some(self)
    }
}

impl Encoder for Tuned<'_> {
    fn cells_to_learn(&self, images: &[u32]) -> Result<Tensor> {
        self.known.borrow_mut().clear();
        self.averaged(self.resnet.maps(&(self.open)(images)?)?)
    }

    fn parameters(&self) -> Vec<(String, Var)> {
        self.resnet.parameters()
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.resnet.save()?.file("model.safetensors")?.to_vec())
    }

    fn restore(&self, weights: &[u8]) -> Result<()> {
        self.known.borrow_mut().clear();
        self.resnet.restore(weights)
    }
}
