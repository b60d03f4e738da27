//! One row per colour type and container; pixels are made here, so every expected number is known.

use image::{DynamicImage, ImageFormat};

use super::write::{Tiff, png};
use super::{encode, pattern, pattern_image};
use crate::picture::{Alpha, Picture, PictureError, decode, decode_with};

fn check(name: &str, bytes: &[u8], want: &[[u8; 3]]) {
    match decode(bytes) {
        Ok(picture) => assert_eq!(picture.rgb, want.concat(), "{name}"),
        Err(error) => panic!("{name}: {error}"),
    }
}

#[test]
fn png_colour_types() {
    let palette: &[(&[u8; 4], &[u8])] = &[(b"PLTE", &[10, 20, 30, 40, 50, 60])];
    let clear: &[(&[u8; 4], &[u8])] = &[(b"PLTE", &[10, 20, 30, 40, 50, 60]), (b"tRNS", &[0])];
    // Opacity 128 over white: PIL's composite of 100 is 177 (100 * 128/255 + 127 = 177.2).
    for (name, bytes, want) in [
        ("grey", png((2, 1), 8, 0, &[], &[&[0, 200]]), [[0; 3], [200; 3]]),
        ("grey, 1 bit", png((2, 1), 1, 0, &[], &[&[0b0100_0000]]), [[0; 3], [255; 3]]),
        ("grey, 4 bits", png((2, 1), 4, 0, &[], &[&[0x3F]]), [[51; 3], [255; 3]]),
        ("grey, 16 bits: high byte", png((2, 1), 16, 0, &[], &[&[7, 255, 200, 0]]), [[7; 3], [200; 3]]),
        ("grey with colour key", png((2, 1), 8, 0, &[(b"tRNS", &[0, 9])], &[&[9, 10]]), [[255; 3], [10; 3]]),
        ("grey and alpha", png((2, 1), 8, 4, &[], &[&[100, 128, 9, 0]]), [[177; 3], [255; 3]]),
        ("palette", png((2, 1), 8, 3, palette, &[&[1, 0]]), [[40, 50, 60], [10, 20, 30]]),
        ("palette, 2 bits", png((2, 1), 2, 3, palette, &[&[0b0100_0000]]), [[40, 50, 60], [10, 20, 30]]),
        ("palette with a clear entry", png((2, 1), 8, 3, clear, &[&[1, 0]]), [[40, 50, 60], [255; 3]]),
        ("rgb", png((2, 1), 8, 2, &[], &[&[1, 2, 3, 4, 5, 6]]), [[1, 2, 3], [4, 5, 6]]),
        (
            "rgb, 16 bits: high bytes",
            png((2, 1), 16, 2, &[], &[&[1, 255, 2, 255, 3, 255, 4, 0, 5, 0, 6, 0]]),
            [[1, 2, 3], [4, 5, 6]],
        ),
        ("rgba", png((2, 1), 8, 6, &[], &[&[100, 100, 100, 128, 4, 5, 6, 255]]), [[177; 3], [4, 5, 6]]),
        (
            "rgba, 16 bits",
            png((2, 1), 16, 6, &[], &[&[100, 0, 100, 0, 100, 0, 128, 0, 4, 0, 5, 0, 6, 0, 255, 0]]),
            [[177; 3], [4, 5, 6]],
        ),
    ] {
        check(name, &bytes, &want);
    }
    let rgba = png((1, 1), 8, 6, &[], &[&[1, 2, 3, 0]]);
    assert_eq!(decode_with(&rgba, Alpha::Drop).unwrap().rgb, [1, 2, 3], "alpha can be dropped");
}

#[test]
fn tiff_compressions_strips_and_byte_orders() {
    let want = pattern(37, 23);
    for (name, compression) in [("none", 1), ("LZW", 5), ("deflate", 8), ("PackBits", 32773)] {
        for rows_per_strip in [1, 4, 23] {
            for big_endian in [false, true] {
                let tiff = Tiff { compression, rows_per_strip, big_endian, ..Tiff::rgb(37, 23) };
                let got = decode(&tiff.write(&want.rgb));
                let got = got.unwrap_or_else(|e| panic!("{name}, {rows_per_strip} rows, {big_endian}: {e}"));
                assert_eq!(got, want, "{name}, {rows_per_strip} rows, big endian {big_endian}");
            }
        }
    }
}

