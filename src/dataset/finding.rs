//! What the linter reports: facts that a reader of the scores should know, none of which stops a build.

use std::fmt;

/// A kind of finding; the order is that of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// Validation and test set are swapped against the original publication.
    SwappedSplits,
    /// The split is published, these captions are not.
    EditedCaptions,
    /// Neither the split nor the captions belong to a known edition.
    UnknownEdition,
    /// The file begins with a byte order mark.
    ByteOrderMark,
    /// A split holds no image.
    EmptySplit,
    /// An image has no caption.
    NoCaptions,
    /// An image has more or fewer captions than most images of the file.
    CaptionCount,
    /// An image's list of sentence ids is not that of its sentences, which are trusted.
    SentenceIdsDisagree,
    /// Sentence ids were missing or repeated, so all were numbered anew.
    SentenceIdsRenumbered,
    /// A sentence names another image than the one it stands under, which is trusted.
    ImageIdDisagrees,
    /// The published tokens are not the words of the published caption, which is trusted.
    TokensDisagree,
    /// A caption without a letter, digit or character.
    BlankCaption,
    /// A batch mark `###` was removed.
    BatchMark,
    /// A control character or line break became a blank.
    ControlCharacter,
    /// Blanks at the start, at the end or more than one between words.
    ExtraBlanks,
    /// An ending other than that of most captions of the file.
    OddEnding,
    /// Characters that captions in this language do not need.
    OddCharacters,
    /// Latin letters in a Chinese caption.
    LatinLetters,
    /// All captions of an image are one and the same: they are not independent references.
    Padding,
    /// An image has a caption twice or more often, and another one.
    RepeatedCaption,
    /// A test caption that stands verbatim in the train set.
    LeakedCaption,
    /// A val or test image whose captions are exactly those of a train image.
    LeakedImage,
    /// Two images of one split have the same pixels.
    IdenticalPixels,
    /// Two images of different splits have the same pixels.
    IdenticalPixelsAcrossSplits,
}

impl FindingKind {
    /// All kinds, in the order of the report.
    pub const ALL: [Self; 24] = [
        Self::SwappedSplits,
        Self::EditedCaptions,
        Self::UnknownEdition,
        Self::ByteOrderMark,
        Self::EmptySplit,
        Self::NoCaptions,
        Self::CaptionCount,
        Self::SentenceIdsDisagree,
        Self::SentenceIdsRenumbered,
        Self::ImageIdDisagrees,
        Self::TokensDisagree,
        Self::BlankCaption,
        Self::BatchMark,
        Self::ControlCharacter,
        Self::ExtraBlanks,
        Self::OddEnding,
        Self::OddCharacters,
        Self::LatinLetters,
        Self::Padding,
        Self::RepeatedCaption,
        Self::LeakedCaption,
        Self::LeakedImage,
        Self::IdenticalPixels,
        Self::IdenticalPixelsAcrossSplits,
    ];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::SwappedSplits => "swapped_splits",
            Self::EditedCaptions => "edited_captions",
            Self::UnknownEdition => "unknown_edition",
            Self::ByteOrderMark => "byte_order_mark",
            Self::EmptySplit => "empty_split",
            Self::NoCaptions => "no_captions",
            Self::CaptionCount => "caption_count",
            Self::SentenceIdsDisagree => "sentence_ids_disagree",
            Self::SentenceIdsRenumbered => "sentence_ids_renumbered",
            Self::ImageIdDisagrees => "image_id_disagrees",
            Self::TokensDisagree => "tokens_disagree",
            Self::BlankCaption => "blank_caption",
            Self::BatchMark => "batch_mark",
            Self::ControlCharacter => "control_character",
            Self::ExtraBlanks => "extra_blanks",
            Self::OddEnding => "odd_ending",
            Self::OddCharacters => "odd_characters",
            Self::LatinLetters => "latin_letters",
            Self::Padding => "padding",
            Self::RepeatedCaption => "repeated_caption",
            Self::LeakedCaption => "leaked_caption",
            Self::LeakedImage => "leaked_image",
            Self::IdenticalPixels => "identical_pixels",
            Self::IdenticalPixelsAcrossSplits => "identical_pixels_across_splits",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One row of the lint table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub kind: FindingKind,
    /// The image it concerns, if it is about one.
    pub image_id: Option<u32>,
    /// The sentence it concerns, if it is about one.
    pub sent_id: Option<u32>,
    /// The particulars, for a person.
    pub detail: String,
}

impl Finding {
    /// A finding about the whole set.
    pub(super) fn of_set(kind: FindingKind, detail: String) -> Self {
        Self { kind, image_id: None, sent_id: None, detail }
    }

    /// A finding about an image.
    pub(super) fn of_image(kind: FindingKind, image_id: u32, detail: String) -> Self {
        Self { kind, image_id: Some(image_id), sent_id: None, detail }
    }

    /// A finding about a sentence.
    pub(super) fn of_sentence(kind: FindingKind, image_id: u32, sent_id: u32, detail: String) -> Self {
        Self { kind, image_id: Some(image_id), sent_id: Some(sent_id), detail }
    }
}
