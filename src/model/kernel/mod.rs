//! Matrix products and row-wise functions in `f32` whose bits depend on nothing but the numbers themselves.
//!
//! Every element of a product is one chain of fused multiply-adds over the inner index in ascending order, kept in a register and, between
//! blocks of that index, stored to and loaded from the result (which is exact). Sums over a row use sixteen lanes in a fixed order. So a
//! row's bits depend neither on the other rows of a batch, nor on blocking, thread count or instruction set.
//!
//! This is the only module of the project that may use `unsafe`, for three things: to call a function compiled for an instruction set that was
//! detected at run time, to load and store vector registers from arrays of their size, and to set one environment variable before any
//! thread runs.
#![allow(unsafe_code)]
// Loops vectorise for an instruction set only if what they call is part of the same function.
#![allow(clippy::inline_always)]

mod buffer;
mod gemm;
mod math;
mod pack;
mod packed;
pub mod rows;
mod tile;

pub use buffer::Buffer;
pub use gemm::{Mat, MatMut, Start, gemm, gemm_packed, gemm_serial};
pub use math::{erf, exp, tanh};
pub use packed::Packed;

/// Keeps candle's own elementwise operations on the calling thread; call it first in `main`.
///
/// Its pool waits by spinning, which takes the cores away from our kernels: a third of a training step on two cores. Results do
/// not depend on it. candle reads the setting from `CANDLE_NUM_THREADS` alone; a value that the user set stays.
pub fn keep_candle_on_one_thread() {
    const NAME: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(NAME).is_none() {
        // SAFETY: `main` has started no thread yet, so nobody reads the environment meanwhile.
        unsafe { std::env::set_var(NAME, "1") };
    }
}

/// The instruction sets that have code of their own; the results are the same on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// 512-bit vectors.
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// Whatever the compiler makes of plain loops.
    Portable,
}

impl Isa {
    /// The widest set this processor has (the standard library remembers the answer).
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                return Self::Avx512;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// All sets that this processor can run, for tests.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        match Self::detect() {
            Self::Avx512 => vec![Self::Avx512, Self::Avx2, Self::Portable],
            Self::Avx2 => vec![Self::Avx2, Self::Portable],
            Self::Portable => vec![Self::Portable],
        }
    }
}

/// Defines functions on slices that are compiled once per instruction set and chosen at run time.
macro_rules! dispatched {
    ($($(#[$meta:meta])* pub fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$meta])*
        pub fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                // SAFETY: each function is called only where its instructions were detected.
                match $crate::model::kernel::Isa::detect() {
                    $crate::model::kernel::Isa::Avx512 => return unsafe { avx512($($arg),*) },
                    $crate::model::kernel::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::model::kernel::Isa::Portable => {}
                }
            }
            body($($arg),*)
        }
    )*};
}
use dispatched;

#[cfg(test)]
mod tests;
