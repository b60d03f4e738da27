//! Strided views: which bytes of a storage a tensor needs, and how they come into row-major order.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::value::elements;
use super::{TensorInfo, TorchError, archive, error};

/// What a view may grow to by repeating elements (stride 0), in bytes, where that is more than it takes in its storage.
const MAX_REPEATED: usize = 1 << 30;

/// The elements of the storage from the tensor's first to its last; empty for an empty tensor.
///
/// Fails if they are not all in the storage, or if a few elements are repeated beyond any use.
pub(super) fn span(info: &TensorInfo) -> Result<Range<usize>, TorchError> {
    if info.elements()? == 0 {
        return Ok(0..0);
    }
    let last = info.shape.iter().zip(&info.strides).try_fold(info.offset, |last, (n, stride)| {
        let step = (n - 1).checked_mul(*stride)?;
        last.checked_add(step)
    });
    let end = last.and_then(|last| last.checked_add(1)).filter(|end| *end <= info.storage_len);
    let end = end.ok_or_else(|| {
        let TensorInfo { shape, strides, offset, storage_len, .. } = info;
        info.fault(format!(
            "shape {shape:?} with strides {strides:?} from element {offset} does not fit its {storage_len} elements"
        ))
    })?;
    // Read in memory, so no claim of the file: a tensor without repetition is no larger.
    let most = (end - info.offset).saturating_mul(info.dtype.size()).max(MAX_REPEATED);
    if info.elements()?.checked_mul(info.dtype.size()).is_none_or(|size| size > most) {
        return Err(info.fault(format!("shape {:?} repeats its elements into more than 1 GiB", info.shape)));
    }
    Ok(info.offset..end)
}

/// Whether the elements lie one after the other, last dimension fastest.
pub(super) fn is_contiguous(info: &TensorInfo) -> bool {
    let mut expected = 1;
    info.shape.iter().zip(&info.strides).rev().all(|(n, stride)| {
        let fits = *n == 1 || *stride == expected;
        expected *= n;
        fits
    })
}

/// Reads the bytes of a range of elements from entry `index` of the archive.
pub(super) fn bytes<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    index: usize,
    info: &TensorInfo,
    span: &Range<usize>,
) -> Result<Vec<u8>, TorchError> {
    let width = info.dtype.size() as u64;
    let (start, end) = ((span.start as u64).saturating_mul(width), (span.end as u64).saturating_mul(width));
    let (size, method) = {
        let entry = zip.by_index_data(index)?;
        (entry.size(), entry.compression())
    };
    if end > size {
        return Err(info.fault(format!("its entry has {size} bytes and {end} are needed")));
    }
    let mut bytes = Vec::new();
    let len = usize::try_from(end - start).ok().filter(|len| bytes.try_reserve_exact(*len).is_ok());
    let len = len.ok_or_else(|| info.fault(format!("its {size} bytes do not fit the memory")))? as u64;
    if method == CompressionMethod::Stored && len < size {
        let mut entry = zip.by_index_seek(index)?;
        entry.seek(SeekFrom::Start(start)).map_err(error::content)?;
        entry.take(len).read_to_end(&mut bytes).map_err(error::content)?;
    } else {
        let mut entry = archive::open(zip, index)?;
        io::copy(&mut entry.by_ref().take(start), &mut io::sink()).map_err(error::content)?;
        entry.by_ref().take(len).read_to_end(&mut bytes).map_err(error::content)?;
        if len == size {
            // The checksum is compared where the entry ends.
            io::copy(&mut entry, &mut io::sink()).map_err(error::content)?;
        }
    }
    if bytes.len() as u64 == len {
        Ok(bytes)
    } else {
        Err(TorchError::Damaged { what: format!("storage `{}` ends early", info.storage) })
    }
}

/// Brings the elements of a view, of which `bytes` begins with the first, into row-major order.
pub(super) fn gather(bytes: &[u8], info: &TensorInfo) -> Result<Vec<u8>, TorchError> {
    let width = info.dtype.size();
    let outside = || info.fault("its strides lead out of it".to_owned());
    let rank = info.shape.len();
    let mut index = vec![0; rank];
    let mut all = Vec::with_capacity(elements(&info.shape).unwrap_or(0) * width);
    'rows: loop {
        let row: usize = index.iter().zip(&info.strides).map(|(i, stride)| i * stride).sum();
        let (n, stride) = match (info.shape.last(), info.strides.last()) {
            (Some(n), Some(stride)) => (*n, *stride),
            _ => (1, 1),
        };
        for i in 0..n {
            let at = (row + i * stride) * width;
            all.extend_from_slice(bytes.get(at..at + width).ok_or_else(outside)?);
        }
        for dim in (0..rank.saturating_sub(1)).rev() {
            index[dim] += 1;
            if index[dim] < info.shape[dim] {
                continue 'rows;
            }
            index[dim] = 0;
        }
        return Ok(all);
    }
}
