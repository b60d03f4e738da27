//! Seeded random numbers and the first values of weights.
//!
//! Each use has its own stream, named by a text, so that adding one weight changes no other. The generator is xoshiro256++ (Blackman and
//! Vigna, 2019), its state filled by `SplitMix64`.

use candle_core::{Device, Result, Shape, Tensor};

/// A stream of random numbers, the same on every machine.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
    /// The second half of the last pair of normal numbers.
    spare: Option<f32>,
}

impl Rng {
    /// The stream called `name` of a seed.
    pub fn new(seed: u64, name: &str) -> Self {
        let digest = blake3::Hasher::new_derive_key("rsic random stream v1")
            .update(&seed.to_le_bytes())
            .update(name.as_bytes())
            .finalize();
        let mut mix = u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap_or_default());
        Self { state: std::array::from_fn(|_| split_mix(&mut mix)), spare: None }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A whole number below `bound`, all equally likely.
    ///
    /// Panics if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "no number is below 0");
        let bound = bound as u64;
        // Multiplication maps the bits to 0..bound; the few that would make some results likelier are drawn again (Lemire, 2019).
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(bound);
            if wide as u64 >= bound.wrapping_neg() % bound {
                return (wide >> 64) as usize;
            }
        }
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// A number in `0.0..1.0` with 53 bits.
    pub fn unit_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in `low..high`.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A number from the normal distribution with mean 0 and deviation 1 (Marsaglia's polar method).
    pub fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.unit_f64() - 1.0, 2.0 * self.unit_f64() - 1.0);
            let size = x * x + y * y;
            if size < 1.0 && size > 0.0 {
                let factor = (-2.0 * natural_log(size) / size).sqrt();
                self.spare = Some((y * factor) as f32);
                return (x * factor) as f32;
            }
        }
    }

    /// A normal number drawn again until it lies within two deviations.
    pub fn truncated_normal(&mut self) -> f32 {
        loop {
            let x = self.normal();
            if x.abs() <= 2.0 {
                return x;
            }
        }
    }

    /// Puts a list in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The natural logarithm of a positive normal number, from basic operations only: the platform's may differ in the last bit.
fn natural_log(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut fraction = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if fraction > std::f64::consts::SQRT_2 {
        fraction *= 0.5;
        exponent += 1;
    }
    // ln f = 2 artanh((f - 1) / (f + 1)), whose argument is at most 0.172 here.
    let s = (fraction - 1.0) / (fraction + 1.0);
    let mut sum = 0.0;
    for n in (0..12).rev() {
        sum = sum * s * s + 1.0 / f64::from(2 * n + 1);
    }
    2.0 * s * sum + exponent as f64 * std::f64::consts::LN_2
}

/// How the elements of a weight are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element has this value.
    Constant(f32),
    /// Between minus and plus this bound.
    Uniform(f32),
    /// Normal with mean 0 and this deviation.
    Normal(f32),
    /// Normal with this deviation, within two deviations.
    TruncatedNormal(f32),
}

impl Init {
    /// The default of PyTorch's `Linear`, for weight and bias alike: uniform within `1 / sqrt(inputs)`.
    pub fn linear(inputs: usize) -> Self {
        Self::Uniform(1.0 / (inputs as f32).sqrt())
    }

    /// Kaiming's uniform distribution for layers before a `ReLU`.
    pub fn kaiming(inputs: usize) -> Self {
        Self::Uniform((6.0 / inputs as f32).sqrt())
    }

    /// Xavier's uniform distribution.
    pub fn xavier(inputs: usize, outputs: usize) -> Self {
        Self::Uniform((6.0 / (inputs + outputs) as f32).sqrt())
    }

    /// A tensor of such elements from the stream `name` of `seed`.
    pub fn tensor(self, seed: u64, name: &str, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        let mut rng = Rng::new(seed, name);
        let draw = || match self {
            Self::Constant(value) => value,
            Self::Uniform(bound) => rng.uniform(-bound, bound),
            Self::Normal(deviation) => deviation * rng.normal(),
            Self::TruncatedNormal(deviation) => deviation * rng.truncated_normal(),
        };
        let values: Vec<f32> = std::iter::repeat_with(draw).take(shape.elem_count()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // Reference: the authors' C code of xoshiro256++ with state 1, 2, 3, 4 and of `SplitMix64` with seed 1234567.
        let mut rng = Rng { state: [1, 2, 3, 4], spare: None };
        let first: Vec<u64> = (0..4).map(|_| rng.next_u64()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);
    }

    #[test]
    fn streams_differ_by_seed_and_name_and_repeat() {
        let first = |seed, name| Rng::new(seed, name).next_u64();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert!(first(1, "a") != first(2, "a") && first(1, "a") != first(1, "b"));
        // Pinned: weights drawn by an earlier version must stay the same (or the train stage's version grows).
        assert_eq!(first(1, "mapper.linear.weight"), 3_896_827_189_318_248_965);
    }

    /// Name, draw, mean, variance.
    type Row<'a> = (&'static str, &'a mut dyn FnMut(&mut Rng) -> f32, f64, f64);

    #[test]
    fn distributions_have_their_moments() {
        let mut rng = Rng::new(3, "moments");
        let mut moments = |draw: &mut dyn FnMut(&mut Rng) -> f32| {
            let x: Vec<f64> = (0..100_000).map(|_| f64::from(draw(&mut rng))).collect();
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64)
        };
        // Expected: the textbook mean and variance; 0.774 is the variance of a normal cut at two deviations.
        let rows: [Row; 4] = [
            ("uniform", &mut |r| r.uniform(-1.0, 1.0), 0.0, 1.0 / 3.0),
            ("normal", &mut |r| r.normal(), 0.0, 1.0),
            ("truncated", &mut |r| r.truncated_normal(), 0.0, 0.774),
            ("below", &mut |r| r.below(3) as f32, 1.0, 2.0 / 3.0),
        ];
        for (name, draw, mean, variance) in rows {
            let got = moments(draw);
            assert!((got.0 - mean).abs() < 0.02 && (got.1 - variance).abs() < 0.02, "{name}: {got:?}");
        }
    }

    #[test]
    fn a_shuffle_keeps_everything_and_the_logarithm_is_close() {
        let mut list: Vec<u32> = (0..100).collect();
        Rng::new(1, "shuffle").shuffle(&mut list);
        assert_ne!(list, (0..100).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..100).collect::<Vec<_>>());
        for x in [1e-300, 1e-9, 0.3, 0.7072, 1.0, 1.5, 7e5] {
            assert!((natural_log(x) - x.ln()).abs() <= 1e-14 * x.ln().abs(), "{x}");
        }
    }
}
