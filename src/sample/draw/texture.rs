//! Surfaces: smooth random fields and the colours they give to grass, soil, asphalt and water.

use super::canvas::Rgb;
use super::geometry::P;

/// Value noise.
pub(in crate::sample) mod noise {
    use crate::sample::draw::P;
    use crate::sample::random::mix;

    /// A number in `[0, 1)` for a point of the integer grid.
    pub(in crate::sample) fn hash(seed: u64, x: i32, y: i32) -> f32 {
        let place = (u64::from(x as u32) << 32) | u64::from(y as u32);
        (mix(seed ^ mix(place)) >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Smooth noise in `[0, 1)` with bumps one unit wide.
    pub(in crate::sample) fn smooth(seed: u64, p: P) -> f32 {
        let (x, y) = (p.x.floor(), p.y.floor());
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (u, v) = (ease(p.x - x), ease(p.y - y));
        let corner = |dx, dy| hash(seed, x as i32 + dx, y as i32 + dy);
        let top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * u;
        let bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * u;
        top + (bottom - top) * v
    }

    /// Three octaves of smooth noise, in `[0, 1)`.
    pub(in crate::sample) fn rough(seed: u64, p: P) -> f32 {
        (smooth(seed, p) * 4.0 + smooth(seed ^ 1, p * 2.1) * 2.0 + smooth(seed ^ 2, p * 4.3)) / 7.0
    }
}

/// A surface of two colours in patches, with fine grain.
#[derive(Clone, Copy)]
pub(in crate::sample) struct Texture {
    /// The colour of most of it.
    pub(in crate::sample) base: Rgb,
    /// The colour of its patches.
    pub(in crate::sample) patch: Rgb,
    /// How wide the patches are, in units.
    pub(in crate::sample) scale: f32,
    /// How strongly brightness changes from point to point, 0 to 1.
    pub(in crate::sample) grain: f32,
    /// Which of all such surfaces.
    pub(in crate::sample) seed: u64,
}

impl Texture {
    /// The colour at a point.
    pub(in crate::sample) fn at(&self, p: P) -> Rgb {
        let patch = ((noise::rough(self.seed, p * (1.0 / self.scale)) - 0.3) * 2.2).clamp(0.0, 1.0);
        let grain = noise::smooth(self.seed ^ 0x4d, p * 0.9) - 0.5;
        self.base.mix(self.patch, patch).lit(1.0 + grain * self.grain)
    }
}