#[test]
fn tiff_colour_types() {
    let tiff = |bits, samples, photometric, extra: &[(u16, u16)]| Tiff {
        bits,
        samples,
        photometric,
        extra: extra.to_vec(),
        ..Tiff::rgb(2, 1)
    };
    for (name, file, data, want) in [
        ("grey", tiff(8, 1, 1, &[]), &[0, 200][..], [[0; 3], [200; 3]]),
        ("grey, white is zero", tiff(8, 1, 0, &[]), &[0, 200], [[255; 3], [55; 3]]),
        ("1 bit", tiff(1, 1, 1, &[]), &[0b0100_0000], [[0; 3], [255; 3]]),
        ("grey, 16 bits", tiff(16, 1, 1, &[]), &[255, 7, 0, 200], [[7; 3], [200; 3]]),
        ("rgb, 16 bits", tiff(16, 3, 2, &[]), &[9, 1, 9, 2, 9, 3, 9, 4, 9, 5, 9, 6], [[1, 2, 3], [4, 5, 6]]),
        ("rgba", tiff(8, 4, 2, &[(338, 2)]), &[100, 100, 100, 128, 4, 5, 6, 255], [[177; 3], [4, 5, 6]]),
        (
            "a fourth band that is no alpha",
            tiff(8, 4, 2, &[(338, 0)]),
            &[1, 2, 3, 0, 4, 5, 6, 9],
            [[1, 2, 3], [4, 5, 6]],
        ),
        ("orientation is ignored", tiff(8, 3, 2, &[(274, 3)]), &[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]),
        ("cmyk", tiff(8, 4, 5, &[]), &[255, 255, 255, 0, 0, 0, 0, 0], [[0; 3], [255; 3]]),
    ] {
        check(name, &file.write(data), &want);
    }
}

#[test]
fn samples_without_a_rule_are_refused() {
    let float = Tiff { bits: 32, extra: vec![(339, 3)], ..Tiff::rgb(1, 1) };
    let signed = Tiff { extra: vec![(339, 2)], ..Tiff::rgb(1, 1) };
    let palette = Tiff { samples: 1, photometric: 3, ..Tiff::rgb(1, 1) };
    let two_bits = Tiff { bits: 2, samples: 1, photometric: 1, ..Tiff::rgb(4, 1) };
    let grey_alpha = Tiff { samples: 2, photometric: 1, extra: vec![(338, 2)], ..Tiff::rgb(1, 1) };
    for (name, bytes) in [
        ("floating point", float.write(&[0; 12])),
        ("signed", signed.write(&[0; 3])),
        ("palette", palette.write(&[0])),
        ("2 bits", two_bits.write(&[0])),
        ("grey and alpha", grey_alpha.write(&[0, 0])),
    ] {
        let error = decode(&bytes).expect_err(name);
        assert!(matches!(error, PictureError::Unsupported { .. }), "{name}: {error}");
        assert!(error.to_string().contains("convert it to 8-bit RGB"), "{name}: {error}");
    }
}

#[test]
fn jpeg_pixels_are_near_and_exif_does_not_turn_them() {
    let smooth = image::RgbImage::from_fn(40, 24, |x, y| image::Rgb([x as u8 * 5, y as u8 * 9, 99]));
    let plain = encode(&DynamicImage::ImageRgb8(smooth.clone()), ImageFormat::Jpeg);
    let picture = decode(&plain).unwrap();
    let off = picture.rgb.iter().zip(smooth.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(off < Some(24), "{off:?}");

    // An EXIF block that says `rotate by 90 degrees` (orientation, tag 0x0112, is 6).
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let segment = [&[0xFF, 0xE1], &(exif.len() as u16 + 2).to_be_bytes()[..], exif].concat();
    let turned = [&plain[..2], &segment, &plain[2..]].concat();
    assert_eq!(decode(&turned).unwrap(), picture);

    let grey = encode(&DynamicImage::ImageRgb8(smooth).to_luma8().into(), ImageFormat::Jpeg);
    let grey = decode(&grey).unwrap();
    assert!(grey.rgb.chunks(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
}

#[test]
fn the_content_decides_the_format_and_equal_pixels_have_one_digest() {
    let want = pattern(20, 11);
    let files = [ImageFormat::Png, ImageFormat::Tiff].map(|format| encode(&pattern_image(20, 11), format));
    for bytes in &files {
        assert_eq!(decode(bytes).unwrap().digest(), want.digest());
    }
    let turned = Picture { width: 11, height: 20, rgb: want.rgb.clone() };
    assert_ne!(turned.digest(), want.digest(), "the size is part of the digest");
}
