//! A small rasteriser: anti-aliased shapes, textures and the things that scenes are made of.
//!
//! A picture is 128 units wide whatever its size in pixels; x goes right, y goes down.

mod brush;
mod canvas;
mod geometry;
mod parts;
mod texture;

pub(super) use brush::Brush;
pub(super) use canvas::{Rgb, rgb};
pub(super) use geometry::{Frame, P, Shape, at, direction};
pub(super) use parts::winding;
pub(super) use texture::{Texture, noise};

/// The width and height of a picture, in units.
pub(super) const SIDE: f32 = 128.0;
