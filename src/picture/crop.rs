//! The centre of a picture, by the two rules in use.

use super::resize::resize_window;
use super::{Picture, fitted_size};

/// Which pixel the centre crop begins at when the margin is odd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CropRule {
    /// `(side - size) / 2`, rounded down: Hugging Face image processors.
    #[default]
    Floor,
    /// `(side - size) / 2`, halves to the even number: `OpenAI` CLIP and torchvision.
    RoundHalfEven,
}

impl CropRule {
    /// Where the crop begins on a side of `side` pixels; negative if the side is shorter than the crop.
    fn offset(self, side: u32, size: u32) -> i64 {
        let margin = i64::from(side) - i64::from(size);
        match self {
            Self::Floor => margin.div_euclid(2),
            Self::RoundHalfEven if margin < 0 => -(-margin / 2),
            // Half of an odd margin lies between two integers; the even one is `half` or the next.
            Self::RoundHalfEven => margin / 2 + i64::from(margin % 4 == 3),
        }
    }
}

/// The central `size` x `size` pixels; what lies outside a smaller picture is black.
pub fn center_crop(picture: &Picture, size: u32, rule: CropRule) -> Picture {
    let (left, top) = (rule.offset(picture.width, size), rule.offset(picture.height, size));
    let mut rgb = vec![0; size as usize * size as usize * 3];
    let inside = |offset: i64, side: u32| -offset.min(0)..(i64::from(side) - offset).min(i64::from(size));
    let columns = inside(left, picture.width);
    for y in inside(top, picture.height) {
        let row = picture.row((y + top) as usize);
        let from = (columns.start + left) as usize * 3..(columns.end + left) as usize * 3;
        let to = (y * i64::from(size) + columns.start) as usize * 3;
        rgb[to..to + from.len()].copy_from_slice(&row[from]);
    }
    Picture { width: size, height: size, rgb }
}

/// The picture with its shorter side resized to `size`, cut to the central square; equal to
/// [`shortest_side`](super::shortest_side) and then [`center_crop`], but only the square is computed.
pub fn square(picture: &Picture, size: u32, rule: CropRule) -> Picture {
    let (width, height) = fitted_size(picture, size);
    let part = |side: u32| {
        let start = rule.offset(side, size) as u32;
        start..start + size
    };
    resize_window(picture, (width, height), part(width), part(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets() {
        // Expected by hand: floor division, and Python's round((side - size) / 2).
        for (side, size, floor, even) in [
            (32, 32, 0, 0),
            (33, 32, 0, 0),
            (34, 32, 1, 1),
            (35, 32, 1, 2),
            (36, 32, 2, 2),
            (37, 32, 2, 2),
            (39, 32, 3, 4),
            (30, 32, -1, -1),
            (29, 32, -2, -1),
        ] {
            assert_eq!(CropRule::Floor.offset(side, size), floor, "{side} -> {size}");
            assert_eq!(CropRule::RoundHalfEven.offset(side, size), even, "{side} -> {size}");
        }
    }

    #[test]
    fn a_small_picture_gets_a_black_border() {
        let picture = Picture { width: 1, height: 3, rgb: vec![1, 1, 1, 2, 2, 2, 3, 3, 3] };
        let crop = center_crop(&picture, 2, CropRule::Floor);
        assert_eq!(crop.rgb, [0, 0, 0, 1, 1, 1, 0, 0, 0, 2, 2, 2]);
    }

    #[test]
    fn the_square_is_the_crop_of_the_whole() {
        for (width, height) in [(51, 142), (142, 51), (32, 32), (20, 33), (400, 32)] {
            let rgb = (0..width * height * 3).map(|i| (i * 31 % 251) as u8).collect();
            let picture = Picture { width, height, rgb };
            for rule in [CropRule::Floor, CropRule::RoundHalfEven] {
                let whole = super::super::shortest_side(&picture, 32);
                assert_eq!(square(&picture, 32, rule), center_crop(&whole, 32, rule), "{width} x {height} {rule:?}");
            }
        }
    }
}
