//! The bytes of a pickle, piece by piece.

use super::pickle::{Node, Step};

/// The longest name of a module or class, in bytes: it is repeated for every object.
const MAX_NAME: usize = 1024;
/// The longest integer, in bytes.
const MAX_INTEGER: usize = 64;

/// What is left of a pickle.
pub(super) struct Stream<'a> {
    rest: &'a [u8],
}

impl<'a> Stream<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Number of bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, n: u64) -> Step<&'a [u8]> {
        let split = usize::try_from(n).ok().and_then(|n| self.rest.split_at_checked(n));
        let (here, rest) = split.ok_or_else(|| format!("it needs {n} bytes and {} are left", self.rest.len()))?;
        self.rest = rest;
        Ok(here)
    }

    /// An unsigned little-endian number of at most 8 bytes.
    pub(super) fn number(&mut self, width: u64) -> Step<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// What follows its own length, which has `width` bytes.
    pub(super) fn counted(&mut self, width: u64) -> Step<&'a [u8]> {
        let n = self.number(width)?;
        self.take(n)
    }

    /// The name of a module or class, up to the end of the line.
    pub(super) fn line(&mut self) -> Step<String> {
        let end = self.rest.iter().take(MAX_NAME + 1).position(|byte| *byte == b'\n');
        let line = self.take(end.ok_or("the name of a class does not end")? as u64)?;
        self.take(1)?;
        short(line)
    }

    /// An integer after its length, which has `width` bytes.
    pub(super) fn integer(&mut self, width: u64) -> Step<Node> {
        let bytes = self.counted(width)?;
        if bytes.len() > MAX_INTEGER {
            return Err(format!("an integer of {} bytes is too long", bytes.len()));
        }
        let text = decimal(bytes);
        Ok(text.parse().map_or_else(|_| Node::BigInt(text), Node::Int))
    }
}

/// The name of a module or class.
pub(super) fn short(bytes: &[u8]) -> Step<String> {
    match str::from_utf8(bytes) {
        Ok(name) if name.len() <= MAX_NAME => Ok(name.to_owned()),
        _ => Err(format!("the name of a class is not text of at most {MAX_NAME} bytes")),
    }
}

/// The decimal digits of a little-endian integer in two's complement.
fn decimal(bytes: &[u8]) -> String {
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    // The digits of the magnitude in base 10^9, least first; -x is !x + 1.
    let mut digits = vec![0u64];
    for (i, byte) in bytes.iter().enumerate().rev() {
        let mut carry = if negative { u64::from(!byte) + u64::from(i == 0) } else { u64::from(*byte) };
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 1_000_000_000;
            carry /= 1_000_000_000;
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
    let sign = if negative { "-" } else { "" };
    let rest: Vec<String> = digits.iter().rev().skip(1).map(|digit| format!("{digit:09}")).collect();
    format!("{sign}{}{}", digits[digits.len() - 1], rest.concat())
}
