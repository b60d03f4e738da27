//! Writers of small files that say whatever a test wants.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::{DynamicImage, ImageFormat, RgbImage};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What `write` writes, deflated with zlib's header.
pub(super) fn deflated(zeros: u64, head: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(head).unwrap();
    let block = vec![0; 1 << 20];
    let mut left = zeros;
    while left > 0 {
        let now = left.min(block.len() as u64);
        encoder.write_all(&block[..now as usize]).unwrap();
        left -= now;
    }
    encoder.finish().unwrap()
}

/// The check sum of PNG and zip.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// One PNG chunk.
fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
}

/// An 8-bit RGB PNG of this size, with `extra` chunks before the pixels and `pixels` as the compressed stream.
pub(super) fn png(width: u32, height: u32, extra: &[([u8; 4], Vec<u8>)], pixels: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let mut out = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(*b"IHDR", &header)].concat();
    for (kind, data) in extra {
        out.extend(chunk(*kind, data));
    }
    [out, chunk(*b"IDAT", pixels), chunk(*b"IEND", &[])].concat()
}

/// Makes the check sums of all chunks right again, so that a changed file is not refused for them.
pub(super) fn mend_png(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()) {
        let end = at + 8 + u32::from_be_bytes(length) as usize;
        if bytes.len() < end + 4 {
            return;
        }
        let sum = crc(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
}

/// A TIFF tag: its number, its type (3 short, 4 long, 16 long of `BigTIFF`), how many values it claims, and its value or offset.
pub(super) type Tag = (u16, u16, u32, u32);

/// A little-endian TIFF of one directory, whose next directory is at `next`; `data` follows it.
pub(super) fn tiff(tags: &[Tag], next: u32, data: &[u8]) -> Vec<u8> {
    let mut out = b"II*\0\x08\0\0\0".to_vec();
    out.extend(directory(tags, next));
    out.extend(data);
    out
}

/// One directory.
pub(super) fn directory(tags: &[Tag], next: u32) -> Vec<u8> {
    let mut out = (tags.len() as u16).to_le_bytes().to_vec();
    for (tag, kind, count, value) in tags {
        out.extend([&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat());
    }
    out.extend(next.to_le_bytes());
    out
}

/// The tags of an 8-bit grey picture in one strip, by which `strip` says where and how long it is.
pub(super) fn grey(width: u32, height: u32, compression: u32, strip: (u32, u32)) -> Vec<Tag> {
    vec![
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, strip.0),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, strip.1),
    ]
}

/// Where the data of a TIFF with so many tags begin.
pub(super) fn after(tags: usize) -> u32 {
    (8 + 2 + tags * 12 + 4) as u32
}

/// A small picture with gradients and edges.
pub(super) fn picture() -> DynamicImage {
    let sample = |x: u32, y: u32, c: u32| ((x * 7 + y * 13 + c * 50 + (x / 5 + y / 3) % 2 * 90) % 256) as u8;
    RgbImage::from_fn(17, 11, |x, y| image::Rgb([0, 1, 2].map(|c| sample(x, y, c)))).into()
}

/// That picture as a file.
pub(super) fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A zip archive of these entries.
pub(super) fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A SafeTensors file with this header, of which it claims `length` bytes.
pub(super) fn safetensors(length: u64, header: &[u8], data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], header, data].concat()
}

/// The pickle of `{name: tensor}` for tensors of 32-bit floats in storage `0` of `stored` elements, with this shape and these strides.
pub(super) fn state_dict(names: &[String], stored: u32, shape: &[u32], strides: &[u32]) -> Vec<u8> {
    let text = |s: &str| [b"X", &(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat();
    let int = |n: u32| [b"\x8a\x05", &n.to_le_bytes()[..], &[0]].concat();
    let tuple = |ns: &[u32]| [b"(".to_vec(), ns.iter().flat_map(|n| int(*n)).collect(), b"t".to_vec()].concat();
    let mut out = b"\x80\x02}(".to_vec();
    for name in names {
        out.extend(text(name));
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        out.extend([b"(".to_vec(), text("storage"), b"ctorch\nFloatStorage\n".to_vec()].concat());
        out.extend([text("0"), text("cpu"), int(stored), b"tQ".to_vec()].concat());
        out.extend([int(0), tuple(shape), tuple(strides)].concat());
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    out
}
