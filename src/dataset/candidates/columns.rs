//! CSV and TSV with a header -> entries.

use std::io::Read;

use csv::{Reader, ReaderBuilder, StringRecord};

use super::key::quote;
use super::record::{CAPTION, Record, WANTED};
use super::value::Value;
use super::{CandidateError, Entry};

/// How many columns of a header a message names.
const COLUMNS: usize = 6;

/// A last row of our own: a quote that is never closed swallows it.
const END: &str = "\n.\n";

/// Which columns of a row say what.
type Fields = Vec<Option<&'static str>>;

/// Whether the text begins with the header of a table of captions.
pub(super) fn has_header(text: &str) -> bool {
    [b',', b'\t']
        .into_iter()
        .any(|delimiter| Table::of(text, delimiter).header().is_some_and(|row| fits(&fields(&row))))
}

/// Reads the entries of a CSV or TSV file: the delimiter under which the header makes sense, else the one of the name.
pub(super) fn entries(text: &str, file_name: &str, tabs: bool) -> Result<Vec<Entry>, CandidateError> {
    let wrong = |(line, cause)| CandidateError::Row { file: file_name.to_owned(), line, cause };
    for delimiter in [b',', b'\t'] {
        let mut table = Table::of(text, delimiter);
        let fields = table.header().map(|header| fields(&header)).unwrap_or_default();
        if fits(&fields) {
            return table.entries(&fields).map_err(wrong);
        }
    }
    let mut table = Table::of(text, if tabs { b'\t' } else { b',' });
    let header = table.header().unwrap_or_default();
    Err(wrong((table.line, no_header(&header))))
}

fn fields(header: &StringRecord) -> Fields {
    header.iter().map(|name| Record::field(name.trim())).collect()
}

fn fits(fields: &[Option<&'static str>]) -> bool {
    fields.contains(&Some(CAPTION)) && fields.iter().flatten().any(|field| *field != CAPTION)
}

/// Why a first line is no header.
fn no_header(header: &StringRecord) -> String {
    let mut names: Vec<String> = header.iter().take(COLUMNS).map(|name| quote(name.trim())).collect();
    if header.len() > COLUMNS {
        names.push("...".to_owned());
    }
    let first = header.get(0).unwrap_or_default();
    let remedy = if first.contains(';') && first.contains(CAPTION) {
        "columns are separated by commas or tabs, not by semicolons".to_owned()
    } else {
        format!("a header with `{CAPTION}` and {WANTED} is wanted")
    };
    format!("neither JSON nor a table of captions: the first line has {}; {remedy}", names.join(", "))
}

/// The rows of a file, each with the line on which it begins.
struct Table<'a> {
    text: &'a str,
    rows: Reader<Box<dyn Read + 'a>>,
    /// Up to where lines are counted.
    counted: usize,
    line: usize,
}

impl<'a> Table<'a> {
    fn of(text: &'a str, delimiter: u8) -> Self {
        let bytes: Box<dyn Read> = Box::new(text.as_bytes().chain(END.as_bytes()));
        // A field too many is reported with our words.
        let rows = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(bytes);
        Self { text, rows, counted: 0, line: 1 }
    }

    /// The next row that is not blank; nothing at the end.
    ///
    /// Fails with line and cause if a quote stays open.
    fn next(&mut self) -> Result<Option<StringRecord>, (usize, String)> {
        let mut row = StringRecord::new();
        loop {
            let before = self.line;
            let more = self.rows.read_record(&mut row).map_err(|error| (self.line, error.to_string()))?;
            let start = row.position().map_or(0, |position| position.byte() as usize).min(self.text.len());
            self.count_lines(start);
            if !more {
                // The row before has taken the rest of the file.
                return Err((before, "a quote is opened here and never closed".to_owned()));
            }
            if self.counted >= self.text.len() {
                return Ok(None);
            }
            if row.iter().any(|cell| !cell.trim().is_empty()) {
                return Ok(Some(row));
            }
        }
    }

    fn header(&mut self) -> Option<StringRecord> {
        self.next().ok().flatten()
    }

    /// Counts the lines up to a row, which the parser lets begin at the blank lines before it.
    fn count_lines(&mut self, start: usize) {
        let bytes = self.text.as_bytes();
        let blank = bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let start = start + blank;
        let ends = |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        self.line += (self.counted..start).filter(|&at| ends(at)).count();
        self.counted = start;
    }

    fn entries(&mut self, fields: &Fields) -> Result<Vec<Entry>, (usize, String)> {
        let mut entries = Vec::new();
        while let Some(row) = self.next()? {
            let line = self.line;
            entries.push(entry(&row, fields, line).map_err(|cause| (line, cause))?);
        }
        Ok(entries)
    }
}

fn entry(row: &StringRecord, fields: &Fields, line: usize) -> Result<Entry, String> {
    if row.len() != fields.len() {
        let (found, wanted) = (row.len(), fields.len());
        return Err(format!(
            "{found} columns under a header of {wanted}; a caption that holds the separator needs quotes"
        ));
    }
    let mut record = Record::default();
    for (cell, field) in row.iter().zip(fields) {
        match *field {
            None => {}
            Some(CAPTION) => record.set_caption(cell.to_owned())?,
            Some(field) => {
                if let Some(key) = Value::Text(cell.to_owned()).into_key(&format!("`{field}`"))? {
                    record.set_key(field, key)?;
                }
            }
        }
    }
    record.finish(line)
}
