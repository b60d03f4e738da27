//! What was measured, in a line short enough for a paper.

use std::fmt;

use super::family::Variant;
use super::words::Words;

/// The version of the definitions in this folder: raised when any value changes.
pub const VERSION: u32 = 1;

/// Everything that must be equal before two values can be compared.
///
/// Its text is `METRIC|key:value|...`, for example
/// `CIDEr-D|set:ucm|split:test.179591ac|refs:5x210.06e25117|variant:ptb|words:ptb.1|metric:1|rsic:0.1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// The variant.
    pub variant: Variant,
    /// How captions were cut.
    pub words: Words,
    /// The edition of the dataset.
    pub edition: &'a str,
    /// The scored split.
    pub split: &'a str,
    /// Hexadecimal digest of the split.
    pub split_digest: &'a str,
    /// Hexadecimal digest of the references.
    pub references_digest: &'a str,
    /// The least and the largest number of references of an image.
    pub references: (usize, usize),
    /// The number of scored images.
    pub n: usize,
    /// The number of images of the split.
    pub of: usize,
    /// The number of runs that were averaged.
    pub runs: usize,
    /// Digest of the tables or programs that the metric needs besides, if it does.
    pub resource: Option<&'a str>,
}

impl fmt::Display for Signature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |digest: &str| digest.get(..8).unwrap_or(digest).to_owned();
        let references = match self.references {
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least}-{most}"),
        };
        write!(
            f,
            "{}|set:{}|split:{}.{}|refs:{references}x{}.{}|variant:{}|words:{}",
            self.name,
            self.edition,
            self.split,
            short(self.split_digest),
            self.n,
            short(self.references_digest),
            self.variant.name(),
            self.words.signature(),
        )?;
        if self.n < self.of {
            write!(f, "|partial:{}/{}", self.n, self.of)?;
        }
        if let Some(resource) = self.resource {
            write!(f, "|tables:{}", short(resource))?;
        }
        if self.runs > 1 {
            write!(f, "|runs:{}", self.runs)?;
        }
        write!(f, "|metric:{VERSION}|rsic:{}", env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_names_everything_once() {
        let signature = Signature {
            name: "METEOR",
            variant: Variant::Ptb,
            words: Words::Ptb,
            edition: "ucm",
            split: "test",
            split_digest: "0123456789abcdef",
            references_digest: "fedcba9876543210",
            references: (4, 5),
            n: 210,
            of: 215,
            runs: 3,
            resource: Some("aabbccddeeff"),
        };
        let expected = format!(
            "METEOR|set:ucm|split:test.01234567|refs:4-5x210.fedcba98|variant:ptb|words:ptb.1|partial:210/215|tables:aabbccdd|runs:3|metric:1|rsic:{}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(signature.to_string(), expected);
    }
}
