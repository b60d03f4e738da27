//! Means over the cells of a grid, of maps whose channels come last: PyTorch's `adaptive_avg_pool2d`.
//!
//! Cell `i` of `n` along a side of `s` places covers places `floor(i s / n)` to `ceil((i + 1) s / n)`: cells overlap where `n` does not
//! divide `s`, and share places where `n` is larger.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{contiguous, each_row, result, tensor, values};
use crate::model::kernel::rows;

#[cfg(test)]
/// The means of square maps, `f32[n, side * side, channels]`, over a grid: `f32[n, grid * grid, channels]`.
///
/// Panics if `grid` is 0.
pub(crate) fn average(maps: &[f32], side: usize, channels: usize, grid: usize) -> Vec<f32> {
    Cells::square(side, grid, channels).means(maps)
}

/// The means of square maps over a grid, with a way back to gradients: `[n, side * side, channels]` -> `[n, grid * grid, channels]`.
///
/// Fails if the maps are not squares, or the grid has no cells.
pub fn adaptive_average(x: &Tensor, grid: usize) -> Result<Tensor> {
    let (_, places, channels) = x.dims3()?;
    let side = places.isqrt();
    if side * side != places || grid == 0 {
        bail!("maps of {places} places cannot be averaged over a grid of {grid} x {grid}");
    }
    x.contiguous()?.apply_op1(Cells::square(side, grid, channels))
}

/// The sizes of a map and of the grid over it, rows first.
struct Cells {
    map: [usize; 2],
    grid: [usize; 2],
    channels: usize,
}

impl Cells {
    fn square(side: usize, grid: usize, channels: usize) -> Self {
        assert!(grid > 0, "a grid needs cells");
        Self { map: [side; 2], grid: [grid; 2], channels }
    }

    /// The places that a cell covers along one side (0 for rows, 1 for columns).
    fn covered(&self, axis: usize, cell: usize) -> Range<usize> {
        let (size, cells) = (self.map[axis], self.grid[axis]);
        cell * size / cells..((cell + 1) * size).div_ceil(cells)
    }

    /// The elements of one line of maps, and of one line of grids.
    fn widths(&self) -> (usize, usize) {
        (self.map[1] * self.channels, self.grid[1] * self.channels)
    }

    /// How many lines of grids belong to so many elements of maps, or the reverse.
    fn lines(elements: usize, (from, width): (usize, usize), to: usize) -> usize {
        elements / (from * width).max(1) * to
    }

    fn means(&self, maps: &[f32]) -> Vec<f32> {
        let (from, to) = self.widths();
        let mut out = vec![0.0; Self::lines(maps.len(), (self.map[0], from), self.grid[0]) * to];
        each_row(&mut out, to, |line, out| {
            let (map, covered) = (line / self.grid[0], self.covered(0, line % self.grid[0]));
            for (column, out) in out.chunks_exact_mut(self.channels).enumerate() {
                let columns = self.covered(1, column);
                for row in covered.clone() {
                    let row = &maps[(map * self.map[0] + row) * from..][..from];
                    for x in row[columns.start * self.channels..columns.end * self.channels].chunks_exact(self.channels)
                    {
                        rows::add_to(out, x);
                    }
                }
                let count = (covered.len() * columns.len()) as f32;
                for x in out {
                    *x /= count;
                }
            }
        });
        out
    }

    /// The gradient by the maps, from the one by their means.
    fn back(&self, g: &[f32]) -> Vec<f32> {
        let (from, to) = self.widths();
        let mut out = vec![0.0; Self::lines(g.len(), (self.grid[0], to), self.map[0]) * from];
        each_row(&mut out, from, |line, out| {
            let (map, row) = (line / self.map[0], line % self.map[0]);
            for cell in (0..self.grid[0]).filter(|cell| self.covered(0, *cell).contains(&row)) {
                let g = &g[(map * self.grid[0] + cell) * to..][..to];
                for (column, g) in g.chunks_exact(self.channels).enumerate() {
                    let columns = self.covered(1, column);
                    let share = 1.0 / (self.covered(0, cell).len() * columns.len()) as f32;
                    let places = &mut out[columns.start * self.channels..columns.end * self.channels];
                    for x in places.chunks_exact_mut(self.channels) {
                        rows::axpy(x, share, g);
                    }
                }
            }
        });
        out
    }
}

