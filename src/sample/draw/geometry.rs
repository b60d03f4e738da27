//! Points, frames and shapes; a shape is its signed distance function.

use std::ops::{Add, Mul, Neg, Sub};

/// A point or a vector, in units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sample) struct P {
    pub(in crate::sample) x: f32,
    pub(in crate::sample) y: f32,
}

/// The point (`x`, `y`).
pub(in crate::sample) const fn at(x: f32, y: f32) -> P {
    P { x, y }
}

impl Add for P {
    type Output = P;
    fn add(self, other: P) -> P {
        at(self.x + other.x, self.y + other.y)
    }
}

impl Sub for P {
    type Output = P;
    fn sub(self, other: P) -> P {
        at(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for P {
    type Output = P;
    fn mul(self, factor: f32) -> P {
        at(self.x * factor, self.y * factor)
    }
}

impl Neg for P {
    type Output = P;
    fn neg(self) -> P {
        at(-self.x, -self.y)
    }
}

impl P {
    /// The inner product.
    pub(in crate::sample) fn dot(self, other: P) -> f32 {
        self.x * other.x + self.y * other.y
    }

    /// The length.
    pub(in crate::sample) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The vector turned by a quarter, from x towards y.
    pub(in crate::sample) fn across(self) -> P {
        at(-self.y, self.x)
    }
}

/// The unit vector at an angle given in turns (1 is a full circle, 0 points right).
///
/// Own polynomials: the sine of the platform's library may differ in its last bit, and pictures must not.
pub(in crate::sample) fn direction(turns: f32) -> P {
    let turns = f64::from(turns);
    let quarter = (turns * 4.0).round();
    let angle = (turns * 4.0 - quarter) * std::f64::consts::FRAC_PI_2;
    let square = angle * angle;
    let sine = angle * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0))));
    let cosine = 1.0
        - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0 * (1.0 - square / 56.0 * (1.0 - square / 90.0))));
    let (x, y) = match quarter.rem_euclid(4.0) as u8 {
        0 => (cosine, sine),
        1 => (-sine, cosine),
        2 => (-cosine, -sine),
        _ => (sine, -cosine),
    };
    at(x as f32, y as f32)
}

/// A rotated coordinate system in the picture.
#[derive(Clone, Copy)]
pub(in crate::sample) struct Frame {
    /// Where the frame's (0, 0) lies.
    pub(in crate::sample) origin: P,
    /// The unit vector along the frame's x.
    pub(in crate::sample) axis: P,
}

impl Frame {
    /// A frame turned by `turns` at `origin`.
    pub(in crate::sample) fn new(origin: P, turns: f32) -> Self {
        Self { origin, axis: direction(turns) }
    }

    /// The picture's point for the frame's (`x`, `y`).
    pub(in crate::sample) fn to(&self, x: f32, y: f32) -> P {
        self.origin + self.axis * x + self.axis.across() * y
    }

    /// The frame's coordinates of a picture's point.
    pub(in crate::sample) fn from(&self, point: P) -> P {
        let offset = point - self.origin;
        at(offset.dot(self.axis), offset.dot(self.axis.across()))
    }

    /// The frame at this frame's (`x`, `y`), turned by `turns` more.
    pub(in crate::sample) fn inner(&self, x: f32, y: f32, turns: f32) -> Frame {
        let turn = direction(turns);
        Frame { origin: self.to(x, y), axis: self.axis * turn.x + self.axis.across() * turn.y }
    }

    /// The rectangle around (`x`, `y`) that is `w` long and `h` high along the frame's axes.
    pub(in crate::sample) fn rect(&self, x: f32, y: f32, w: f32, h: f32) -> Shape {
        Shape::Rect { centre: self.to(x, y), axis: self.axis, half: at(w / 2.0, h / 2.0), round: 0.0 }
    }

    /// As [`Frame::rect`], with corners of radius `round`.
    pub(in crate::sample) fn rounded(&self, x: f32, y: f32, w: f32, h: f32, round: f32) -> Shape {
        Shape::Rect { centre: self.to(x, y), axis: self.axis, half: at(w / 2.0, h / 2.0), round }
    }

    /// The polygon through these points of the frame.
    pub(in crate::sample) fn polygon(&self, points: &[(f32, f32)]) -> Shape {
        Shape::Polygon(points.iter().map(|&(x, y)| self.to(x, y)).collect())
    }

    /// The line through these points of the frame, `width` wide.
    pub(in crate::sample) fn line(&self, points: &[(f32, f32)], width: f32) -> Shape {
        Shape::Stroke { points: points.iter().map(|&(x, y)| self.to(x, y)).collect(), half: width / 2.0 }
    }

    /// The disc around (`x`, `y`).
    pub(in crate::sample) fn disc(&self, x: f32, y: f32, radius: f32) -> Shape {
        Shape::Disc { centre: self.to(x, y), radius }
    }
}

/// A plane figure.
#[derive(Clone)]
pub(in crate::sample) enum Shape {
    /// All points at most `radius` from `centre`.
    Disc { centre: P, radius: f32 },
    /// All points within `half` of the circle with `radius` around `centre`.
    Ring { centre: P, radius: f32, half: f32 },
    /// A rotated rectangle with rounded corners.
    Rect { centre: P, axis: P, half: P, round: f32 },
    /// A simple polygon.
    Polygon(Vec<P>),
    /// All points within `half` of a polyline.
    Stroke { points: Vec<P>, half: f32 },
}

