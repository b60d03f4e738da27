//! Against pixels that Pillow made, and against files that are hostile.

mod formats;
mod golden;
mod hostile;
mod write;

use image::{DynamicImage, ImageFormat};

use super::Picture;

/// Encodes `image` with the `image` crate.
fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A made-up picture with gradients and edges.
fn pattern(width: u32, height: u32) -> Picture {
    let sample = |y: u32, x: u32, c: u32| ((x * 7 + y * 13 + c * 50 + (x / 5 + y / 3) % 2 * 90) % 256) as u8;
    let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| sample(y, x, c)))).collect();
    Picture { width, height, rgb }
}

/// The pattern as an `image` picture.
fn pattern_image(width: u32, height: u32) -> DynamicImage {
    image::RgbImage::from_raw(width, height, pattern(width, height).rgb).unwrap().into()
}
