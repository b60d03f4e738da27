//! One painter per class: it draws a scene and says what is true of it.

mod industry;
mod nature;
mod roads;
mod sport;
mod traffic;

use image::RgbImage;

use super::class::Class;
use super::draw::{Brush, P};
use super::facts::{Facts, Words};
use super::random::Rng;

/// Draws a scene of `class` as a square of `size` pixels.
pub(super) fn render(class: Class, size: u32, rng: &mut Rng) -> (RgbImage, Facts) {
    let mut brush = Brush::new(size, rng);
    let facts = match class {
        Class::Agricultural => nature::agricultural(&mut brush),
        Class::Airplane => traffic::airplane(&mut brush),
        Class::Baseball => sport::baseball(&mut brush),
        Class::Beach => nature::beach(&mut brush),
        Class::Chaparral => nature::chaparral(&mut brush),
        Class::Residential => industry::residential(&mut brush),
        Class::Forest => nature::forest(&mut brush),
        Class::Freeway => roads::freeway(&mut brush),
        Class::Golf => sport::golf(&mut brush),
        Class::Harbor => industry::harbor(&mut brush),
        Class::Intersection => roads::intersection(&mut brush),
        Class::Parking => traffic::parking(&mut brush),
        Class::Railway => roads::railway(&mut brush),
        Class::River => nature::river(&mut brush),
        Class::Tanks => industry::tanks(&mut brush),
        Class::Tennis => sport::tennis(&mut brush),
    };
    let Brush { canvas, rng, .. } = brush;
    (canvas.develop(rng), facts)
}

/// What lies around a scene's main thing.
#[derive(Clone, Copy, PartialEq)]
enum Around {
    Lawn,
    Trees,
    Bare,
}

impl Around {
    /// The words that captions use for it.
    fn words(self) -> Words {
        match self {
            Self::Lawn => ["[lawn|grass|meadow]", "[草坪|草地]"],
            Self::Trees => ["[green trees|trees]", "[绿树|树木]"],
            Self::Bare => ["[bare land|bare ground]", "[裸地|空地]"],
        }
    }
}

/// Covers the ground with random surroundings; trees are to be added by [`grow`] after the main thing is drawn.
fn surround(brush: &mut Brush, facts: &mut Facts) -> Around {
    let around = brush.rng.pick(&[Around::Lawn, Around::Trees, Around::Bare]);
    let surface = if around == Around::Bare { brush.soil() } else { brush.grass() };
    brush.cover(&surface);
    facts.put("around", around.words());
    around
}

/// Plants many trees wherever the ground is not `taken`.
fn grow(brush: &mut Brush, around: Around, taken: impl Fn(P) -> bool) {
    if around == Around::Trees {
        let places = brush.scatter(170, 4.2, taken);
        brush.trees(&places, 2.8, 5.0);
    }
}
