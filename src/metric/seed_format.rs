//! The text form of corpus scores that existing scripts read.

use std::fmt::Write;

/// The lines of the file and the metric each shows.
const LINES: [(&str, &str); 7] = [
    ("BLEU-1", "BLEU-1"),
    ("BLEU-2", "BLEU-2"),
    ("BLEU-3", "BLEU-3"),
    ("BLEU-4", "BLEU-4"),
    ("CIDEr", "CIDEr-D"),
    ("METEOR", "METEOR"),
    ("SPICE", "SPICE"),
];

/// The text of `output/scores/<name>.txt`: one `NAME: 0.123456` per line, in the published order.
///
/// `value` gives the corpus value of a metric. One that was not computed reads `nan`: scripts that split at the colon
/// and parse a number go on working, and no mean over files can take it for a score.
pub fn text(value: impl Fn(&str) -> Option<f64>) -> String {
    let mut text = String::new();
    for (name, metric) in LINES {
        // Writing to a string cannot fail.
        _ = match value(metric).filter(|value| value.is_finite()) {
            Some(value) => writeln!(text, "{name}: {value:.6}"),
            None => writeln!(text, "{name}: nan"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_lines_in_the_published_order() {
        let value = |metric: &str| match metric {
            "BLEU-1" => Some(0.75),
            "BLEU-4" => Some(0.123_456_789),
            "CIDEr-D" => Some(3.5),
            "SPICE" => Some(f64::NAN),
            _ => None,
        };
        let expected =
            "BLEU-1: 0.750000\nBLEU-2: nan\nBLEU-3: nan\nBLEU-4: 0.123457\nCIDEr: 3.500000\nMETEOR: nan\nSPICE: nan\n";
        assert_eq!(text(value), expected);
    }
}
