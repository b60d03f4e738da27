//! The same network from its definition: direct convolutions and normalisations in `f64`, one picture at a time.

use candle_core::Tensor;

use super::*;

/// `channels` planes of `height` x `width`.
#[derive(Clone)]
pub(super) struct Planes {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) values: Vec<f64>,
}

impl Planes {
    /// The value at a place, or nothing outside.
    fn at(&self, channel: usize, row: isize, column: isize) -> Option<f64> {
        let inside = (0..self.height as isize).contains(&row) && (0..self.width as isize).contains(&column);
        inside.then(|| self.values[(channel * self.height + row as usize) * self.width + column as usize])
    }

    fn build(size: [usize; 3], value: impl Fn(usize, usize, usize) -> f64) -> Self {
        let [channels, height, width] = size;
        let mut values = Vec::new();
        for channel in 0..channels {
            for row in 0..height {
                values.extend((0..width).map(|column| value(channel, row, column)));
            }
        }
        Self { channels, height, width, values }
    }

    fn each(&self, change: impl Fn(usize, usize, usize, f64) -> f64) -> Self {
        let old = |c: usize, y: usize, x: usize| self.values[(c * self.height + y) * self.width + x];
        Self::build([self.channels, self.height, self.width], |c, y, x| change(c, y, x, old(c, y, x)))
    }

    /// The values with the channels last.
    pub(super) fn channels_last(&self) -> Vec<f64> {
        let places = self.height * self.width;
        (0..places).flat_map(|place| (0..self.channels).map(move |c| self.values[c * places + place])).collect()
    }

    /// The means of cells that cover `floor(i s / n)` to `ceil((i + 1) s / n)`.
    pub(super) fn averages(&self, grid: usize) -> Self {
        let cell = |i: usize, side: usize| i * side / grid..((i + 1) * side).div_ceil(grid);
        Self::build([self.channels, grid, grid], |c, i, j| {
            let (rows, columns) = (cell(i, self.height), cell(j, self.width));
            let values = rows.clone().flat_map(|y| columns.clone().map(move |x| (y, x)));
            let sum: f64 = values.map(|(y, x)| self.values[(c * self.height + y) * self.width + x]).sum();
            sum / (rows.len() * columns.len()) as f64
        })
    }
}

pub(super) fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
}

/// A convolution without bias; `weight` is `[outputs, inputs, kernel, kernel]`, half the kernel is the padding.
pub(super) fn convolution(x: &Planes, weight: &Tensor, stride: usize) -> Planes {
    let (outputs, inputs, kernel, _) = weight.dims4().unwrap();
    let weight = numbers(weight);
    let padding = (kernel / 2) as isize;
    let side = |side: usize| (side + 2 * padding as usize - kernel) / stride + 1;
    Planes::build([outputs, side(x.height), side(x.width)], |output, row, column| {
        let mut sum = 0.0;
        for (i, weight) in weight[output * inputs * kernel * kernel..][..inputs * kernel * kernel].iter().enumerate() {
            let (channel, dy, dx) = (i / kernel / kernel, i / kernel % kernel, i % kernel);
            let (y, x_) = ((row * stride + dy) as isize - padding, (column * stride + dx) as isize - padding);
            sum += weight * x.at(channel, y, x_).unwrap_or(0.0);
        }
        sum
    })
}

/// A convolution and the normalisation after it.
fn normalised(weights: &Weights, name: &str, x: &Planes, stride: usize) -> Planes {
    let y = convolution(x, &weights[&format!("{name}.convolution.weight")], stride);
    let part = |part: &str| numbers(&weights[&format!("{name}.normalization.{part}")]);
    let (gamma, beta) = (part("weight"), part("bias"));
    let (mean, variance) = (part("running_mean"), part("running_var"));
    y.each(|c, _, _, y| (y - mean[c]) / (variance[c] + 1e-5).sqrt() * gamma[c] + beta[c])
}

fn relu(x: &Planes) -> Planes {
    x.each(|_, _, _, x| x.max(0.0))
}

/// The last stage's map; `strides` are those of the convolutions in the first block of each stage.
pub(super) fn last_map(weights: &Weights, strides: &[&[usize]], pixels: &Planes) -> Planes {
    let x = relu(&normalised(weights, "embedder.embedder", pixels, 2));
    let x = Planes::build([x.channels, x.height.div_ceil(2), x.width.div_ceil(2)], |c, row, column| {
        let around = |i: usize| 2 * i as isize - 1..=2 * i as isize + 1;
        let window = around(row).flat_map(|y| around(column).map(move |x| (y, x)));
        window.filter_map(|(row, column)| x.at(c, row, column)).fold(f64::NEG_INFINITY, f64::max)
    });
    stages(weights, 0, strides, &x)
}

/// What the stages from `first` on make of a map; `strides` are theirs.
pub(super) fn stages(weights: &Weights, first: usize, strides: &[&[usize]], map: &Planes) -> Planes {
    let mut x = map.clone();
    for (stage, strides) in (first..).zip(strides) {
        for block in 0.. {
            let name = format!("encoder.stages.{stage}.layers.{block}");
            if !weights.contains_key(&format!("{name}.layer.0.convolution.weight")) {
                break;
            }
            let stride = |layer: usize| if block == 0 { strides[layer] } else { 1 };
            let mut y = x.clone();
            for layer in 0..strides.len() {
                y = normalised(weights, &format!("{name}.layer.{layer}"), &y, stride(layer));
                y = if layer + 1 < strides.len() { relu(&y) } else { y };
            }
            let shortcut = format!("{name}.shortcut");
            if weights.contains_key(&format!("{shortcut}.convolution.weight")) {
                x = normalised(weights, &shortcut, &x, (0..strides.len()).map(stride).product());
            }
            let added = y.each(|c, row, column, y| y + x.at(c, row as isize, column as isize).unwrap());
            x = relu(&added);
        }
    }
    x
}
