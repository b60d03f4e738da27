//! Seeded mutation: the same seed makes the same file.

/// A small generator (`splitmix64`); every file has one of its own, begun with the file's seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Numbers at which code goes wrong, little-endian; written over 1, 2, 4 or 8 bytes in either order.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    u64::MAX,
];
/// The same as text, and what stands where numbers are wanted.
const TEXTS: [&[u8]; 20] = [
    b"0",
    b"-1",
    b"1",
    b"255",
    b"65536",
    b"2147483648",
    b"4294967295",
    b"4294967296",
    b"9223372036854775808",
    b"18446744073709551615",
    b"99999999999999999999999",
    b"1e999",
    b"-0.0",
    b"0.5",
    b"1e-400",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b"\"\\ud800\"",
];
/// Files may not grow beyond this.
const LARGEST: usize = 1 << 20;

/// One of `seeds`, changed once or some times; `tokens` are words of the format's grammar.
pub(super) fn mutated(dice: &mut Dice, seeds: &[Vec<u8>], tokens: &[&[u8]]) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..1 << dice.below(3) {
        change(dice, &mut bytes, seeds, tokens);
        bytes.truncate(LARGEST);
    }
    bytes
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], tokens: &[&[u8]]) {
    let (at, end) = (dice.below(bytes.len()), dice.below(bytes.len()));
    let (from, to) = (at.min(end), at.max(end));
    match dice.below(17) {
        0 | 11 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
        1 | 12 if !bytes.is_empty() => bytes[at] = dice.below(256) as u8,
        2 | 13 => {
            let number = NUMBERS[dice.below(NUMBERS.len())];
            let width = 1 << dice.below(4);
            let mut number = number.to_le_bytes()[..width].to_vec();
            if dice.below(2) == 0 {
                number.reverse();
            }
            let width = width.min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        3 => bytes.truncate(at),
        4 => _ = bytes.drain(from..to.min(from + 64)),
        5 => _ = bytes.drain(from..to),
        6 => {
            let block = bytes[from..to.min(from + 256)].to_vec();
            let times = 1 << dice.below(11);
            bytes.splice(to..to, block.repeat(times).into_iter().take(LARGEST));
        }
        7 => {
            // A piece of another file of the kind.
            let other = &seeds[dice.below(seeds.len())];
            let (a, b) = (dice.below(other.len()), dice.below(other.len()));
            bytes.splice(from..to, other[a.min(b)..a.max(b)].iter().copied());
        }
        8 | 14 => {
            // Some digits become another number.
            let digits = (at..bytes.len()).find(|&i| bytes[i].is_ascii_digit());
            if let Some(start) = digits {
                let stop = (start..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
                bytes.splice(start..stop, dice.of(&TEXTS).iter().copied());
            }
        }
        9 if !tokens.is_empty() => _ = bytes.splice(at..at, dice.of(tokens).iter().copied()),
        _ if !tokens.is_empty() => {
            // One word of the grammar in the place of another.
            let (old, new) = (dice.of(tokens), dice.of(tokens));
            let found = bytes[at..].windows(old.len()).position(|window| window == old);
            if let Some(start) = found.map(|skip| at + skip) {
                bytes.splice(start..start + old.len(), new.iter().copied());
            }
        }
        _ => bytes.reverse(),
    }
}
