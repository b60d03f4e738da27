//! Transparency: a network sees no alpha, so it is resolved once, here.

/// What becomes of an alpha channel (or of a transparent palette entry or colour key).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alpha {
    /// The picture is laid over white, as current CLIP image processors do.
    #[default]
    OverWhite,
    /// Alpha is ignored and the hidden colours show, as older image processors did.
    Drop,
}

impl Alpha {
    /// The visible value of a sample `c` with opacity `a` (0 hides it).
    ///
    /// Over white this is PIL's integer composite: a rounded division by 255 on values with 7 extra bits.
    pub(super) fn apply(self, c: u8, a: u8) -> u8 {
        match self {
            Self::Drop => c,
            Self::OverWhite => {
                let (c, a) = (u32::from(c), u32::from(a));
                let t = 128 * (c * a + 255 * (255 - a)) + 16384;
                (((t + (t >> 8)) >> 8) >> 7) as u8
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_shows_through_exactly_as_much_as_alpha_says() {
        for c in 0..=255 {
            assert_eq!(Alpha::OverWhite.apply(c, 255), c, "opaque");
            assert_eq!(Alpha::OverWhite.apply(c, 0), 255, "invisible");
            for a in 0..=255_u8 {
                // No composite is more than rounding away from the real number.
                let exact = f64::from(c) * f64::from(a) / 255.0 + f64::from(255 - a);
                assert!((f64::from(Alpha::OverWhite.apply(c, a)) - exact).abs() <= 0.51, "{c} {a}");
                assert_eq!(Alpha::Drop.apply(c, a), c);
            }
        }
    }
}
