//! Small writers of PNG and TIFF files with what the `image` crate's encoders cannot write.

/// A zlib stream of stored blocks.
pub(super) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut chunks = data.chunks(60_000).peekable();
    while let Some(chunk) = chunks.next() {
        out.push(u8::from(chunks.peek().is_none()));
        out.extend((chunk.len() as u16).to_le_bytes());
        out.extend((!(chunk.len() as u16)).to_le_bytes());
        out.extend(chunk);
    }
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65521;
        (a, (b + a) % 65521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// PackBits: runs of three and more as runs, the rest as it is.
pub(super) fn pack_bits(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let run = data[at..].iter().take(128).take_while(|&&byte| byte == data[at]).count();
        if run >= 3 {
            out.extend([(257 - run) as u8, data[at]]);
            at += run;
        } else {
            let count = (data.len() - at).min(2);
            out.push(count as u8 - 1);
            out.extend(&data[at..at + count]);
            at += count;
        }
    }
    out
}

/// TIFF's LZW with literals only: the code table is cleared before codes grow beyond 9 bits.
pub(super) fn lzw(data: &[u8]) -> Vec<u8> {
    let mut codes = Vec::new();
    for chunk in data.chunks(200) {
        codes.push(256);
        codes.extend(chunk.iter().map(|&byte| u32::from(byte)));
    }
    codes.push(257);
    let mut bits: Vec<u8> =
        codes.iter().flat_map(|code| (0..9).rev().map(move |bit| (code >> bit & 1) as u8)).collect();
    bits.resize(bits.len().next_multiple_of(8), 0);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
}

/// One PNG chunk with its check sum.
fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    let crc = !body.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    });
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
}

/// A PNG file; `rows` are the bytes of each row, `extra` are chunks between header and pixels.
pub(super) fn png(size: (u32, u32), depth: u8, colour: u8, extra: &[(&[u8; 4], &[u8])], rows: &[&[u8]]) -> Vec<u8> {
    let header = [&size.0.to_be_bytes()[..], &size.1.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let scan: Vec<u8> = rows.iter().flat_map(|row| [&[0], *row].concat()).collect();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    out.extend(chunk(*b"IHDR", &header));
    for (kind, data) in extra {
        out.extend(chunk(**kind, data));
    }
    out.extend(chunk(*b"IDAT", &zlib(&scan)));
    out.extend(chunk(*b"IEND", &[]));
    out
}

/// What a TIFF file declares; strips follow the directory.
pub(super) struct Tiff {
    pub(super) size: (u32, u32),
    pub(super) bits: u16,
    pub(super) samples: u16,
    pub(super) photometric: u16,
    pub(super) compression: u16,
    pub(super) rows_per_strip: u32,
    pub(super) big_endian: bool,
    /// Further tags with one short value: extra samples (338), sample format (339), orientation (274), ...
    pub(super) extra: Vec<(u16, u16)>,
}

impl Tiff {
    /// 8-bit RGB without compression in one strip.
    pub(super) fn rgb(width: u32, height: u32) -> Self {
        Self {
            size: (width, height),
            bits: 8,
            samples: 3,
            photometric: 2,
            compression: 1,
            rows_per_strip: height,
            big_endian: false,
            extra: Vec::new(),
        }
    }

    /// The file that holds `data`, uncompressed samples in file order.
    pub(super) fn write(&self, data: &[u8]) -> Vec<u8> {
        let row = (self.size.0 as usize * usize::from(self.samples) * usize::from(self.bits)).div_ceil(8);
        let strips: Vec<Vec<u8>> = data
            .chunks((row * self.rows_per_strip as usize).max(1))
            .map(|strip| match self.compression {
                5 => lzw(strip),
                8 => zlib(strip),
                // Rows are packed one by one.
                32773 => strip.chunks(row.max(1)).flat_map(pack_bits).collect(),
                _ => strip.to_vec(),
            })
            .collect();
        let counts: Vec<u32> = strips.iter().map(|strip| strip.len() as u32).collect();
        let mut tags: Vec<(u16, u16, Vec<u32>)> = vec![
            (256, 4, vec![self.size.0]),
            (257, 4, vec![self.size.1]),
            (258, 3, vec![u32::from(self.bits); usize::from(self.samples)]),
            (259, 3, vec![u32::from(self.compression)]),
            (262, 3, vec![u32::from(self.photometric)]),
            (273, 4, vec![0; strips.len()]),
            (277, 3, vec![u32::from(self.samples)]),
            (278, 4, vec![self.rows_per_strip]),
            (279, 4, counts.clone()),
        ];
        tags.extend(self.extra.iter().map(|&(tag, value)| (tag, 3, vec![u32::from(value)])));
        tags.sort_by_key(|tag| tag.0);

        let width = |kind: u16| if kind == 3 { 2 } else { 4 };
        let directory = 8 + 2 + tags.len() * 12 + 4;
        let outside = |tag: &(u16, u16, Vec<u32>)| Some(tag.2.len() * width(tag.1)).filter(|&n| n > 4).unwrap_or(0);
        let first = (directory + tags.iter().map(outside).sum::<usize>()) as u32;
        for tag in &mut tags {
            if tag.0 == 273 {
                let starts = counts.iter().scan(first, |at, count| Some(std::mem::replace(at, *at + count)));
                tag.2 = starts.collect();
            }
        }

        let short = |value: u16| if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut out = if self.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        out.extend(short(42));
        out.extend(long(8));
        out.extend(short(tags.len() as u16));
        let mut far = Vec::new();
        for (tag, kind, values) in &tags {
            out.extend(short(*tag));
            out.extend(short(*kind));
            out.extend(long(values.len() as u32));
            let mut bytes: Vec<u8> = values
                .iter()
                .flat_map(|&value| if *kind == 3 { short(value as u16).to_vec() } else { long(value).to_vec() })
                .collect();
            if bytes.len() > 4 {
                out.extend(long((directory + far.len()) as u32));
                far.extend(bytes);
            } else {
                bytes.resize(4, 0);
                out.extend(bytes);
            }
        }
        out.extend(long(0));
        out.extend(far);
        out.extend(strips.concat());
        out
    }
}
