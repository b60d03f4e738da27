//! The power of METEOR's penalty, as Java rounds it.

/// The exponent: how the penalty grows with fragmentation.
const BETA: f64 = 0.2;

/// `x` to the power [`BETA`] as Java's `Math.pow` gives it.
///
/// The C library's value, but for a few `x` the neighbouring number. Exact for every pair of captions with up to 400
/// matched words; for sums over many captions one in some 700 arguments may still round otherwise.
pub(super) fn power_beta(x: f64) -> f64 {
    // The optimiser must not see the exponent: it may fold powers it knows into other functions.
    let power = x.powf(std::hint::black_box(BETA));
    let bits = x.to_bits();
    if JAVA_IS_HIGHER.binary_search(&bits).is_ok() {
        power.next_up()
    } else if JAVA_IS_LOWER.binary_search(&bits).is_ok() {
        power.next_down()
    } else {
        power
    }
}

// Bits of the arguments, sorted. Measured: OpenJDK 17 (x86-64) against glibc 2.36, for every fraction
// chunks / ((a + b) / 2) with a + b up to 400.
const JAVA_IS_HIGHER: [u64; 18] = [
    0x3fcf77eb9689c7de,
    0x3fd0572620ae4c41,
    0x3fd6c4ec4ec4ec4f,
    0x3fd7f7d734041466,
    0x3fdb2e74a219b2e7,
    0x3fdb352dc22a0c5e,
    0x3fdc8cd8fb3ddbd6,
    0x3fdcfd52f467786b,
    0x3fe0dcbe15760933,
    0x3fe3be0c262edc6c,
    0x3fe6205b5c4ff0c6,
    0x3fe82aaaaaaaaaab,
    0x3feb23f1545af4ff,
    0x3febb4671655e7f2,
    0x3fec316399ede403,
    0x3fee0163356b88ac,
    0x3fee15e15e15e15e,
    0x3fef920a4f089732,
];
const JAVA_IS_LOWER: [u64; 17] = [
    0x3fc024e6a171024e,
    0x3fc284e6f1d69ab0,
    0x3fd3b80b11fd3b81,
    0x3fd889f2bc5a3267,
    0x3fda065f9a065f9a,
    0x3fe08dfea27983c1,
    0x3fe2016d1a62681d,
    0x3fe27f4296efb8f9,
    0x3fe4666666666666,
    0x3fe4d242e6bdc805,
    0x3fe7f44c118de5ab,
    0x3fe8056015805601,
    0x3fe8f01c3f8f01c4,
    0x3fead87bb4671656,
    0x3fec68e5c68e5c69,
    0x3fedbc090fdbc091,
    0x3feea3677d46cefb,
];
