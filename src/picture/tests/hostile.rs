//! Truncated, changed and lying files: an error that says what is wrong, or the right pixels; never a panic.

use image::ImageFormat;
use proptest::prelude::*;

use super::write::{Tiff, png};
use super::{encode, pattern, pattern_image};
use crate::picture::{Picture, PictureError, decode};

/// Small files of every kind, with their names.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let tiff = |compression| Tiff { compression, rows_per_strip: 3, ..Tiff::rgb(17, 11) }.write(&pattern(17, 11).rgb);
    vec![
        ("png", encode(&pattern_image(17, 11), ImageFormat::Png)),
        ("palette png", png((2, 1), 8, 3, &[(b"PLTE", &[1, 2, 3, 4, 5, 6])], &[&[1, 0]])),
        ("jpeg", encode(&pattern_image(17, 11), ImageFormat::Jpeg)),
        ("tiff", tiff(1)),
        ("tiff LZW", tiff(5)),
        ("tiff deflate", tiff(8)),
        ("tiff PackBits", tiff(32773)),
        ("tiff with its directory at the end", encode(&pattern_image(17, 11), ImageFormat::Tiff)),
    ]
}

#[test]
fn a_cut_file_never_gives_other_pixels() {
    for (name, bytes) in files() {
        let whole = decode(&bytes).unwrap();
        let mut truncated = 0;
        for length in 0..bytes.len() {
            match decode(&bytes[..length]) {
                Ok(picture) => assert_eq!(picture, whole, "{name} cut to {length} of {}", bytes.len()),
                Err(PictureError::Truncated(_)) => truncated += 1,
                Err(_) => {}
            }
        }
        assert!(truncated * 2 > bytes.len(), "{name}: only {truncated} of {} cuts say truncated", bytes.len());
        let cut = decode(&bytes[..bytes.len() * 3 / 4]).unwrap_err();
        assert!(matches!(cut, PictureError::Truncated(_)), "{name}: {cut}");
        assert!(cut.to_string().contains("truncated"), "{name}: {cut}");
    }
}

#[test]
fn what_is_no_picture_is_named() {
    for (name, bytes, want) in [
        ("empty", &b""[..], "the file is empty"),
        ("text", b"<html>404", "not a TIFF, JPEG or PNG file (it begins with <html>40)"),
        ("GIF", b"GIF89a\0\0", "not a TIFF, JPEG or PNG file (it begins with GIF89a\\x00\\x00)"),
        ("one byte", b"I", "not a TIFF, JPEG or PNG file (it begins with I)"),
    ] {
        assert_eq!(decode(bytes).unwrap_err().to_string(), want, "{name}");
    }
}

#[test]
fn declared_sizes_are_checked_before_memory_is_taken() {
    let tall = |width, height| Tiff { rows_per_strip: height, ..Tiff::rgb(width, height) }.write(&[0; 3]);
    let mut jpeg = encode(&pattern_image(8, 8), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xFF);
    for (name, bytes) in [
        ("png, one side", png((20_001, 1), 8, 0, &[], &[&[0]])),
        ("png, both sides", png((20_000, 20_000), 8, 2, &[], &[&[0]])),
        ("png, absurd", png((0x7FFF_FFFF, 0x7FFF_FFFF), 16, 6, &[], &[&[0]])),
        ("tiff", tall(20_000, 20_000)),
        ("tiff, absurd", tall(u32::MAX, u32::MAX)),
        ("jpeg", jpeg),
    ] {
        let error = decode(&bytes).expect_err(name);
        assert!(matches!(error, PictureError::Size { .. } | PictureError::Damaged { .. }), "{name}: {error}");
    }
    for (name, bytes) in [("png", png((0, 1), 8, 0, &[], &[&[0]])), ("tiff", tall(0, 1))] {
        assert!(decode(&bytes).is_err(), "{name} without pixels");
    }
}

/// Every picture that comes out is whole, however wrong the file.
fn survives(bytes: &[u8]) {
    if let Ok(Picture { width, height, rgb }) = decode(bytes) {
        assert_eq!(rgb.len(), width as usize * height as usize * 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(
        file in 0_usize..8,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = files().swap_remove(file).1;
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let length = cut.map_or(bytes.len(), |at| at.index(bytes.len()));
        survives(&bytes[..length]);
    }

    #[test]
    fn noise_behind_a_signature_never_panics(
        signature in prop::sample::select(vec![&b"II*\0\x08\0\0\0"[..], b"MM\0*", b"\xFF\xD8\xFF\xC0", b"\x89PNG\r\n\x1a\n"]),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        survives(&[signature, &noise].concat());
    }
}
