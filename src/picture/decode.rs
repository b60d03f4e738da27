//! TIFF, JPEG and PNG files -> RGB pixels.
//!
//! Rules, so that equal files give equal pixels everywhere: the first bytes decide the format, never the name; the
//! first image of a file counts; grey and palettes are expanded; of 16-bit samples the high byte counts (PIL's raw
//! modes do the same); alpha follows [`Alpha`]; colour profiles and EXIF orientation are ignored, as PIL ignores them.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::error::LimitErrorKind;
use image::{DynamicImage, ImageDecoder, ImageError, Limits};

use super::{Alpha, Format, Picture, PictureError, jpeg};

/// The most pixels that a picture may have on one side.
pub const MAX_SIDE: u32 = 20_000;

/// The most pixels that a picture may have in all.
pub const MAX_PIXELS: u64 = 200_000_000;

/// The most bytes that a decoder may allocate: 16-bit RGBA at [`MAX_PIXELS`], and as much again to work in.
const MAX_BYTES: u64 = MAX_PIXELS * 8 * 2;

/// Decodes the bytes of a TIFF, JPEG or PNG file; transparent parts are laid over white.
///
/// Fails if the file is of another format, truncated, damaged, larger than [`MAX_SIDE`] or [`MAX_PIXELS`], or holds
/// samples for which there is no rule (floating point, for example).
pub fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
    decode_with(bytes, Alpha::OverWhite)
}

/// Decodes as [`decode`] does, with another rule for alpha.
pub fn decode_with(bytes: &[u8], alpha: Alpha) -> Result<Picture, PictureError> {
    let format = sniff(bytes)?;
    // A decoder that trips over hostile bytes must not end a build of ten thousand good images.
    let pixels = catch_unwind(AssertUnwindSafe(|| pixels(format, bytes)))
        .unwrap_or_else(|_| Err(PictureError::Damaged { format, cause: "the decoder gave up".to_owned() }))?;
    let (width, height) = (pixels.width(), pixels.height());
    let rgb = to_rgb(format, pixels, alpha)?;
    debug_assert_eq!(rgb.len(), width as usize * height as usize * 3);
    Ok(Picture { width, height, rgb })
}

fn sniff(bytes: &[u8]) -> Result<Format, PictureError> {
    match bytes {
        [] => Err(PictureError::Empty),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Format::Tiff),
        [0xFF, 0xD8, 0xFF, ..] => Ok(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Ok(Format::Png),
        _ => Err(PictureError::UnknownFormat(bytes[..bytes.len().min(8)].escape_ascii().to_string())),
    }
}

fn pixels(format: Format, bytes: &[u8]) -> Result<DynamicImage, PictureError> {
    let explain = |error| explain(format, error);
    let source = Cursor::new(bytes);
    match format {
        Format::Tiff => read(format, TiffDecoder::new(source).map_err(explain)?),
        Format::Png => read(format, PngDecoder::with_limits(source, limits()).map_err(explain)?),
        Format::Jpeg if !jpeg::is_whole(bytes) => Err(PictureError::Truncated(format)),
        Format::Jpeg => {
            let decoder = JpegDecoder::new(source).map_err(explain)?;
            let (width, height) = dimensions(format, &decoder)?;
            if !jpeg::can_hold(bytes.len(), width, height) {
                return Err(PictureError::Truncated(format));
            }
            read(format, decoder)
        }
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    limits
}

/// Width and height, if a picture may have so many pixels.
fn dimensions(format: Format, decoder: &impl ImageDecoder) -> Result<(u32, u32), PictureError> {
    let (width, height) = decoder.dimensions();
    let sides = 1..=MAX_SIDE;
    let fits = u64::from(width) * u64::from(height) <= MAX_PIXELS;
    if !(sides.contains(&width) && sides.contains(&height) && fits) {
        return Err(PictureError::Size { format, width, height });
    }
    Ok((width, height))
}

fn read(format: Format, mut decoder: impl ImageDecoder) -> Result<DynamicImage, PictureError> {
    dimensions(format, &decoder)?;
    decoder.set_limits(limits()).map_err(|error| explain(format, error))?;
    DynamicImage::from_decoder(decoder).map_err(|error| explain(format, error))
}

fn explain(format: Format, error: ImageError) -> PictureError {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            PictureError::Truncated(format)
        }
        ImageError::Unsupported(error) => {
            PictureError::Unsupported { format, what: format!("something unusual ({error})") }
        }
        ImageError::Limits(error) if matches!(error.kind(), LimitErrorKind::InsufficientMemory) => {
            PictureError::Damaged { format, cause: "it asks for more memory than any picture needs".to_owned() }
        }
        error => PictureError::Damaged { format, cause: error.to_string() },
    }
}

fn to_rgb(format: Format, pixels: DynamicImage, alpha: Alpha) -> Result<Vec<u8>, PictureError> {
    Ok(match pixels {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageRgb16(image) => high_bytes(&image),
        DynamicImage::ImageLuma8(image) => grey(&image),
        DynamicImage::ImageLuma16(image) => grey(&high_bytes(&image)),
        DynamicImage::ImageLumaA8(image) => grey_alpha(&image, alpha),
        DynamicImage::ImageLumaA16(image) => grey_alpha(&high_bytes(&image), alpha),
        DynamicImage::ImageRgba8(image) => rgb_alpha(&image, alpha),
        DynamicImage::ImageRgba16(image) => rgb_alpha(&high_bytes(&image), alpha),
        other => {
            return Err(PictureError::Unsupported { format, what: format!("samples of type {:?}", other.color()) });
        }
    })
}

fn high_bytes(samples: &[u16]) -> Vec<u8> {
    samples.iter().map(|sample| (sample >> 8) as u8).collect()
}

fn grey(samples: &[u8]) -> Vec<u8> {
    samples.iter().flat_map(|&g| [g; 3]).collect()
}

fn grey_alpha(samples: &[u8], alpha: Alpha) -> Vec<u8> {
    samples.chunks_exact(2).flat_map(|pixel| [alpha.apply(pixel[0], pixel[1]); 3]).collect()
}

fn rgb_alpha(samples: &[u8], alpha: Alpha) -> Vec<u8> {
    samples.chunks_exact(4).flat_map(|pixel| [0, 1, 2].map(|c| alpha.apply(pixel[c], pixel[3]))).collect()
}
