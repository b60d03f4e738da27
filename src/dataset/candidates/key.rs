//! What a caption file calls an image: its id or its file name.

use std::fmt;

/// How many characters of a text from the file a message repeats.
const SHOWN: usize = 60;

/// What a caption file calls an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageKey {
    /// The published `imgid`.
    Id(u32),
    /// A file name, perhaps with folders or without extension.
    Name(String),
}

/// A number that cannot be an image id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Below zero.
    #[error("negative; image ids count from 0")]
    Negative,
    /// Between two whole numbers, or none at all.
    #[error("no whole number; image ids are 0, 1, 2, ...")]
    Fractional,
    /// More than 32 bits.
    #[error("too large; image ids end at {}", u32::MAX)]
    TooLarge,
}

impl ImageKey {
    /// Takes a text for an id if it is a number, else for a name.
    ///
    /// A bare number is always an id, never a file name without its extension: image 12 need not be file `12.tif` (in
    /// UCM it is `13.tif`), so to try both would score some captions against their neighbours' references. Ids are what
    /// the original code and COCO results write. `7`, `07` and `7.0` (pandas writes a column of ids so if one is
    /// missing) are the same id; blanks around it do not matter.
    pub fn from_text(text: &str) -> Result<Self, BadKey> {
        let trimmed = text.trim();
        let (negative, number) = trimmed.strip_prefix('-').map_or((false, trimmed), |rest| (true, rest));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Ok(Self::Name(text.to_owned()));
        }
        let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        match (zero(fraction), negative && !zero(whole)) {
            (false, _) => Err(BadKey::Fractional),
            (true, true) => Err(BadKey::Negative),
            (true, false) => whole.parse().map(Self::Id).map_err(|_| BadKey::TooLarge),
        }
    }

    /// Takes a number for an id; `12.0` is 12.
    pub fn from_number(number: f64) -> Result<Self, BadKey> {
        if number.fract() != 0.0 {
            // Also what is not finite.
            return Err(BadKey::Fractional);
        }
        match number {
            _ if number < 0.0 => Err(BadKey::Negative),
            _ if number > f64::from(u32::MAX) => Err(BadKey::TooLarge),
            _ => Ok(Self::Id(number as u32)),
        }
    }
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(&quote(name)),
        }
    }
}

/// A text from the file as a message shows it: in backquotes, not too long, and harmless to a terminal.
pub(super) fn quote(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN).flat_map(visible).collect();
    let more = if text.chars().nth(SHOWN).is_some() { "..." } else { "" };
    format!("`{shown}{more}`")
}

/// The character, or its escape if it would not show or would turn the line around.
fn visible(c: char) -> Vec<char> {
    let hidden = c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    if hidden { c.escape_default().collect() } else { vec![c] }
}
