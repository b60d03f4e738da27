//! A place in a line of text, and what a rule finds there.

/// The characters from one place of a line to its end, and on to the start of the next line.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    chars: &'a [char],
    places: Places,
    place: usize,
}

/// How far long looks ahead reached, so that no character is looked at again from each place before it.
#[derive(Clone, Copy, Default)]
pub(super) struct Places {
    /// The first character that cannot stand before the `@` of a mail address.
    name_end: usize,
    /// The first character that is neither an ASCII letter or digit nor a full stop or comma.
    numeric_end: usize,
}

impl<'a> Text<'a> {
    /// The text of `line` from `place` on; `places` are those of the same line, of earlier places.
    pub(super) fn new(line: &'a [char], place: usize, places: &mut Places) -> Self {
        let chars = &line[place..];
        if chars.first().is_some_and(|&c| c.is_ascii_alphanumeric() || c == '<') {
            places.advance(line, place);
        }
        Self { chars, places: *places, place }
    }

    /// The character at the place.
    pub(super) fn first(self) -> char {
        self.chars[0]
    }

    /// How many characters there are.
    pub(super) fn len(self) -> usize {
        self.chars.len()
    }

    /// The character at `i`.
    pub(super) fn at(self, i: usize) -> Option<char> {
        self.chars.get(i).copied()
    }

    /// Whether there is a character at `i` that passes the test.
    pub(super) fn is(self, i: usize, test: impl Fn(char) -> bool) -> bool {
        self.at(i).is_some_and(test)
    }

    /// How many characters from `from` on pass the test.
    pub(super) fn run(self, from: usize, test: impl Fn(char) -> bool) -> usize {
        self.chars.iter().skip(from).take_while(|&&c| test(c)).count()
    }

    /// Whether `what`, written in lower-case ASCII, stands at `from` in whatever case.
    pub(super) fn has(self, from: usize, what: &str) -> bool {
        what.bytes().enumerate().all(|(i, c)| self.is(from + i, |t| t.eq_ignore_ascii_case(&char::from(c))))
    }

    /// The characters before `end`.
    pub(super) fn head(self, end: usize) -> &'a [char] {
        &self.chars[..end]
    }

    /// Where the name before the `@` of a mail address must end.
    pub(super) fn name_end(self) -> usize {
        self.places.name_end.saturating_sub(self.place)
    }

    /// The end of the ASCII letters, digits, full stops and commas.
    pub(super) fn numeric_end(self) -> usize {
        self.places.numeric_end.saturating_sub(self.place)
    }
}

impl Places {
    fn advance(&mut self, line: &[char], place: usize) {
        let from = |place: usize, ends: fn(char) -> bool| {
            line[place..].iter().position(|&c| ends(c)).map_or(line.len(), |i| place + i)
        };
        // A tag's name begins one later than the tag.
        let name = place + usize::from(line[place] == '<');
        if self.name_end <= name {
            self.name_end = from(name, super::markup::ends_name);
        }
        if self.numeric_end <= place {
            self.numeric_end = from(place, |c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | ','));
        }
    }
}

/// The length of parts joined by single `links`, the `first` part included; 0 without a first part.
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
    /// The same as plain, with straight apostrophes, and entities as the signs they stand for.
    Ending,
    /// Nothing changed but case.
    Verbatim,
    /// Only round brackets changed.
    Smiley,
    /// Two quotation marks, one of them curly, each written in ASCII.
    Quotes,
    /// One and the same text whatever was there.
    Always(&'static str),
}
