//! 8-bit samples -> the floats that networks see.

use super::Picture;

/// Scales samples to 0..1, subtracts `mean` and divides by `std`, per channel.
///
/// Returns `f32[3, height, width]`, row-major. Each sample is `float32(float64(u8) * (1/255))`, then `(x - mean) / std`
/// in `f32`: the reference implementation's roundings.
pub fn to_chw(picture: &Picture, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    let mut planes = Vec::with_capacity(picture.rgb.len());
    for channel in 0..3 {
        let value = |sample: usize| (((sample as f64) * (1.0 / 255.0)) as f32 - mean[channel]) / std[channel];
        let values: [f32; 256] = std::array::from_fn(value);
        planes.extend(picture.rgb.iter().skip(channel).step_by(3).map(|&sample| values[usize::from(sample)]));
    }
    planes
}
