//! One file of tensors: what it says of them, and their numbers when asked.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::Tensor;
use safetensors::tensor::Metadata;
use serde::Serialize;

use super::torch::{self, TensorInfo, TorchFile};
use super::{Dtype, Weights, convert, fault};
use crate::model::bundle::{Content, Source};

/// How many bytes of a file tell what it is.
const HEAD: u64 = 512;
/// How many times as many bytes as the file its tensors may have, by compression and by views that share their numbers,
const REPEATED: u64 = 16;
/// where they have more than this.
const SMALL: u64 = 1 << 30;
/// SafeTensors' own limit for the length of a header.
const LONGEST_HEADER: u64 = 100_000_000;

/// The format of a file of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A header of JSON, then numbers.
    SafeTensors,
    /// What `torch.save` writes: a zip archive with a pickle.
    PyTorch,
}

/// What a file says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Vec<usize>,
}

/// Something in a file that is no tensor, such as the number of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Beside {
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub what: String,
}

/// An open file of tensors.
pub struct TensorFile {
    /// The format.
    pub format: Format,
    /// Its tensors, in the order of the file.
    pub entries: Vec<Entry>,
    /// What is in it besides.
    pub beside: Vec<Beside>,
    /// Where in the file the tensors are, such as `state_dict`; empty for the top level.
    pub place: String,
    /// Notes of the program that wrote it, by name.
    pub notes: BTreeMap<String, String>,
    reader: Reader,
}

enum Reader {
    SafeTensors { source: Box<dyn Source>, ranges: Vec<(u64, u64)> },
    PyTorch { file: TorchFile<Box<dyn Source>>, infos: Vec<TensorInfo> },
}

impl TensorFile {
    /// Reads what the file says of its tensors.
    ///
    /// Fails, naming the remedy, if the file is not what it should be: a web page, a Git LFS pointer, cut short, PyTorch's
    /// format before 1.6, a whole pickled model.
    pub fn open(content: &Content) -> Result<Self> {
        let mut source = content.open()?;
        let mut head = Vec::new();
        source.by_ref().take(HEAD).read_to_end(&mut head)?;
        source.rewind()?;
        // Its first bytes are a length, which may look like anything.
        if begins_as_safetensors(&head) {
            return Self::safetensors(source);
        }
        if let Some(fault) = fault::describe(&head) {
            bail!("{fault}");
        }
        if head.starts_with(fault::ZIP) { Self::pytorch(source) } else { Self::safetensors(source) }
    }

    fn safetensors(mut source: Box<dyn Source>) -> Result<Self> {
        let length = source.seek(SeekFrom::End(0))?;
        source.rewind()?;
        let header = header(&mut source, length)?;
        let start = header.len() as u64;
        let metadata: Metadata = serde_json::from_slice(&header[8..]).map_err(|error| not_weights(&error))?;
        let end = start + metadata.data_len() as u64;
        ensure!(end <= length, cut_short(length, end));
        ensure!(end == length, "the file is {length} bytes long, {} more than its header tells of", length - end);
        let mut infos: Vec<_> = metadata.tensors().into_iter().collect();
        infos.sort_by(|(a, x), (b, y)| (x.data_offsets, a).cmp(&(y.data_offsets, b)));
        let (mut entries, mut ranges) = (Vec::new(), Vec::new());
        for (name, info) in infos {
            let dtype = convert::dtype(info.dtype).with_context(|| format!("tensor `{name}`"))?;
            entries.push(Entry { name, dtype, shape: info.shape.clone() });
            ranges.push((start + info.data_offsets.0 as u64, start + info.data_offsets.1 as u64));
        }
        let notes = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        let reader = Reader::SafeTensors { source, ranges };
        Ok(Self { format: Format::SafeTensors, entries, beside: Vec::new(), place: String::new(), notes, reader })
    }

    fn pytorch(mut source: Box<dyn Source>) -> Result<Self> {
        let length = source.seek(SeekFrom::End(0))?;
        source.rewind()?;
        let mut file = TorchFile::open(source)?;
        let notes = file.notes()?;
        let named = torch::named_tensors(file.root())?;
        let (mut entries, mut infos) = (Vec::new(), Vec::new());
        let mut total = 0_u64;
        for (name, info) in named.tensors {
            let elements = info.shape.iter().fold(info.dtype.size(), |product, size| product.saturating_mul(*size));
            total = total.saturating_add(elements as u64);
            entries.push(Entry { name, dtype: info.dtype, shape: info.shape.clone() });
            infos.push(info);
        }
        let most = length.saturating_mul(REPEATED).max(SMALL);
        ensure!(
            total <= most,
            "its tensors have {total} bytes, and the file only {length}: they repeat or unpack the same bytes beyond any use"
        );
        let beside = named.inside.into_iter().chain(named.beside);
        let beside = beside.map(|entry| Beside { name: entry.name, what: entry.what }).collect();
        let reader = Reader::PyTorch { file, infos };
        Ok(Self { format: Format::PyTorch, entries, beside, place: named.path, notes, reader })
    }

    /// The numbers of the tensor `entries[at]`; floats of any width become `f32`.
    ///
    /// Panics if there is no such entry.
    pub fn read(&mut self, at: usize) -> Result<Tensor> {
        let Entry { name, dtype, shape } = &self.entries[at];
        let what = || format!("cannot read tensor `{name}`");
        let bytes = match &mut self.reader {
            Reader::SafeTensors { source, ranges } => piece(source, ranges[at]).with_context(what)?,
            Reader::PyTorch { file, infos } => file.read(&infos[at]).with_context(what)?,
        };
        convert::tensor(&bytes, *dtype, shape).with_context(what)
    }

    /// All tensors.
    pub fn into_weights(mut self) -> Result<Weights> {
        (0..self.entries.len()).map(|at| Ok((self.entries[at].name.clone(), self.read(at)?))).collect()
    }
}

fn piece(source: &mut Box<dyn Source>, (from, to): (u64, u64)) -> Result<Vec<u8>> {
    let mut bytes = vec![0; (to - from) as usize];
    source.seek(SeekFrom::Start(from))?;
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file begins with the length of a header and the header's first brace.
fn begins_as_safetensors(head: &[u8]) -> bool {
    let length = head.first_chunk().map(|chunk| u64::from_le_bytes(*chunk));
    length.is_some_and(|length| length < LONGEST_HEADER) && head.get(8) == Some(&b'{')
}

/// The length and the JSON that a SafeTensors file begins with.
fn header(source: &mut Box<dyn Source>, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.by_ref().take(8).read_to_end(&mut bytes)?;
    let promised = bytes.first_chunk().map(|chunk| u64::from_le_bytes(*chunk));
    // Anything longer is not a length, so this is no such file.
    let Some(promised) = promised.filter(|promised| *promised < LONGEST_HEADER) else {
        return Err(not_weights(&"no header"));
    };
    ensure!(8 + promised <= length, cut_short(length, 8 + promised));
    source.by_ref().take(promised).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_weights(why: &dyn std::fmt::Display) -> anyhow::Error {
    anyhow!("the file is neither SafeTensors nor a PyTorch checkpoint ({why})")
}

fn cut_short(length: u64, promised: u64) -> String {
    format!(
        "the file is cut short: it has {length} bytes and its header promises at least {promised}; download it again"
    )
}
