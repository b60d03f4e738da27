//! The things that stand in many scenes: trees, bushes, cars, houses, roads.

use super::brush::Brush;
use super::canvas::{Rgb, rgb};
use super::geometry::{Frame, P, Shape, direction};
use crate::sample::random::Rng;

const CAR_COLOURS: [Rgb; 8] = [
    rgb(238, 238, 236),
    rgb(206, 208, 210),
    rgb(40, 42, 46),
    rgb(170, 38, 34),
    rgb(44, 74, 132),
    rgb(120, 124, 128),
    rgb(226, 222, 206),
    rgb(60, 66, 70),
];

impl Brush<'_> {
    /// A tree seen from above: a shadow and a crown of lobes, brighter towards the sun.
    pub(in crate::sample) fn tree(&mut self, place: P, radius: f32, leaf: Rgb) {
        let leaf = self.near(leaf, 0.035);
        let crown = Shape::Disc { centre: place, radius };
        self.shadow(&crown, radius * 0.9);
        self.fill(&crown, leaf.lit(0.68));
        let towards = -self.sun * (1.0 / self.sun.length());
        for lobe in 0..5 {
            let offset = direction(lobe as f32 / 5.0 + self.rng.unit() * 0.2) * (radius * 0.5);
            let light = 0.86 + 0.34 * offset.dot(towards) / radius.max(0.1) + self.rng.range(-0.06, 0.08);
            let size = radius * self.rng.range(0.38, 0.58);
            self.fill(&Shape::Disc { centre: place + offset, radius: size }, leaf.lit(light));
        }
        let top = place + towards * (radius * 0.3);
        self.fill(&Shape::Disc { centre: top, radius: radius * 0.35 }, leaf.lit(1.16));
    }

    /// Trees at these points, of one kind.
    pub(in crate::sample) fn trees(&mut self, places: &[P], smallest: f32, largest: f32) {
        let leaf = self.rng.pick(&[rgb(62, 92, 50), rgb(74, 102, 54), rgb(54, 84, 52)]);
        for &place in places {
            let radius = self.rng.range(smallest, largest);
            self.tree(place, radius, leaf);
        }
    }

    /// A car along the frame's x, at its origin.
    pub(in crate::sample) fn car(&mut self, frame: &Frame, length: f32) {
        let colour = self.rng.pick(&CAR_COLOURS);
        let width = length * 0.46;
        let body = frame.rounded(0.0, 0.0, length, width, width * 0.3);
        self.shadow(&body, 0.9);
        self.fill(&body, colour);
        let glass = colour.lit(0.35).mix(rgb(40, 52, 64), 0.5);
        self.fill(&frame.rect(length * 0.16, 0.0, length * 0.12, width * 0.76), glass);
        self.fill(&frame.rect(-length * 0.3, 0.0, length * 0.08, width * 0.7), glass);
    }

    /// A house with a gable roof whose ridge runs along the frame's x.
    pub(in crate::sample) fn house(&mut self, frame: &Frame, length: f32, width: f32, roof: Rgb) {
        let roof = self.near(roof, 0.03);
        self.shadow(&frame.rect(0.0, 0.0, length, width), 3.0);
        let bright = frame.axis.across().dot(self.sun) < 0.0;
        let (below, above) = if bright { (1.12, 0.8) } else { (0.8, 1.12) };
        self.fill(&frame.rect(0.0, 0.0, length, width), roof.lit(above));
        self.fill(&frame.rect(0.0, width / 4.0, length, width / 2.0), roof.lit(below));
        self.fill(&frame.rect(0.0, 0.0, length, 0.6), roof.lit(1.25));
    }

    /// A road along a polyline, with its verge; `mark` draws a broken line in the middle.
    pub(in crate::sample) fn road(&mut self, points: &[P], width: f32, mark: Option<Rgb>) {
        let asphalt = self.asphalt();
        let line = |width: f32| Shape::Stroke { points: points.to_vec(), half: width / 2.0 };
        let verge = self.near(rgb(168, 164, 152), 0.03);
        self.fill(&line(width + 1.6), verge);
        self.lay(&line(width), &asphalt);
        if let Some(colour) = mark {
            self.dashes(points, 4.0, 4.0, 0.7, colour);
        }
    }

    /// A broken line along a polyline: `dash` units painted, `gap` units not.
    pub(in crate::sample) fn dashes(&mut self, points: &[P], dash: f32, gap: f32, width: f32, colour: Rgb) {
        let mut travelled = 0.0;
        for pair in points.windows(2) {
            let span = pair[1] - pair[0];
            let length = span.length().max(1e-6);
            let along = span * (1.0 / length);
            let mut start = -(travelled % (dash + gap));
            while start < length {
                let (from, to) = (start.max(0.0), (start + dash).min(length));
                if to > from {
                    let ends = vec![pair[0] + along * from, pair[0] + along * to];
                    self.fill(&Shape::Stroke { points: ends, half: width / 2.0 }, colour);
                }
                start += dash + gap;
            }
            travelled += length;
        }
    }
}

/// A gently winding line along the frame's x from -`reach` to `reach`: sums of two waves.
pub(in crate::sample) fn winding(frame: &Frame, reach: f32, swing: f32, rng: &mut Rng) -> Vec<P> {
    let (phase, second) = (rng.unit(), rng.unit());
    let (long, short) = (rng.range(110.0, 150.0), rng.range(55.0, 75.0));
    let steps = 40;
    (0..=steps)
        .map(|step| {
            let x = reach * (2.0 * step as f32 / steps as f32 - 1.0);
            let y = direction(x / long + phase).y + 0.35 * direction(x / short + second).y;
            frame.to(x, y * swing)
        })
        .collect()
}
