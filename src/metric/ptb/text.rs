//! A place in a line of text, and what a rule finds there.

/// The characters from one place of a line to its end.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a [char]);

impl<'a> Text<'a> {
    /// The character at `i`.
    pub(super) fn at(self, i: usize) -> Option<char> {
        self.0.get(i).copied()
    }

    /// Whether there is a character at `i` that passes the test.
    pub(super) fn is(self, i: usize, test: impl Fn(char) -> bool) -> bool {
        self.at(i).is_some_and(test)
    }

    /// How many characters from `from` on pass the test.
    pub(super) fn run(self, from: usize, test: impl Fn(char) -> bool) -> usize {
        self.0.iter().skip(from).take_while(|&&c| test(c)).count()
    }

    /// Whether `what`, written in lower-case ASCII, stands at `from` in whatever case.
    pub(super) fn has(self, from: usize, what: &str) -> bool {
        what.chars().enumerate().all(|(i, c)| self.is(from + i, |t| t.to_ascii_lowercase() == c))
    }

    /// The characters before `end`.
    pub(super) fn head(self, end: usize) -> &'a [char] {
        &self.0[..end]
    }
}

/// The length of `parts` joined by single `links`, from the start; 0 without a first part.
///
/// `part` says how long the part at an index is.
pub(super) fn chain(text: Text, first: usize, link: impl Fn(char) -> bool, part: impl Fn(usize) -> usize) -> usize {
    let mut len = first;
    while len > 0 && text.is(len, &link) {
        let more = part(len + 1);
        if more == 0 {
            break;
        }
        len += 1 + more;
    }
    len
}

/// What a rule found: the token takes `len` characters; `seen` are those it looked at to be sure.
///
/// The rule that saw most wins, so a rule with a condition on what follows beats one without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) len: usize,
    pub(super) seen: usize,
    pub(super) kind: Kind,
}

impl Found {
    /// A token that is written as it stands; nothing if it has no characters.
    pub(super) fn plain(len: usize) -> Option<Self> {
        Self::of(Kind::Plain, len)
    }

    /// A token that is written in the way of `kind`.
    pub(super) fn of(kind: Kind, len: usize) -> Option<Self> {
        (len > 0).then_some(Self { len, seen: len, kind })
    }

    /// The same token, after a look at what follows.
    pub(super) fn seeing(self, seen: usize) -> Self {
        Self { seen, ..self }
    }
}

/// How a token is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Brackets, currency signs and fractions in ASCII, soft hyphens gone.
    Plain,
    /// The same, with inner blanks as U+00A0.
    Joined,
    /// Nothing changed but case.
    Verbatim,
    /// Only round brackets changed.
    Smiley,
    /// Two quotation marks, one of them curly, each written in ASCII.
    Quotes,
    /// One and the same text whatever was there.
    Always(&'static str),
}
