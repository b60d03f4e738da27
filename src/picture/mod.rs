//! Image files -> RGB pixels of the size a network wants, equal to what PIL makes of them.
//!
//! [`decode`] reads TIFF, JPEG and PNG; [`resize_bicubic`], [`shortest_side`] and [`center_crop`] repeat Pillow's
//! integer arithmetic, so that embeddings agree with those of the reference implementations bit for bit.

mod alpha;
mod crop;
mod decode;
mod error;
mod jpeg;
mod normalise;
mod resize;
#[cfg(test)]
mod tests;

pub use alpha::Alpha;
pub use crop::{CropRule, center_crop, square};
pub use decode::{MAX_PIXELS, MAX_SIDE, decode, decode_with};
pub use error::{Format, PictureError};
pub use normalise::to_chw;
pub use resize::{fitted_size, resize_bicubic, shortest_side};

use crate::digest::Digest;

/// Raised whenever [`decode`] makes other pixels of a file, or reads files that it refused. History: 1, the first.
pub const VERSION: u32 = 1;

/// An RGB picture with 8 bits per sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels per row, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
    /// `height * width * 3` samples: rows from the top, pixels from the left, red, green, blue.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// The digest of size and pixels: equal for files that show the same, however they are encoded.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("rsic 2026 picture width height rgb v1");
        hasher.update(&self.width.to_le_bytes()).update(&self.height.to_le_bytes()).update(&self.rgb);
        hasher.finalize().into()
    }

    /// The samples of row `y`.
    fn row(&self, y: usize) -> &[u8] {
        let stride = self.width as usize * 3;
        &self.rgb[y * stride..(y + 1) * stride]
    }
}