impl Shape {
    /// How far `point` is outside, in units; negative inside.
    pub(in crate::sample) fn distance(&self, point: P) -> f32 {
        match self {
            Self::Disc { centre, radius } => (point - *centre).length() - radius,
            Self::Ring { centre, radius, half } => ((point - *centre).length() - radius).abs() - half,
            Self::Rect { centre, axis, half, round } => {
                let offset = point - *centre;
                let x = offset.dot(*axis).abs() - half.x + round;
                let y = offset.dot(axis.across()).abs() - half.y + round;
                at(x.max(0.0), y.max(0.0)).length() + x.max(y).min(0.0) - round
            }
            Self::Polygon(points) => polygon_distance(points, point),
            Self::Stroke { points, half } => {
                let nearest = points.windows(2).map(|pair| square_to_segment(point, pair[0], pair[1]));
                nearest.fold(f32::INFINITY, f32::min).sqrt() - half
            }
        }
    }

    /// The corners of an upright box around the shape.
    pub(in crate::sample) fn bounds(&self) -> (P, P) {
        let around = |centre: P, reach: f32| (centre - at(reach, reach), centre + at(reach, reach));
        match self {
            Self::Disc { centre, radius } => around(*centre, *radius),
            Self::Ring { centre, radius, half } => around(*centre, radius + half),
            Self::Rect { centre, half, .. } => around(*centre, half.length()),
            Self::Polygon(points) => hull(points, 0.0),
            Self::Stroke { points, half } => hull(points, *half),
        }
    }

    /// The shape shifted by `offset`.
    pub(in crate::sample) fn moved(&self, offset: P) -> Shape {
        let shift = |points: &[P]| points.iter().map(|&point| point + offset).collect();
        match self {
            Self::Disc { centre, radius } => Self::Disc { centre: *centre + offset, radius: *radius },
            Self::Ring { centre, radius, half } => {
                Self::Ring { centre: *centre + offset, radius: *radius, half: *half }
            }
            Self::Rect { centre, axis, half, round } => {
                Self::Rect { centre: *centre + offset, axis: *axis, half: *half, round: *round }
            }
            Self::Polygon(points) => Self::Polygon(shift(points)),
            Self::Stroke { points, half } => Self::Stroke { points: shift(points), half: *half },
        }
    }
}

fn hull(points: &[P], margin: f32) -> (P, P) {
    let start = (at(f32::INFINITY, f32::INFINITY), at(f32::NEG_INFINITY, f32::NEG_INFINITY));
    let (low, high) = points
        .iter()
        .fold(start, |(low, high), p| (at(low.x.min(p.x), low.y.min(p.y)), at(high.x.max(p.x), high.y.max(p.y))));
    (low - at(margin, margin), high + at(margin, margin))
}

fn square_to_segment(point: P, from: P, to: P) -> f32 {
    let (offset, span) = (point - from, to - from);
    let part = (offset.dot(span) / span.dot(span).max(1e-9)).clamp(0.0, 1.0);
    let rest = offset - span * part;
    rest.dot(rest)
}

/// The distance to the nearest edge, negative when a ray from `point` crosses the outline an odd number of times.
fn polygon_distance(points: &[P], point: P) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    for (index, &to) in points.iter().enumerate() {
        let from = points[(index + points.len() - 1) % points.len()];
        nearest = nearest.min(square_to_segment(point, from, to));
        let crosses = (from.y > point.y) != (to.y > point.y);
        if crosses && point.x < (to.x - from.x) * (point.y - from.y) / (to.y - from.y) + from.x {
            inside = !inside;
        }
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direction_is_cosine_and_sine() {
        for step in -40..40 {
            let turns = step as f32 / 17.0;
            let (sine, cosine) = (f64::from(turns) * std::f64::consts::TAU).sin_cos();
            let got = direction(turns);
            assert!((f64::from(got.x) - cosine).abs() < 1e-6 && (f64::from(got.y) - sine).abs() < 1e-6, "{turns}");
        }
    }

    #[test]
    fn distances_of_simple_shapes() {
        let frame = Frame { origin: at(10.0, 10.0), axis: at(1.0, 0.0) };
        let rows = [
            ("disc", frame.disc(0.0, 0.0, 2.0), at(13.0, 10.0), 1.0),
            ("rectangle, inside", frame.rect(0.0, 0.0, 4.0, 2.0), at(10.0, 10.5), -0.5),
            ("rectangle, off a corner", frame.rect(0.0, 0.0, 4.0, 2.0), at(15.0, 15.0), 5.0),
            ("stroke", frame.line(&[(0.0, 0.0), (4.0, 0.0)], 2.0), at(12.0, 14.0), 3.0),
            ("polygon, inside", frame.polygon(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]), at(11.0, 12.0), -1.0),
            ("polygon, outside", frame.polygon(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0)]), at(16.0, 12.0), 2.0),
            ("ring", Shape::Ring { centre: at(0.0, 0.0), radius: 5.0, half: 1.0 }, at(3.0, 0.0), 1.0),
        ];
        for (name, shape, point, expected) in rows {
            assert!((shape.distance(point) - expected).abs() < 1e-5, "{name}: {}", shape.distance(point));
            let (low, high) = shape.bounds();
            assert!(low.x <= high.x && low.y <= high.y, "{name}");
            let offset = at(3.0, -2.0);
            assert!((shape.moved(offset).distance(point + offset) - expected).abs() < 1e-5, "{name}, moved");
        }
    }
}
