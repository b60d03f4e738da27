//! A picture, darkened where it was not looked at, once per word.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};

use crate::picture::Picture;

/// What is drawn.
pub(super) struct Drawing<'a> {
    pub(super) title: &'a str,
    pub(super) caption: &'a str,
    /// A square picture.
    pub(super) picture: &'a Picture,
    pub(super) words: &'a [Word],
}

/// A word and where the decoder looked before it.
pub(super) struct Word {
    pub(super) text: String,
    /// Of a square of cells, row by row.
    pub(super) weights: Vec<f32>,
}

/// Side of a panel.
const PANEL: f32 = 160.0;
/// Between panels.
const GAP: f32 = 10.0;
/// Height of a line of text.
const LINE: f32 = 22.0;
const COLUMNS: usize = 6;
/// How dark a cell is that was not looked at.
const DARKEST: f32 = 0.85;

impl Drawing<'_> {
    /// The text of the file. Cells are as bright as their weight is near the largest of the panel, which stands beside the word.
    pub(super) fn svg(&self) -> Result<String> {
        let rows = self.words.len().div_ceil(COLUMNS).max(1) as f32;
        let columns = self.words.len().clamp(1, COLUMNS) as f32;
        let (width, height) = (columns * (PANEL + GAP) + GAP, rows * (PANEL + LINE + GAP) + 2.0 * LINE + GAP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"14\">\n"
        );
        write!(svg, "<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n", escaped(self.title))?;
        writeln!(
            svg,
            "<defs><image id=\"picture\" width=\"{PANEL}\" height=\"{PANEL}\" href=\"data:image/png;base64,{}\"/></defs>",
            STANDARD.encode(png(self.picture)?)
        )?;
        writeln!(svg, "<text x=\"{GAP}\" y=\"{LINE}\">{}: {}</text>", escaped(self.title), escaped(self.caption))?;
        for (place, word) in self.words.iter().enumerate() {
            let (column, row) = ((place % COLUMNS) as f32, (place / COLUMNS) as f32);
            let (x, y) = (GAP + column * (PANEL + GAP), 2.0 * LINE + row * (PANEL + LINE + GAP));
            panel(&mut svg, word, x, y)?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }
}

fn panel(svg: &mut String, word: &Word, x: f32, y: f32) -> Result<()> {
    let most = word.weights.iter().copied().fold(0.0, f32::max);
    let side = word.weights.len().isqrt().max(1);
    let cell = PANEL / side as f32;
    writeln!(svg, "<g transform=\"translate({x} {y})\"><use href=\"#picture\"/>")?;
    for (place, weight) in word.weights.iter().enumerate() {
        let (left, top) = ((place % side) as f32 * cell, (place / side) as f32 * cell);
        let dark = DARKEST * (1.0 - weight / most.max(f32::MIN_POSITIVE));
        writeln!(
            svg,
            "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{cell:.2}\" height=\"{cell:.2}\" fill-opacity=\"{dark:.3}\"/>"
        )?;
    }
    let baseline = PANEL + LINE * 0.7;
    writeln!(svg, "<text y=\"{baseline}\">{} <tspan fill=\"gray\">{most:.2}</tspan></text></g>", escaped(&word.text))?;
    Ok(())
}

fn png(picture: &Picture) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new(&mut bytes);
    let (width, height) = (picture.width, picture.height);
    encoder.write_image(&picture.rgb, width, height, ExtendedColorType::Rgb8).context("cannot encode the picture")?;
    Ok(bytes)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_panel_that_is_brightest_where_the_weight_is_largest() {
        let picture = Picture { width: 2, height: 2, rgb: vec![9; 12] };
        let word = |text: &str, weights: &[f32]| Word { text: text.to_owned(), weights: weights.to_vec() };
        let words = [word("a", &[0.0, 0.2, 0.4, 0.4]), word("<end>", &[0.25; 4])];
        let svg = Drawing { title: "a&b.png", caption: "a", picture: &picture, words: &words }.svg().unwrap();
        assert_eq!(svg.matches("<use ").count(), 2);
        // By hand: the darkness is 0.85 (1 - weight / largest).
        let dark: Vec<&str> = svg.split("fill-opacity=\"").skip(1).map(|rest| &rest[..5]).collect();
        assert_eq!(dark, ["0.850", "0.425", "0.000", "0.000", "0.000", "0.000", "0.000", "0.000"]);
        assert!(svg.contains("a&amp;b.png") && svg.contains("&lt;end&gt;") && !svg.contains("<end>"));
    }
}
