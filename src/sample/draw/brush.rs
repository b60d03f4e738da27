//! What a scene draws with: the canvas, the random numbers, the sun and the usual surfaces.

use super::canvas::{Canvas, Rgb, rgb};
use super::geometry::{Frame, P, Shape, at, direction};
use super::texture::Texture;
use super::{SIDE, noise};
use crate::sample::random::Rng;

const SHADOW: Rgb = rgb(16, 20, 30);

/// A canvas with its light and its chance.
pub(in crate::sample) struct Brush<'a> {
    /// Where the pixels go.
    pub(in crate::sample) canvas: Canvas,
    /// What decides all variety.
    pub(in crate::sample) rng: &'a mut Rng,
    /// Where the shadow of a thing one unit high ends.
    pub(in crate::sample) sun: P,
}

impl<'a> Brush<'a> {
    /// An empty canvas of `size` pixels in the light of a random hour.
    pub(in crate::sample) fn new(size: u32, rng: &'a mut Rng) -> Self {
        let sun = direction(rng.unit()) * rng.range(0.5, 1.2);
        Self { canvas: Canvas::new(size), rng, sun }
    }

    /// A frame at the picture's centre, shifted by up to `shift` units and turned at random.
    pub(in crate::sample) fn centre(&mut self, shift: f32) -> Frame {
        let middle = SIDE / 2.0;
        let origin = at(middle + self.rng.range(-shift, shift), middle + self.rng.range(-shift, shift));
        Frame::new(origin, self.rng.unit())
    }

    /// A random point of the picture; up to `margin` units outside are possible.
    pub(in crate::sample) fn anywhere(&mut self, margin: f32) -> P {
        at(self.rng.range(-margin, SIDE + margin), self.rng.range(-margin, SIDE + margin))
    }

    /// Up to `count` points at least `apart` from each other, none where `taken` says so.
    pub(in crate::sample) fn scatter(&mut self, count: usize, apart: f32, taken: impl Fn(P) -> bool) -> Vec<P> {
        let mut points: Vec<P> = Vec::new();
        for _ in 0..count * 8 + 60 {
            let point = self.anywhere(4.0);
            if !taken(point) && points.iter().all(|&other| (other - point).length() >= apart) {
                points.push(point);
            }
            if points.len() == count {
                break;
            }
        }
        points
    }

    /// One colour over a shape.
    pub(in crate::sample) fn fill(&mut self, shape: &Shape, colour: Rgb) {
        self.canvas.fill(shape, colour);
    }

    /// A surface over a shape.
    pub(in crate::sample) fn lay(&mut self, shape: &Shape, surface: &Texture) {
        self.canvas.paint(shape, 1.0, 0.0, |p| surface.at(p));
    }

    /// A surface over everything.
    pub(in crate::sample) fn cover(&mut self, surface: &Texture) {
        self.canvas.cover(|p| surface.at(p));
    }

    /// The shadow of a shape that stands `height` units high.
    pub(in crate::sample) fn shadow(&mut self, shape: &Shape, height: f32) {
        let shape = shape.moved(self.sun * height);
        self.canvas.paint(&shape, 0.5, 0.8, |_| SHADOW);
    }

    /// A colour with every part moved at random by up to `spread`.
    pub(in crate::sample) fn near(&mut self, colour: Rgb, spread: f32) -> Rgb {
        let light = self.rng.range(-spread, spread);
        Rgb(colour.0.map(|part| (part + light + self.rng.range(-spread, spread) * 0.4).clamp(0.0, 1.0)))
    }

    /// A surface of two colours, each moved a little at random.
    pub(in crate::sample) fn texture(&mut self, base: Rgb, patch: Rgb, scale: f32, grain: f32) -> Texture {
        let (base, patch) = (self.near(base, 0.03), self.near(patch, 0.03));
        Texture { base, patch, scale: scale * self.rng.range(0.7, 1.4), grain, seed: self.rng.bits() }
    }

    /// Lawn.
    pub(in crate::sample) fn grass(&mut self) -> Texture {
        let (base, patch) = self.rng.pick(&[
            (rgb(92, 128, 66), rgb(116, 142, 78)),
            (rgb(80, 118, 60), rgb(104, 134, 70)),
            (rgb(112, 138, 76), rgb(132, 146, 86)),
        ]);
        self.texture(base, patch, 22.0, 0.22)
    }

    /// Bare soil.
    pub(in crate::sample) fn soil(&mut self) -> Texture {
        let (base, patch) = self.rng.pick(&[
            (rgb(176, 152, 118), rgb(150, 128, 98)),
            (rgb(164, 140, 106), rgb(182, 162, 132)),
            (rgb(150, 126, 100), rgb(172, 148, 118)),
        ]);
        self.texture(base, patch, 18.0, 0.18)
    }

    /// Concrete, light grey.
    pub(in crate::sample) fn concrete(&mut self) -> Texture {
        let base = self.rng.pick(&[rgb(186, 184, 178), rgb(172, 172, 170), rgb(196, 192, 182)]);
        self.texture(base, base.lit(0.92), 26.0, 0.06)
    }

    /// Asphalt, dark grey.
    pub(in crate::sample) fn asphalt(&mut self) -> Texture {
        let base = self.rng.pick(&[rgb(98, 99, 102), rgb(112, 112, 112), rgb(86, 88, 92)]);
        self.texture(base, base.lit(1.12), 20.0, 0.1)
    }

    /// Water of the given colour with soft ripples.
    pub(in crate::sample) fn water(&mut self, colour: Rgb) -> Texture {
        self.texture(colour, colour.lit(1.16), 30.0, 0.08)
    }

    /// A smooth field in `[0, 1)` with bumps `scale` units wide.
    pub(in crate::sample) fn field(&mut self, scale: f32) -> impl Fn(P) -> f32 + use<> {
        let seed = self.rng.bits();
        move |p| noise::rough(seed, p * (1.0 / scale))
    }
}