impl CustomOp1 for Cells {
    fn name(&self) -> &'static str {
        "adaptive_average"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, _, channels) = layout.shape().dims3()?;
        Ok(result(self.means(contiguous(x, layout)?), (count, self.grid[0] * self.grid[1], channels)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let by_map = self.back(&values(&grad)?);
        Ok(Some(tensor(by_map, x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;
    use proptest::prelude::*;

    use super::*;
    use crate::model::init::Init;
    use crate::model::weights;
    use crate::shared;

    /// Origin: PyTorch's `adaptive_avg_pool2d`; one of the maps is no square.
    #[test]
    fn means_agree_with_pytorch() {
        let Some(path) = shared::path("golden/models/resnet_tiny/golden.safetensors") else { return };
        let tensors = weights::parse(&std::fs::read(path).unwrap()).unwrap();
        for i in 0..5 {
            let channels_last = |part: &str| {
                let tensor = tensors[&format!("pool_{i}.{part}")].permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
                (tensor.dims().to_vec(), values(&tensor).unwrap().to_vec())
            };
            let ((from, x), (to, wanted)) = (channels_last("input"), channels_last("output"));
            let cells = Cells { map: [from[1], from[2]], grid: [to[1], to[2]], channels: from[3] };
            let got = cells.means(&x);
            assert_eq!(got.len(), wanted.len(), "pool_{i}");
            let off = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            shared::parity(&format!("adaptive average pool_{i}"), f64::from(off), 1e-6);
        }
    }

    #[test]
    fn what_is_no_square_and_no_grid_is_refused() {
        let x = Init::Normal(1.0).tensor(1, "x", (2, 6, 3)).unwrap();
        assert!(adaptive_average(&x, 2).unwrap_err().to_string().contains("maps of 6 places"));
        let x = x.reshape((3, 4, 3)).unwrap();
        assert!(adaptive_average(&x, 0).unwrap_err().to_string().contains("a grid of 0 x 0"));
        assert_eq!(adaptive_average(&x, 3).unwrap().dims(), [3, 9, 3]);
        assert!(average(&[], 2, 3, 4).is_empty());
    }

    #[test]
    fn thread_counts_change_no_bit() {
        // More elements than one thread takes.
        let maps = Init::Normal(1.0).tensor(1, "maps", (3, 64, 256)).unwrap();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let x = Var::from_tensor(&maps).unwrap();
                let cells = adaptive_average(&x, 14).unwrap();
                let grads = (&cells * &cells).unwrap().sum_all().unwrap().backward().unwrap();
                let by_x = grads.get(&x).unwrap();
                (values(&cells).unwrap().to_vec(), values(by_x).unwrap().to_vec())
            })
        };
        assert!(run(1) == run(3));
    }

    proptest! {
        /// Means are linear, so that `g . means(x) = back(g) . x` for all `x` and `g` is all there is to say about the way back.
        #[test]
        fn the_way_back_is_the_transpose(
            count in 1_usize..3, side in 1_usize..9, grid in 1_usize..9, channels in 1_usize..4, seed: u64,
        ) {
            let draw = |name: &str, size: usize| Init::Normal(1.0).tensor(seed, name, (count, size * size, channels)).unwrap();
            let (x, g) = (Var::from_tensor(&draw("x", side)).unwrap(), draw("g", grid));
            let out = adaptive_average(&x, grid).unwrap();
            prop_assert_eq!(out.dims(), g.dims());
            let flat = average(&values(&x).unwrap(), side, channels, grid);
            prop_assert_eq!(&flat[..], &*values(&out).unwrap());
            let grads = (out * &g).unwrap().sum_all().unwrap().backward().unwrap();
            let by_x = grads.get(&x).unwrap();
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let (left, right) = (dot(&values(&g).unwrap(), &flat), dot(&values(by_x).unwrap(), &values(&x).unwrap()));
            prop_assert!((left - right).abs() < 1e-4, "{} {}", left, right);
        }
    }
}
