//! What a stage is given besides its inputs, and what it gives back.

use arrow::array::RecordBatch;

use crate::cache::StatCache;
use crate::progress::{Checkpoint, Progress};

/// What a running stage may use besides its inputs; none of it changes the result.
pub struct Context<'a> {
    /// Who is told how far the work is.
    pub progress: &'a dyn Progress,
    /// Where long work keeps its place.
    pub checkpoint: &'a mut dyn Checkpoint,
    /// Facts about source files that need not be computed again.
    pub facts: &'a StatCache,
    /// The main output of an earlier run that differs only in which rows it holds ([`Stage::row_input`](super::Stage::row_input)).
    pub previous: Option<RecordBatch>,
}

/// What a stage made.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The outputs by name.
    pub outputs: Vec<Made>,
    /// Remarks worth keeping in the record.
    pub log: Vec<String>,
    /// Remarks that whoever runs the stage should see as well.
    pub warnings: Vec<String>,
}

/// One output of a stage.
#[derive(Debug)]
pub struct Made {
    /// The output's name within the stage.
    pub name: String,
    /// Its content.
    pub content: Content,
}

/// The content of an output.
#[derive(Debug)]
pub enum Content {
    /// A table, stored as Parquet.
    Table(RecordBatch),
    /// Anything else, with its file extension.
    Bytes(Vec<u8>, &'static str),
}

impl Outcome {
    /// Adds a table.
    pub fn table(&mut self, name: &str, table: RecordBatch) {
        self.outputs.push(Made { name: name.to_owned(), content: Content::Table(table) });
    }

    /// Puts a table in the place of one that was added.
    pub(super) fn replace(&mut self, name: &str, table: RecordBatch) {
        self.outputs.retain(|made| made.name != name);
        self.table(name, table);
    }

    /// Adds a file.
    pub fn bytes(&mut self, name: &str, bytes: Vec<u8>, extension: &'static str) {
        self.outputs.push(Made { name: name.to_owned(), content: Content::Bytes(bytes, extension) });
    }
}
