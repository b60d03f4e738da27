//! The state of unfinished work as bytes: what JSON can say, then files.

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Header<T> {
    state: T,
    lengths: Vec<u64>,
}

/// Puts a description and some files into one run of bytes.
pub(super) fn pack(state: &impl Serialize, files: &[&[u8]]) -> Result<Vec<u8>> {
    let lengths = files.iter().map(|file| file.len() as u64).collect();
    let header = serde_json::to_vec(&Header { state, lengths })?;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    for part in [&[&header[..]], files].concat() {
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

/// What [`pack`] made. Fails if the bytes are anything else.
pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Vec<&[u8]>)> {
    let what = "the saved state of training is damaged: delete it to start over";
    let (length, rest) = bytes.split_first_chunk::<8>().context(what)?;
    let (header, mut rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).context(what)?;
    let header: Header<T> = serde_json::from_slice(header).context(what)?;
    let mut files = Vec::new();
    for length in header.lengths {
        let (file, others) = rest.split_at_checked(length as usize).context(what)?;
        files.push(file);
        rest = others;
    }
    ensure!(rest.is_empty(), what);
    Ok((header.state, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back_and_a_cut_is_noticed() {
        let state = (7, "text".to_owned(), 0.1);
        let bytes = pack(&state, &[b"one", b"", b"three"]).unwrap();
        let (back, files): ((i32, String, f64), _) = unpack(&bytes).unwrap();
        assert_eq!((back, files), (state, vec![&b"one"[..], b"", b"three"]));
        for end in 0..bytes.len() {
            let error = unpack::<(i32, String, f64)>(&bytes[..end]).unwrap_err().to_string();
            assert!(error.contains("damaged: delete it"), "{end} bytes: {error}");
        }
        assert!(unpack::<(i32, String, f64)>(&[&bytes[..], b"x"].concat()).is_err());
    }
}
